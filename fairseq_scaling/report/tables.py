"""The report's tables in the order of the page, and the summary that the terminal shows too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .alignment_tables import agreement_table, alignment_table
from .document import Document, chosen_law, settings_in_order, single_laws
from .fit_tables import (
    choice_table,
    coefficients_table,
    gains_table,
    identification_table,
    mixtures_table,
    relations_table,
    wanted_table,
)
from .run_tables import forgetting_table, left_out_table, points_table, precisions_table, unplaced_table
from .table import Table, columns, without_empty_columns
from .wording import (
    NONE,
    condition,
    interval,
    metric_of,
    metric_title,
    percent,
    short_name,
    signed,
    tokens,
)


def summary_tables(document: Document) -> list[Table]:
    """Return one table per task, D_f and architecture: a row per curve and metric, with what came out."""
    groups: dict[str, Table] = {}
    for curves in settings_in_order(document):
        title = condition(curves[0]["setting"]) or "Curves"
        table = groups.setdefault(
            title,
            Table(
                title, columns("Curve", "Metric", "n#", "D_p", "Verdict", "Law", "Held out#", "Gain at 4x#", "Advice")
            ),
        )
        for position, curve in enumerate(curves):
            table.rows.append([short_name(curve) if position == 0 else "", *_summary_row(curve)])
    return list(groups.values())


def _summary_row(curve: Document) -> list[str]:
    points = curve["points"]
    sizes = [point["pretrain_tokens"] for point in points]
    span = f"{tokens(min(sizes))}{NONE}{tokens(max(sizes))}" if sizes else NONE
    law, advice = chosen_law(curve), curve["advice"]
    held_out = law["held_out"]["rmsle"] if law and law["held_out"] else None
    gain = (advice or {}).get("gains", {}).get("4")
    return [
        metric_title(curve),
        str(len(points)),
        span,
        curve["verdict"]["kind"] if curve["verdict"] else "too few points" if curve["problem"] else NONE,
        law_label(curve),
        percent(held_out),
        interval(gain, partial(signed, metric=metric_of(curve)), unknown="") if gain else NONE,
        advice["action"] if advice else "run more points" if curve["problem"] else NONE,
    ]


def law_label(curve: Document) -> str:
    """Return the law the tool stands behind; of an average also the best single law: ``average (log_law)``."""
    law = chosen_law(curve)
    if law is None:
        return "none"
    best = next((entry["name"] for entry in single_laws(curve)), "")
    return law["name"] if law["parameters"] or not best else f"{law['name']} ({best})"


def all_tables(document: Document) -> list[tuple[str, Table]]:
    """Return (anchor, table) of the tables that have rows, in the order of the page."""
    makers: list[tuple[str, Callable[[Document], Table]]] = [
        ("gains", gains_table),
        ("wanted", wanted_table),
        ("mixtures", mixtures_table),
        ("relations", relations_table),
        ("unplaced", unplaced_table),
        ("alignment", alignment_table),
        ("agreement", agreement_table),
        ("precisions", precisions_table),
        ("forgetting", forgetting_table),
        ("coefficients", coefficients_table),
        ("remarks", identification_table),
        ("laws", choice_table),
        ("points", points_table),
        ("left-out", left_out_table),
    ]
    return [(anchor, without_empty_columns(table)) for anchor, make in makers if (table := make(document)).rows]
