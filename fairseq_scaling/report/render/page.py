"""The report as one page of HTML that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...laws import Action
from ..curve_result import LawResult
from ..results import Entry, Report, Section, Task
from .limits import limits
from .markup import Markup, inline, join, tag
from .numbers import Table
from .style import CSS
from .tables import all_tables, outcome_table
from .wording import (
    action_title,
    ahead_of_all,
    answer,
    condition,
    enumerate_all,
    finding_sentence,
    headline,
    labels,
    mixture_sentence,
    next_sentence,
    reasons,
    short_name,
    subtitle,
    worth_sentences,
)

if TYPE_CHECKING:
    from .figures import Drawing

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_TONES = {
    Action.ADD_DATA: "good",
    Action.STOP: "calm",
    Action.FINETUNING_SUFFICES: "calm",
    Action.CHANGE_DATA: "warn",
    Action.RUN_MORE: "info",
}
_SIGNS = {"good": "\u25b2", "calm": "\u25a0", "warn": "\u25c6", "info": "\u25cf"}
_CLOSED = {"values", "noise", "coefficients", "laws"}
_UNBROKEN = {"Metric", "Law", "Coefficient", "Unit", "Identified", "Kind"}


def render_page(report: Report, drawings: Sequence[Drawing]) -> str:
    """Return the whole page. Everything that came from a log, a table or a file name is escaped."""
    names, tables = labels(report), all_tables(report)

    def shown(*anchors: str, headed: bool = True) -> Markup:
        return join(_table(anchor, tables[anchor], headed) for anchor in anchors if anchor in tables)

    forecasts = join(
        _section(report, section, place, names, drawings) for place, section in enumerate(report.sections, start=1)
    )
    sections = [
        ("forecast", "Forecast and advice", forecasts),
        ("mixtures", "Which mixture is better", shown("mixtures", headed=False)),
        ("wanted", "Sizes for a wanted score", shown("wanted", headed=False)),
        ("values", "Forecast in numbers", shown("values", "noise", "joint")),
        ("unplaced", "Models whose pretraining is unknown", shown("unplaced", headed=False)),
        ("alignment", "Alignment with the task", shown("alignment", headed=False)),
        ("laws", "Single laws", shown("coefficients", "laws")),
        ("precisions", "Brevity penalty and precisions", shown("precisions", headed=False)),
        ("forgetting", "Forgetting", shown("forgetting", headed=False)),
        ("limits", "What these data cannot show", _list(limits(report))),
        ("left-out", "Left out, and why", join([_list(report.remarks), shown("left-out", headed=False)])),
        ("made", "How it was made", _made(report)),
    ]
    sections = [section for section in sections if section[2]]
    version = f"fairseq_scaling {report.versions['fairseq_scaling']}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="generator", content=version),
        tag("title", "Scaling report" if report.fitted or report.unplaced else "Scaling report: nothing to fit"),
        tag("style", Markup(CSS)),
    )
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = tag(
        "body",
        tag("a", "Skip to the forecast", href="#forecast", class_="skip"),
        tag(
            "header",
            tag("h1", headline(report)),
            tag("p", subtitle(report), class_="subtitle"),
            tag("nav", tag("ul", links), aria_label="Sections"),
        ),
        tag("main", [tag("section", tag("h2", name), content, id=anchor) for anchor, name, content in sections]),
        tag("footer", f"Made by fit-scaling, {version}."),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _section(
    report: Report, section: Section, place: int, names: Mapping[str, str], drawings: Sequence[Drawing]
) -> Markup:
    """Return one translation task and model: figure of the metric that decides, answers, table, other metrics."""
    shown = [drawing for drawing in drawings if drawing.curves & {curve.name for curve in section.curves}]
    title = condition(section.setting, with_size=len(section.tasks) == 1)
    alarms = [
        tag("p", tag("b", f"{names[entry.name]}: "), finding_sentence(finding), class_="loud", role="note")
        for task in section.tasks
        for entry in task.entries
        if (finding := report.finding(entry.name)) and finding.misleads
    ]
    blocks = [
        join(
            [
                tag("h4", condition(task.setting)) if len(section.tasks) > 1 else None,
                _answers(report, task, "h5" if len(section.tasks) > 1 else "h4"),
            ]
        )
        for task in section.tasks
    ]
    return tag(
        "div",
        tag("h3", title or "All curves"),
        alarms,
        [_figure(drawing) for drawing in shown if drawing.leads],
        blocks,
        [_figure(drawing) for drawing in shown if not drawing.leads],
        class_="task",
        id=f"task-{place}",
    )


def _answers(report: Report, task: Task, level: str) -> Markup:
    """Return the answers of one task: a card for each mixture, which one is ahead, what to run next, and the table."""
    table = outcome_table(report, task)
    mixture, further = mixture_sentence(task, report.settings.likely), _next(report, task)
    return join(
        [
            tag("div", [_card(report, entry, level) for entry in task.entries], class_="cards"),
            tag("p", tag("b", "Which mixture: "), mixture, class_="answer") if mixture else None,
            [tag("p", sentence, class_="reason") for sentence in worth_sentences(task)],
            tag("p", tag("b", "What next: "), further, class_="answer") if further else None,
            _written(table) if any(curve.forecast for e in task.entries for curve in e.curves) else None,
        ]
    )


def _next(report: Report, task: Task) -> str:
    """Return which run would tell most: of the mixture that is ahead, or of each that more data helps."""
    best = ahead_of_all(task, report.settings.likely)
    asked = [entry for entry in task.entries if entry.lead.advice and best in (None, entry.name)]
    going = [entry for entry in asked if entry.lead.advice and entry.lead.advice.action is Action.ADD_DATA]
    steps: dict[str, list[str]] = {}
    for entry in going:
        steps.setdefault(next_sentence(entry.lead), []).append(short_name(entry))
    return " ".join(
        f"{enumerate_all(names)}: {step[0].lower()}{step[1:]}" if len(task.entries) > 1 else step
        for step, names in steps.items()
        if step
    )


def _card(report: Report, entry: Entry, level: str) -> Markup:
    """Return the answer for one mixture: what to do, why, and what more data would bring."""
    curve = entry.lead
    action = curve.advice.action if curve.advice else Action.RUN_MORE
    tone = _TONES[action]
    finding = report.finding(entry.name)
    beside = finding_sentence(finding) if finding and not finding.misleads else ""
    step = next_sentence(curve) if action is Action.RUN_MORE else ""
    return tag(
        "article",
        tag(
            "div",
            tag(level, short_name(entry)),
            tag("span", f"{_SIGNS[tone]} {action_title(action, curve.x)}", class_=f"chip {tone}"),
            class_="top",
        ),
        tag("p", answer(curve), class_="advice"),
        [tag("p", text, class_="reason") for text in (*reasons(report, curve), beside, step) if text],
        class_="card",
    )


def _figure(drawing: Drawing) -> Markup:
    picture = inline(drawing.svg, drawing.name, drawing.alt)
    return tag(
        "figure",
        tag("div", picture, class_="scroll", tabindex=0, role="region", aria_label=drawing.title),
        tag("figcaption", drawing.caption, " Files: ", tag("code", f"figures/{drawing.name}.svg, .pdf"), "."),
        class_=None if drawing.leads else "others",
    )


def _table(anchor: str, table: Table, headed: bool) -> Markup:
    if anchor in _CLOSED:
        return tag("details", tag("summary", f"{table.title} ({len(table.rows)})"), _written(table))
    return join([tag("h3", table.title) if headed else None, _written(table)])


def _written(table: Table) -> Markup:
    """Return a table that scrolls sideways where it is too wide, by keyboard too."""
    kinds = ["n" if column.numeric else "nb" if column.title in _UNBROKEN else None for column in table.columns]
    heads = [tag("th", c.title, scope="col", class_=kind) for c, kind in zip(table.columns, kinds, strict=True)]
    rows = []
    for row, following in zip(table.rows, [*table.rows[1:], None], strict=True):
        # Where the page is narrow a cell breaks before its interval, and nowhere else.
        unbroken = [
            cell.replace(", ", ",\u00a0").replace(" %", "\u00a0%") if kind == "n" else cell
            for cell, kind in zip(row, kinds, strict=True)
        ]
        cells = [tag("td", cell, class_=kind) for cell, kind in zip(unbroken, kinds, strict=True)]
        rows.append(tag("tr", cells, class_="more" if following is not None and following[0] == "" else None))
    written = tag(
        "table",
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        aria_label=table.title,
    )
    scrolls = tag("div", written, class_="scroll", tabindex=0, role="region", aria_label=table.title)
    return tag("div", scrolls, tag("p", table.note, class_="note") if table.note else None, class_="panel")


def _list(sentences: Iterable[str]) -> Markup:
    items = [tag("li", sentence) for sentence in sentences]
    return tag("ul", items, class_="plain") if items else Markup("")


def _made(report: Report) -> Markup:
    read = report.read
    counts = {
        "finetuning run*": read.finetuning_runs,
        "pretraining run*": read.pretraining_runs,
        "table*": read.tables,
        "alignment* of a mixture and task": read.alignments,
    }
    counted = enumerate_all([f"{n} {noun.replace('*', 's' if n > 1 else '')}" for noun, n in counts.items() if n])
    signatures = {
        curve.setting.signature: curve.metric.title
        for curve in report.curves
        if curve.is_score and curve.setting.signature
    }
    laws: dict[str, LawResult] = {law.name: law for curve in report.curves for law in curve.laws}
    entries = [
        tag(
            "div",
            tag("dt", law.title, " ", tag("code", law.name)),
            tag("dd", tag("code", law.formula), ". ", law.source),
        )
        for law in laws.values()
    ]
    return join(
        [
            tag("p", f"Read: {counted or 'nothing'} from"),
            tag("ul", [tag("li", tag("code", path)) for path in read.paths], class_="plain"),
            tag("p", "Every point, its origin and what became of it are in ", tag("code", "points.csv"), "."),
            tag("p", "The same signature and the same points give the same numbers:"),
            tag("pre", tag("code", report.signature)),
            tag(
                "p",
                "Seeds of one size are repeated measurements of one value. Cross-entropy is in nats per target token; "
                "token counts include the end of each sentence. "
                f"Intervals cover {report.settings.level:.0%}.",
            ),
            join([tag("h3", "The laws"), tag("dl", entries, class_="laws")]) if entries else None,
            join(
                [
                    tag("h3", "Signatures of the scores"),
                    tag("ul", [tag("li", f"{t}: ", tag("code", s)) for s, t in signatures.items()], class_="plain"),
                ]
            )
            if signatures
            else None,
        ]
    )
