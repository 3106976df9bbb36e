"""Curves from points: what belongs together, what is its baseline, and what can not be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..logs import Problem
from ..quantities import format_tokens
from .metrics import order
from .points import Point, curve_name, mixture_label


@dataclass
class CurvePoints:
    """The points of one curve, ordered by D_p and seed: one mixture, task, D_f, architecture and metric."""

    name: str
    metric: str
    lower_is_better: bool
    points: list[Point]
    baselines: list[Point] = field(default_factory=list)
    left_out: list[tuple[Point, str]] = field(default_factory=list)

    @property
    def first(self) -> Point:
        """The point whose mixture, task, D_f and architecture stand for the curve's."""
        return (self.points or [point for point, _ in self.left_out])[0]

    def attributes(self) -> dict[str, Any]:
        """Return what the curve fixes: mixture, alignment, task, D_f, architecture, signature."""
        first = self.first
        return {
            "mixture": first.mixture,
            "alignment": first.alignment,
            "source_lang": first.source_lang,
            "target_lang": first.target_lang,
            "finetune_tokens": first.finetune_tokens,
            "architecture": first.architecture,
            "parameters": first.parameters,
            "signature": first.details.get("signature", ""),
            "subset": first.details.get("subset", ""),
        }


@dataclass
class Collection:
    """All curves in the order of a report (task, D_f, mixture by alignment, metric), and what was wrong."""

    curves: list[CurvePoints] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def collect(points: Iterable[Point]) -> Collection:
    """Group points into curves.

    Points with D_p = 0 become the baseline of the curves of the same task, D_f, architecture and metric; in a table,
    of the curve that bears their name. Values that the logarithm does not know (0 and below), and values read
    twice, are left out with a reason.
    """
    collection = Collection()
    trained: dict[Hashable, list[Point]] = defaultdict(list)
    own_baselines: dict[Hashable, list[Point]] = defaultdict(list)
    for point in _settle_names(points):
        (trained if point.pretrain_tokens > 0 else own_baselines)[_curve_key(point)].append(point)
    shared: dict[Hashable, list[Point]] = defaultdict(list)
    for key, baselines in own_baselines.items():
        if key not in trained:
            for point in baselines:
                shared[_condition(point)].append(point)
    claimed: set[Hashable] = set()
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
    for condition, baselines in shared.items():
        if condition not in claimed:
            for point in baselines:
                message = f"baseline ({point.metric} of {curve_name(point)}) without a curve to compare it with"
                collection.problems.append(Problem(point.file, point.line, message))
    collection.curves.sort(key=_report_order)
    return collection


def _settle_names(points: Iterable[Point]) -> list[Point]:
    """Give the curves of a table that hide several mixtures, D_f or architectures a name each, and fill in blanks."""
    points = list(points)
    variants: dict[str, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for point in points:
        if point.curve is not None and point.pretrain_tokens > 0:
            for name in ("mixture", "finetune_tokens", "architecture", "source_lang", "target_lang"):
                if getattr(point, name) not in ("", None):
                    variants[point.curve][name].add(getattr(point, name))
    settled = []
    for point in points:
        if point.curve is not None:
            several = {name: values for name, values in variants[point.curve].items() if len(values) > 1}
            one = {name: next(iter(values)) for name, values in variants[point.curve].items() if len(values) == 1}
            blanks = {name: value for name, value in one.items() if getattr(point, name) in ("", None)}
            label = point.curve
            if several and point.pretrain_tokens > 0:
                label = " / ".join([label, *(_label(name, getattr(point, name)) for name in sorted(several))])
            point = replace(point, curve=label, **blanks)
        if point.alignment is None and point.mixture and point.task:
            point = replace(point, alignment=_alignment(point))
        settled.append(point)
    return settled


def _label(name: str, value: Any) -> str:
    if name == "finetune_tokens" and value is not None:
        return f"D_f={format_tokens(value)}"
    if name == "mixture":
        return mixture_label(value)
    return str(value or f"no {name}")


def _alignment(point: Point) -> float | None:
    from ..errors import ScalingError
    from ..mixture import Mixture

    try:
        return Mixture.parse(point.mixture).alignment(point.source_lang, point.target_lang)
    except ScalingError:
        return None


def _curve_key(point: Point) -> Hashable:
    if point.pretrain_tokens == 0 and point.curve is None:
        return ("baseline", *_condition(point))
    return curve_name(point), point.metric


def _condition(point: Point) -> tuple[Hashable, ...]:
    """What a baseline must share with a curve: everything but the pretraining."""
    return (point.source_lang, point.target_lang, point.finetune_tokens, point.architecture, point.metric)


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
    seen: dict[Hashable, Point] = {}
    kept = []
    for point in points:
        key = (point.pretrain_tokens, point.seed, point.value, point.metric)
        if key in seen and seen[key].file != point.file:
            left_out.append((point, f"the same point as {seen[key].origin}"))
        else:
            seen.setdefault(key, point)
            kept.append(point)
    return kept


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
        if point.seed is not None and (point.pretrain_tokens, point.seed) in seen:
            at = format_tokens(point.pretrain_tokens)
            problems.append(_warn(curve, f"several values at D_p {at} with seed {point.seed}; taken as repeats", point))
            break
        seen.add((point.pretrain_tokens, point.seed))
    return problems


def _warn(curve: CurvePoints, message: str, point: Point | None = None) -> Problem:
    point = point or curve.first
    return Problem(point.file, point.line, f"curve {curve.name}, {curve.metric}: {message}")


def _by_size(point: Point) -> tuple[float, int, float]:
    return (point.pretrain_tokens, -1 if point.seed is None else point.seed, point.value)


def _report_order(curve: CurvePoints) -> tuple[Any, ...]:
    """Order by task, D_f and architecture, then best aligned mixture first, then metric."""
    first = curve.first
    aligned = -first.alignment if first.alignment is not None else 0.0
    return (first.task, first.finetune_tokens or 0, first.architecture, aligned, curve.name, order(curve.metric))
