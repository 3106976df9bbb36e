"""Curves on their way into the report: the engine's curve, its forecast and its single laws, all curves together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import laws
from ..errors import ScalingError
from ..laws.forecast import FEWEST_BUDGETS
from ..laws.numerics.predicting import trace
from ..problems import Problem, ProblemKind
from .points.curves import CurvePoints


class CurveProblem(ProblemKind):
    """Why a curve has no forecast, or lacks a law."""

    TOO_FEW = "too few points: {sizes} to fit; a forecast takes at least {fewest}, better 5 or more"
    REFUSED = "{reason}"
    NO_LAW = "not fitted: {laws}: {reason}"


@dataclass(frozen=True)
class Settings:
    """What the user may set.

    Attributes:
        law: the single laws fitted beside the forecast: ``auto`` (all that suit the metric) or the name of one.
        protocol: ``all``, or ``paper``: fit the four smallest budgets of each curve and hold out the others.
        level: coverage of all intervals.
        seed: of all random draws.
        worthwhile: smallest gain from doubling the data that is worth its cost, in points of the metric; None takes
            1 % of the value reached.
        likely, sure: probabilities from which verdicts and advice speak of likely and sure.
        targets: (metric, score) whose D_p is wanted.
        untried: mixtures to forecast that nobody has trained (``en:0.7,fr:0.3``).
    """

    law: str = "auto"
    protocol: str = "all"
    level: float = 0.95
    seed: int = 0
    worthwhile: float | None = None
    likely: float = laws.LIKELY
    sure: float = laws.SURE
    targets: tuple[tuple[str, float], ...] = ()
    untried: tuple[str, ...] = ()


@dataclass
class Fitted:
    """A curve on its way into the report; ``forecast`` is None where there is none, ``problem`` says why."""

    data: CurvePoints
    curve: laws.Curve | None = None
    forecast: laws.Forecast | None = None
    verdict: laws.Verdict | None = None
    fits: list[laws.Fit] = field(default_factory=list)
    problem: Problem | None = None

    def fail(self, kind: CurveProblem, **fields: Any) -> Problem:
        return kind.at(self.data.first.file, self.data.first.line, curve=self.data.name, **fields)


def fit_all(curves: Sequence[CurvePoints], settings: Settings) -> tuple[list[Fitted], list[Problem]]:
    """Return the curves with forecast and single laws, in their order, and what could not be fitted.

    Raises:
        SettingError: an unknown law, or a probability outside (0, 1).
    """
    fitted = [prepare(data, settings.protocol) for data in curves]
    _forecast_all([one for one in fitted if one.problem is None], settings)
    problems = [one.problem for one in fitted if one.problem is not None]
    problems += _fit_laws([one for one in fitted if one.forecast is not None], settings)
    return fitted, problems


def to_curve(data: CurvePoints, protocol: str = "all") -> laws.Curve:
    """Return the engine's curve; its points are in the order of ``data.points``.

    With ``protocol`` ``paper`` the points beyond the four smallest budgets are held out.
    """
    points = data.points
    held_out = np.array([point.held_out for point in points], bool)
    tokens = np.array([point.pretrain_tokens for point in points], float)
    if protocol == "paper":
        held_out |= ~np.isin(tokens, np.unique(tokens[~held_out])[: laws.PAPER_BUDGETS])
    stderr = np.array([np.nan if point.stderr is None else point.stderr for point in points], float)
    runs = [point.pretrain_seed for point in points]
    return laws.Curve(
        name=data.name,
        metric=data.metric,
        pretrain_tokens=tokens,
        values=np.array([point.value for point in points], float),
        held_out=held_out,
        seeds=np.array([point.seed for point in points]),
        stderr=None if np.isnan(stderr).all() else stderr,
        runs=None if None in runs else np.array(runs),
        baseline=np.array([point.value for point in data.baselines], float) if data.baselines else None,
        baseline_seeds=np.array([point.seed for point in data.baselines]) if data.baselines else None,
        lower_is_better=data.lower_is_better,
        attributes={key: value for key, value in data.attributes().items() if value not in (None, "")},
    )


def places(curve: laws.Curve) -> np.ndarray:
    """Return where the report asks a law for predictions: at the sizes [b], then at multiples of the largest one."""
    sizes = np.unique(curve.pretrain_tokens)
    return np.concatenate([sizes, sizes[-1] * np.array(laws.FACTORS)])


def prepare(data: CurvePoints, protocol: str = "all") -> Fitted:
    """Return the curve, without forecast and laws; ``problem`` says why there can be no forecast."""
    one = Fitted(data)
    try:
        one.curve = to_curve(data, protocol) if data.points else None
    except ScalingError as error:
        one.problem = one.fail(CurveProblem.REFUSED, reason=str(error))
        return one
    budgets = 0 if one.curve is None else laws.fitted_budgets(one.curve)
    if budgets < FEWEST_BUDGETS:
        sizes = f"{budgets} size{'s' * (budgets != 1)}"
        one.problem = one.fail(CurveProblem.TOO_FEW, sizes=sizes, fewest=FEWEST_BUDGETS)
    return one


def _forecast_all(ready: Sequence[Fitted], settings: Settings) -> None:
    """Make the forecasts of all curves together."""
    curves = [one.curve for one in ready if one.curve is not None]
    study = laws.forecast(
        curves,
        level=settings.level,
        seed=settings.seed,
        worthwhile=settings.worthwhile,
        likely=settings.likely,
        sure=settings.sure,
    )
    for one, forecast in zip(ready, study, strict=True):
        one.forecast = forecast
        one.verdict = laws.diagnose(forecast)


def _fit_laws(ready: Sequence[Fitted], settings: Settings) -> list[Problem]:
    """Fit the single laws, each to all its curves as one batch; where one is refused, curve by curve."""
    groups: dict[str, list[Fitted]] = defaultdict(list)
    for one in ready:
        assert one.curve is not None
        for law in laws.laws_for(one.curve):
            if settings.law in ("auto", law.name):
                groups[law.name].append(one)
        if settings.law != "auto" and one not in groups[settings.law]:
            groups[settings.law].append(one)

    def run(law: str, batch: Sequence[Fitted]) -> None:
        fits = laws.fit_many(
            [one.curve for one in batch if one.curve is not None],
            law,
            level=settings.level,
            seed=settings.seed,
        )
        # Together this takes a third of the time that each curve's predictions would.
        trace(fits, [places(fit.curve) for fit in fits])
        for one, fit in zip(batch, fits, strict=True):
            one.fits.append(fit)

    refused: dict[tuple[int, str], list[str]] = defaultdict(list)  # curve and reason -> laws
    for name, batch in groups.items():
        try:
            run(name, batch)
        except ScalingError:
            for one in batch:
                try:
                    run(name, [one])
                except ScalingError as error:
                    refused[ready.index(one), str(error)].append(name)
    return [ready[at].fail(CurveProblem.NO_LAW, laws=", ".join(names), reason=reason)
            for (at, reason), names in refused.items()]  # fmt: skip
