"""Tables of what was measured: precisions, forgetting, all points, and what was left out."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..metrics import Metric, order
from .document import Document
from .points import mixture_label
from .table import Table, columns, mean
from .wording import MINUS, NONE, display_names, metric_of, metric_title, score, tokens


def precisions_table(document: Document) -> Table:
    """Return brevity penalty and n-gram precisions, where the scores carry them (mean over seeds)."""
    table = Table(
        "Brevity penalty and n-gram precisions",
        columns("Curve", "D_p#", "BLEU#", "Brevity penalty#", "1-gram#", "2-gram#", "3-gram#", "4-gram#"),
        note="In the paper the brevity penalty stays 1 and what fluctuates are the precisions (finding 5).",
    )
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        groups: dict[float, list[Document]] = defaultdict(list)
        for point in [*curve["baseline"], *curve["points"]]:
            if point["details"].get("brevity_penalty") is not None:
                groups[point["pretrain_tokens"]].append(point)
        lead = labels[curve["name"]]
        for size, points in sorted(groups.items()):
            details = [point["details"] for point in points]
            grams = [entry["precisions"] for entry in details if len(entry.get("precisions") or ()) == 4]
            table.rows.append(
                [
                    lead,
                    "none" if size == 0 else tokens(size),
                    score(mean([point["value"] for point in points]), metric_of(curve)),
                    f"{mean([entry['brevity_penalty'] for entry in details]):.3f}",
                    *(f"{mean([entry[n] for entry in grams]):.1f}" if grams else NONE for n in range(4)),
                ]
            )
            lead = ""
    return table


def unplaced_table(document: Document) -> Table:
    """Return the scores of models whose D_p is unknown beside those without pretraining (mean over seeds)."""
    groups: dict[tuple[Any, ...], dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    metrics: dict[str, Metric] = {}
    for entry in document.get("unplaced", ()):
        model = (entry["architecture"], entry["parameters"] or 0, entry["corpus"])
        rows = groups[entry["task"], model, entry["finetune_tokens"]]
        metrics[entry["metric"]] = metric_of(entry)
        for point in [*entry["baseline"], *entry["points"]]:
            values = rows[point.get("start", "no pretraining")].setdefault(entry["metric"], [])
            values.append(point["value"])
    metrics = dict(sorted(metrics.items(), key=lambda item: order(item[0])))
    table = Table(
        "Models whose pretraining is unknown",
        columns("Task", "Model", "D_f#", "Finetuned from", "Runs#", *(f"{one.title}#" for one in metrics.values())),
        note="On how much text, and of which languages, these models were pretrained no log says: D_p is unknown, so "
        "they are on no curve and no law over D_p is fitted to them. --mapping says it where you know it. "
        "\u00b1: standard deviation over the runs.",
    )
    several = len({model for _, model, _ in groups}) > 1
    for (task, model, finetune), rows in groups.items():
        lead = [task, _model_label(*model) if several else "", tokens(finetune)]
        for start, scores in rows.items():
            cells = [_mean_and_deviation(scores.get(name, ()), metric) for name, metric in metrics.items()]
            table.rows.append([*lead, start, str(max(map(len, scores.values()))), *cells])
            lead = [""] * len(lead)
    return table


def _mean_and_deviation(values: Sequence[float], metric: Metric) -> str:
    said = score(mean(values), metric)
    return f"{said} \u00b1 {score(statistics.stdev(values), metric)}" if len(values) > 1 else said


def forgetting_table(document: Document) -> Table:
    """Return the upstream loss before and after finetuning (mean over seeds)."""
    table = Table(
        "Forgetting: the upstream loss after finetuning",
        columns("Task", "Model", "Mixture", "D_f#", "Language", "D_p#", "Before#", "After#", "Change#"),
        note="Loss of the pretraining objective on held-out text, nats per token (Kalajdzievski 2024 gives its law).",
    )
    groups: dict[tuple[Any, ...], list[Document]] = defaultdict(list)
    for row in document["forgetting"]:
        model = (row["architecture"], row["parameters"] or 0, row["corpus"])
        setting = (row["task"], model, row["mixture"], row["finetune_tokens"] or 0)
        groups[*setting, row["subset"], row["pretrain_tokens"]].append(row)
    several = len({model for _, model, *_ in groups}) > 1
    last: list[str] = []
    for (task, model, mixture, finetune, subset, size), rows in sorted(groups.items()):
        after = mean([row["after"] for row in rows])
        before = mean([row["before"] for row in rows if row["before"] is not None])
        change = NONE if before is None or after is None else f"{after - before:+.3f}".replace("-", MINUS)
        cells = [NONE if value is None else f"{value:.3f}" for value in (before, after)]
        lead = [task, _model_label(*model) if several else "", mixture_label(mixture), tokens(finetune or None), subset]
        table.rows.append([*(lead if lead != last else [""] * len(lead)), tokens(size), *cells, change])
        last = lead
    return table


def _model_label(architecture: str, parameters: int, corpus: str) -> str:
    size = f"{parameters:,} parameters" if parameters else ""
    return ", ".join(filter(None, (architecture, size, corpus and f"corpus {corpus}")))


def left_out_table(document: Document) -> Table:
    """Return everything that was read and not used, and everything that could not be read."""
    table = Table("Left out, and why", columns("Where", "What and why"))
    for curve in document["curves"]:
        for point in curve["left_out"]:
            table.rows.append([place(point), f"{_what(curve, point)}: {point['reason']}"])
        for point in curve["points"]:
            if not point["used"] and not point["held_out"] and point["reason"] != curve["problem"]:
                table.rows.append([place(point), f"{_what(curve, point)}: {point['reason']}"])
    table.rows += [[place(problem), problem["message"]] for problem in document["problems"]]
    return table


def points_table(document: Document) -> Table:
    """Return every point with its origin, and with its learning rate where the runs were not all given the same."""
    heads = ("Curve", "Metric", "D_p#", "Value#", "Seed#", "Pretraining seed#", "Learning rate#", "Use", "Origin")
    table = Table("All points", columns(*heads))
    labels = display_names(document["curves"])
    everywhere = [point for curve in document["curves"] for point in [*curve["baseline"], *curve["points"]]]
    differ = len({point.get("learning_rate") for point in everywhere} - {None}) > 1
    for curve in document["curves"]:
        for point in [*curve["baseline"], *curve["points"]]:
            table.rows.append(
                [
                    labels[curve["name"]],
                    metric_title(curve),
                    tokens(point["pretrain_tokens"]),
                    score(point["value"], metric_of(curve)),
                    *(NONE if point[name] is None else str(point[name]) for name in ("seed", "pretrain_seed")),
                    (point.get("learning_rate") or NONE) if differ else NONE,
                    point_use(point),
                    place(point),
                ]
            )
    return table


def point_use(point: Document) -> str:
    """Return what became of a point: baseline, fitted, held out, or left out."""
    if point["pretrain_tokens"] == 0:
        return "baseline"
    return "held out" if point["held_out"] else "fitted" if point.get("used") else "left out"


def place(entry: Document) -> str:
    """Return ``file:line`` of a point or problem."""
    return f"{entry['file']}:{entry['line']}" if entry["line"] else entry["file"]


def _what(curve: Document, point: Document) -> str:
    return f"{curve['name']}, {metric_title(curve)} at {tokens(point['pretrain_tokens'])} tokens"
