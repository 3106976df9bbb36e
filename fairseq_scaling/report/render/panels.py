"""One panel of a figure: points, law, band, baseline and labels of the curves that share metric, task and D_f.

The page and the terminal need its colours and means without matplotlib, which is imported where something is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..quantities import format_tokens
from .document import Document, chosen_law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, PAPER, SHADE = "#1c1f26", "#5d6470", "#e4e6eb", "#fefefe", "#f4f5f8"
# Okabe and Ito's palette for all kinds of colour vision, darkened where it was too pale for lines on white.
PALETTE = ("#0068a8", "#c44a06", "#007f5b", "#a6498b", "#916600", "#4f5bd5")
MARKERS = ("o", "s", "^", "D", "v", "P")
FOLLOWS = ("follows the law", "saturated", "breakthrough")
"""Verdicts under which the law is drawn as a finding; under any other it is a thin dotted line."""

_LABEL_POINTS, _VERDICT_POINTS = 8.5, 7.0
_BASELINE_LABEL = "no pretraining"


@dataclass
class _End:
    """A label that wants to stand at the right edge: where its line ends (data units), and its text."""

    x: float
    y: float
    text: str
    below: str
    colour: str


def series_key(curve: Document) -> str:
    """Return what a colour stands for: the mixture where it is known, else the curve."""
    return str(curve["setting"]["mixture_label"] if curve["setting"]["mixture"] else curve["name"])


@dataclass(frozen=True)
class Span:
    """The range of D_p (tokens) that the panels of one column share; beyond ``largest`` there are no points."""

    left: float
    largest: float
    right: float


def span_of(curves: Sequence[Document]) -> Span | None:
    """Return the range the curves need: to four times the largest D_p where a law is worth extending."""
    if not curves:
        return None
    left = min(point["pretrain_tokens"] for curve in curves for point in curve["points"])
    largest = max(curve["largest_pretrain_tokens"] for curve in curves)
    ahead = any(chosen_law(curve) and _follows(curve) for curve in curves)
    return Span(left / 1.22, largest, largest * (4.0 if ahead else 1.2))


def draw_panel(
    axes: Axes, curves: Sequence[Document], series: Sequence[str], span: Span | None = None, letters: int = 20
) -> None:
    """Draw the curves (of one metric, task and D_f) over pretraining tokens.

    Args:
        axes: to draw into; its labels stand right of it, where the caller left room.
        curves: from the document.
        series: what colours and markers stand for, in their order; one panel's colours are every panel's.
        span: the range of D_p; by default what these curves need.
        letters: longest label.
    """
    style(axes)
    axes.set_xscale("log")
    span = span or span_of(curves)
    if not curves or span is None:
        axes.text(0.5, 0.5, "no runs", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    heights: list[float] = []
    ends: list[_End] = []
    right = span.right
    for curve in curves:
        number = series.index(series_key(curve)) % len(PALETTE)
        ends.append(_draw_curve(axes, curve, PALETTE[number], MARKERS[number], right, heights, letters))
    baseline = [point["value"] for curve in curves for point in curve["baseline"]]
    if baseline:
        level = float(np.mean(baseline))
        axes.axhline(level, color=MUTED, lw=1.1, ls=(0, (4, 2, 1, 2)), zorder=1.5)
        heights += [level]
        ends.append(_End(right, level, _BASELINE_LABEL, "", MUTED))
    low, high = min(heights), max(heights)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_xlim(span.left, right)
    axes.set_ylim(low - pad, high + 1.3 * pad)
    token_axis(axes)
    if right > 2 * span.largest:
        axes.axvspan(span.largest * 1.1, right, color=SHADE, lw=0, zorder=0)
        axes.text(
            0.995, 0.985, "extrapolated", transform=axes.transAxes, ha="right", va="top", fontsize=6.8, color=MUTED
        )
    _place_labels(axes, ends)


def style(axes: Axes) -> None:
    """Give the axes the report's look: no box, light horizontal lines, few ticks."""
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(PAPER)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=3, width=0.8, labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def token_axis(axes: Axes) -> None:
    """Label a logarithmic axis of tokens with round numbers such as 500k, 1M, 2M."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = axes.get_xlim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [(1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)]
    wanted = 6 if axes.get_position().width * axes.get_figure().get_figwidth() > 4 else 5  # type: ignore[union-attr]
    ticks = [
        [factor * 10.0**decade for decade in decades for factor in step if low <= factor * 10.0**decade <= high]
        for step in steps
    ]
    chosen = next((entry for entry in ticks if len(entry) <= wanted), ticks[-1])
    while len(chosen) > wanted:
        chosen = chosen[::2]
    axes.xaxis.set_major_locator(FixedLocator(chosen))
    axes.xaxis.set_major_formatter(FixedFormatter([format_tokens(tick) for tick in chosen]))
    axes.xaxis.set_minor_locator(NullLocator())


def means(curve: Document) -> list[tuple[float, float, bool]]:
    """Return (D_p, mean over the repeats, held out) of every pretraining size of a document's curve."""
    sizes: dict[float, list[Document]] = {}
    for point in curve["points"]:
        sizes.setdefault(point["pretrain_tokens"], []).append(point)
    return [
        (tokens, float(np.mean([point["value"] for point in points])), any(point["held_out"] for point in points))
        for tokens, points in sorted(sizes.items())
    ]


def _follows(curve: Document) -> bool:
    return curve["verdict"] is None or curve["verdict"]["kind"] in FOLLOWS


def _draw_curve(
    axes: Axes, curve: Document, colour: str, marker: str, right: float, heights: list[float], letters: int
) -> _End:
    middle = means(curve)
    heights += [point["value"] for point in curve["points"]]
    x_end, y_end = middle[-1][0], middle[-1][1]
    law = chosen_law(curve)
    if law is not None:
        end = _draw_law(axes, curve, law, colour, right, heights)
        if end is not None:
            x_end, y_end = right, end
    if law is None or not _follows(curve):
        axes.plot([m[0] for m in middle], [m[1] for m in middle], color=colour, lw=1.4, alpha=0.75, zorder=2)
    repeated = len(curve["points"]) > len(middle)
    if repeated:
        axes.plot(
            [point["pretrain_tokens"] for point in curve["points"]],
            [point["value"] for point in curve["points"]],
            marker=marker, ms=3, ls="none", color=colour, mew=0, alpha=0.4, zorder=2.5,
        )  # fmt: skip
    for hollow in (False, True):
        chosen = [entry for entry in middle if entry[2] == hollow]
        axes.plot(
            [entry[0] for entry in chosen],
            [entry[1] for entry in chosen],
            marker=marker, ms=6.2, ls="none", zorder=4,
            mfc=PAPER if hollow else colour, mec=colour if hollow else PAPER, mew=1.5 if hollow else 0.8,
        )  # fmt: skip
    kind = curve["verdict"]["kind"] if curve["verdict"] else "too few points"
    return _End(x_end, y_end, shorten(series_key(curve), letters), kind, colour)


def _draw_law(
    axes: Axes, curve: Document, law: Document, colour: str, right: float, heights: list[float]
) -> float | None:
    """Draw a law; return its value at the right edge, or None where the figure does not stand behind it."""
    line = law["line"]
    x, y, lower, upper = (_array(line[key]) for key in ("pretrain_tokens", "predicted", "lower", "upper"))
    used = [point["pretrain_tokens"] for point in curve["points"] if point["used"]]
    if not used:
        return None
    first, last, largest = min(used), max(used), curve["largest_pretrain_tokens"]
    if not _follows(curve):
        inside = (x >= first / 1.01) & (x <= largest * 1.01)
        axes.plot(x[inside], y[inside], color=colour, lw=1.1, ls=(0, (1, 2)), alpha=0.9, zorder=2)
        return None
    inside = x <= right * 1.01
    axes.fill_between(x[inside], lower[inside], upper[inside], color=colour, alpha=0.13, lw=0, zorder=1)
    solid = (x >= first / 1.04) & (x <= last * 1.02)
    dashed = (x >= last) & inside
    axes.plot(x[solid], y[solid], color=colour, lw=1.9, zorder=3)
    axes.plot(x[dashed], y[dashed], color=colour, lw=1.5, ls=(0, (3.5, 2)), zorder=3)
    shown = y[solid | dashed]
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return None
    heights += [float(shown.min()), float(shown.max())]
    return float(shown[-1])


def _place_labels(axes: Axes, ends: Sequence[_End]) -> None:
    """Write the labels right of the axes, at the height of their lines but never over each other."""
    figure = axes.get_figure()
    assert figure is not None
    bottom, top = axes.get_ylim()
    height = axes.get_position().height * figure.get_figheight() * 72.0  # type: ignore[union-attr]
    wanted = sorted(ends, key=lambda end: end.y)
    sizes = [_LABEL_POINTS * 1.25 + (_VERDICT_POINTS * 1.3 if end.below else 0.0) for end in wanted]
    centres = [min(max((end.y - bottom) / (top - bottom), 0.0), 1.0) * height for end in wanted]
    placed = spread(centres, sizes, height)
    left, right = axes.get_xlim()
    for end, centre in zip(wanted, placed, strict=True):
        middle = centre / height
        start = math.log(end.x / left) / math.log(right / left)
        natural = min(max((end.y - bottom) / (top - bottom), 0.0), 1.0)
        axes.annotate(
            "", xy=(start, natural), xytext=(1.022, middle), xycoords="axes fraction", textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": end.colour, "lw": 0.7, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        shift = _VERDICT_POINTS * 0.62 if end.below else 0.0
        _label(axes, middle, shift, end.text, _LABEL_POINTS, end.colour, "bold" if end.below else "normal")
        if end.below:
            _label(axes, middle, -_LABEL_POINTS * 0.6, end.below, _VERDICT_POINTS, MUTED, "normal")


def _label(axes: Axes, height: float, shift: float, text: str, size: float, colour: str, weight: str) -> None:
    axes.annotate(
        text, xy=(1.03, height), xycoords="axes fraction", xytext=(0, shift), textcoords="offset points",
        ha="left", va="center", fontsize=size, color=colour, fontweight=weight, parse_math=False, annotation_clip=False,
    )  # fmt: skip


def spread(centres: Sequence[float], sizes: Sequence[float], height: float) -> list[float]:
    """Return positions near ``centres`` (ascending) at which boxes of the given sizes do not overlap.

    Boxes are pushed up from the bottom, then down from the top; what does not fit in ``height`` sticks out evenly.
    """
    placed = list(centres)
    floor = -math.inf
    for i, size in enumerate(sizes):
        placed[i] = max(placed[i], floor + size / 2)
        floor = placed[i] + size / 2
    ceiling = max(height + (sizes[-1] / 2 if sizes else 0.0), 0.0)
    for i in range(len(sizes) - 1, -1, -1):
        placed[i] = min(placed[i], ceiling - sizes[i] / 2)
        ceiling = placed[i] - sizes[i] / 2
    return placed


def shorten(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "\u2026"


def _array(values: Sequence[float | None]) -> NDArray[Any]:
    return np.array([np.nan if value is None else value for value in values], float)
