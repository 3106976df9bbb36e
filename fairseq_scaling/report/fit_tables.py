"""Tables of what the fits say: gains, wanted scores, mixtures, coefficients, laws tried."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..metrics import CROSS_ENTROPY
from .document import EXTRAPOLATIONS, Document, chosen_law, single_laws
from .table import Table, columns
from .wording import (
    MINUS,
    NONE,
    display_names,
    interval,
    metric_of,
    metric_title,
    number,
    percent,
    score,
    signed,
    tokens,
)

NOT_IDENTIFIED = "not identified"


def gains_table(document: Document) -> Table:
    """Return what 2, 4 and 10 times the largest D_p would add, and which run would tell most."""
    table = Table(
        "What more pretraining data is worth",
        columns("Curve", "Metric", "D_p#", "Law#", *(f"{f:g}x#" for f in EXTRAPOLATIONS), "Next run#"),
        note="Change against the law's value at the largest D_p (column Law), above zero when better, with its "
        "interval. Next run: the D_p whose result would reduce the uncertainty at 10x most.",
    )
    last = ""
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        law, advice = chosen_law(curve), curve["advice"]
        if law is None or advice is None:
            continue
        metric = metric_of(curve)
        gains = [advice["gains"].get(f"{factor:g}") for factor in EXTRAPOLATIONS]
        same = bool(table.rows) and last == curve["name"]
        last = curve["name"]
        table.rows.append(
            [
                "" if same else labels[last],
                metric.title,
                tokens(curve["largest_pretrain_tokens"]),
                score(_last(law["at_points"]["predicted"]), metric),
                *(interval(gain, partial(signed, metric=metric), unknown="no interval") for gain in gains),
                tokens(advice["next_budget"]),
            ]
        )
    return table


def wanted_table(document: Document) -> Table:
    """Return how many pretraining tokens the wanted scores take."""
    table = Table(
        "Tokens for a wanted score",
        columns("Curve", "Metric", "Wanted#", "Pretraining tokens#"),
        note="Where the law never reaches the score, no number is given.",
    )
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        for wanted in curve["tokens_wanted"]:
            reached = interval(wanted, tokens, "interval not determined") if wanted["value"] else "not reached"
            table.rows.append(
                [labels[curve["name"]], metric_title(curve), score(wanted["target"], metric_of(curve)), reached]
            )
    return table


def mixtures_table(document: Document) -> Table:
    """Return which of two mixtures is ahead at the largest D_p both reached, and where their laws cross."""
    table = Table(
        "Which mixture is better",
        columns("Mixture", "against", "D_p#", "Ahead", "Probability#", "Difference#", "Laws cross at#"),
        note="Compared at the largest D_p that both reached, by draws from the uncertainty of both laws; the "
        "difference is that of the first against the second, in points of the metric.",
    )
    labels = display_names(document["curves"])
    last = ""
    for entry in document["mixture_comparisons"]:
        first, second = entry["names"]
        crossing = entry["crossing"]
        table.rows.append(
            [
                labels[first] if first != last else "",
                labels[second],
                tokens(entry["pretrain_tokens"]),
                labels[entry["better"]],
                f"{entry['probability']:.2f}",
                interval(entry["difference"], number, ""),
                interval(crossing, tokens, "") if crossing["value"] is not None else "they do not",
            ]
        )
        last = first
    return table


def relations_table(document: Document) -> Table:
    """Return the exponential relation between the first score and cross-entropy, and whether it holds."""
    table = Table(
        "Score from cross-entropy",
        columns("Curve", "k#", "R squared#", "Residual#", "Sizes#", "Holds"),
        note="score = c exp(-k L), L the cross-entropy in nats (Gordon et al. 2021). Residual: root mean square of the "
        "logarithms. Where it does not hold, cross-entropy cannot stand in for the score.",
    )
    labels = display_names(document["curves"])
    for entry in document["metric_comparisons"]:
        relation = entry["relation"]
        if relation:
            cells = [number(relation["k"]), number(relation["r_squared"], 2), percent(relation["residual"])]
            holds = "yes" if relation["holds"] else "no"
            table.rows.append([labels.get(entry["name"], entry["name"]), *cells, str(relation["budgets"]), holds])
    return table


def coefficients_table(document: Document) -> Table:
    """Return the coefficients of the single laws with intervals; those that are not identified say so."""
    table = Table(
        "Coefficients",
        columns("Curve", "Metric", "Law", "Coefficient", "Value#", "Interval#", "Unit", "Identified"),
        note="Of the best single law, and of the paper's where that is another. Elasticity: per cent of change of the "
        "score for one per cent more data, at the largest D_p. Unlike the coefficients it is well determined wherever "
        "the law fits. Coefficients that are not identified must not be compared between curves.",
    )
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        lead = [labels[curve["name"]], metric_title(curve)]
        for law in single_laws(curve):
            name, identified = law["name"], "yes" if law["identified"] else NOT_IDENTIFIED
            for coefficient, estimate in law["coefficients"].items():
                bounds = (estimate["lower"], estimate["upper"])
                known = NONE if bounds == (None, None) else f"[{number(bounds[0])}, {number(bounds[1])}]"
                value = number(estimate["value"], 4)
                table.rows.append([*lead, name, coefficient, value, known, _unit(estimate["unit"], curve), identified])
                lead, name, identified = ["", ""], "", identified if identified == "yes" else "no"
            table.rows.append(["", "", "", "elasticity", _elasticity(law), "", "% per %", ""])
    return table


def _unit(unit: str, curve: Document) -> str:
    points = "nats" if curve["metric"] == CROSS_ENTROPY else metric_title(curve)
    return unit.replace("points of the metric", points)


def _elasticity(law: Document) -> str:
    return NONE if law["elasticity"] is None else f"{round(law['elasticity'], 3) + 0.0:.3f}".replace("-", MINUS)


def identification_table(document: Document) -> Table:
    """Return why coefficients are not identified, and other remarks on the fits."""
    table = Table("Why coefficients are not identified, and remarks", columns("Curve", "Metric", "Law", "Remark"))
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        for law in single_laws(curve):
            for reason in [*law["reasons"], *law["notes"]]:
                table.rows.append([labels[curve["name"]], metric_title(curve), law["name"], reason])
    return table


def choice_table(document: Document) -> Table:
    """Return all laws tried on each curve, best first, with what they would have predicted wrongly."""
    table = Table(
        "The laws tried",
        columns("Curve", "Metric", "Law", "", "Weight#", "Rolling origin#", "Held out#", "Residual#", "Parameters#"),
        note="Rolling origin: each law is fitted to the first sizes and predicts the next ones; root mean square "
        "error of the logarithms, in per cent. It decides, never how well a law fits; an average weighs laws by it.",
    )
    labels = display_names(document["curves"])
    for curve in document["curves"]:
        for position, law in enumerate(curve["laws"]):
            lead = [labels[curve["name"]], metric_title(curve)] if position == 0 else ["", ""]
            table.rows.append(
                [
                    *lead,
                    law["name"],
                    "chosen" if law["chosen"] else "",
                    percent(law["weight"]),
                    percent(law["rolling_origin_rmsle"]) if law["rolling_origin_rmsle"] is not None else "not tried",
                    percent(law["held_out"]["rmsle"]) if law["held_out"] else NONE,
                    percent(law["sigma"]),
                    str(law["parameters"]) if law["parameters"] else NONE,
                ]
            )
    return table


def _last(values: Sequence[float | None]) -> float | None:
    return values[-1] if values else None
