"""Curves from points: what belongs together, what is its baseline, and what can not be used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...metrics import order
from ...problems import Problem, remark
from ...quantities import short_tokens
from .comparable import settle
from .point import Point, curve_name

_MOST_SETTINGS = 5


@dataclass
class CurvePoints:
    """The points of one curve, ordered by D_p and seed: one mixture, task, D_f, model, corpus and metric."""

    name: str
    metric: str
    lower_is_better: bool
    points: list[Point]
    baselines: list[Point] = field(default_factory=list)
    left_out: list[tuple[Point, str]] = field(default_factory=list)

    @property
    def first(self) -> Point:
        """The point whose mixture, task, D_f, model and corpus stand for the curve's."""
        return (self.points or [point for point, _ in self.left_out])[0]

    def attributes(self) -> dict[str, Any]:
        """Return what the curve fixes: mixture, alignment, task, D_f, model, corpus, signature."""
        first = self.first
        return {
            "mixture": first.mixture,
            "alignment": first.alignment,
            "source_lang": first.source_lang,
            "target_lang": first.target_lang,
            "finetune_tokens": first.finetune_tokens,
            "architecture": first.architecture,
            "parameters": first.parameters,
            "corpus": first.corpus,
            "signature": first.details.get("signature", ""),
            "subset": first.details.get("subset", ""),
        }


@dataclass
class Unplaced:
    """Points whose D_p is unknown, and the baseline beside them: of one task, D_f, model, corpus and metric."""

    points: list[Point]
    baselines: list[Point] = field(default_factory=list)


@dataclass
class Collection:
    """All curves in the order of a report (task, D_f, mixture by alignment, metric), and what was wrong."""

    curves: list[CurvePoints] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def collect(points: Iterable[Point]) -> Collection:
    """Group points into curves.

    Points with D_p = 0 become the baseline of the curves of the same task, D_f, architecture, parameters, corpus and
    metric; in a table, of the curve that bears their name. Points without D_p are on no curve, but stand beside the
    same baselines. Values that the logarithm does not know (0 and below), and values read twice, are left out with a
    reason.
    """
    collection = Collection()
    trained: dict[Hashable, list[Point]] = defaultdict(list)
    own_baselines: dict[Hashable, list[Point]] = defaultdict(list)
    points = list(points)
    for point in settle(point for point in points if point.is_placed):
        (trained if point.pretrain_tokens > 0 else own_baselines)[_curve_key(point)].append(point)
    shared: dict[Hashable, list[Point]] = defaultdict(list)
    for key, baselines in own_baselines.items():
        if key not in trained:
            for point in baselines:
                shared[_condition(point)].append(point)
    claimed: set[Hashable] = set()
    told: set[str] = set()
    for key, members in trained.items():
        curve = _curve(members)
        if key in own_baselines:
            curve.baselines = own_baselines[key]
        else:
            curve.baselines = shared.get(_condition(members[0]), [])
            claimed.add(_condition(members[0]))
        curve.baselines = sorted(_without_doubles(curve.baselines, curve.left_out), key=_by_size)
        collection.curves.append(curve)
        collection.problems += _contradictions(curve)
        if curve.name not in told and (problem := _unlike_settings(curve)) is not None:
            told.add(curve.name)
            collection.problems.append(problem)
    collection.unplaced = _unplaced([point for point in points if not point.is_placed], shared)
    claimed |= {_condition(group.points[0]) for group in collection.unplaced}
    for condition, baselines in shared.items():
        if condition not in claimed:
            for point in baselines:
                message = f"baseline ({point.metric} of {curve_name(point)}) without a curve to compare it with"
                collection.problems.append(remark(point.file, point.line, message))
    collection.curves.sort(key=_report_order)
    return collection


def _unplaced(points: Iterable[Point], baselines: Mapping[Hashable, list[Point]]) -> list[Unplaced]:
    groups: dict[Hashable, list[Point]] = defaultdict(list)
    for point in points:
        groups[_condition(point)].append(point)
    found = [Unplaced(members, list(baselines.get(condition, ()))) for condition, members in groups.items()]
    return sorted(found, key=lambda group: (*_condition_order(group.points[0]), order(group.points[0].metric)))


def _curve_key(point: Point) -> Hashable:
    if point.pretrain_tokens == 0 and point.curve is None:
        return ("baseline", *_condition(point))
    return curve_name(point), point.metric


def _condition(point: Point) -> tuple[Hashable, ...]:
    """What a baseline must share with a curve: everything but the pretraining."""
    model = (point.architecture, point.parameters)
    return (point.source_lang, point.target_lang, point.finetune_tokens, *model, point.corpus, point.metric)


def _curve(members: Sequence[Point]) -> CurvePoints:
    left_out: list[tuple[Point, str]] = []
    used = []
    for point in sorted(_without_doubles(members, left_out), key=_by_size):
        if point.value <= 0:
            left_out.append((point, f"value {point.value:g} is not above zero; the laws are fitted to logarithms"))
        else:
            used.append(point)
    return CurvePoints(
        name=curve_name(members[0]),
        metric=members[0].metric,
        lower_is_better=members[0].lower_is_better,
        points=used,
        left_out=left_out,
    )


def _without_doubles(points: Iterable[Point], left_out: list[tuple[Point, str]]) -> list[Point]:
    """Return the points without those that were read a second time from another file (logs and a table of them)."""
    seen: dict[Hashable, list[Point]] = defaultdict(list)
    kept = []
    for point in points:
        alike = seen[point.consumed, point.seed, point.value, point.metric]
        twin = next((other for other in alike if other.file != point.file and _may_be_one(point, other)), None)
        if twin is not None:
            left_out.append((point, f"the same point as {twin.origin}"))
        else:
            alike.append(point)
            kept.append(point)
    return kept


def _may_be_one(point: Point, other: Point) -> bool:
    """Return whether nothing says that two points of equal value come from two runs; a table may not name the run."""
    runs = {point.run_id, other.run_id} - {""}
    seeds = {point.pretrain_seed, other.pretrain_seed} - {None}
    return len(runs) < 2 and len(seeds) < 2


def _contradictions(curve: CurvePoints) -> list[Problem]:
    """Return warnings about points that stand on one curve but do not compare."""
    problems = []
    points = curve.points + curve.baselines
    if len({point.lower_is_better for point in points}) > 1:
        problems.append(_warn(curve, "lower_is_better is 0 in some rows and 1 in others; the first row counts"))
    for key, what in (("signature", "signatures"), ("subset", "subsets")):
        values = sorted({str(point.details[key]) for point in points if point.details.get(key)})
        if len(values) > 1:
            problems.append(_warn(curve, f"scores with different {what} do not compare: {'; '.join(values)}"))
    seen: set[Hashable] = set()
    for point in curve.points:
        run = (point.pretrain_tokens, point.pretrain_seed, point.seed)
        if point.seed is not None and run in seen:
            before = "" if point.pretrain_seed is None else f"pretraining seed {point.pretrain_seed} and "
            where = f"at D_p {short_tokens(point.pretrain_tokens)} with {before}seed {point.seed}"
            problems.append(_warn(curve, f"several values {where}; taken as repeats", point))
            break
        seen.add(run)
    return problems


def _unlike_settings(curve: CurvePoints) -> Problem | None:
    """Return a warning where the runs of a curve were finetuned with different settings: which, and which values."""
    names = sorted({name for point in curve.points for name in point.settings})
    counts = {name: Counter(p.settings[name] for p in curve.points if name in p.settings) for name in names}
    unlike = {name: count for name, count in counts.items() if len(count) > 1}
    # The optimizer and the schedule repeat the learning rate.
    said = {name: count for name, count in unlike.items() if "." not in name or name.rpartition(".")[2] not in unlike}
    if not said:
        return None
    name, count = next(iter(said.items()))
    odd = next(p for p in curve.points if p.settings.get(name) not in (None, count.most_common(1)[0][0]))
    parts = [
        f"{name} " + ", ".join(f"{value} ({number} run{'s'[: number > 1]})" for value, number in count.most_common())
        for name, count in list(said.items())[:_MOST_SETTINGS]
    ]
    more = f"; and {len(said) - _MOST_SETTINGS} more" if len(said) > _MOST_SETTINGS else ""
    what = f"its runs were finetuned with different settings, so they may not compare: {'; '.join(parts)}{more}"
    return remark(odd.file, odd.line, f"curve {curve.name}: {what}")


def _warn(curve: CurvePoints, message: str, point: Point | None = None) -> Problem:
    point = point or curve.first
    return remark(point.file, point.line, f"curve {curve.name}, {curve.metric}: {message}")


def _by_size(point: Point) -> tuple[float, int, int, float]:
    seeds = [-1 if seed is None else seed for seed in (point.pretrain_seed, point.seed)]
    return (point.pretrain_tokens, seeds[0], seeds[1], point.value)


def _report_order(curve: CurvePoints) -> tuple[Any, ...]:
    """Order by task, D_f, model and corpus, then best aligned mixture first, then metric."""
    aligned = -curve.first.alignment if curve.first.alignment is not None else 0.0
    return (*_condition_order(curve.first), aligned, curve.name, order(curve.metric))


def _condition_order(point: Point) -> tuple[Any, ...]:
    model = (point.architecture, point.parameters or 0, point.corpus)
    return (point.task, point.finetune_tokens or 0, *model)
