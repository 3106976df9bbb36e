"""A quick look at a fit or a forecast with matplotlib, which is imported only here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curve import Curve
from .results import Prediction


def grid_of_axes(count: int) -> Any:
    """Return so many matplotlib axes [count] in a new figure, three in a row."""
    import matplotlib.pyplot as plt

    across = min(count, 3)
    rows = -(-count // across)
    axes = plt.subplots(rows, across, figsize=(5 * across, 3.6 * rows), squeeze=False, layout="constrained")[1].ravel()
    for spare in axes[count:]:
        spare.set_visible(False)
    return axes[:count]


def plot_curve(
    curve: Curve, bands: Mapping[str, Prediction], used: NDArray[np.bool_], axes: Any = None, color: str = "C0"
) -> Any:
    """Draw points, predicted values and their bands, and return the matplotlib axes.

    Args:
        bands: label -> prediction; the last one's values are drawn as a line.
        used: the points that were fitted [n]; the others are hollow. The baseline is a dashed line.
        axes: matplotlib axes; None makes them.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1]
    real = curve.pretrain_tokens > 0
    heights = [curve.values[real & np.isfinite(curve.values)]]
    for label, drawn in bands.items():
        heights.append(drawn.value[np.isfinite(drawn.value)])
        if np.any(np.isfinite(drawn.lower)):
            axes.fill_between(
                drawn.pretrain_tokens, drawn.lower, drawn.upper, color=color, alpha=0.15, linewidth=0, label=label
            )
    axes.plot(drawn.pretrain_tokens, drawn.value, color=color)
    for of, style in ((real & used, {}), (real & ~used, {"markerfacecolor": "none"})):
        axes.plot(curve.pretrain_tokens[of], curve.values[of], "o", color=color, **style)
    if curve.baseline_value is not None:
        axes.axhline(curve.baseline_value, color="gray", linestyle="--", linewidth=1, label="no pretraining")
    shown = np.concatenate(heights)
    margin = 0.3 * (np.ptp(heights[0]) or abs(shown[0]) or 1.0)
    axes.set_ylim(shown.min() - margin, shown.max() + margin)
    axes.set_xscale("log")
    axes.set_xlabel("pretraining tokens")
    axes.set_ylabel(curve.about.title)
    axes.legend(frameon=False)
    return axes
