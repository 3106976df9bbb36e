"""One panel of a figure: points, forecast, bands, baseline and labels of curves that share metric, task and D_f.

The page needs its colours without matplotlib, which is imported where something is drawn.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...quantities import format_tokens
from ..curve_result import CurveResult
from .wording import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, PAPER, SHADE = "#1c1f26", "#5d6470", "#e4e6eb", "#fefefe", "#f4f5f8"
# Okabe and Ito's palette for all kinds of colour vision, darkened where it was too pale for lines on white.
PALETTE = ("#0068a8", "#c44a06", "#007f5b", "#a6498b", "#916600", "#4f5bd5")
MARKERS = ("o", "s", "^", "D", "v", "P")
_LABEL_POINTS, _KIND_POINTS = 8.5, 7.0
_BANDS = 1.0
"""How far bands may reach beyond points and lines, on each side, as a share of the range of these."""


@dataclass
class Label:
    """A label for the right edge: where its line ends (data units), its text and the smaller text below it."""

    x: float
    y: float
    text: str
    below: str
    colour: str


def draw_panel(axes: Axes, curves: Sequence[CurveResult], series: Sequence[str], letters: int = 20) -> None:
    """Draw the curves (of one metric, task and D_f) over their sizes.

    Args:
        axes: to draw into; its labels are right of it, where the caller left room.
        curves: what to draw.
        series: what colours and markers mean, in their order; one panel's colours are every panel's.
        letters: longest label; 0 for a panel without labels.
    """
    style(axes)
    axes.set_xscale("log")
    if not curves:
        axes.text(0.5, 0.5, "no runs", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    largest = max(curve.largest for curve in curves)
    ahead = any(curve.forecast for curve in curves)
    right = largest * (4.0 if ahead else 1.2)
    heights: list[float] = []
    edges: list[float] = []
    ends: list[Label] = []
    for curve in curves:
        place = series.index(short_name(curve)) % len(PALETTE)
        ends.append(_draw_curve(axes, curve, PALETTE[place], MARKERS[place], right, heights, edges, letters))
    baseline = [point.value for curve in curves for point in curve.baseline]
    if baseline:
        level = float(np.mean(baseline))
        axes.axhline(level, color=MUTED, lw=1.1, ls=(0, (4, 2, 1, 2)), zorder=1.5)
        heights.append(level)
        ends.append(Label(right, level, curves[0].x.none, "", MUTED))
    low, high = _room(heights, edges)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_xlim(min(curve.smallest for curve in curves) / 1.22, right)
    axes.set_ylim(low - pad, high + 1.3 * pad)
    token_axis(axes)
    if ahead:
        axes.axvspan(largest * 1.1, right, color=SHADE, lw=0, zorder=0)
    if letters:
        if ahead:
            axes.text(0.995, 0.985, "forecast", transform=axes.transAxes, ha="right", va="top", fontsize=7, color=MUTED)
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
    wanted = 6 if axes.get_position().width * axes.get_figure().get_figwidth() > 4 else 4  # type: ignore[union-attr]
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


def _draw_curve(
    axes: Axes,
    curve: CurveResult,
    colour: str,
    marker: str,
    right: float,
    heights: list[float],
    edges: list[float],
    letters: int,
) -> Label:
    heights += [point.value for point in curve.points]
    end_x, end_y, _ = curve.means[-1]
    small = 1.0 if letters else 0.72
    if curve.forecast is not None:
        end_x, end_y = _draw_forecast(axes, curve, colour, right, heights, edges)
    else:
        axes.plot(*zip(*[m[:2] for m in curve.means], strict=True), color=colour, lw=1.3, alpha=0.75, zorder=2)
    if len(curve.points) > len(curve.means):
        axes.plot(
            [point.pretrain_tokens for point in curve.points],
            [point.value for point in curve.points],
            marker=marker, ms=3 * small, ls="none", color=colour, mew=0, alpha=0.4, zorder=2.5,
        )  # fmt: skip
    if letters:
        _draw_intervals(axes, curve, colour)
    for hollow in (False, True):
        chosen = [mean for mean in curve.means if mean[2] == hollow]
        axes.plot(
            [mean[0] for mean in chosen],
            [mean[1] for mean in chosen],
            marker=marker, ms=6.2 * small, ls="none", zorder=4,
            mfc=PAPER if hollow else colour, mec=colour if hollow else PAPER, mew=(1.5 if hollow else 0.8) * small,
        )  # fmt: skip
    text = wrapped(short_name(curve), letters) if letters else ""
    return Label(end_x, end_y, text, curve.kind.value, colour)


def _draw_intervals(axes: Axes, curve: CurveResult, colour: str) -> None:
    """Draw a thin line through each run: its interval over the test sentences. Like a band it may leave the panel."""
    known = [point for point in curve.points if point.score_lower is not None and point.score_upper is not None]
    ends = np.array([(point.pretrain_tokens, point.score_lower, point.score_upper) for point in known], dtype=float)
    if known:
        axes.vlines(*ends.T, color=colour, lw=0.7, alpha=0.5, zorder=2.2)


def _draw_forecast(
    axes: Axes, curve: CurveResult, colour: str, right: float, heights: list[float], edges: list[float]
) -> tuple[float, float]:
    """Draw the forecast with its wide and its narrow band; return where its line ends."""
    assert curve.forecast is not None
    for band, alpha in ((curve.forecast.again, 0.09), (curve.forecast.continued, 0.14)):
        shown = band.pretrain_tokens <= right * 1.01
        x, lower, upper = (column[shown] for column in (band.pretrain_tokens, band.lower, band.upper))
        axes.fill_between(x, lower, upper, color=colour, alpha=alpha, lw=0, zorder=1)
        edges += [edge for edge in (*lower.tolist(), *upper.tolist()) if math.isfinite(edge)]
    x, y = curve.forecast.continued.pretrain_tokens, curve.forecast.continued.value
    inside = (x >= curve.smallest / 1.16) & (x <= right * 1.01) & np.isfinite(y)
    measured = inside & (x <= curve.largest * 1.02)
    axes.plot(x[measured], y[measured], color=colour, lw=1.9, zorder=3)
    beyond = inside & (x >= curve.largest * 0.98)
    axes.plot(x[beyond], y[beyond], color=colour, lw=1.5, ls=(0, (3.5, 2)), zorder=3)
    if not inside.any():
        return curve.means[-1][:2]
    heights += [float(y[inside].min()), float(y[inside].max())]
    return float(x[inside][-1]), float(y[inside][-1])


def _room(heights: Sequence[float], edges: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and highest value to show: all of the bands, unless points and lines would become too small."""
    low, high = min(heights), max(heights)
    most = _BANDS * (high - low)
    return max(min([low, *edges]), low - most), min(max([high, *edges]), high + most)


def _place_labels(axes: Axes, ends: Sequence[Label]) -> None:
    """Write the labels right of the axes, at the height of their lines but never over each other."""
    figure = axes.get_figure()
    assert figure is not None
    bottom, top = axes.get_ylim()
    height = axes.get_position().height * figure.get_figheight() * 72.0  # type: ignore[union-attr]
    wanted = sorted(ends, key=lambda end: end.y)
    lines = [end.text.count("\n") + 1 for end in wanted]
    sizes = [
        count * _LABEL_POINTS * 1.25 + (_KIND_POINTS * 1.3 if end.below else 0.0)
        for count, end in zip(lines, wanted, strict=True)
    ]
    natural = [min(max((end.y - bottom) / (top - bottom), 0.0), 1.0) for end in wanted]
    placed = spread([share * height for share in natural], sizes, height)
    left, right = axes.get_xlim()
    for end, count, share, centre in zip(wanted, lines, natural, placed, strict=True):
        middle = centre / height
        start = math.log(end.x / left) / math.log(right / left)
        axes.annotate(
            "", xy=(start, share), xytext=(1.022, middle), xycoords="axes fraction", textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": end.colour, "lw": 0.7, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        _write(axes, middle, _KIND_POINTS * 0.62 if end.below else 0.0, end.text, _LABEL_POINTS, end.colour)
        if end.below:
            _write(axes, middle, -_LABEL_POINTS * 0.6 * count, end.below, _KIND_POINTS, MUTED)


def _write(axes: Axes, height: float, shift: float, text: str, size: float, colour: str) -> None:
    axes.annotate(
        text, xy=(1.03, height), xycoords="axes fraction", xytext=(0, shift), textcoords="offset points",
        ha="left", va="center", fontsize=size, color=colour, parse_math=False, annotation_clip=False,
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


def wrapped(text: str, letters: int) -> str:
    """Return a label on at most two lines of so many letters."""
    return "\n".join(textwrap.wrap(text, letters, max_lines=2, placeholder="\u2026", break_on_hyphens=False))
