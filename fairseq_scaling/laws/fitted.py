"""A law fitted to a curve: coefficients, predictions, and whether they can be relied on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .curve import Curve, FloatArray
from .law import Law
from .numerics import predicting
from .plotting import plot_curve
from .results import Estimate, HeldOutError, LeftOut, Prediction


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to a curve.

    Attributes:
        curve, law: what was fitted with what.
        coefficients: name -> Estimate in natural units (as in ``law.formula``).
        objective: sum of w * Huber(log observed - log predicted) over the points used, at the minimum.
        delta: the Huber threshold on log residuals.
        protocol: ``all`` (every point not held out) or ``paper`` (the four smallest budgets).
        interval: ``profile``, ``delta``, ``case`` or ``parametric`` (see ``fit_many``); level: their coverage.
        used: mask of the points in the fit [n]; ``judged``: mask of the held-out points [n]; ``left_out``: the others.
        residuals: log observed - log predicted of every point [n], NaN where it has no logarithm.
        degrees_of_freedom: distinct budgets used minus the law's parameters (seeds are repeated measurements).
        sigma: standard deviation of the log residuals of a budget's mean.
        condition_number: of the scaled Jacobian in natural parameters; above about 1e3 coefficients trade off.
        identified: whether the coefficients can be read on their own; ``reasons``: why not, one sentence each.
        notes: remarks on the fit that do not question it.
        held_out: errors on the held-out points, or None where there are none.
        iterations: steps of the solver; converged: whether it met its tolerance.
    """

    curve: Curve
    law: Law
    coefficients: dict[str, Estimate]
    objective: float
    delta: float
    protocol: str
    interval: str
    level: float
    used: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    left_out: tuple[LeftOut, ...]
    residuals: FloatArray
    degrees_of_freedom: int
    sigma: float
    condition_number: float
    identified: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    held_out: HeldOutError | None
    iterations: int
    converged: bool
    state: Any = field(repr=False, default=None)
    """The solver's own parameters, scaling and covariance (``numerics.profile.State``)."""

    def predict(self, pretrain_tokens: ArrayLike, level: float | None = None) -> Prediction:
        """Return the law's values with intervals at ``pretrain_tokens`` (tokens, any shape).

        The interval is for the law's value (the mean over seeds), not for one more noisy measurement.
        """
        return predicting.predict(self, pretrain_tokens, self.level if level is None else level)

    def values(self, pretrain_tokens: ArrayLike) -> FloatArray:
        """Return what ``predict`` returns as values, without the intervals, whose draws take most of its time."""
        return np.exp(predicting.evaluate_log(self, np.asarray(pretrain_tokens, float))[0])

    def elasticity(self, pretrain_tokens: ArrayLike) -> FloatArray:
        """Return d log f / d log D_p at ``pretrain_tokens``: per cent of score gained per per cent of data added."""
        tokens, step = np.asarray(pretrain_tokens, float), 1e-4
        above, below = (predicting.evaluate_log(self, tokens * np.exp(side))[0] for side in (step, -step))
        return (above - below) / (2 * step)

    def plot(self, axes: Any = None, **style: Any) -> Any:
        """Draw points, law and interval band up to ``reach`` (4) times the largest D_p (see ``plot_curve``)."""
        tokens = self.curve.pretrain_tokens
        grid = np.geomspace(tokens[tokens > 0].min(), style.pop("reach", 4.0) * tokens.max(), 200)
        return plot_curve(self.curve, {self.law.title: self.predict(grid)}, self.used, axes, **style)

    def __repr__(self) -> str:
        head = f"{self.law.name} fitted to {self.curve.name} ({self.curve.metric}): {self.law.formula}"
        lines = [head]
        for name, estimate in self.coefficients.items():
            lines.append(f"  {name:<10} {estimate}")
        lines.append(
            f"  {int(self.used.sum())} points, {self.degrees_of_freedom} degrees of freedom, "
            f"residual {self.sigma:.2%}, Huber delta {self.delta:g}, objective {self.objective:.6g}"
        )
        if self.held_out is not None:
            lines.append(f"  held-out error (RMSLE) {self.held_out.rmsle:.4f} on {self.held_out.n} points")
        lines += [f"  not identified: {reason}" for reason in self.reasons]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)
