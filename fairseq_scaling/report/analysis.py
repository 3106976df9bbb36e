"""Everything that is computed for a report: the laws, the verdict and the advice of every curve, and across metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from .. import laws
from ..errors import ScalingError
from ..metrics import CROSS_ENTROPY, order
from ..problems import Problem, remark
from .points.curves import CurvePoints

FEWEST_BUDGETS = 3
"""A curve with fewer distinct budgets than this is listed, not fitted: a line through two points is no evidence."""
_MOST_PAIRS = 12


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
class CurveAnalysis:
    """One curve and what the laws say of it; ``choice`` is None where nothing could be fitted (see ``problem``)."""

    data: CurvePoints
    curve: laws.Curve | None = None
    choice: laws.Choice | None = None
    verdict: laws.Verdict | None = None
    advice: laws.Advice | None = None
    tokens_wanted: dict[float, laws.Estimate] = field(default_factory=dict)
    problem: str = ""


@dataclass
class Analysis:
    """All curves analysed, with the findings that take several of them."""

    curves: list[CurveAnalysis]
    comparisons: list[laws.MetricComparison]
    mixtures: list[laws.MixtureComparison]
    problems: list[Problem]

    @property
    def fitted(self) -> int:
        return sum(analysis.choice is not None for analysis in self.curves)


def analyse(curves: Sequence[CurvePoints], settings: Settings | None = None) -> Analysis:
    """Fit, judge and compare all curves.

    Raises:
        SettingError: an unknown law, protocol or interval.
    """
    settings = settings or Settings()
    analyses = [_prepare(data) for data in curves]
    ready = [analysis for analysis in analyses if not analysis.problem]
    _choose(ready, settings)
    for analysis in ready:
        _judge(analysis, settings)
    problems = [
        remark(a.data.first.file, a.data.first.line, f"curve {a.data.name}, {a.data.metric}: {a.problem}")
        for a in analyses
        if a.problem
    ]
    return Analysis(analyses, _compare_metrics(analyses), _compare_mixtures(analyses, settings), problems)


def to_curve(data: CurvePoints) -> laws.Curve:
    """Return the engine's curve; its points stand in the order of ``data.points``."""
    return laws.Curve(
        name=data.name,
        metric=data.metric,
        pretrain_tokens=np.array([point.pretrain_tokens for point in data.points], float),
        values=np.array([point.value for point in data.points], float),
        held_out=np.array([point.held_out for point in data.points], bool),
        seeds=np.array([point.seed for point in data.points]),
        weights=np.array([point.weight for point in data.points], float),
        baseline=np.array([point.value for point in data.baselines], float) if data.baselines else None,
        lower_is_better=data.lower_is_better,
        attributes={key: value for key, value in data.attributes().items() if value not in (None, "")},
    )


def _prepare(data: CurvePoints) -> CurveAnalysis:
    analysis = CurveAnalysis(data)
    budgets = {point.pretrain_tokens for point in data.points if not point.held_out}
    if len(budgets) < FEWEST_BUDGETS:
        held_out = sum(point.held_out for point in data.points)
        aside = f" ({held_out} held out)" if held_out else ""
        analysis.problem = (
            f"too few points: {len(budgets)} pretraining size{'' if len(budgets) == 1 else 's'} to fit{aside}, "
            f"at least {FEWEST_BUDGETS} are needed and 5 or more advised"
        )
    if data.points:
        analysis.curve = to_curve(data)
    return analysis


def _choose(analyses: Sequence[CurveAnalysis], settings: Settings) -> None:
    """Fit all curves as one batch; where the engine refuses one, curve by curve."""
    names = None if settings.law in ("auto", "best") else [settings.law]
    curves = [analysis.curve for analysis in analyses if analysis.curve is not None]
    if not curves:
        return

    def run(batch: list[laws.Curve]) -> list[laws.Choice]:
        return laws.choose_many(
            batch,
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
        choices = run(curves)
    except ScalingError as whole:
        if len(curves) == 1:
            analyses[0].problem = str(whole)
            return
        for analysis, curve in zip(analyses, curves, strict=True):
            try:
                analysis.choice = run([curve])[0]
            except ScalingError as error:
                analysis.problem = str(error)
        return
    for analysis, choice in zip(analyses, choices, strict=True):
        analysis.choice = choice


def _judge(analysis: CurveAnalysis, settings: Settings) -> None:
    curve, choice = analysis.curve, analysis.choice
    if curve is None or choice is None:
        return
    analysis.verdict = laws.diagnose(curve, choice, seed=settings.seed)
    analysis.advice = laws.advise(curve, choice, analysis.verdict, worthwhile=settings.worthwhile)
    for metric, target in settings.targets:
        if metric == curve.metric:
            analysis.tokens_wanted[target] = laws.tokens_for(choice, target, settings.level)


def _compare_metrics(analyses: Sequence[CurveAnalysis]) -> list[laws.MetricComparison]:
    """Return, for every curve with several metrics, whether they tell the same story."""
    groups: dict[str, list[CurveAnalysis]] = defaultdict(list)
    for analysis in analyses:
        if analysis.curve is not None and analysis.verdict is not None:
            groups[analysis.data.name].append(analysis)
    comparisons = []
    for name, members in groups.items():
        if len(members) > 1 and any(member.data.metric == CROSS_ENTROPY for member in members):
            members = sorted(members, key=lambda member: order(member.data.metric))
            curves = [member.curve for member in members if member.curve is not None]
            verdicts = [member.verdict for member in members if member.verdict is not None]
            comparisons.append(laws.compare_metrics(curves, verdicts, name=name))
    return comparisons


def _compare_mixtures(analyses: Sequence[CurveAnalysis], settings: Settings) -> list[laws.MixtureComparison]:
    """Compare the mixtures of one task, D_f, model and corpus on their first metric, at the largest D_p of both."""
    groups: dict[tuple[object, ...], list[CurveAnalysis]] = defaultdict(list)
    for analysis in analyses:
        first = analysis.data.first
        if analysis.choice is not None and first.mixture and first.task:
            key = (first.task, first.finetune_tokens, first.architecture, first.parameters, first.corpus)
            groups[key].append(analysis)
    comparisons: list[laws.MixtureComparison] = []
    for members in groups.values():
        metric = min((member.data.metric for member in members), key=order)
        rivals = [member for member in members if member.data.metric == metric]
        largest = [max(point.pretrain_tokens for point in rival.data.points) for rival in rivals]
        pairs = [(i, j, min(largest[i], largest[j])) for i, j in combinations(range(len(rivals)), 2)][:_MOST_PAIRS]
        choices = []
        for rival in rivals:
            assert rival.choice is not None
            choices.append(rival.choice)
        comparisons += laws.compare_pairs(choices, pairs, seed=settings.seed)
    return comparisons
