"""The figures: the forecast of the metric that decides, and the other metrics beside it.

Drawn from the report alone. Text stays text in SVG; nothing in a file depends on the clock. One font and no formula:
embedding fonts is what most of the time goes into.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ...metrics import CROSS_ENTROPY, Metric, order
from ...quantities import Quantity, format_tokens
from ..curve_result import CurveResult
from ..results import Report
from .numbers import amount, score, size
from .panels import INK, MARKERS, PALETTE, PAPER, draw_panel, style, wrapped
from .wording import AGAIN, CONTINUED, SENTENCES, capital, condition, enumerate_all, short_name

MOST_SERIES = len(PALETTE)
_MOST_FIGURES = 40
_FONTS = ["DejaVu Sans"]
# Matplotlib's list of fonts, one for all environments of a person, may name files of one that is gone. Its warnings,
# one for each font that is not used here, would bury the table of results.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
_FALLBACK = "'DejaVu Sans', Verdana, Arial, sans-serif"
_LEFT, _BOTTOM, _GAP, _BETWEEN = 0.5, 0.5, 0.42, 0.62
_SMALL = 2.05
"""Width of a panel without labels, in inches."""


@dataclass(frozen=True)
class Drawing:
    """A finished figure: ``name`` is its file name without ending, ``alt`` what a screen reader says.

    ``curves`` names the curves that it shows; ``leads`` marks the figure of the metric that decides.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    pdf: bytes
    curves: frozenset[str]
    leads: bool


@dataclass(frozen=True)
class _Group:
    """The curves of one figure: one task and model, at most six series.

    ``series`` are the names that colours and marks stand for, in their order: those of the whole report where there are
    no more than colours, so that a mixture looks the same in all figures.
    """

    title: str
    slug: str
    curves: tuple[CurveResult, ...]
    series: tuple[str, ...]

    @property
    def sizes(self) -> list[int]:
        return sorted({curve.setting.finetune_tokens or 0 for curve in self.curves})

    @property
    def x(self) -> Quantity:
        return self.curves[0].x

    @property
    def metrics(self) -> list[Metric]:
        """The metric that decides first, then the others."""
        known = {curve.metric.name: curve.metric for curve in self.curves}
        return [known[name] for name in sorted(known, key=order)]

    def at(self, metric: Metric, size: int) -> list[CurveResult]:
        return [c for c in self.curves if c.metric == metric and (c.setting.finetune_tokens or 0) == size]


def draw_all(report: Report) -> list[Drawing]:
    """Return the figures of all tasks, at most ``_MOST_FIGURES`` of each of the two kinds."""
    drawings = []
    with _look():
        for group in islice(_groups(report), _MOST_FIGURES):
            drawings.append(_forecast(group))
            if len(group.metrics) > 1:
                drawings.append(_other_metrics(group))
    return drawings


def _groups(report: Report) -> Iterator[_Group]:
    taken: set[str] = set()
    every = tuple(dict.fromkeys(short_name(c) for section in report.sections for c in section.curves if c.points))
    for section in report.sections:
        series: dict[str, list[CurveResult]] = {}
        for curve in section.curves:
            if curve.points:
                series.setdefault(short_name(curve), []).append(curve)
        names = list(series)
        parts = [names[i : i + MOST_SERIES] for i in range(0, len(names), MOST_SERIES)]
        for place, part in enumerate(parts, start=1):
            title = condition(section.setting, with_size=False) or "All curves"
            # The name of a file is that of a study from nothing, too.
            plain = condition(replace(section.setting, start=""), with_size=False) or title
            slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "curves"
            if len(parts) > 1:
                title, slug = f"{title} ({place} of {len(parts)})", f"{slug}-{place}"
            while slug in taken:
                slug += "-b"
            taken.add(slug)
            curves = tuple(curve for name in part for curve in series[name])
            yield _Group(title, slug, curves, every if len(every) <= MOST_SERIES else tuple(part))


def _forecast(group: _Group) -> Drawing:
    """Draw the metric that decides, one panel for each D_f."""
    metric, sizes = group.metrics[0], group.sizes
    wide, label, letters = {1: (4.9, 1.75, 21), 2: (2.9, 1.35, 16)}.get(len(sizes), (2.35, 1.25, 15))
    figure, cells = _grid([wide] * len(sizes), [2.75], label, 0.56 if len(sizes) > 1 else 0.36)
    for axes, budget in zip(cells[0], sizes, strict=True):
        here = group.at(metric, budget)
        draw_panel(axes, here, group.series, letters)
        _titles(axes, metric, budget if len(sizes) > 1 else 0)
        axes.set_xlabel(group.x.title, color=INK, fontsize=9, parse_math=False)
    level = next((f"{c.forecast.level:.0%} " for c in group.curves if c.forecast), "")
    drawn = [curve for curve in group.curves if curve.metric == metric]
    hollow = " (hollow: held out)" if any(point.held_out for curve in drawn for point in curve.points) else ""
    caption = (
        f"{capital(metric.title)} over {group.x.title}. Large marks: means of the runs{hollow}; small marks: single "
        f"runs. Line: forecast, dashed beyond the data, with its {level}band for {CONTINUED}; the pale band is for "
        f"{AGAIN}."
    )
    if any(curve.baseline for curve in drawn):
        caption += f" Dash-dotted: {group.x.none}."
    if any(curve.has_intervals for curve in drawn):
        caption += f" Thin upright lines at single runs: {SENTENCES} (bootstrap)."
    return _render(figure, f"scaling-{group.slug}", f"{metric.title}: {group.title}", caption, group, True)


def _other_metrics(group: _Group) -> Drawing:
    """Draw the other metrics in small panels and, last, the first score against cross-entropy."""
    first, *others = group.metrics
    pairs = first.name != CROSS_ENTROPY and any(metric.name == CROSS_ENTROPY for metric in others)
    columns, sizes = len(others) + pairs, group.sizes
    across = 2 if columns == 4 else min(columns, 3)
    lines = [(budget, start) for budget in sizes for start in range(0, columns, across)]
    figure, cells = _grid([_SMALL * (1.55 if across == 2 else 1)] * across, [1.55] * len(lines), 0.16, 0.72)
    for row, (budget, start) in zip(cells, lines, strict=True):
        for place, axes in enumerate(row, start):
            if place >= columns:
                axes.set_visible(False)
            elif place < len(others):
                draw_panel(axes, group.at(others[place], budget), group.series, letters=0)
                _titles(axes, others[place], budget if len(sizes) > 1 and place == start else 0)
                axes.set_xlabel(group.x.title, color=INK, fontsize=8, parse_math=False)
            else:
                _draw_against_loss(axes, group, first, budget)
    _legend(figure, group)
    caption = f"{capital(enumerate_all([metric.title for metric in others]))} over {group.x.title}, with the forecast."
    if pairs:
        caption += (
            f" Last: {first.title} against cross-entropy, the sizes joined in order, the largest mark is the largest. "
            "A line that runs to the right without improving is where cross-entropy misleads."
        )
    return _render(figure, f"metrics-{group.slug}", f"Other metrics: {group.title}", caption, group, False)


def _draw_against_loss(axes: Axes, group: _Group, metric: Metric, size: int) -> None:
    style(axes)
    axes.invert_xaxis()
    losses = {curve.name: curve.means for curve in group.curves if curve.metric.name == CROSS_ENTROPY}
    for curve in group.at(metric, size):
        loss = {tokens: value for tokens, value, _ in losses.get(curve.name, ())}
        shared = [(loss[tokens], value) for tokens, value, _ in curve.means if tokens in loss]
        if not shared:
            continue
        place = group.series.index(short_name(curve)) % MOST_SERIES
        x, y = np.array(shared).T
        axes.plot(x, y, color=PALETTE[place], lw=1.1, alpha=0.8, zorder=2)
        marks = np.linspace(8, 34, len(x))
        axes.scatter(x, y, s=marks, marker=MARKERS[place], color=PALETTE[place], edgecolors=PAPER, lw=0.6, zorder=3)
    axes.set_title(f"{metric.title} against cross-entropy", loc="left", color=INK, fontsize=8.5, pad=6)
    axes.set_xlabel("cross-entropy, better to the right", color=INK, fontsize=8)


def _grid(
    widths: Sequence[float], heights: Sequence[float], label: float, top: float
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with panels of the given sizes (inches), room for labels right of each, and ``top`` above."""
    width = _LEFT + sum(widths) + label * len(widths) + _GAP * (len(widths) - 1)
    height = _BOTTOM + top + sum(heights) + (_BETWEEN + 0.2) * (len(heights) - 1)
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    cells = []
    above = height - top
    for panel in heights:
        row = []
        left = _LEFT
        for wide in widths:
            row.append(figure.add_axes((left / width, (above - panel) / height, wide / width, panel / height)))
            left += wide + label + _GAP
        cells.append(row)
        above -= panel + _BETWEEN + 0.2
    return figure, cells


def _titles(axes: Axes, metric: Metric, size: int) -> None:
    """Write the metric, its direction and, where given, D_f above a panel."""
    unit = " (nats)" if metric.name == CROSS_ENTROPY else ""
    better = "lower" if metric.lower_is_better else "higher"
    axes.set_title(
        f"{metric.title}{unit}, {better} is better", loc="left", color=INK, fontsize=8.5, pad=6, parse_math=False
    )
    if size:
        axes.annotate(
            f"finetuned on {format_tokens(size)} tokens", xy=(0, 1), xycoords="axes fraction", xytext=(0, 22),
            textcoords="offset points", fontsize=10, color=INK, annotation_clip=False,
        )  # fmt: skip


def _legend(figure: Figure, group: _Group) -> None:
    """Write the names of the series in one line above the panels, in their colours."""
    from matplotlib.lines import Line2D

    shown = {short_name(curve) for curve in group.curves}
    places = [place for place, name in enumerate(group.series) if name in shown]
    marks = [Line2D([], [], color=PALETTE[place], marker=MARKERS[place], lw=1.5, ms=5, mec=PAPER) for place in places]
    names = [wrapped(group.series[place], 24).replace("$", "\\$") for place in places]
    figure.legend(
        marks, names, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=min(len(places), 4), frameon=False,
        fontsize=8.5, labelcolor=[PALETTE[place] for place in places], handlelength=1.4, columnspacing=1.4,
    )  # fmt: skip


def _alt(title: str, group: _Group, leads: bool) -> str:
    """Return what the figure shows, in words: every curve from its first to its last value, and its kind."""
    metrics = group.metrics[:1] if leads else group.metrics[1:]
    sentences = []
    for curve in group.curves:
        if curve.metric in metrics:
            (low, first, _), (high, last, _) = curve.means[0], curve.means[-1]
            sentences.append(
                f"{curve.metric.title} of {curve.name}: {score(first, curve.metric)} at {amount(low, curve.x)}, "
                f"{score(last, curve.metric)} at {size(high, curve.x)}; {curve.kind.value}."
            )
    return f"{title}. " + " ".join(sentences)


@contextmanager
def _look() -> Iterator[None]:
    """Fix everything in matplotlib's settings that a figure depends on, so that equal reports give equal bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": "sans-serif",
                "font.sans-serif": _FONTS,
                "font.size": 8.5,
                "axes.unicode_minus": True,
                "svg.fonttype": "none",
                "svg.hashsalt": "fairseq_scaling",
                "pdf.fonttype": 42,
                "text.color": INK,
                "text.parse_math": False,
                "axes.labelcolor": INK,
                "axes.formatter.use_mathtext": False,
            }
        )
        yield


def _render(figure: Figure, name: str, title: str, caption: str, group: _Group, leads: bool) -> Drawing:
    vector, paper = io.BytesIO(), io.BytesIO()
    FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Title": title})
    FigureCanvasPdf(figure).print_pdf(paper, metadata={"CreationDate": None, "Title": title})
    svg = vector.getvalue().decode("utf-8").replace("'DejaVu Sans'", _FALLBACK)
    shown = frozenset(curve.name for curve in group.curves)
    return Drawing(name, title, caption, _alt(title, group, leads), svg, paper.getvalue(), shown, leads)
