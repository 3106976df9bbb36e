"""The figures: scores and cross-entropy over pretraining tokens, and one against the other.

Drawn from the document alone (``document.py``). Text stays text in SVG; nothing in a file depends on the clock.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..quantities import format_tokens
from .document import Document
from .metrics import CROSS_ENTROPY, describe, order
from .panels import INK, MARKERS, PALETTE, PAPER, draw_panel, means, series_key, shorten, span_of, style
from .wording import tokens

MOST_SERIES = len(PALETTE)
_FONTS = ["DejaVu Sans"]
# Matplotlib's list of fonts, one for all environments of a person, may name files of one that is gone. Its warnings,
# one for each font that is not used here, would bury the table of results.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
_FALLBACK = "'DejaVu Sans', Verdana, Arial, sans-serif"
UNIT = " (nats per token)"
_LEFT, _BOTTOM, _GAP, _BETWEEN = 0.5, 0.52, 0.42, 0.4


@dataclass(frozen=True)
class Drawing:
    """A finished figure: ``name`` is its file name without ending, ``alt`` what a screen reader says."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    pdf: bytes


@dataclass(frozen=True)
class _Page:
    """The curves of one figure: one task and model, at most six series."""

    title: str
    slug: str
    curves: tuple[Document, ...]

    @property
    def sizes(self) -> list[int]:
        return sorted({curve["setting"]["finetune_tokens"] or 0 for curve in self.curves})

    @property
    def series(self) -> list[str]:
        return list(dict.fromkeys(series_key(curve) for curve in self.curves))


def draw_all(document: Document, most: int = 40) -> list[Drawing]:
    """Return the figures of all tasks, at most ``most`` of each of the two kinds."""
    pages = list(_pages(document))[:most]
    with _look():
        drawings = [_scaling(page) for page in pages]
        return drawings + [drawing for page in pages if (drawing := _metrics(page, document)) is not None]


def _pages(document: Document) -> Iterator[_Page]:
    groups: dict[tuple[str, ...], dict[str, list[Document]]] = {}
    for curve in document["curves"]:
        if curve["points"]:
            key = (curve["setting"]["task"], curve["setting"]["architecture"], curve["setting"]["apart"])
            groups.setdefault(key, {}).setdefault(series_key(curve), []).append(curve)
    taken: set[str] = set()
    for setting, series in groups.items():
        names = list(series)
        parts = [names[i : i + MOST_SERIES] for i in range(0, len(names), MOST_SERIES)]
        for number, part in enumerate(parts, start=1):
            title = ", ".join(filter(None, setting)) or "All curves"
            slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "curves"
            if len(parts) > 1:
                title, slug = f"{title} ({number} of {len(parts)})", f"{slug}-{number}"
            while slug in taken:
                slug += "-b"
            taken.add(slug)
            yield _Page(title, slug, tuple(curve for name in part for curve in series[name]))


def _scaling(page: _Page) -> Drawing:
    metrics = sorted({curve["metric"] for curve in page.curves}, key=order)
    sizes = page.sizes
    wide, label, letters = _widths(len(sizes))
    heights = [2.75 if row == 0 else 2.05 for row in range(len(metrics))]
    figure, cells = _grid([wide] * len(sizes), heights, label)
    for column, size in enumerate(sizes):
        span = span_of([curve for curve in page.curves if (curve["setting"]["finetune_tokens"] or 0) == size])
        for row, metric in enumerate(metrics):
            axes = cells[row][column]
            here = [
                curve
                for curve in page.curves
                if curve["metric"] == metric and (curve["setting"]["finetune_tokens"] or 0) == size
            ]
            draw_panel(axes, here, page.series, span, letters)
            _titles(axes, metric, _lower_is_better(page, metric), size if row == 0 and len(sizes) > 1 else 0)
            if row == len(metrics) - 1:
                axes.set_xlabel("pretraining tokens $D_p$", color=INK, fontsize=9)
            else:
                axes.tick_params(labelbottom=False)
    titles = [describe(metric).title for metric in metrics]
    caption = (
        f"{' and '.join(titles) if len(titles) < 3 else ', '.join(titles)} after finetuning against the number of "
        "pretraining tokens. Filled: points fitted; hollow: held out. Line: the law (or the average of laws) with its "
        f"{_level(page):.0%} band, dashed where it extrapolates; where a curve follows no law its points are joined "
        "and the law is only dotted."
    )
    return _render(figure, f"scaling-{page.slug}", page.title, caption, _alt(page))


def _metrics(page: _Page, document: Document) -> Drawing | None:
    """Draw the first score against cross-entropy, or nothing where no curve has both."""
    relations = {c["name"]: c for c in document["metric_comparisons"]}
    by_name: dict[str, dict[str, Document]] = {}
    for curve in page.curves:
        by_name.setdefault(curve["name"], {})[curve["metric"]] = curve
    scores = sorted({m for metrics in by_name.values() if CROSS_ENTROPY in metrics for m in metrics}, key=order)
    score = next((metric for metric in scores if metric != CROSS_ENTROPY), None)
    if score is None:
        return None
    sizes = page.sizes
    wide, label, letters = _widths(len(sizes))
    figure, cells = _grid([wide] * len(sizes), [2.9], label)
    for column, size in enumerate(sizes):
        axes = cells[0][column]
        style(axes)
        axes.invert_xaxis()
        for name, metrics in by_name.items():
            if score not in metrics or CROSS_ENTROPY not in metrics:
                continue
            if (metrics[score]["setting"]["finetune_tokens"] or 0) != size:
                continue
            number = page.series.index(series_key(metrics[score])) % MOST_SERIES
            _draw_pair(axes, metrics[CROSS_ENTROPY], metrics[score], number, relations.get(name), letters)
        _titles(axes, score, _lower_is_better(page, score), size if len(sizes) > 1 else 0)
        axes.set_xlabel("cross-entropy, better to the right" + UNIT, color=INK, fontsize=9)
    title = f"{describe(score).title} against cross-entropy: {page.title}"
    caption = (
        "Each point is one pretraining size; lines join them in the order of their size, the largest marker is the "
        "largest. Where a line runs to the right without rising, cross-entropy improves and the score does not. "
        "Dotted: score = c exp(-k L) (Gordon et al. 2021), where it holds."
    )
    return _render(figure, f"metrics-{page.slug}", title, caption, f"{title}. {caption}")


def _lower_is_better(page: _Page, metric: str) -> bool:
    """Return whether lower is better for a metric of the page."""
    return next(curve["lower_is_better"] for curve in page.curves if curve["metric"] == metric)


def _draw_pair(
    axes: Axes, losses: Document, scores: Document, number: int, relation: Document | None, letters: int
) -> None:
    """Draw the score over the cross-entropy of one curve, pretraining sizes in order, and the relation if it holds."""
    colour, marker = PALETTE[number], MARKERS[number]
    loss = {tokens: value for tokens, value, _ in means(losses)}
    shared = [(loss[tokens], value) for tokens, value, _ in means(scores) if tokens in loss]
    if not shared:
        return
    x, y = np.array(shared).T
    axes.plot(x, y, color=colour, lw=1.3, alpha=0.8, zorder=2)
    sizes = np.linspace(14, 62, len(x))
    axes.scatter(x, y, s=sizes, marker=marker, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=3)
    fitted = (relation or {}).get("relation") or {}
    if fitted.get("holds"):
        grid = np.linspace(x.min(), x.max(), 50)
        axes.plot(grid, np.exp(fitted["log c"] - fitted["k"] * grid), color=colour, lw=1, ls=(0, (1, 2)), zorder=1.5)
    axes.annotate(
        shorten(series_key(scores), letters), xy=(x[-1], y[-1]), xytext=(7, 0), textcoords="offset points",
        va="center", fontsize=8.5, color=colour, fontweight="bold", parse_math=False, annotation_clip=False,
    )  # fmt: skip


def _widths(columns: int) -> tuple[float, float, int]:
    """Return the width of a panel and of the labels right of it in inches, and how many letters a label may have."""
    return {1: (4.9, 1.75, 21), 2: (2.9, 1.35, 16)}.get(columns, (2.35, 1.25, 15))


def _grid(widths: Sequence[float], heights: Sequence[float], label: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with panels of the given sizes (inches) and room for labels right of each."""
    top = 0.56 if len(widths) > 1 else 0.36
    width = _LEFT + sum(widths) + label * len(widths) + _GAP * (len(widths) - 1)
    height = _BOTTOM + top + sum(heights) + _BETWEEN * (len(heights) - 1)
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
        above -= panel + _BETWEEN
    return figure, cells


def _titles(axes: Axes, metric: str, lower_is_better: bool, size: int) -> None:
    """Write the metric, its direction and, where given, D_f above a panel."""
    known = describe(metric, lower_is_better)
    unit = UNIT if metric == CROSS_ENTROPY else ""
    text = f"{known.title}{unit}, {'lower' if lower_is_better else 'higher'} is better"
    axes.set_title(text, loc="left", color=INK, fontsize=9, pad=7, parse_math=False)
    if size:
        axes.annotate(
            f"finetuned on {format_tokens(size)} tokens", xy=(0, 1), xycoords="axes fraction", xytext=(0, 24),
            textcoords="offset points", fontsize=10, fontweight="bold", color=INK, annotation_clip=False,
        )  # fmt: skip


def _axis_title(metric: str, lower_is_better: bool) -> str:
    known = describe(metric, lower_is_better)
    unit = " (nats per token)" if metric == CROSS_ENTROPY else ""
    return f"{known.title}{unit}, {'lower' if lower_is_better else 'higher'} is better"


def _level(page: _Page) -> float:
    return next((law["level"] for curve in page.curves for law in curve["laws"]), 0.95)


def _alt(page: _Page) -> str:
    """Return what the figure shows, in words: every curve from its first to its last value, and its verdict."""
    sentences = []
    for curve in page.curves:
        middle = means(curve)
        verdict = curve["verdict"]["kind"] if curve["verdict"] else "too few points"
        known = describe(curve["metric"], curve["lower_is_better"])
        sentences.append(
            f"{known.title} of {curve['name']}: {middle[0][1]:.4g} at {tokens(middle[0][0])} tokens, "
            f"{middle[-1][1]:.4g} at {tokens(middle[-1][0])}; {verdict}."
        )
    return f"{page.title}. " + " ".join(sentences)


@contextmanager
def _look() -> Iterator[None]:
    """Fix everything in matplotlib's settings that a figure depends on, so that equal documents give equal bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": "sans-serif",
                "font.sans-serif": _FONTS,
                "font.size": 8.5,
                "axes.unicode_minus": True,
                "mathtext.fontset": "dejavusans",
                "svg.fonttype": "none",
                "svg.hashsalt": "fairseq_scaling",
                "pdf.fonttype": 42,
                "text.color": INK,
                "axes.labelcolor": INK,
            }
        )
        yield


def _render(figure: Figure, name: str, title: str, caption: str, alt: str) -> Drawing:
    vector, paper = io.BytesIO(), io.BytesIO()
    FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Title": title})
    FigureCanvasPdf(figure).print_pdf(paper, metadata={"CreationDate": None, "Title": title})
    svg = vector.getvalue().decode("utf-8").replace("'DejaVu Sans'", _FALLBACK)
    return Drawing(name, title, caption, alt, svg, paper.getvalue())
