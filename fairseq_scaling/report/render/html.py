"""The report as one page of HTML that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .document import Document, chosen_law, leading, settings_in_order
from .limits import limits
from .markup import Markup, escape, join, tag
from .panels import means
from .sentences import MISLEADING, beside, loud_findings, must_be_heard, reason_of, say, without_lead
from .style import COLOUR_NAMES, CSS
from .table import Table
from .tables import all_tables
from .wording import (
    NONE,
    condition,
    display_names,
    is_score,
    metric_of,
    metric_title,
    number,
    score,
    short_name,
    tokens,
)

if TYPE_CHECKING:
    from .figures import Drawing

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_TONES = {
    "add data": "good",
    "stop": "calm",
    "finetuning data suffices": "calm",
    "change the data": "warn",
    "run more points": "info",
}
_SIGNS = {"good": "\u25b2", "calm": "\u25a0", "warn": "\u25c6", "info": "\u25cf"}
_CLOSED = {"points", "remarks", "laws"}
_UNBROKEN = {"Metric", "Law", "Coefficient", "Unit", "Identified"}


def render_page(document: Document, drawings: Sequence[Drawing]) -> str:
    """Return the whole page. Everything that came from a log, a table or a file name is escaped."""
    tables = all_tables(document)
    sections = [
        ("verdicts", "Verdicts", _verdicts(document)),
        ("figures", "Figures", _figures(drawings)),
        (
            "answers",
            "Answers",
            _tables(tables, ("gains", "wanted", "mixtures", "relations")),
        ),
        ("unplaced", "Models whose pretraining is unknown", _tables(tables, ("unplaced",), headed=False)),
        (
            "alignment",
            "Alignment with the task",
            join([_tables(tables, ("alignment",), headed=False), _tables(tables, ("agreement",))]),
        ),
        ("precisions", "Brevity penalty and precisions", _tables(tables, ("precisions",), headed=False)),
        ("forgetting", "Forgetting", _tables(tables, ("forgetting",), headed=False)),
        ("coefficients", "Laws and coefficients", _tables(tables, ("coefficients", "remarks", "laws"))),
        ("limits", "What so little data cannot show", _list(limits(document))),
        (
            "left-out",
            "Left out, and why",
            join([_list(document.get("remarks", ())), _tables(tables, ("left-out",), headed=False)]),
        ),
        ("made", "How it was made", join([_made(document), _tables(tables, ("points",))])),
    ]
    sections = [(anchor, title, body) for anchor, title, body in sections if body]
    title = "Scaling report" if document["curves"] or document.get("unplaced") else "Scaling report: nothing to fit"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="generator", content=f"fairseq_scaling {document['versions']['fairseq_scaling']}"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the verdicts", href="#verdicts", class_="skip"),
        tag(
            "header",
            tag("h1", headline(document)),
            tag("p", _subtitle(document), class_="subtitle"),
            tag(
                "nav",
                tag("ul", [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]),
                aria_label="Sections",
            ),
        ),
        tag(
            "main",
            [tag("section", tag("h2", name), content, id=anchor) for anchor, name, content in sections],
        ),
        tag("footer", f"Made by fit-scaling, fairseq_scaling {document['versions']['fairseq_scaling']}."),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def headline(document: Document) -> str:
    """Return the finding a reader must not miss, as the page's heading."""
    groups = settings_in_order(document)
    loud = len(loud_findings(document).get(MISLEADING, ()))
    verdicts = [curve["verdict"]["kind"] for group in groups if (curve := leading(group))["verdict"]]
    if not verdicts:
        if document.get("unplaced") and not document["curves"]:
            return "No law over D_p: what the models were pretrained on is unknown"
        return "Nothing could be fitted yet"
    follow = sum(kind == "follows the law" for kind in verdicts)
    curves = "curve" if len(verdicts) == 1 else "curves"
    text = f"{follow} of {len(verdicts)} {curves} {'follows' if follow == 1 else 'follow'} the law"
    if loud:
        text += f"; on {loud}, cross-entropy misleads"
    return text


def _subtitle(document: Document) -> str:
    curves = [curve for curve in document["curves"] if curve["points"]]
    if not curves and document.get("unplaced"):
        return "The scores of the models whose D_p is unknown, and of those without pretraining, stand below."
    if not curves:
        return "No curve has points that can be used. What was read and why it was not used stands below."
    tasks = sorted({curve["setting"]["task"] for curve in curves} - {""})
    points = [point["pretrain_tokens"] for curve in curves for point in curve["points"]]
    metrics = list(dict.fromkeys(metric_title(curve) for curve in curves))
    parts = [f"Translation {', '.join(tasks)}" if tasks else f"{len(settings_in_order(document))} curves"]
    parts.append(f"pretrained on {tokens(min(points))} to {tokens(max(points))} tokens")
    parts.append(f"judged by {_enumerate(metrics)}")
    runs = document["inputs"]["finetuning_runs"]
    return ", ".join(parts) + (f". {runs} finetuning runs" if runs else "") + f", {len(points)} points on the curves."


def _verdicts(document: Document) -> Markup:
    labels = display_names(document["curves"])
    parts: list[Markup] = []
    for heading, findings in loud_findings(document).items():
        items = [tag("li", tag("b", label), ": ", sentence) for label, sentence in findings]
        parts.append(tag("div", tag("strong", heading), tag("ul", items), class_="loud", role="note"))
    groups: dict[str, list[list[Document]]] = {}
    for curves in settings_in_order(document):
        groups.setdefault(condition(curves[0]["setting"]), []).append(curves)
    comparisons = {comparison["name"]: comparison for comparison in document["metric_comparisons"]}
    for title, settings in groups.items():
        if title:
            parts.append(tag("h3", title))
        # No level of headings is left out where nothing is known of task and model.
        level = "h4" if title else "h3"
        cards = [_card(curves, comparisons.get(curves[0]["name"]), labels, level) for curves in settings]
        parts.append(tag("div", cards, class_="cards"))
    return join(parts)


def _card(
    curves: Sequence[Document], comparison: Document | None, labels: Mapping[str, str], level: str = "h4"
) -> Markup:
    """Return one curve's verdict: the advice of its leading metric, then what every metric says."""
    lead = leading(curves)
    alignment = lead["setting"]["alignment"]
    aside = f"alignment {number(alignment)}" if alignment is not None else ""
    advice = lead["advice"]
    action = advice["action"] if advice else "run more points"
    sentence = advice["sentence"] if advice else f"Run more points. {without_lead(lead['problem'], 'too few points')}."
    more = [reason_of(advice)] if advice else []
    if comparison and not must_be_heard(comparison, curves):
        more.append(beside(comparison, curves))
    tone = _TONES.get(action, "calm")
    return tag(
        "article",
        tag(
            "div",
            tag(level, short_name(lead), " ", tag("span", aside, class_="small") if aside else None),
            tag("span", f"{_SIGNS[tone]} {action}", class_=f"chip {tone}"),
            class_="top",
        ),
        tag("p", say(sentence, labels), class_="advice"),
        [tag("p", say(text, labels, lead["name"]), class_="reason") for text in more if text],
        tag("dl", [_metric_row(curve, labels) for curve in curves], class_="metrics"),
        class_="card",
    )


def _metric_row(curve: Document, labels: Mapping[str, str]) -> Markup:
    verdict = curve["verdict"]
    kind = verdict["kind"] if verdict else "too few points" if curve["problem"] else NONE
    sentence = say(without_lead(verdict["sentence"] if verdict else curve["problem"], kind), labels, curve["name"])
    ends = ""
    if sizes := means(curve):
        metric = metric_of(curve)
        ends = f" {score(sizes[0][1], metric)} \u2192 {score(sizes[-1][1], metric)}."
    return tag(
        "div",
        tag("dt", metric_title(curve)),
        tag("dd", tag("b", kind), tag("span", f".{ends} {sentence}")),
    )


def _figures(drawings: Sequence[Drawing]) -> Markup:
    return join(
        tag(
            "figure",
            tag("h3", drawing.title),
            tag("div", inline_svg(drawing), class_="scroll", tabindex=0, role="region", aria_label=drawing.title),
            tag("figcaption", drawing.caption, " Files: ", tag("code", f"figures/{drawing.name}.svg, .pdf"), "."),
            class_="narrow" if drawing.name.startswith("metrics-") else None,
        )
        for drawing in drawings
    )


def inline_svg(drawing: Drawing) -> Markup:
    """Return the figure for the page: its own ids, the page's font, and colours that follow light and dark."""
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    prefix = drawing.name + "--"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    for colour, name in COLOUR_NAMES.items():
        svg = svg.replace(colour, name)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return Markup(f'{opening} role="img" aria-label="{escape(drawing.alt)}">{rest}')


def _tables(tables: Iterable[tuple[str, Table]], wanted: Sequence[str], headed: bool = True) -> Markup:
    parts = []
    for anchor, table in tables:
        if anchor not in wanted:
            continue
        if anchor in _CLOSED:
            summary = tag("summary", f"{table.title} ({len(table.rows)})")
            parts.append(tag("details", summary, render_table(table)))
        else:
            parts.append(join([tag("h3", table.title) if headed else None, render_table(table)]))
    return join(parts)


def render_table(table: Table) -> Markup:
    """Return a table that scrolls sideways where it is too wide, by keyboard too."""
    numeric = ["n" if column.numeric else "nb" if column.title in _UNBROKEN else None for column in table.columns]
    heads = [
        tag("th", column.title, scope="col", class_=kind) for column, kind in zip(table.columns, numeric, strict=True)
    ]
    rows = []
    for row, following in zip(table.rows, [*table.rows[1:], None], strict=True):
        more = "more" if following is not None and following[0] == "" else None
        rows.append(
            tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, numeric, strict=True)], class_=more)
        )
    written = tag(
        "table",
        tag("caption", table.note) if table.note else None,
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        aria_label=table.title,
    )
    return tag("div", written, class_="panel scroll", tabindex=0, role="region", aria_label=table.title)


def _list(sentences: Sequence[str]) -> Markup:
    return tag("ul", [tag("li", sentence) for sentence in sentences], class_="plain") if sentences else Markup("")


def _made(document: Document) -> Markup:
    inputs = document["inputs"]
    read = [
        f"{inputs['finetuning_runs']} finetuning runs" if inputs["finetuning_runs"] else "",
        f"{inputs['pretraining_runs']} pretraining runs" if inputs["pretraining_runs"] else "",
        f"{inputs['tables']} tables" if inputs["tables"] else "",
        f"alignment of {inputs['alignments']} mixtures and tasks" if inputs.get("alignments") else "",
    ]
    parts = [
        tag("p", "Read: ", _enumerate([entry for entry in read if entry]) or "nothing", " from "),
        tag("ul", [tag("li", tag("code", path)) for path in inputs["paths"]], class_="plain"),
        tag("p", "The fits carry this signature; the same signature and the same points give the same numbers:"),
        tag("pre", tag("code", document["signature"])),
        tag("p", _how(document)),
        _law_list(document),
        _signature_list(document),
    ]
    return join(parts)


def _how(document: Document) -> str:
    settings = document["settings"]
    delta = (
        "0.1 for scores and 0.001 for cross-entropy, as in the paper"
        if settings["delta"] is None
        else settings["delta"]
    )
    protocol = {
        "paper": "The four smallest sizes of each curve were fitted and the others held out (the paper's protocol).",
        "all": "All points that the input does not hold out were fitted.",
    }.get(settings["protocol"], "")
    law = {
        "auto": "Where several laws could be tried, predictions are their average, weighted by rolling-origin error.",
        "best": "The law of each curve is the one with the least rolling-origin error.",
    }.get(settings["law"], f"One law was fitted: {settings['law']}.")
    return (
        f"Fitted by minimising the summed Huber loss of the logarithms' residuals (delta {delta}). {protocol} {law} "
        "Seeds of one size count as repeated measurements of one value. Baselines never enter a fit. Cross-entropy "
        "is in nats per target token; token counts include the end of each sentence. "
        f"Intervals: {settings['level']:.0%}, method {settings['interval']}."
    )


def _law_list(document: Document) -> Markup | None:
    seen: dict[str, Document] = {}
    for curve in document["curves"]:
        chosen = chosen_law(curve)
        for law in ([chosen] if chosen else []) + curve["laws"]:
            seen.setdefault(law["name"], law)
    if not seen:
        return None
    entries = []
    for name, law in seen.items():
        entries.append(tag("dt", law["title"], " ", tag("code", name)))
        entries.append(tag("dd", tag("code", law["formula"]), ". ", law["source"]))
    return join([tag("h3", "The laws"), tag("dl", entries, class_="laws")])


def _signature_list(document: Document) -> Markup | None:
    signatures: dict[str, str] = {}
    for curve in document["curves"]:
        if is_score(curve) and curve["setting"]["signature"]:
            signatures.setdefault(curve["setting"]["signature"], metric_title(curve))
    if not signatures:
        return None
    items = [tag("li", f"{title}: ", tag("code", text)) for text, title in signatures.items()]
    return join([tag("h3", "Signatures of the scores"), tag("ul", items, class_="plain")])


def _enumerate(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
