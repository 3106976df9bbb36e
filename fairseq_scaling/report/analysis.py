"""From curves to the report: what ``fitting`` found of each is put into the report's types, and curves are compared."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import __version__, laws
from ..alignment_file import Alignment
from ..metrics import CROSS_ENTROPY, describe, order
from ..quantities import PRETRAIN_TOKENS, further_tokens
from . import results
from .alignment import match
from .curve_result import CurveResult, Forecast, LawResult, PointResult, Setting, Use, Wanted
from .fitting import Fitted, Settings, fit_all
from .joint import joint_results
from .mixtures import compare_mixtures, rival_curves, worth_of_languages
from .points import Point, mixture_label
from .points.curves import CurvePoints, Unplaced
from .reading import Inputs
from .results import Report

_LINE_POINTS = 16
"""Points of a line within the data, and of one beyond them to four times the largest size."""


def analyse(curves: Sequence[CurvePoints], settings: Settings | None = None, inputs: Inputs | None = None) -> Report:
    """Fit, judge and compare all curves and return the report.

    Args:
        curves: of one study, together.
        inputs: what was read, for the parts of the report that are not curves.

    Raises:
        SettingError: an unknown law or protocol, or a probability outside (0, 1).
    """
    settings, inputs = settings or Settings(), inputs or Inputs()
    measured, unused = match(curves, inputs.alignments)
    fitted, problems = fit_all(curves, settings)
    starts = {one.data.first.start if _is_continued(one.data.first) else "" for one in fitted}
    start = starts.pop() if len(starts) == 1 else ""
    made = [_result(one, settings, measured.get(one.data.name), start) for one in fitted]
    rivals = rival_curves(fitted)
    compared, damaged = compare_mixtures(rivals)
    return Report(
        signature=signature(settings),
        versions=versions(),
        settings=settings,
        read=inputs.read,
        curves=tuple(made),
        metric_findings=tuple(_compare_metrics(fitted)),
        mixture_comparisons=tuple(compared),
        language_worths=tuple(worth_of_languages(rivals, settings.untried)),
        joint=tuple(joint_results(made, settings.level, settings.seed)),
        unplaced=tuple(map(_unplaced, inputs.unplaced)),
        forgetting=tuple(inputs.forgetting),
        remarks=tuple(inputs.remarks),
        problems=(*inputs.problems, *problems, *damaged, *unused),
    )


def versions() -> dict[str, str]:
    """Return the versions that a number in the report may depend on."""
    import scipy

    return {
        "fairseq_scaling": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def signature(settings: Settings) -> str:
    """Return one line that says how the fits were made, in the manner of sacrebleu's signatures."""
    parts = {
        "law": settings.law,
        "protocol": settings.protocol,
        "level": f"{settings.level:g}",
        "likely": f"{settings.likely:g}",
        "sure": f"{settings.sure:g}",
        "seed": settings.seed,
        **versions(),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


def _result(one: Fitted, settings: Settings, overlap: Alignment | None, start: str) -> CurveResult:
    """Return what the report shows of a curve; ``start`` is the model that all curves continued from, if any."""
    data = one.data
    fields: dict[str, Any] = {
        "name": data.name,
        "metric": data.about,
        "x": further_tokens(data.first.start) if _is_continued(data.first) else data.quantity,
        "setting": _setting(data.first, start, repeats=any(point.unique_tokens for point in data.points)),
        "points": _points(one),
        "baseline": tuple(_point(point, Use.BASELINE) for point in data.baselines),
        "left_out": tuple(_point(point, Use.LEFT_OUT, reason) for point, reason in data.left_out),
        "overlap": overlap,
        "problem": one.problem,
    }
    if one.forecast is None:
        return CurveResult(**fields)
    wanted = [target for metric, target in settings.targets if metric == data.metric]
    # The law that leaves least, for as many coefficients as it has, first.
    fits = sorted(one.fits, key=lambda fit: (not np.isfinite(fit.sigma), fit.sigma))
    return CurveResult(
        **fields,
        forecast=_forecast(one.forecast),
        verdict=one.verdict,
        advice=laws.advise(one.forecast),
        laws=tuple(map(_law, fits)),
        wanted=tuple(Wanted(target, one.forecast.tokens_for(target)) for target in wanted),
    )


def _is_continued(first: Point) -> bool:
    """Return whether a curve is of a pretraining that continued from a published model: D_p counts further tokens."""
    return bool(first.start) and first.is_placed and first.quantity == PRETRAIN_TOKENS


def _setting(first: Point, start: str = "", repeats: bool = False) -> Setting:
    own_start = f"from {first.start}" if _is_continued(first) and not start else ""
    text = "repeated text" if repeats else ""
    same = ("task", "mixture", "alignment", "source_lang", "target_lang", "finetune_tokens", "architecture",
            "parameters", "corpus", "apart", "test_set")  # fmt: skip
    return Setting(
        mixture_label=", ".join(filter(None, (mixture_label(first.mixture), first.fixed, own_start, text))),
        start=start,
        signature=first.details.get("signature", ""),
        **{name: getattr(first, name) for name in same},
    )


def _point(point: Point, use: Use, reason: str = "") -> PointResult:
    return PointResult(**{**vars(point), "held_out": use is Use.HELD_OUT, "use": use, "reason": reason})


def _points(one: Fitted) -> tuple[PointResult, ...]:
    """Return the points with what became of each: fitted, held out, or left out and why."""
    made = []
    for index, point in enumerate(one.data.points):
        if one.problem is not None or one.curve is None:
            reason = one.problem.headline if one.problem else ""
            made.append(_point(point, Use.HELD_OUT if point.held_out else Use.LEFT_OUT, reason))
        elif one.curve.held_out[index]:
            made.append(_point(point, Use.HELD_OUT))
        else:
            made.append(_point(point, Use.FITTED))
    return tuple(made)


def _forecast(forecast: laws.Forecast) -> Forecast:
    curve = forecast.curve
    largest = float(curve.pretrain_tokens.max())
    within = np.geomspace(curve.pretrain_tokens.min() / 1.15, largest, _LINE_POINTS)
    line = np.concatenate([within, np.geomspace(largest, 4 * largest, _LINE_POINTS)[1:]])

    def again(tokens: np.ndarray) -> laws.Prediction:
        return forecast.predict(tokens, laws.Question.MIXTURE)

    at_points, ahead, continued = _parts(forecast.predict, curve.pretrain_tokens, largest, line)
    _, ahead_again, line_again = _parts(again, np.array([]), largest, line)
    return Forecast(
        level=forecast.level,
        reached=forecast.reached,
        gains=forecast.gains,
        worthwhile=forecast.worthwhile,
        shape=forecast.shape,
        noise=forecast.noise,
        shared_by_run=forecast.shared_by_run,
        above_baseline=forecast.above_baseline,
        at_points=at_points,
        ahead=ahead,
        continued=continued,
        ahead_again=ahead_again,
        again=line_again,
        held_out_rmsle=_rmsle(curve, at_points),
    )


def _rmsle(curve: laws.Curve, predicted: laws.Prediction) -> float | None:
    """Return the root mean square error of the logarithms on the held-out points, as Isik et al. report it."""
    judged = curve.held_out & (curve.values > 0) & (predicted.value > 0)
    if not judged.any():
        return None
    return float(np.sqrt(np.mean(np.log(predicted.value[judged] / curve.values[judged]) ** 2)))


def _law(fit: laws.Fit) -> LawResult:
    curve = fit.curve
    largest = float(curve.pretrain_tokens.max())
    at_points, ahead, _ = _parts(fit.predict, curve.pretrain_tokens, largest, np.array([]))
    left_out = [left.reason for left in fit.left_out]
    return LawResult(
        name=fit.law.name,
        title=fit.law.title,
        formula=fit.law.formula,
        source=fit.law.source,
        coefficients=fit.coefficients,
        identified=fit.identified,
        reasons=fit.reasons,
        notes=(*fit.notes, *dict.fromkeys(left_out)),
        sigma=fit.sigma,
        held_out_rmsle=fit.held_out.rmsle if fit.held_out else None,
        objective=fit.objective,
        delta=fit.delta,
        interval=fit.interval,
        converged=fit.converged,
        elasticity=float(np.asarray(fit.elasticity(np.array([largest])))[0]),
        at_points=at_points,
        ahead=ahead,
        is_papers=fit.law.name == laws.default_law(curve).name,
    )


def _parts(
    predict: Callable[[np.ndarray], laws.Prediction], points: np.ndarray, largest: float, line: np.ndarray
) -> list[laws.Prediction]:
    """Return the predictions at the points, at multiples of the largest D_p and along a line.

    One call for all, each size once: the time of a forecast grows with the square of the number of sizes.
    """
    budgets, place = np.unique(points, return_inverse=True)
    whole = predict(np.concatenate([budgets, largest * np.array(laws.FACTORS), line]))
    first, second = len(budgets), len(budgets) + len(laws.FACTORS)
    columns = (whole.pretrain_tokens, whole.value, whole.lower, whole.upper)

    def part(chosen: np.ndarray | slice) -> laws.Prediction:
        tokens, value, lower, upper = (column[chosen] for column in columns)
        return laws.Prediction(tokens, value, lower, upper, whole.level)

    return [part(place), part(slice(first, second)), part(slice(second, None))]


def _unplaced(group: Unplaced) -> results.UnplacedResult:
    first = group.points[0]
    return results.UnplacedResult(
        describe(first.metric, first.lower_is_better, first.scale),
        _setting(first),
        tuple(_point(point, Use.LEFT_OUT) for point in group.points),
        tuple(_point(point, Use.BASELINE) for point in group.baselines),
    )


def _compare_metrics(fitted: Sequence[Fitted]) -> list[results.MetricFinding]:
    """Return, for every curve with cross-entropy and a score, whether they tell the same story."""
    groups: dict[str, list[Fitted]] = defaultdict(list)
    for one in fitted:
        if one.forecast is not None:
            groups[one.data.name].append(one)
    found = []
    for name, members in groups.items():
        loss = next((one for one in members if one.data.metric == CROSS_ENTROPY), None)
        scores = [one for one in members if not one.data.about.is_loss]
        if loss is None or not scores:
            continue
        lead = min(scores, key=lambda one: order(one.data.metric))
        assert lead.forecast is not None
        assert loss.forecast is not None
        assert lead.verdict is not None
        alarm = laws.alarm(lead.forecast, loss.forecast)
        misleads = alarm.probability >= lead.forecast.likely
        score_only = lead.verdict.improves and loss.forecast.shape.rises <= 1 - loss.forecast.likely
        found.append(results.MetricFinding(name, lead.data.about, alarm, misleads, score_only))
    return found
