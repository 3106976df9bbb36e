"""What fits return: estimates, predictions, fits. Plain data, readable reprs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..quantities import format_tokens
from .curve import Curve, FloatArray

if TYPE_CHECKING:
    from .law import Law


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; ``lower``, ``upper`` and ``se`` are NaN where the data do not determine them."""

    value: float
    lower: float = float("nan")
    upper: float = float("nan")
    se: float = float("nan")
    unit: str = ""

    def __str__(self) -> str:
        if not np.isfinite(self.lower):
            return f"{self.value:.4g} (not determined)"
        return f"{self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}]"

    def to_dict(self) -> dict[str, Any]:
        return {key: json_number(getattr(self, key)) for key in ("value", "lower", "upper", "se")} | {"unit": self.unit}


@dataclass(frozen=True)
class Prediction:
    """Predicted values of a law with a pointwise interval for the curve's mean; arrays of one shape."""

    pretrain_tokens: FloatArray
    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float

    def __repr__(self) -> str:
        rows = zip(*(np.atleast_1d(a) for a in (self.pretrain_tokens, self.value, self.lower, self.upper)), strict=True)
        lines = [f"{format_tokens(d):>8} tokens: {v:.4g} [{lo:.4g}, {hi:.4g}]" for d, v, lo, hi in rows]
        return f"Prediction, {self.level:.0%} intervals\n" + "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        arrays = {key: json_array(getattr(self, key)) for key in ("pretrain_tokens", "value", "lower", "upper")}
        return arrays | {"level": self.level}


@dataclass(frozen=True)
class LeftOut:
    """A point that did not enter the fit, and why."""

    index: int
    pretrain_tokens: float
    value: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "pretrain_tokens": json_number(self.pretrain_tokens),
            "value": json_number(self.value),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class HeldOutError:
    """Errors of a fit on points it has not seen.

    ``rmsle`` is sqrt(mean((log predicted - log observed)^2)); ``relative`` the mean of |predicted - observed| /
    observed; ``absolute`` the mean of |predicted - observed| in points of the metric; ``bias`` the mean of log
    predicted - log observed (above 0: the law promised too much for a score); ``n`` the number of points.
    """

    rmsle: float
    relative: float
    absolute: float
    bias: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        return {key: json_number(value) for key, value in vars(self).items()}


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
    """The solver's own parameters, scaling and covariance (``fairseq_scaling.laws.numerics.inference.State``)."""

    def predict(self, pretrain_tokens: ArrayLike, level: float | None = None) -> Prediction:
        """Return the law's values with intervals at ``pretrain_tokens`` (tokens, any shape).

        The interval is for the law's value (the mean over seeds), not for one more noisy measurement.
        """
        from .numerics.predicting import predict

        return predict(self, pretrain_tokens, self.level if level is None else level)

    def values(self, pretrain_tokens: ArrayLike) -> FloatArray:
        """Return what ``predict`` returns as values, without the intervals, whose draws take most of its time."""
        from .numerics.predicting import values

        return values(self, pretrain_tokens)

    def elasticity(self, pretrain_tokens: ArrayLike) -> FloatArray:
        """Return d log f / d log D_p at ``pretrain_tokens``: per cent of score gained per per cent of data added."""
        from .numerics.predicting import elasticity

        return elasticity(self, pretrain_tokens)

    def draws(self, pretrain_tokens: ArrayLike, size: int = 2000, seed: int = 0) -> FloatArray:
        """Return [size, ...] draws of the law's values from its uncertainty: bootstrap refits, or curves of
        Student's t whose quantiles at every D_p are the ends of the intervals there."""
        from .numerics.predicting import draws

        return draws(self, pretrain_tokens, size, seed)

    def plot(self, axes: Any = None, **style: Any) -> Any:
        """Draw points, law and interval band into matplotlib ``axes`` (made when None), which are returned."""
        from .plotting import plot_fit

        return plot_fit(self, axes, **style)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; complete enough to judge the fit and to draw it again."""
        from .numerics.inference import fit_to_dict

        return fit_to_dict(self)

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


def json_number(value: Any) -> Any:
    """Return a Python number, or None for NaN and infinities, which JSON does not have."""
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return value.item() if isinstance(value, np.generic) else value
    number = float(value)
    return number if np.isfinite(number) else None


def json_array(values: ArrayLike) -> Any:
    """Return nested lists with None for NaN and infinities."""
    array = np.asarray(values, float)
    return json_number(array) if array.ndim == 0 else [json_array(entry) for entry in array]
