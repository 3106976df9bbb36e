"""From curves to the report: the forecast, the laws, the verdict and the advice of every curve, and across curves.

The only file of the report that calls the laws. What it finds is put into the types of ``results.py``.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from .. import __version__, laws
from ..alignment_file import Alignment
from ..errors import ScalingError
from ..metrics import CROSS_ENTROPY, Metric, describe, order
from ..problems import ProblemKind
from . import results
from .alignment import match, rank_agreements
from .limits import limits
from .points import Point, mixture_label
from .points.curves import CurvePoints, Unplaced
from .reading import Inputs
from .results import Action, CurveResult, PointResult, Report, Setting, Use, VerdictKind

FEWEST_BUDGETS = 3
"""A curve with fewer distinct budgets than this is listed, not fitted: a line through two points is no evidence."""
PAPER_LAWS = ("log_law", "cross_entropy_law")
_MOST_PAIRS = 12
_LINE_POINTS = 61


class AnalysisProblem(ProblemKind):
    """Why a curve was not fitted."""

    NOT_FITTED = "{metric} was not fitted: {reason}"


@dataclass(frozen=True)
class Settings:
    """What the user may set about the fits.

    ``law`` is ``auto`` (the average of the candidates, weighted by rolling-origin error), ``best`` (the one with the
    least) or the name of one law; ``delta`` None takes the paper's (0.1 for scores, 1e-3 for
    cross-entropy); ``targets`` maps a metric to the score that is wanted; ``worthwhile`` is the smallest gain from
    doubling the data that is worth its cost, in points of the metric.
    """

    law: str = "auto"
    protocol: str = "all"
    delta: float | None = None
    level: float = 0.95
    interval: str = "profile"
    n_boot: int = 1000
    seed: int = 0
    worthwhile: float | None = None
    targets: tuple[tuple[str, float], ...] = ()


@dataclass
class _Fitted:
    """A curve on its way into the report; ``choice`` is None where nothing could be fitted, ``problem`` says why."""

    data: CurvePoints
    curve: laws.Curve | None = None
    choice: laws.Choice | None = None
    problem: str = ""


def analyse(curves: Sequence[CurvePoints], settings: Settings | None = None, inputs: Inputs | None = None) -> Report:
    """Fit, judge and compare all curves and return the report.

    Args:
        curves: of one study, together.
        inputs: what was read, for the parts of the report that are not curves.

    Raises:
        SettingError: an unknown law, protocol or interval.
    """
    settings, inputs = settings or Settings(), inputs or Inputs()
    matched = match(curves, inputs.alignments)
    fitted = [_prepare(data) for data in curves]
    _choose([one for one in fitted if not one.problem], settings)
    verdicts = [laws.diagnose(f.curve, f.choice, seed=settings.seed) if f.curve and f.choice else None for f in fitted]
    made = [
        _result(one, verdict, settings, matched.by_curve.get(one.data.name))
        for one, verdict in zip(fitted, verdicts, strict=True)
    ]
    problems = [
        AnalysisProblem.NOT_FITTED.at(
            one.data.first.file, one.data.first.line, curve=one.data.name, metric=one.data.metric, reason=one.problem
        )
        for one in fitted
        if one.problem
    ]
    return Report(
        signature=signature(settings),
        versions=versions(),
        settings=settings,
        read=results.Read(
            tuple(inputs.paths),
            inputs.finetuning_runs,
            inputs.pretraining_runs,
            inputs.tables,
            len(inputs.alignments),
            tuple(inputs.columns),
        ),
        curves=tuple(made),
        metric_findings=tuple(_compare_metrics(fitted, verdicts)),
        mixture_comparisons=tuple(_compare_mixtures(fitted, settings)),
        alignment_agreements=tuple(rank_agreements(made)),
        unplaced=tuple(map(_unplaced, inputs.unplaced)),
        forgetting=tuple(inputs.forgetting),
        limits=tuple(limits(made)),
        remarks=tuple(inputs.remarks),
        problems=(*inputs.problems, *problems, *matched.problems),
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
        "delta": "paper" if settings.delta is None else f"{settings.delta:g}",
        "interval": settings.interval + (f":{settings.n_boot}" if settings.interval in ("case", "parametric") else ""),
        "level": f"{settings.level:g}",
        "seed": settings.seed,
        **versions(),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


def to_curve(data: CurvePoints) -> laws.Curve:
    """Return the engine's curve; its points are in the order of ``data.points``."""
    return laws.Curve(
        name=data.name,
        metric=data.metric,
        pretrain_tokens=np.array([point.pretrain_tokens for point in data.points], float),
        values=np.array([point.value for point in data.points], float),
        held_out=np.array([point.held_out for point in data.points], bool),
        seeds=np.array([point.seed for point in data.points]),
        weights=np.array([point.weight for point in data.points], float),
        stderr=_stderr(data),
        baseline=np.array([point.value for point in data.baselines], float) if data.baselines else None,
        lower_is_better=data.lower_is_better,
        attributes={key: value for key, value in data.attributes().items() if value not in (None, "")},
    )


def _stderr(data: CurvePoints) -> np.ndarray | None:
    """Return the standard errors of the points, NaN where one has none; None where none has one."""
    known = [np.nan if point.stderr is None else point.stderr for point in data.points]
    return np.array(known, float) if not np.isnan(known).all() else None


def _prepare(data: CurvePoints) -> _Fitted:
    budgets = {point.pretrain_tokens for point in data.points if not point.held_out}
    problem = ""
    if len(budgets) < FEWEST_BUDGETS:
        held_out = sum(point.held_out for point in data.points)
        aside = f" ({held_out} held out)" if held_out else ""
        problem = (
            f"too few points: {len(budgets)} pretraining size{'' if len(budgets) == 1 else 's'} to fit{aside}, "
            f"at least {FEWEST_BUDGETS} are needed and 5 or more advised"
        )
    return _Fitted(data, to_curve(data) if data.points else None, problem=problem)


def _choose(ready: Sequence[_Fitted], settings: Settings) -> None:
    """Fit all curves as one batch; where the engine refuses one, curve by curve."""
    names = None if settings.law in ("auto", "best") else [settings.law]

    def run(batch: Sequence[_Fitted]) -> list[laws.Choice]:
        return laws.choose_many(
            [one.curve for one in batch if one.curve is not None],
            names,
            delta=settings.delta,
            protocol=settings.protocol,
            interval=settings.interval,
            level=settings.level,
            n_boot=settings.n_boot,
            seed=settings.seed,
            average=settings.law == "auto",
        )

    try:
        for one, choice in zip(ready, run(ready) if ready else [], strict=True):
            one.choice = choice
    except ScalingError:
        for one in ready:
            try:
                one.choice = run([one])[0]
            except ScalingError as error:
                one.problem = str(error)


def _result(one: _Fitted, verdict: laws.Verdict | None, settings: Settings, overlap: Alignment | None) -> CurveResult:
    data, choice = one.data, one.choice
    fields: dict[str, Any] = {
        "name": data.name,
        "metric": data.about,
        "x": data.quantity,
        "setting": _setting(data.first),
        "points": _points(one),
        "baseline": tuple(_point(point, Use.BASELINE) for point in data.baselines),
        "left_out": tuple(_point(point, Use.LEFT_OUT, reason) for point, reason in data.left_out),
        "overlap": overlap,
        "problem": one.problem,
    }
    if choice is None or one.curve is None or verdict is None:
        return CurveResult(**fields)
    advice = laws.advise(one.curve, choice, verdict, worthwhile=settings.worthwhile)
    return CurveResult(
        **fields,
        forecast=_forecast(choice, one.curve, advice, settings.level),
        verdict=_verdict(verdict),
        advice=results.Advice(
            Action(advice.action), None, advice.gains[2.0], _finite(advice.next_budget), advice.settled
        ),
        laws=tuple(_law(candidate, one.curve) for candidate in choice.candidates if candidate.fit.law.parameters),
        wanted=tuple(
            results.Wanted(target, laws.tokens_for(choice, target, settings.level))
            for metric, target in settings.targets
            if metric == data.metric
        ),
    )


def _setting(first: Point) -> Setting:
    return Setting(
        task=first.task,
        mixture=first.mixture,
        mixture_label=mixture_label(first.mixture),
        alignment=first.alignment,
        source_lang=first.source_lang,
        target_lang=first.target_lang,
        finetune_tokens=first.finetune_tokens,
        architecture=first.architecture,
        parameters=first.parameters,
        corpus=first.corpus,
        apart=first.apart,
        signature=first.details.get("signature", ""),
        subset=first.test_set,
    )


def _point(point: Point, use: Use, reason: str = "") -> PointResult:
    return PointResult(
        pretrain_tokens=point.pretrain_tokens,
        consumed=point.consumed,
        value=point.value,
        use=use,
        reason=reason,
        seed=point.seed,
        pretrain_seed=point.pretrain_seed,
        weight=point.weight,
        stderr=point.stderr,
        start=point.start,
        run_id=point.run_id,
        learning_rate=point.settings.get("lr"),
        file=point.file,
        line=point.line,
        details=point.details,
    )


def _points(one: _Fitted) -> tuple[PointResult, ...]:
    """Return the points with what the fit did with each: fitted, held out (by whom) or left out (why)."""
    fit = one.choice.fit if one.choice else None
    reasons = {left.index: left.reason for left in fit.left_out} if fit else {}
    made = []
    for index, point in enumerate(one.data.points):
        judged = bool(fit.judged[index]) if fit else point.held_out
        if judged:
            made.append(_point(point, Use.HELD_OUT))
        elif fit and fit.used[index]:
            made.append(_point(point, Use.FITTED))
        else:
            made.append(_point(point, Use.LEFT_OUT, reasons.get(index, one.problem)))
    return tuple(made)


def _forecast(choice: laws.Choice, curve: laws.Curve, advice: laws.Advice, level: float) -> results.Forecast:
    budgets = curve.pretrain_tokens
    largest = float(budgets.max())
    line = np.geomspace(budgets.min() / 1.15, largest * 4.2, _LINE_POINTS)
    # One call for all: intervals come from draws, which cost more than the points.
    at_points, ahead, continued = _parts(choice.predict, budgets, largest, line)
    top = int(np.argmax(budgets))
    reached, lower, upper = (float(x[top]) for x in (at_points.value, at_points.lower, at_points.upper))
    return results.Forecast(
        name=choice.law.name,
        level=level,
        reached=laws.Estimate(reached, lower, upper),
        gains={factor: advice.gains[factor] for factor in results.GAINS},
        at_points=at_points,
        ahead=ahead,
        continued=continued,
        held_out_rmsle=choice.fit.held_out.rmsle if choice.fit.held_out else None,
    )


def _law(candidate: laws.Candidate, curve: laws.Curve) -> results.LawResult:
    fit = candidate.fit
    largest = float(curve.pretrain_tokens.max())
    at_points, ahead, _ = _parts(fit.predict, curve.pretrain_tokens, largest, np.array([]))
    return results.LawResult(
        name=fit.law.name,
        title=fit.law.title,
        formula=fit.law.formula,
        source=fit.law.source,
        coefficients=fit.coefficients,
        identified=fit.identified,
        reasons=fit.reasons,
        notes=fit.notes,
        sigma=fit.sigma,
        held_out_rmsle=fit.held_out.rmsle if fit.held_out else None,
        objective=fit.objective,
        delta=fit.delta,
        interval=fit.interval,
        converged=fit.converged,
        elasticity=float(np.asarray(fit.elasticity(np.array([largest])))[0]),
        at_points=at_points,
        ahead=ahead,
        rolling_origin_rmsle=_finite(candidate.error),
        is_papers=fit.law.name in PAPER_LAWS,
    )


def _parts(predict: Any, budgets: np.ndarray, largest: float, line: np.ndarray) -> list[laws.Prediction]:
    """Return the predictions at the points, at multiples of the largest D_p and along a line."""
    sizes = [budgets, largest * np.array(results.GAINS), line]
    whole = predict(np.concatenate(sizes))
    ends = np.cumsum([0, *map(len, sizes)])
    return [
        laws.Prediction(
            whole.pretrain_tokens[start:end],
            whole.value[start:end],
            whole.lower[start:end],
            whole.upper[start:end],
            whole.level,
        )
        for start, end in zip(ends[:-1], ends[1:], strict=True)
    ]


def _verdict(verdict: laws.Verdict) -> results.Verdict:
    evidence = verdict.evidence
    return results.Verdict(
        VerdictKind(verdict.kind),
        improves=bool(evidence.get("improves")),
        noise=evidence.get("noise"),
        noise_source=str(evidence.get("noise_source", "")),
    )


def _unplaced(group: Unplaced) -> results.UnplacedResult:
    first = group.points[0]
    return results.UnplacedResult(
        describe(first.metric, first.lower_is_better, first.scale),
        _setting(first),
        tuple(_point(point, Use.LEFT_OUT) for point in group.points),
        tuple(_point(point, Use.BASELINE) for point in group.baselines),
    )


def _compare_metrics(fitted: Sequence[_Fitted], verdicts: Sequence[laws.Verdict | None]) -> list[results.MetricFinding]:
    """Return, for every curve with cross-entropy and a score, whether they tell the same story."""
    groups: dict[str, list[tuple[laws.Curve, laws.Verdict]]] = defaultdict(list)
    for one, verdict in zip(fitted, verdicts, strict=True):
        if one.curve is not None and verdict is not None:
            groups[one.data.name].append((one.curve, verdict))
    found = []
    for name, members in groups.items():
        scores = sorted((m for m in members if m[0].metric != CROSS_ENTROPY), key=lambda m: order(m[0].metric))
        if not scores or len(scores) == len(members):
            continue
        ordered = [*scores, *(m for m in members if m[0].metric == CROSS_ENTROPY)]
        compared = laws.compare_metrics([curve for curve, _ in ordered], [v for _, v in ordered], name=name)
        lead_improves = bool(scores[0][1].evidence.get("improves"))
        misleading = compared.kind == "misleading"
        relation = compared.relation
        found.append(
            results.MetricFinding(
                name,
                _metric(scores[0][0]),
                misleads=misleading and not lead_improves,
                score_only=compared.kind == "score only",
                others=tuple(_metric(c) for c, v in scores[1:] if not v.evidence.get("improves"))
                if misleading and lead_improves
                else (),
                relation=results.Relation(
                    *(relation[key] for key in ("k", "log c", "r_squared", "residual", "budgets", "holds"))
                )
                if relation
                else None,
            )
        )
    return found


def _compare_mixtures(fitted: Sequence[_Fitted], settings: Settings) -> list[results.MixtureComparison]:
    """Compare the mixtures of one task, D_f, model and corpus on their first metric, at the largest D_p of both."""
    groups: dict[tuple[object, ...], list[_Fitted]] = defaultdict(list)
    for one in fitted:
        first = one.data.first
        if one.choice is not None and first.mixture and first.task:
            key = (first.task, first.finetune_tokens, first.architecture, first.parameters, first.corpus)
            groups[key].append(one)
    found: list[results.MixtureComparison] = []
    for members in groups.values():
        metric = min((member.data.metric for member in members), key=order)
        rivals = [member for member in members if member.data.metric == metric]
        # Of several test sets the first one decides: scores on two do not compare.
        test_set = min(member.data.first.test_set for member in rivals)
        rivals = [member for member in rivals if member.data.first.test_set == test_set]
        largest = [max(point.pretrain_tokens for point in rival.data.points) for rival in rivals]
        pairs = [(i, j, min(largest[i], largest[j])) for i, j in combinations(range(len(rivals)), 2)][:_MOST_PAIRS]
        choices = [rival.choice for rival in rivals if rival.choice is not None]
        for compared in laws.compare_pairs(choices, pairs, seed=settings.seed):
            first_name, second_name = compared.names
            ahead = compared.probability if compared.better == first_name else 1 - compared.probability
            crosses = np.isfinite(compared.crossing.value)
            found.append(
                results.MixtureComparison(
                    first_name,
                    second_name,
                    rivals[0].data.about,
                    rivals[0].data.quantity,
                    compared.pretrain_tokens,
                    ahead,
                    compared.difference,
                    compared.crossing if crosses else None,
                )
            )
    return found


def _metric(curve: laws.Curve) -> Metric:
    return curve.about


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
