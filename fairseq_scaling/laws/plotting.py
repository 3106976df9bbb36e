"""A quick look at a fit with matplotlib, which is imported only here."""

from __future__ import annotations

from typing import Any

import numpy as np

from .forecast import Forecast, Question
from .results import Fit


def plot_fit(fit: Fit, axes: Any = None, color: str = "C0", reach: float = 4.0) -> Any:
    """Draw points, law and interval band; held-out points are hollow, the baseline is a dashed line.

    Args:
        axes: matplotlib axes; None makes them.
        reach: how far the law is drawn beyond the largest D_p, as a factor.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1]
    curve = fit.curve
    real = curve.pretrain_tokens > 0
    grid = np.geomspace(curve.pretrain_tokens[real].min(), reach * curve.pretrain_tokens.max(), 200)
    drawn = fit.predict(grid)
    axes.plot(grid, drawn.value, color=color, label=fit.law.title)
    if np.any(np.isfinite(drawn.lower)):
        axes.fill_between(grid, drawn.lower, drawn.upper, color=color, alpha=0.15, linewidth=0)
    others = real & ~fit.used
    axes.plot(curve.pretrain_tokens[fit.used], curve.values[fit.used], "o", color=color)
    axes.plot(curve.pretrain_tokens[others], curve.values[others], "o", color=color, markerfacecolor="none")
    if curve.baseline_value is not None:
        axes.axhline(curve.baseline_value, color="gray", linestyle="--", linewidth=1, label="no pretraining")
    axes.set_xscale("log")
    shown = curve.values[real & np.isfinite(curve.values)]
    margin = 0.3 * (np.ptp(shown) or abs(shown[0]) or 1.0)
    axes.set_ylim(min(shown.min(), drawn.value[0]) - margin, max(shown.max(), np.nanmax(drawn.value)) + margin)
    axes.set_xlabel("pretraining tokens")
    axes.set_ylabel(curve.metric)
    axes.legend(frameon=False)
    return axes


def plot_forecast(forecast: Forecast, axes: Any = None, color: str = "C0", reach: float = 10.0) -> Any:
    """Draw points, median and the bands of both questions; the baseline is a dashed line (see ``plot_fit``)."""
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1]
    curve = forecast.curve
    real = curve.pretrain_tokens > 0
    grid = np.geomspace(curve.pretrain_tokens[real].min(), reach * forecast.largest, 60)
    for question, alpha in ((Question.MIXTURE, 0.12), (Question.RUN, 0.2)):
        drawn = forecast.predict(grid, question)
        axes.fill_between(grid, drawn.lower, drawn.upper, color=color, alpha=alpha, linewidth=0, label=question.value)
    axes.plot(grid, drawn.value, color=color)
    hollow = {"markerfacecolor": "none"}
    for of, style in ((real & ~curve.held_out, {}), (real & curve.held_out, hollow)):
        axes.plot(curve.pretrain_tokens[of], curve.values[of], "o", color=color, **style)
    if curve.baseline_value is not None:
        axes.axhline(curve.baseline_value, color="gray", linestyle="--", linewidth=1, label="no pretraining")
    axes.set_xscale("log")
    axes.set_xlabel("pretraining tokens")
    axes.set_ylabel(curve.about.title)
    axes.legend(frameon=False)
    return axes
