"""What is found of one curve, as the report shows it; kinds are enumerations, their words are in ``render``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from ..alignment_file import Alignment
from ..laws import Advice, Estimate, NoiseEstimate, Prediction, ShapeProbabilities, Verdict, VerdictKind
from ..metrics import Metric
from ..problems import Problem
from ..quantities import PRETRAIN_TOKENS, Quantity
from .points import Point


class Use(Enum):
    """What became of a point."""

    FITTED = "fitted"
    HELD_OUT = "held out"
    LEFT_OUT = "left out"
    BASELINE = "baseline"


@dataclass(frozen=True)
class Setting:
    """What a curve fixes; ``apart`` tells it from another curve of the same name.

    ``start`` is the model whose pretraining all curves of the report continued; where they differ in it, it is in
    ``mixture_label``.
    """

    task: str = ""
    mixture: str = ""
    mixture_label: str = ""
    start: str = ""
    alignment: float | None = None
    source_lang: str = ""
    target_lang: str = ""
    finetune_tokens: int | None = None
    architecture: str = ""
    parameters: int | None = None
    corpus: str = ""
    apart: str = ""
    signature: str = ""
    test_set: str = ""


@dataclass(frozen=True)
class PointResult(Point):
    """A point and what became of it, with the reason where it was left out."""

    use: Use = Use.FITTED
    reason: str = ""


@dataclass(frozen=True)
class LawResult:
    """A single law fitted to a curve. Errors are root mean squares of the logarithms; ``elasticity`` is d log f / d
    log D_p at the largest D_p."""

    name: str
    title: str
    formula: str
    source: str
    coefficients: Mapping[str, Estimate]
    identified: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    sigma: float
    held_out_rmsle: float | None
    objective: float
    delta: float
    interval: str
    converged: bool
    elasticity: float
    at_points: Prediction
    ahead: Prediction
    is_papers: bool = False


@dataclass(frozen=True)
class Forecast:
    """What the tool stands behind for one curve: values and intervals, at the points and beyond them.

    Attributes:
        reached: the curve's value at the largest size.
        gains: multiple of the largest size -> gain in points of the metric, positive when better.
        worthwhile: the gain from doubling the size that is worth its cost, in points.
        shape: probabilities of rising, flat, falling, bending and leaping.
        noise, shared_by_run: standard deviations of one finetuning, and of what a whole pretraining run shares.
        at_points, ahead, continued: "this run, continued": at the points, at multiples of the largest size, as a line.
        ahead_again, again: the same for "this mixture, run again".
    """

    level: float
    reached: Estimate
    gains: Mapping[float, Estimate]
    worthwhile: float
    shape: ShapeProbabilities
    noise: NoiseEstimate
    shared_by_run: NoiseEstimate
    above_baseline: Estimate | None
    at_points: Prediction
    ahead: Prediction
    continued: Prediction
    ahead_again: Prediction
    again: Prediction
    held_out_rmsle: float | None = None
    name: str = "forecast"


@dataclass(frozen=True)
class Wanted:
    """The D_p at which the forecast reaches a score that the user asked for."""

    target: float
    tokens: Estimate


@dataclass(frozen=True)
class CurveResult:
    """One curve with everything that was found; ``forecast`` is None where nothing was fitted (``problem`` says why).

    ``x`` is what the size of a point counts: pretraining tokens unless the user chose another quantity.

    ``points`` are ordered by D_p and seed; those left out before fitting are in ``left_out``.
    """

    name: str
    metric: Metric
    setting: Setting
    points: tuple[PointResult, ...]
    x: Quantity = PRETRAIN_TOKENS
    baseline: tuple[PointResult, ...] = ()
    left_out: tuple[PointResult, ...] = ()
    forecast: Forecast | None = None
    verdict: Verdict | None = None
    advice: Advice | None = None
    laws: tuple[LawResult, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    overlap: Alignment | None = None
    problem: Problem | None = None

    @property
    def is_score(self) -> bool:
        return not self.metric.is_loss

    @property
    def has_intervals(self) -> bool:
        """Whether any score has an interval over the test sentences."""
        return any(point.score_lower is not None for point in (*self.baseline, *self.points))

    @property
    def smallest(self) -> float:
        return min((point.pretrain_tokens for point in self.points), default=0.0)

    @property
    def largest(self) -> float:
        return max((point.pretrain_tokens for point in self.points), default=0.0)

    @property
    def kind(self) -> VerdictKind:
        return self.verdict.kind if self.verdict else VerdictKind.TOO_FEW

    @property
    def baseline_mean(self) -> float | None:
        return sum(point.value for point in self.baseline) / len(self.baseline) if self.baseline else None

    @cached_property
    def means(self) -> list[tuple[float, float, bool]]:
        """(D_p, mean over the repeats, whether held out) of every pretraining size, in order."""
        sizes: dict[float, list[PointResult]] = {}
        for point in self.points:
            sizes.setdefault(point.pretrain_tokens, []).append(point)
        return [
            (size, sum(p.value for p in group) / len(group), any(p.held_out for p in group))
            for size, group in sorted(sizes.items())
        ]
