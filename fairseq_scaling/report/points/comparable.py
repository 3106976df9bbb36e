"""Points made comparable before they become curves: blanks filled in, curves named apart, sizes of repeats made one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...errors import ScalingError
from ...mixture import Mixture
from ...quantities import format_tokens
from .point import Point, curve_name, mixture_label, run_curve_name

SAME_SIZE = 0.005
"""Pretraining sizes of one curve that differ by less than this share are one size."""

_TABLE_VARIANTS = (
    "mixture", "fixed", "finetune_tokens", "architecture", "source_lang", "target_lang", "parameters", "corpus",
)  # fmt: skip
_APART = ("finetune_tokens", "parameters", "corpus")


def make_comparable(points: Iterable[Point]) -> list[Point]:
    """Return the points as curves can be made of them, in the same order.

    - A point that does not say its model's size or corpus takes that of the others of its curve, else of its task, D_f
      and architecture, where these know only one.
    - A table's name that hides several mixtures, D_f, models or corpora gives a name each; so do runs whose curves
      would bear one name but differ in D_f, parameters or corpus. Where a metric was measured on several test sets
      each has a curve, named by its test set.
    - Runs of one curve that stopped at nearly one D_p, as other pretraining seeds do, stand at one D_p: to the laws
      these are repeats, not further sizes.
    """
    filled = _fill(list(points), ("parameters", "corpus"), curve_name)
    filled = _fill(filled, ("parameters", "corpus"), _model)
    return _merge_sizes(_name_test_sets(_tell_apart(_name_tables(filled))))


def with_test_sets(points: Iterable[Point]) -> list[Point]:
    """Return the points with the test set of each.

    A point that does not say it takes that of the others of its curve and metric, else of its task, D_f and
    architecture, where these know only one.
    """
    named = [replace(point, test_set=_subset(point)) if _subset(point) else point for point in points]
    named = _fill(named, ("test_set",), lambda p: (curve_name(p), p.metric))
    return _fill(named, ("test_set",), lambda p: (_model(p), p.metric))


def _subset(point: Point) -> str:
    """Return the test set that a run's details say, where the point itself says none."""
    return "" if point.test_set else str(point.details.get("subset") or "")


def _model(point: Point) -> Hashable:
    return (point.source_lang, point.target_lang, point.finetune_tokens, point.architecture)


def _fill(points: Sequence[Point], names: Sequence[str], key: Callable[[Point], Hashable]) -> list[Point]:
    """Fill blank fields with the value of the other points of one key, where these have one value only."""
    known: dict[Hashable, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for point in points:
        for name in names:
            if getattr(point, name):
                known[key(point)][name].add(getattr(point, name))
    filled = []
    for point in points:
        only = {name: next(iter(values)) for name, values in known[key(point)].items() if len(values) == 1}
        blanks = {name: value for name, value in only.items() if not getattr(point, name)}
        filled.append(replace(point, **blanks) if blanks else point)
    return filled


def _name_tables(points: Sequence[Point]) -> list[Point]:
    """Give the curves of a table that hide several mixtures, D_f or architectures a name each, and fill in blanks."""
    variants: dict[str, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for point in points:
        if point.curve is not None and point.pretrain_tokens > 0:
            for name in _TABLE_VARIANTS:
                if getattr(point, name) not in ("", None):
                    variants[point.curve][name].add(getattr(point, name))
    named = []
    for point in points:
        if point.curve is not None:
            several = {name: values for name, values in variants[point.curve].items() if len(values) > 1}
            one = {name: next(iter(values)) for name, values in variants[point.curve].items() if len(values) == 1}
            blanks = {name: value for name, value in one.items() if getattr(point, name) in ("", None)}
            label = point.curve
            if several and point.pretrain_tokens > 0:
                parts = [_label(name, getattr(point, name), several[name]) for name in sorted(several)]
                label = " / ".join([label, *parts])
            if blanks or label != point.curve:
                point = replace(point, curve=label, **blanks)
        if point.alignment is None and point.mixture and point.task:
            point = replace(point, alignment=_alignment(point))
        named.append(point)
    return named


def _tell_apart(points: Sequence[Point]) -> list[Point]:
    """Say of curves of one mixture, task, D_f and architecture what else tells them apart, where something does."""
    bare = [run_curve_name(point) for point in points]
    values: dict[str, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for name, point in zip(bare, points, strict=True):
        for field in _APART:
            values[name][field].add(getattr(point, field))
    named = []
    for name, point in zip(bare, points, strict=True):
        several = {field: among for field, among in values[name].items() if len(among) > 1}
        parts = [_label(field, getattr(point, field), among) for field, among in several.items()]
        named.append(replace(point, apart=", ".join(parts)) if parts else point)
    return named


def _name_test_sets(points: Sequence[Point]) -> list[Point]:
    """Add the test set to the names of the curves of which a metric was measured on several.

    Another metric that was measured on one of these sets takes its name too, so that it is beside the other one.
    """
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for point in points:
        known[curve_name(point), point.metric].add(point.test_set)
    several: dict[str, set[str]] = defaultdict(set)
    for (name, _), test_sets in known.items():
        several[name] |= test_sets if len(test_sets) > 1 else set()
    named = []
    for point in points:
        if point.test_set in several[curve_name(point)]:
            label = point.test_set or "unknown test set"
            if point.curve is not None:
                point = replace(point, curve=f"{point.curve} / {label}")
            else:
                point = replace(point, apart=", ".join(part for part in (point.apart, label) if part))
        named.append(point)
    return named


def _merge_sizes(points: Sequence[Point]) -> list[Point]:
    """Set D_p of points of one curve (any metric) that differ by less than ``SAME_SIZE`` to their mean."""
    sizes: dict[str, set[float]] = defaultdict(set)
    for point in points:
        sizes[curve_name(point)].add(point.pretrain_tokens)
    merged_sizes = {name: _merged(found) for name, found in sizes.items()}
    merged = []
    for point in points:
        size = merged_sizes[curve_name(point)][point.pretrain_tokens]
        changed = size != point.pretrain_tokens
        merged.append(replace(point, pretrain_tokens=size, exact=point.pretrain_tokens) if changed else point)
    return merged


def _merged(sizes: Iterable[float]) -> dict[float, float]:
    """Return size -> the size it counts as."""
    groups: list[list[float]] = []
    for size in sorted(sizes):
        if groups and size <= groups[-1][0] * (1 + SAME_SIZE):
            groups[-1].append(size)
        else:
            groups.append([size])
    return {
        size: size if len(group) == 1 else float(round(sum(group) / len(group))) for group in groups for size in group
    }


def _label(name: str, value: Any, among: Iterable[Any]) -> str:
    """Return what a name says of one of its values; numbers that look alike when shortened are written out."""
    if value in ("", None):
        return {"parameters": "unknown size", "finetune_tokens": "unknown D_f"}.get(name, f"unknown {name}")
    if name == "mixture":
        return mixture_label(value)
    if name == "corpus":
        return f"corpus {value}"
    if name not in ("finetune_tokens", "parameters"):
        return str(value)
    numbers = [number for number in among if number is not None]
    short = len({format_tokens(number) for number in numbers}) == len(set(numbers))
    written = format_tokens(value) if short else f"{value:,}"
    return f"D_f={written}" if name == "finetune_tokens" else f"{written} parameters"


def _alignment(point: Point) -> float | None:
    try:
        return Mixture.parse(point.mixture).alignment(point.source_lang, point.target_lang)
    except ScalingError:
        return None
