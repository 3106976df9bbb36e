"""Curves from points: what belongs together, what is its baseline, and what can not be used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SettingError
from ...metrics import Metric, describe, order
from ...problems import Problem, ProblemKind
from ...quantities import Quantity, format_tokens
from .comparable import make_comparable, with_test_sets
from .point import Point, curve_name

_MOST_SETTINGS = 5


class CurveProblem(ProblemKind):
    """What is wrong with the points of a curve."""

    MIXED_DIRECTIONS = "{metric}: lower_is_better is 0 in some rows and 1 in others, the first row counts"
    MIXED_SIGNATURES = "{metric}: scores with different signatures do not compare", "{signatures}"
    REPEATS = "{metric}: several values {where}, taken as repeats"
    MIXED_SETTINGS = "its runs were finetuned with different settings, so they may not compare: {settings}"
    UNREAD = (
        "D_f of {finetune_tokens} tokens was not read: at most {read} tokens were",
        "{runs} of its {all} runs ended before they had read their finetuning set once",
        "train longer (--max-update, --max-epoch) or name the D_f that was read",
    )
    LONE_BASELINE = "baseline ({metric} of {name}) without a curve to compare it with"


@dataclass
class CurvePoints:
    """The points of one curve, ordered by D_p and seed: one mixture, task, D_f, model, corpus and metric."""

    name: str
    metric: str
    lower_is_better: bool
    points: list[Point]
    baselines: list[Point] = field(default_factory=list)
    left_out: list[tuple[Point, str]] = field(default_factory=list)
    noise: float | None = None
    """Standard deviation of one run in points of the metric, where the user gave it."""

    @property
    def quantity(self) -> Quantity:
        """What stands on the x axis."""
        return self.first.quantity

    @property
    def about(self) -> Metric:
        """The metric at the scale of the points."""
        return describe(self.metric, self.lower_is_better, self.first.scale)

    @property
    def first(self) -> Point:
        """The point whose mixture, task, D_f, model and corpus stand for the curve's."""
        return (self.points or [point for point, _ in self.left_out])[0]

    def attributes(self) -> dict[str, Any]:
        """Return what the curve fixes: mixture, alignment, task, D_f, model, corpus, signature."""
        first = self.first
        names = ("mixture", "alignment", "source_lang", "target_lang", "finetune_tokens", "architecture", "parameters",
                 "corpus", "test_set", "scale")  # fmt: skip
        said = {name: getattr(first, name) for name in names}
        return said | {name: first.details.get(name, "") for name in ("signature", "subset")} | {"noise": self.noise}


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


def collect(points: Iterable[Point], noise: Mapping[str, float] | None = None) -> Collection:
    """Group points into curves.

    Points with D_p = 0 become the baseline of the curves of the same task, D_f, architecture, parameters, corpus and
    metric; in a table, of the curve that bears their name. Points without D_p are on no curve, but stand beside the
    same baselines. Values that the metric cannot take, and values read twice, are left out with a reason.

    Args:
        points: of all runs and tables.
        noise: metric -> standard deviation of one run in points of the metric, as the user gave it.

    Raises:
        SettingError: the points are over different quantities.
    """
    collection = Collection()
    trained: dict[Hashable, list[Point]] = defaultdict(list)
    own_baselines: dict[Hashable, list[Point]] = defaultdict(list)
    points = with_test_sets(points)
    _check_quantities(points)
    for point in make_comparable(point for point in points if point.is_placed):
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
        curve.noise = (noise or {}).get(curve.metric)
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
                where = {"metric": point.metric, "name": curve_name(point)}
                collection.problems.append(CurveProblem.LONE_BASELINE.at(point.file, point.line, **where))
    collection.curves.sort(key=_report_order)
    return collection


def _check_quantities(points: Sequence[Point]) -> None:
    """Refuse points over different quantities: they share no x axis."""
    found = {point.quantity.name: point for point in points}
    if len(found) > 1:
        said = "; ".join(f"{point.file} is over {point.quantity.title}" for point in found.values())
        raise SettingError("--x", ", ".join(found), said, "choose one quantity with --x, or fit the files one by one")


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
    test = (point.corpus, point.metric, point.test_set, point.fixed, point.start if point.is_placed else "")
    return (point.source_lang, point.target_lang, point.finetune_tokens, *model, *test)


def _curve(members: Sequence[Point]) -> CurvePoints:
    left_out: list[tuple[Point, str]] = []
    used = []
    for point in sorted(_without_doubles(members, left_out), key=_by_size):
        reason = _impossible(point)
        if reason:
            left_out.append((point, reason))
        else:
            used.append(point)
    return CurvePoints(
        name=curve_name(members[0]),
        metric=members[0].metric,
        lower_is_better=members[0].lower_is_better,
        points=used,
        left_out=left_out,
    )


def _impossible(point: Point) -> str:
    """Return why a value cannot be one of its metric; empty where it can."""
    row = describe(point.metric, point.lower_is_better, point.scale)
    if row.is_possible(point.value):
        return ""
    if point.value < row.lower:
        return f"{row.title} cannot be below {row.lower:g}"
    per_cent = f"; if it is in per cent write --scale {point.metric}=100" if row.scale == 1 else ""
    return f"{row.title} cannot be above {row.upper:g}{per_cent}"


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
    where: dict[str, Any] = {"file": curve.first.file, "line": curve.first.line, "curve": curve.name}
    if len({point.lower_is_better for point in points}) > 1:
        problems.append(CurveProblem.MIXED_DIRECTIONS.at(**where, metric=curve.metric))
    signatures = sorted({str(point.details["signature"]) for point in points if point.details.get("signature")})
    if len(signatures) > 1:
        said = "; ".join(signatures)
        problems.append(CurveProblem.MIXED_SIGNATURES.at(**where, metric=curve.metric, signatures=said))
    found = (_repeats(curve), _unread(curve))
    problems += [problem for problem in found if problem is not None]
    return problems


def _repeats(curve: CurvePoints) -> Problem | None:
    """Return a warning where one seed has several values at one x."""
    seen: set[Hashable] = set()
    for point in curve.points:
        run = (point.pretrain_tokens, point.pretrain_seed, point.seed)
        if point.seed is not None and run in seen:
            quantity = point.quantity
            before = "" if point.pretrain_seed is None else f"pretraining seed {point.pretrain_seed} and "
            where = f"at {quantity.symbol} {quantity.format(point.pretrain_tokens, 3)} with {before}seed {point.seed}"
            return CurveProblem.REPEATS.at(point.file, point.line, curve=curve.name, metric=curve.metric, where=where)
        seen.add(run)
    return None


def _unread(curve: CurvePoints) -> Problem | None:
    """Return a warning where finetunings ended before they had read their set: the curve is not of its D_f."""
    short = [point for point in curve.points if point.finetune_tokens_read is not None]
    if not short:
        return None
    first = short[0]
    said: dict[str, Any] = {
        "finetune_tokens": format_tokens(first.finetune_tokens or 0),
        "read": format_tokens(max(point.finetune_tokens_read or 0 for point in short)),
        "runs": len(short),
        "all": len(curve.points),
    }
    return CurveProblem.UNREAD.at(first.file, first.line, curve=curve.name, **said)


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
    settings = f"{'; '.join(parts)}{more}"
    return CurveProblem.MIXED_SETTINGS.at(odd.file, odd.line, curve=curve.name, settings=settings)


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
