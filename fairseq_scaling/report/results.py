"""Everything that a report shows, as one typed object: ``analysis`` makes it, ``render`` shows it.

Nothing here holds a sentence: kinds are enumerations, and their words are in ``render/wording.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import laws
from ..laws import Alarm
from ..metrics import Metric
from ..problems import Problem
from ..quantities import PRETRAIN_TOKENS, Quantity
from .curve_result import CurveResult, PointResult, Setting
from .fitting import Settings
from .forgetting import Forgetting
from .joint import JointResult
from .points.sentences import SentenceTest
from .reading import Read


@dataclass(frozen=True)
class MetricFinding:
    """Whether the first score of one curve tells the same story as cross-entropy.

    Attributes:
        misleads: the alarm is likely: cross-entropy improves while the score gets worse.
        score_only: the score improves, and cross-entropy likely does not.
    """

    name: str
    metric: Metric
    alarm: Alarm
    misleads: bool
    score_only: bool = False


@dataclass(frozen=True)
class MixtureComparison(laws.MixtureComparison):
    """Two mixtures on one metric: "this mixture, run again"; ``sentences`` is of the runs at hand."""

    metric: Metric
    x: Quantity
    sentences: SentenceTest | None = None

    @property
    def certainty(self) -> float:
        """Probability that the better one is ahead."""
        return max(self.probability, 1 - self.probability)

    @property
    def worse(self) -> str:
        return self.names[1] if self.better == self.names[0] else self.names[0]


@dataclass(frozen=True)
class Untried:
    """A mixture that nobody has trained: "this mixture, run again".

    Attributes:
        mixture: as it was asked for.
        ahead: its values at the largest D_p that all mixtures reached, and at 2 and 4 times that; None where it could
            not be forecast.
        rival, chance: the best of the mixtures at the largest D_p, and the probability that this one is ahead of it.
        problem: why there is no forecast.
    """

    mixture: str
    ahead: laws.Prediction | None = None
    rival: str = ""
    chance: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class LanguageWorth:
    """What a token of each language of the mixtures of one task is worth (see ``laws.LanguageWorth``).

    ``problem`` says why the curves do not tell it; then ``worth`` is empty.
    """

    curves: tuple[str, ...]
    metric: Metric
    x: Quantity
    best: str = ""
    worth: Mapping[str, laws.Estimate] = field(default_factory=dict)
    misfit: float | None = None
    measured: bool = False
    untried: tuple[Untried, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class UnplacedResult:
    """Scores of models whose D_p is unknown, and of those without pretraining beside them, on one metric."""

    metric: Metric
    setting: Setting
    points: tuple[PointResult, ...]
    baseline: tuple[PointResult, ...]


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
    worth: LanguageWorth | None = None

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
    settings: Settings
    read: Read
    curves: tuple[CurveResult, ...]
    metric_findings: tuple[MetricFinding, ...] = ()
    mixture_comparisons: tuple[MixtureComparison, ...] = ()
    language_worths: tuple[LanguageWorth, ...] = ()
    joint: tuple[JointResult, ...] = ()
    unplaced: tuple[UnplacedResult, ...] = ()
    forgetting: tuple[Forgetting, ...] = ()
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
            pairs = tuple(c for c in self.mixture_comparisons if set(c.names) <= names)
            worth = next((one for one in self.language_worths if set(one.curves) <= names), None)
            found.append(Task(tuple(entries), pairs, worth))
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
