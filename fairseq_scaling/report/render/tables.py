"""The tables of the report: forecasts, mixtures, coefficients and laws; those of runs are in ``run_tables``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...laws import FACTORS
from ..curve_result import CurveResult, LawResult
from ..results import Report, Task
from . import run_tables
from .mixture_tables import alignment_table, mixtures_table
from .numbers import (
    NONE,
    Table,
    columns,
    decimal,
    gain,
    interval,
    number,
    percent,
    predicted,
    probability,
    score,
    shape,
    size,
    unit,
)
from .wording import AGAIN, CONTINUED, capital, condition, labels, note, short_name, sizes

_NOTE_ON_KINDS = (
    "Kind: a curve that follows the law improves and goes on; a saturated one has stopped improving; of a trendless or "
    "noisy one nothing stands out of the noise. Probability: of the kind."
)


def outcome_table(report: Report, task: Task) -> Table:
    """Return what came out for each mixture and metric of a task; the table that the terminal shows, too."""
    table = Table(
        condition(task.setting) or "Curves",
        columns(
            "Mixture" if task.setting.mixture else "Curve",
            "Metric",
            "Now#",
            *(f"Gain at {factor:g}x#" for factor in FACTORS),
            "Kind",
            "Probability#",
        ),
        note=f"{note(report)} {_NOTE_ON_KINDS}",
    )
    for entry in task.entries:
        for curve in entry.curves:
            forecast = curve.forecast
            gains = [gain(forecast.gains[factor], curve.metric) if forecast else NONE for factor in FACTORS]
            table.add(
                [short_name(entry)],
                curve.metric.title,
                score(forecast.reached.value, curve.metric) if forecast else NONE,
                *gains,
                curve.kind.value,
                probability(curve.verdict.probability if curve.verdict else None),
            )
    return table.without_empty_columns()


def forecast_table(report: Report) -> Table:
    """Return the values at multiples of the largest D_p, for both questions."""
    table = Table(
        "Forecast values",
        columns("Curve", "Metric", f"{report.x.symbol}#", f"{CONTINUED}#", f"{AGAIN}#"),
        note="Value with its interval. A pretraining run shifts all points of its curve: what it scores when it is "
        "continued is more certain than what another run of the same mixture would score.",
    )
    names = labels(report)
    for curve in report.curves:
        if curve.forecast is None:
            continue
        ahead, again = curve.forecast.ahead, curve.forecast.ahead_again
        for i, at in enumerate(ahead.pretrain_tokens):
            cells = [predicted(prediction, i, curve.metric) for prediction in (ahead, again)]
            table.add([names[curve.name], curve.metric.title], size(float(at), curve.x), *cells)
    return table


def wanted_table(report: Report) -> Table:
    """Return the sizes that the wanted scores take."""
    table = Table(
        "Sizes for a wanted score",
        columns("Curve", "Metric", "Wanted#", f"{capital(report.x.title)}#"),
        note=f"Where the forecast reaches the score ({CONTINUED}).",
    )
    names = labels(report)
    for curve in report.curves:
        for wanted in curve.wanted:
            reached = interval(wanted.tokens, partial(size, x=curve.x))
            table.add(
                [names[curve.name], curve.metric.title],
                score(wanted.target, curve.metric),
                "not reached" if reached == NONE else reached,
            )
    return table


def noise_table(report: Report) -> Table:
    """Return how large the noise of each curve is, and whether it was measured."""
    table = Table(
        "Noise",
        columns("Curve", "Metric", "One finetuning#", "From", "Shared by a pretraining run#", "From", "Shape"),
        note="Standard deviations in points of the metric. What a pretraining run shares shifts all its points alike: "
        "it does not show in their scatter. Where there is one pretraining run it comes from other studies (prior). "
        "Shape: probabilities of what the curve does over the measured sizes.",
    )
    names = labels(report)
    for curve in report.curves:
        if curve.forecast is None:
            continue
        cells = []
        for noise in (curve.forecast.noise, curve.forecast.shared_by_run):
            cells += [interval(noise.sd, lambda v: number(v, 2)), "data and prior" if noise.measured else "prior"]
        table.add([names[curve.name]], curve.metric.title, *cells, shape(curve.forecast.shape))
    return table


def joint_table(report: Report) -> Table:
    """Return what pretraining data does together with finetuning data, or with the model's size."""
    table = Table(
        "Pretraining data together with finetuning data or model size",
        columns(
            "Of", "Metric", "With", "Sizes", "alpha#", "beta#", "E#", "Residual#", "2x D_p#", "2x the other#", "Both#",
            "Best N grows as#",
        ),
        note="Fitted to all sizes together: L = E + A / (D_p^alpha D_f^beta) with finetuning data (Zhang et al. 2024), "
        "L = E + A / N^alpha + B / D_p^beta with the model's size (Hoffmann et al. 2022). The gains are those beyond "
        "the largest sizes, in points of the metric, above zero when better. Where twice the finetuning data gains "
        "more than twice the pretraining data, look for pairs first. Best N grows as: the power of compute C with "
        "which the best size grows, where C is proportional to N D_p.",
    )  # fmt: skip
    settings = {curve.name: curve.setting for curve in report.curves}
    for joint in report.joint:
        one = settings[joint.curves[0]]
        of = ", ".join(filter(None, [one.mixture_label if one.mixture else "", one.task])) or "all curves"
        coefficients = [interval(joint.coefficients[name]) for name in ("alpha", "beta", "E")]
        gains = [gain(doubled, joint.metric) for doubled in joint.doubled.values()]
        grows = f"C^{interval(joint.size_exponent)}" if joint.size_exponent else NONE
        lead = [of, joint.metric.title, joint.second.symbol]
        table.add(lead, sizes(joint), *coefficients, percent(joint.residual), *gains, grows)
    return table


def coefficients_table(report: Report) -> Table:
    """Return the coefficients of the single laws with intervals; those that are not identified say so."""
    table = Table(
        "Coefficients of single laws",
        columns("Curve", "Metric", "Law", "Coefficient", "Value#", "Interval#", "Unit", "Identified"),
        note="Of the paper's law, and of the one with the least residual of those whose coefficients are identified. "
        "Elasticity: per cent of change of the score for one per cent more data, at the largest size; it is well "
        "determined wherever the law fits. Coefficients that are not identified must not be compared between curves.",
    )
    names = labels(report)
    for curve in report.curves:
        for law in _shown_laws(curve):
            lead = [names[curve.name], curve.metric.title, law.name]
            for name, estimate in law.coefficients.items():
                whole = interval(estimate, number)
                bounds = whole[whole.index("[") :] if "[" in whole else NONE
                cells = [name, number(estimate.value, 4), bounds, unit(estimate.unit, curve.metric)]
                table.add(lead, *cells, "yes" if law.identified else "no")
            table.add(lead, "elasticity", decimal(law.elasticity, 3), "", "% per %", "")
    return table


def laws_table(report: Report) -> Table:
    """Return all laws fitted to each curve and their errors."""
    table = Table(
        "All single laws",
        columns("Curve", "Metric", "Law", "Held out#", "Residual#", "Coefficients#", "Remarks"),
        note="Errors are root mean squares of the logarithms, in per cent. Held out: on the points that were held out. "
        "Residual: on the points that were fitted, by degrees of freedom.",
    )
    names = labels(report)
    for curve in report.curves:
        lead = [names[curve.name], curve.metric.title]
        if curve.laws and curve.forecast:
            table.add(lead, curve.forecast.name, percent(curve.forecast.held_out_rmsle), "", "", "")
        for law in curve.laws:
            errors = [percent(value) for value in (law.held_out_rmsle, law.sigma)]
            table.add(lead, law.name, *errors, str(len(law.coefficients)), "; ".join((*law.reasons, *law.notes)))
    return table


def all_tables(report: Report) -> dict[str, Table]:
    """Return anchor -> table of the tables that have rows."""
    makers: dict[str, Callable[[Report], Table]] = {
        "mixtures": mixtures_table,
        "wanted": wanted_table,
        "values": forecast_table,
        "noise": noise_table,
        "joint": joint_table,
        "unplaced": run_tables.unplaced_table,
        "alignment": alignment_table,
        "precisions": run_tables.precisions_table,
        "forgetting": run_tables.forgetting_table,
        "coefficients": coefficients_table,
        "laws": laws_table,
        "left-out": run_tables.left_out_table,
    }
    return {anchor: table.without_empty_columns() for anchor, make in makers.items() if (table := make(report)).rows}


def _shown_laws(curve: CurveResult) -> list[LawResult]:
    """Return the laws whose coefficients are worth reading: the paper's, and the best of those that are identified."""
    papers = [law for law in curve.laws if law.is_papers]
    return papers + [law for law in curve.laws if law.identified and not law.is_papers][:1]
