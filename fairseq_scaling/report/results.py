"""Everything that a report shows, as one typed object: ``analysis`` makes it, ``render`` shows it.

Nothing here holds a sentence: kinds are enumerations, and their words are in ``render/wording.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from ..alignment_file import Alignment
from ..laws import Estimate, Prediction
from ..logs import Problem
from ..metrics import CROSS_ENTROPY, Metric
from ..quantities import PRETRAIN_TOKENS, Quantity
from .forgetting import Forgetting

GAINS = (2.0, 4.0, 10.0)
"""Multiples of the largest D_p at which gains and predictions are given."""


class Use(Enum):
    """What became of a point."""

    FITTED = "fitted"
    HELD_OUT = "held out"
    LEFT_OUT = "left out"
    BASELINE = "baseline"


class VerdictKind(Enum):
    """Kinds of curve, named as by Isik et al. (2025) and Lourie, Hu, Cho (2025)."""

    FOLLOWS = "follows the law"
    SATURATED = "saturated"
    NON_MONOTONIC = "non-monotonic"
    INVERSE = "inverse"
    NOISY = "noisy"
    TRENDLESS = "trendless"
    BREAKTHROUGH = "breakthrough"
    TOO_FEW = "too few points"


class Action(Enum):
    """What to do next."""

    ADD_DATA = "add data"
    STOP = "stop"
    FINETUNING_SUFFICES = "finetuning data suffices"
    CHANGE_DATA = "change the data"
    RUN_MORE = "run more points"


class LimitKind(Enum):
    """What so little data cannot show; the words are in ``wording.LIMITS``."""

    SINGLE_MEASUREMENTS = "single measurements"
    ONE_PRETRAINING = "one pretraining run"
    FEW_SIZES = "few sizes"
    SHORT_RANGE = "short range"
    ONE_MODEL = "one model"
    ONE_FINETUNING_SIZE = "one finetuning size"
    NO_BASELINE = "no baseline"
    UNEQUAL_LENGTHS = "unequal lengths"
    FOREIGN_SIGNATURES = "scores printed by fairseq"
    ONE_METRIC = "one metric"


@dataclass(frozen=True)
class Limit:
    """A limit of the data, with the numbers that its sentence needs."""

    kind: LimitKind
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """What a curve fixes. ``apart`` tells it from another curve of the same name, ``subset`` is the test set."""

    task: str = ""
    mixture: str = ""
    mixture_label: str = ""
    alignment: float | None = None
    source_lang: str = ""
    target_lang: str = ""
    finetune_tokens: int | None = None
    architecture: str = ""
    parameters: int | None = None
    corpus: str = ""
    apart: str = ""
    signature: str = ""
    subset: str = ""


@dataclass(frozen=True)
class PointResult:
    """One measured value. ``consumed`` is D_p as it was read, ``pretrain_tokens`` the size that it counts as."""

    pretrain_tokens: float
    consumed: float
    value: float
    use: Use
    reason: str = ""
    seed: int | None = None
    pretrain_seed: int | None = None
    weight: float = 1.0
    stderr: float | None = None
    lower: float | None = None
    upper: float | None = None
    start: str = ""
    run_id: str = ""
    learning_rate: str | None = None
    file: str = ""
    line: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> bool:
        return self.use is Use.HELD_OUT

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


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
    rolling_origin_rmsle: float | None = None
    is_papers: bool = False


@dataclass(frozen=True)
class Forecast:
    """What the tool stands behind for one curve: values and intervals, at the points and beyond them.

    ``continued`` and ``again`` are lines for the figure; the first answers "this run, continued", the second "this
    mixture, run again". ``gains`` maps multiples of the largest D_p to points of the metric, positive when better.
    ``shapes`` are the probabilities of the kinds of curve.
    """

    name: str
    level: float
    reached: Estimate
    gains: Mapping[float, Estimate]
    at_points: Prediction
    ahead: Prediction
    continued: Prediction
    again: Prediction | None = None
    ahead_again: Prediction | None = None
    shapes: Mapping[str, float] = field(default_factory=dict)
    held_out_rmsle: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Which kind a curve is, and how probable that is (None where the engine gives no probability)."""

    kind: VerdictKind
    probability: float | None = None
    improves: bool = False
    noise: float | None = None
    noise_source: str = ""


@dataclass(frozen=True)
class Advice:
    """What to do next. ``gain`` is what the action rests on: that of twice the largest D_p."""

    action: Action
    probability: float | None
    gain: Estimate
    next_tokens: float | None
    settled: bool


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
    problem: str = ""

    @property
    def is_score(self) -> bool:
        return self.metric.name != CROSS_ENTROPY

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


@dataclass(frozen=True)
class Relation:
    """score = exp(log_c - k L) over the sizes that have both (Gordon et al. 2021)."""

    k: float
    log_c: float
    r_squared: float
    residual: float
    budgets: int
    holds: bool


@dataclass(frozen=True)
class MetricFinding:
    """Whether the first score of one curve tells the same story as cross-entropy.

    ``misleads``: cross-entropy improves while the score stands still or falls; ``probability`` that it does.
    ``score_only``: the score improves and cross-entropy does not. ``others`` are metrics that do not improve beside a
    first score that does.
    """

    name: str
    metric: Metric
    misleads: bool
    score_only: bool = False
    probability: float | None = None
    others: tuple[Metric, ...] = ()
    relation: Relation | None = None


@dataclass(frozen=True)
class MixtureComparison:
    """Two mixtures on one metric: "this mixture, run again".

    ``probability`` that the first is ahead at ``pretrain_tokens``; ``difference`` first less second, positive when the
    first is better; ``crossing`` is the D_p at which they cross; ``worth`` says how many times as much data of the
    second the first is worth.
    """

    first: str
    second: str
    metric: Metric
    x: Quantity
    pretrain_tokens: float
    probability: float
    difference: Estimate
    crossing: Estimate | None = None
    worth: Estimate | None = None

    @property
    def better(self) -> str:
        return self.first if self.probability >= 0.5 else self.second

    @property
    def certainty(self) -> float:
        return max(self.probability, 1 - self.probability)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of one measure of alignment with what pretraining brought; None: not defined."""

    measure: str
    mixtures: int
    gain: float | None
    difference: float | None


@dataclass(frozen=True)
class Agreement:
    """How alignment ranks the mixtures of one task (see ``alignment.rank_agreements``)."""

    curves: tuple[str, ...]
    metric: Metric
    x: Quantity
    mixtures: int
    from_tokens: float
    to_tokens: float
    gain: Mapping[str, float]
    difference: Mapping[str, float]
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True)
class UnplacedResult:
    """Scores of models whose D_p is unknown, and of those without pretraining beside them, on one metric."""

    metric: Metric
    setting: Setting
    points: tuple[PointResult, ...]
    baseline: tuple[PointResult, ...]


@dataclass(frozen=True)
class Read:
    """What was read."""

    paths: tuple[str, ...]
    finetuning_runs: int = 0
    pretraining_runs: int = 0
    tables: int = 0
    alignments: int = 0
    columns: tuple[str, ...] = ()
    """What the columns of each table were taken for, where that was guessed."""


@dataclass(frozen=True)
class Entry:
    """The curves of one mixture, D_f and test set: one for each metric, the one that decides first."""

    curves: tuple[CurveResult, ...]

    @property
    def lead(self) -> CurveResult:
        """The first score; cross-entropy only where there is no score."""
        scores = [curve for curve in self.curves if curve.is_score]
        return ([curve for curve in scores if curve.forecast] or scores or list(self.curves))[0]

    @property
    def name(self) -> str:
        return self.curves[0].name

    @property
    def setting(self) -> Setting:
        return self.curves[0].setting


@dataclass(frozen=True)
class Task:
    """The entries of one translation task, D_f and model: mixtures that compete."""

    entries: tuple[Entry, ...]
    comparisons: tuple[MixtureComparison, ...]

    @property
    def setting(self) -> Setting:
        return self.entries[0].setting


@dataclass(frozen=True)
class Section:
    """The tasks that differ in D_f alone: one section of the page, one figure."""

    tasks: tuple[Task, ...]

    @property
    def setting(self) -> Setting:
        return self.tasks[0].setting

    @property
    def curves(self) -> list[CurveResult]:
        return [curve for task in self.tasks for entry in task.entries for curve in entry.curves]


@dataclass(frozen=True)
class Report:
    """The whole report."""

    signature: str
    versions: Mapping[str, str]
    settings: Any
    read: Read
    curves: tuple[CurveResult, ...]
    metric_findings: tuple[MetricFinding, ...] = ()
    mixture_comparisons: tuple[MixtureComparison, ...] = ()
    alignment_agreements: tuple[Agreement, ...] = ()
    unplaced: tuple[UnplacedResult, ...] = ()
    forgetting: tuple[Forgetting, ...] = ()
    limits: tuple[Limit, ...] = ()
    remarks: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def x(self) -> Quantity:
        """The quantity of the curves, for headings that are about all of them."""
        return self.curves[0].x if self.curves else PRETRAIN_TOKENS

    @property
    def fitted(self) -> int:
        return sum(curve.forecast is not None for curve in self.curves)

    @cached_property
    def entries(self) -> list[Entry]:
        """The curves by name: all metrics of one mixture, task and D_f together, in the order of the report."""
        groups: dict[str, list[CurveResult]] = {}
        for curve in self.curves:
            groups.setdefault(curve.name, []).append(curve)
        return [Entry(tuple(group)) for group in groups.values()]

    @cached_property
    def tasks(self) -> list[Task]:
        groups: dict[tuple[Any, ...], list[Entry]] = {}
        for entry in self.entries:
            one = entry.setting
            key = (one.task, one.finetune_tokens, one.architecture, one.apart)
            groups.setdefault(key, []).append(entry)
        found = []
        for entries in groups.values():
            names = {entry.name for entry in entries}
            pairs = tuple(c for c in self.mixture_comparisons if {c.first, c.second} <= names)
            found.append(Task(tuple(entries), pairs))
        return found

    @cached_property
    def sections(self) -> list[Section]:
        groups: dict[tuple[str, ...], list[Task]] = {}
        for task in self.tasks:
            one = task.setting
            groups.setdefault((one.task, one.architecture, one.apart), []).append(task)
        return [Section(tuple(tasks)) for tasks in groups.values()]

    def finding(self, name: str) -> MetricFinding | None:
        """Return what the metrics of a curve say together."""
        return next((finding for finding in self.metric_findings if finding.name == name), None)
