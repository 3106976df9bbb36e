"""Tables of what was measured: precisions, models of unknown D_p, forgetting, all points, and what was left out."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ...metrics import Metric, order
from ...problems import count_problems
from ...quantities import FINETUNE_TOKENS, PRETRAIN_TOKENS
from ..curve_result import PointResult, Setting, Use
from ..forgetting import Forgetting
from ..points import mixture_label
from ..results import Report
from .numbers import NONE, Table, amount, columns, decimal, mean, score, size
from .wording import labels


def precisions_table(report: Report) -> Table:
    """Return brevity penalty and n-gram precisions, where the scores carry them (mean over seeds)."""
    table = Table(
        "Brevity penalty and n-gram precisions",
        columns(
            "Curve", f"{report.x.symbol}#", "BLEU#", "Brevity penalty#", "1-gram#", "2-gram#", "3-gram#", "4-gram#"
        ),
        note="In the paper the brevity penalty stays 1, and the precisions vary (finding 5).",
    )
    names = labels(report)
    for curve in report.curves:
        groups: dict[float, list[PointResult]] = defaultdict(list)
        for point in (*curve.baseline, *curve.points):
            if point.details.get("brevity_penalty") is not None:
                groups[point.pretrain_tokens].append(point)
        for at, points in sorted(groups.items()):
            grams = [p.details["precisions"] for p in points if len(p.details.get("precisions") or ()) == 4]
            table.add(
                [names[curve.name]],
                size(at, curve.x),
                score(mean([point.value for point in points]), curve.metric),
                decimal(statistics.fmean(point.details["brevity_penalty"] for point in points), 3),
                *(decimal(statistics.fmean(entry[n] for entry in grams), 1) if grams else NONE for n in range(4)),
            )
    return table


def unplaced_table(report: Report) -> Table:
    """Return the scores of models whose D_p is unknown beside those without pretraining (mean over seeds)."""
    groups: dict[tuple[Any, ...], dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    metrics: dict[str, Metric] = {}
    for group in report.unplaced:
        rows = groups[group.setting.task, _model(group.setting), group.setting.finetune_tokens]
        metrics[group.metric.name] = group.metric
        for point in (*group.baseline, *group.points):
            rows[point.start or "no pretraining"].setdefault(group.metric.name, []).append(point.value)
    metrics = dict(sorted(metrics.items(), key=lambda item: order(item[0])))
    table = Table(
        "Models whose pretraining is unknown",
        columns("Task", "Model", "D_f#", "Finetuned from", "Runs#", *(f"{one.title}#" for one in metrics.values())),
        note="No log records how much text, and of which languages, these models were pretrained on: D_p is unknown, "
        "so they are on no curve, and no law over D_p is fitted to them. Give it with --mapping where you know it. "
        "\u00b1: standard deviation over the runs.",
    )
    several = len({model for _, model, _ in groups}) > 1
    for (task, model, finetune), rows in groups.items():
        for start, scores in rows.items():
            cells = [_mean_and_deviation(scores.get(name, ()), metric) for name, metric in metrics.items()]
            lead = [task, model if several else "", size(finetune, FINETUNE_TOKENS)]
            table.add(lead, start, str(max(map(len, scores.values()))), *cells)
    return table


def forgetting_table(report: Report) -> Table:
    """Return the upstream loss before and after finetuning (mean over seeds)."""
    table = Table(
        "Forgetting: the upstream loss after finetuning",
        columns("Task", "Model", "Mixture", "D_f#", "Language", "D_p#", "Before#", "After#", "Change#"),
        note="Loss of the pretraining objective on held-out text, nats per token (Kalajdzievski 2024 gives its law).",
    )
    groups: dict[tuple[Any, ...], list[Forgetting]] = defaultdict(list)
    for row in report.forgetting:
        setting = (row.task, _model(row), row.mixture, row.finetune_tokens or 0)
        groups[*setting, row.subset, row.pretrain_tokens].append(row)
    several = len({model for _, model, *_ in groups}) > 1
    for (task, model, mixture, finetune, subset, at), rows in sorted(groups.items()):
        after = statistics.fmean(row.after for row in rows)
        before = mean([row.before for row in rows if row.before is not None])
        lead = [task, model if several else "", mixture_label(mixture), size(finetune or None, FINETUNE_TOKENS), subset]
        cells = [NONE if before is None else decimal(before, 3), decimal(after, 3)]
        table.add(lead, size(at, PRETRAIN_TOKENS), *cells, NONE if before is None else decimal(after - before, 3, "+"))
    return table


def left_out_table(report: Report) -> Table:
    """Return everything that was read and not used, and everything that could not be read."""
    table = Table("Left out, and why", columns("Where", "What and why"))
    for curve in report.curves:
        reasons: dict[str, list[PointResult]] = {}
        for point in (*curve.left_out, *curve.points):
            if point.use is Use.LEFT_OUT and (curve.problem is None or point.reason != curve.problem.headline):
                reasons.setdefault(point.reason, []).append(point)
        for reason, points in reasons.items():
            more = f" and {len(points) - 1} more" if len(points) > 1 else ""
            where = f"{curve.name}, {curve.metric.title} at {amount(points[0].pretrain_tokens, curve.x)}{more}"
            table.rows.append([points[0].origin, f"{where}: {reason}"])
    for counted in count_problems(report.problems):
        more = f" and {len(counted.problems) - 1} more" if len(counted.problems) > 1 else ""
        table.rows.append([counted.first.place + more, counted.message])
    return table


def _model(of: Setting | Forgetting) -> str:
    size = f"{of.parameters:,} parameters" if of.parameters else ""
    return ", ".join(filter(None, (of.architecture, size, of.corpus and f"corpus {of.corpus}")))


def _mean_and_deviation(values: Sequence[float], metric: Metric) -> str:
    text = score(mean(values), metric)
    return f"{text} \u00b1 {score(statistics.stdev(values), metric)}" if len(values) > 1 else text
