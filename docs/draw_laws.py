"""Draw the figures of docs/laws.md and print the numbers in it, with the package itself.

    python docs/draw_laws.py                 # writes docs/laws.svg and docs/verdicts.svg

Every curve is made here by formula; every line, band and verdict comes from ``fairseq_scaling.laws``.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from fairseq_scaling import laws
from fairseq_scaling.quantities import format_tokens
from fairseq_scaling.report.render.panels import INK, MUTED, PALETTE, PAPER, SHADE, style, token_axis

FOLDER = Path(__file__).parent
BUDGETS = np.geomspace(1e8, 1e10, 9)
REACH = 4.0

Function = Callable[[np.ndarray], np.ndarray]

LAWS: dict[str, tuple[str, Function]] = {
    "log_law": ("bleu", lambda d: (-9.5 + 0.76 * np.log(d)) ** 1.6),
    "cross_entropy_law": ("cross_entropy", lambda d: 1.4 + 900 / d**0.37),
    "linear_log": ("bleu", lambda d: -45 + 3.2 * np.log(d)),
    "power_law": ("bleu", lambda d: 0.9 * d**0.15),
    "power_ceiling": ("bleu", lambda d: 34 - 9e4 / d**0.45),
    "logistic": ("bleu", lambda d: 31 / (1 + (6e8 / d) ** 0.9)),
    "saturating": ("bleu", lambda d: 30 - 22 / (1 + (d / 8e8) ** 1.6)),
    "m4": ("cross_entropy", lambda d: _m4(d, 1.5, 4.6, 2.5, 40.0, -1.9)),
    "bnsl1": ("cross_entropy", lambda d: 1.2 + 6.5 * d**-0.05 * (1 + (d / 8e8) ** 2.5) ** -0.22),
}
"""Law -> metric, and the curve of its panel."""

VERDICTS: dict[str, tuple[float, ...]] = {
    "follows the law": (20.1, 23.9, 27.2, 30.4, 33.1, 35.5),
    "saturated": (30.1, 30.2, 29.9, 30.1, 30.0, 30.2),
    "non-monotonic": (22.0, 26.0, 29.0, 27.0, 24.0, 22.0),
    "inverse": (33.0, 32.0, 30.5, 29.0, 27.0, 25.0),
    "noisy": (10.0, 19.0, 15.0, 26.0, 21.0, 35.0),
    "trendless": (4.0, 4.9, 4.2, 4.6, 3.9, 4.7),
    "breakthrough": (1.0, 1.1, 1.2, 1.3, 15.0, 22.0),
    "too few points": (20.0, 22.0, 24.0),
}
"""Verdict -> BLEU at budgets that double."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the figures, by default this one")
    out: Path = parser.parse_args().out
    look = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "svg.fonttype": "path",
        "svg.hashsalt": "fairseq_scaling",
        "mathtext.fontset": "dejavusans",
    }
    with matplotlib.rc_context(look):
        for name, figure in (("laws", draw_laws()), ("verdicts", draw_verdicts())):
            FigureCanvasSVG(figure).print_svg(out / f"{name}.svg", metadata={"Date": None})
    print("\n".join(numbers()))


def example(name: str) -> laws.Curve:
    """Return the points of a law's panel: its curve at nine budgets with 0.8 % of noise."""
    metric, law = LAWS[name]
    noise = np.random.default_rng(len(name)).standard_normal(BUDGETS.size)
    return laws.Curve(name, metric, BUDGETS, law(BUDGETS) * np.exp(0.008 * noise))


def verdict_example(kind: str) -> laws.Curve:
    """Return the points of a verdict's panel."""
    values = VERDICTS[kind]
    return laws.Curve(kind, "bleu", 1e9 * 2.0 ** np.arange(len(values)), values)


def draw_laws() -> Figure:
    """Return a panel for each law: points, law, 95 % band, and four times further."""
    figure = Figure(figsize=(10.2, 15.8), facecolor=PAPER)
    cells = figure.subplots(5, 3, gridspec_kw={"hspace": 0.68, "wspace": 0.24}).ravel()
    figure.subplots_adjust(left=0.045, right=0.985, top=0.945, bottom=0.03)
    rows = [(name, laws.fit(example(name), name)) for name in LAWS]
    rows.append(("average", laws.choose(example("logistic")).fit))
    rows.append(("two_stage", laws.fit_two_stage(*two_stage_curves())))
    for axes, (name, fit) in zip(cells, rows, strict=False):
        _draw_fit(axes, fit)
        _name(axes, name, fit.law.latex, fit.curve.metric)
    for axes, name in zip(cells[len(rows) :], laws.SURFACES, strict=False):
        _draw_surface(axes, name)
        _name(axes, name, laws.SURFACES[name].latex, "cross_entropy")
    for axes in cells[len(rows) + len(laws.SURFACES) :]:
        axes.set_axis_off()
    _explain(cells[len(rows) + len(laws.SURFACES)])
    return figure


def two_stage_curves() -> tuple[laws.Curve, laws.Curve]:
    """Return BLEU and cross-entropy of the same runs, BLEU falling exponentially with cross-entropy."""
    loss = example("cross_entropy_law")
    noise = np.random.default_rng(5).standard_normal(BUDGETS.size)
    bleu = 120 * np.exp(-0.85 * loss.values) * np.exp(0.008 * noise)
    return laws.Curve("two_stage", "bleu", BUDGETS, bleu), loss


def draw_verdicts() -> Figure:
    """Return a panel for each verdict, under the sentence that ``laws.diagnose`` gives for it."""
    figure = Figure(figsize=(10.2, 13.4), facecolor=PAPER)
    cells = figure.subplots(4, 2, gridspec_kw={"hspace": 0.75, "wspace": 0.16}).ravel()
    figure.subplots_adjust(left=0.045, right=0.985, top=0.925, bottom=0.035)
    for axes, kind in zip(cells, laws.VERDICTS, strict=True):
        _draw_verdict(axes, kind)
    return figure


def numbers() -> Iterator[str]:
    """Yield the lines that docs/laws.md quotes."""
    budgets = np.geomspace(1e9, 1e11, 8)
    noise = np.random.default_rng(0).standard_normal(8)
    curve = laws.Curve("c", "bleu", budgets, (-9 + 0.75 * np.log(budgets)) ** 1.5 * np.exp(0.01 * noise))
    yield "log-law, 8 budgets from 1B to 100B tokens, 1 % noise; truth: log A -9, alpha 0.75, beta 1.5"
    yield from _coefficients(laws.fit(curve, "log_law"))
    yield "the same, fitted to the 4 smallest budgets alone"
    yield from _coefficients(laws.fit(curve, "log_law", protocol="paper"))
    yield "three laws on the same 8 budgets: furthest from each other among the points, and value at ten times the data"
    fits = [laws.fit(curve, name) for name in ("linear_log", "log_law", "power_law")]
    inside = np.log([fit.predict(budgets).value for fit in fits])
    ahead = ", ".join(f"{fit.law.name} {fit.predict(1e12).value:.1f}" for fit in fits)
    yield f"  {np.max(np.ptp(inside, axis=0)):.1%}; {ahead}"
    yield "one curve under three noises"
    wavy = (20.1, 22.5, 21.3, 24.8, 23.9, 26.9)
    for sigma in (0.25, 0.5, 1.0):
        verdict = laws.diagnose(laws.Curve("c", "bleu", budgets[:6], wavy), noise=sigma)
        yield f"  noise {sigma:g}: {verdict.kind} (p = {verdict.p_value:.2g})"


def _coefficients(fit: laws.Fit) -> Iterator[str]:
    for name, estimate in fit.coefficients.items():
        yield f"  {name:<6} {estimate.value:.3g} [{estimate.lower:.3g}, {estimate.upper:.3g}]"
    slopes = fit.law.natural(fit.state.theta, fit.state.scale)[1]
    covariance = slopes @ fit.state.covariance @ slopes.T
    correlation = covariance[1, 2] / np.sqrt(covariance[1, 1] * covariance[2, 2])
    yield f"  correlation of alpha and beta {correlation:.4f}, condition number {fit.condition_number:.1g}"
    ahead = fit.predict(4e11)
    yield f"  value at 400B tokens {ahead.value:.1f} [{ahead.lower:.1f}, {ahead.upper:.1f}]"


def _m4(tokens: np.ndarray, low: float, high: float, alpha: float, log_factor: float, exponent: float) -> np.ndarray:
    """Return the f between ``low`` and ``high`` with (f - low) / (high - f)^alpha = factor D^exponent, by bisection."""
    below, above = np.full(tokens.shape, low), np.full(tokens.shape, high)
    for _ in range(80):
        middle = 0.5 * (below + above)
        reached = np.log(middle - low) - alpha * np.log(high - middle) > log_factor + exponent * np.log(tokens)
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    return 0.5 * (below + above)


def _draw_fit(axes: Axes, fit: laws.Fit) -> None:
    tokens, values = fit.curve.pretrain_tokens, fit.curve.values
    grid = np.geomspace(tokens[0], REACH * tokens[-1], 161)
    drawn = fit.predict(grid)
    inside = grid <= tokens[-1]
    _axes(axes, tokens)
    axes.fill_between(grid, drawn.lower, drawn.upper, color=PALETTE[0], alpha=0.16, lw=0)
    axes.plot(grid[inside], drawn.value[inside], color=PALETTE[0], lw=1.8)
    axes.plot(grid[~inside], drawn.value[~inside], color=PALETTE[0], lw=1.5, ls=(0, (3.5, 2)))
    axes.plot(tokens, values, "o", color=PALETTE[1], ms=4.2, mec=PAPER, mew=0.6, zorder=4)
    heights = np.r_[values, drawn.value]
    margin = 0.15 * np.ptp(heights)
    axes.set_ylim(heights.min() - margin, heights.max() + margin)


def _draw_surface(axes: Axes, name: str) -> None:
    """Draw a fitted law of two inputs over pretraining tokens, a line for each value of the other input."""
    joint = name == "joint"
    others = np.array([1e6, 1e7, 1e8]) if joint else np.array([1e8, 4e8, 1.6e9])
    tokens, other = (part.ravel() for part in np.meshgrid(BUDGETS, others))
    if joint:
        loss = 1.2 + 90 / (tokens**0.12 * other**0.12)
    else:
        loss = 1.3 + 400 / other**0.34 + 400 / tokens**0.3
    loss = loss * np.exp(0.008 * np.random.default_rng(3).standard_normal(loss.size))
    inputs = (tokens, other) if joint else (other, tokens)
    fit = laws.fit_surface(*inputs, loss, name)
    grid = np.geomspace(BUDGETS[0], REACH * BUDGETS[-1], 161)
    _axes(axes, BUDGETS)
    for number, value in enumerate(others):
        drawn = fit.predict(grid, value) if joint else fit.predict(value, grid)
        inside = grid <= BUDGETS[-1]
        label = f"$D_f$ = {format_tokens(value)}" if joint else f"N = {format_tokens(value)}"
        axes.plot(grid[inside], drawn[inside], color=PALETTE[number], lw=1.8, label=label)
        axes.plot(grid[~inside], drawn[~inside], color=PALETTE[number], lw=1.5, ls=(0, (3.5, 2)))
        here = other == value
        axes.plot(tokens[here], loss[here], "o", color=PALETTE[number], ms=3.4, mec=PAPER, mew=0.5, zorder=4)
    axes.legend(frameon=False, fontsize=7.5, labelcolor="linecolor", handlelength=1.2)


def _axes(axes: Axes, tokens: np.ndarray) -> None:
    style(axes)
    axes.set_xscale("log")
    axes.set_xlim(tokens[0] / 1.2, REACH * tokens[-1])
    axes.axvspan(tokens[-1] * 1.08, REACH * tokens[-1], color=SHADE, lw=0, zorder=0)
    token_axis(axes)


def _name(axes: Axes, name: str, latex: str, metric: str) -> None:
    kind = {"bleu": "BLEU", "cross_entropy": "cross-entropy"}[metric]
    axes.set_title(f"${latex}$".replace(r"\frac", r"\dfrac"), loc="left", fontsize=8.5, color=INK, pad=11)
    axes.annotate(
        name, (0, 1), xycoords="axes fraction", xytext=(0, 40), textcoords="offset points", fontsize=10.5,
        fontweight="bold", color=INK, annotation_clip=False,
    )  # fmt: skip
    axes.annotate(
        kind, (1, 1), xycoords="axes fraction", xytext=(0, 40), textcoords="offset points", fontsize=8, ha="right",
        color=MUTED, annotation_clip=False,
    )  # fmt: skip


def _explain(axes: Axes) -> None:
    lines = (
        "How to read the panels",
        "across: pretraining tokens, each step a factor",
        "dots: measured points, here made by formula",
        "line: the law fitted to them",
        "band: 95 % interval of the law's value",
        "grey, dashed: beyond the points, to four times as far",
    )
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        axes.text(0.02, 0.92 - 0.14 * number, line, transform=axes.transAxes, fontsize=9, color=INK, fontweight=weight)


def _draw_verdict(axes: Axes, kind: str) -> None:
    curve = verdict_example(kind)
    verdict = laws.diagnose(curve)
    tokens, values = curve.pretrain_tokens, curve.values
    style(axes)
    axes.set_xscale("log")
    axes.set_xlim(8.5e8, 3.8e10)
    token_axis(axes)
    improving: Any = verdict.evidence.get("isotonic")
    if improving is not None:
        axes.plot(tokens, improving, color=MUTED, lw=1.1, ls=(0, (3, 2)), zorder=1)
    axes.plot(tokens, values, color=PALETTE[0], lw=1.3, zorder=2)
    axes.errorbar(tokens, values, yerr=verdict.evidence["noise"], fmt="o", color=PALETTE[0], ms=4.5, lw=1.1, zorder=3)
    at = list(verdict.points)
    axes.plot(tokens[at], values[at], "o", ms=11, mfc="none", mec=PALETTE[1], mew=1.4, zorder=4)
    margin = 1.2 * verdict.evidence["noise"] + 0.1 * np.ptp(values)
    axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set_title(textwrap.fill(verdict.sentence, 76), loc="left", fontsize=8.2, color=MUTED, pad=7)
    lines = len(textwrap.wrap(verdict.sentence, 76))
    axes.annotate(
        verdict.kind, (0, 1), xycoords="axes fraction", xytext=(0, 12 + 11.3 * lines), textcoords="offset points",
        fontsize=11, fontweight="bold", color=INK, annotation_clip=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
