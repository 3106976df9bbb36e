"""A plain function as a law, for one curve."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import SettingError
from ..curve import FloatArray
from ..law import Law, Parameter, Scale

_STEP = 1e-6
"""Of the derivatives, as a share of a parameter and of its default."""
_TRIED, _KEPT = 64, 6


class FunctionLaw(Law):
    """f(tokens, *parameters) as a law of the curve with this scale.

    Args:
        function: takes D_p in tokens (an array) and the parameters, and returns the values in points of the metric; it
            must work on arrays. The defaults of its parameters are where the search for the best ones starts.
        scale: of the curve's points.

    Raises:
        SettingError: the function has no parameters, or one without a number as its default.
    """

    def __init__(self, function: Callable[..., Any], scale: Scale) -> None:
        given = list(inspect.signature(function).parameters.values())[1:]
        self.name = getattr(function, "__name__", "function")
        example = "write for example def mine(tokens, a=10.0, b=1.0): return a + b * np.log(tokens)"
        if not given:
            raise SettingError("law", self.name, "it has no parameters to fit", example)
        for one in given:
            if isinstance(one.default, bool) or not isinstance(one.default, int | float):
                raise SettingError("law", self.name, f"its parameter {one.name!r} has no number as default", example)
        self.title = self.name.replace("_", " ")
        self.internal = tuple(one.name for one in given)
        self.formula = f"{self.name}(D, {', '.join(self.internal)})"
        self.source = "a function of one's own"
        self.parameters = tuple(Parameter(name, "") for name in self.internal)
        self.lower, self.upper = np.full(len(given), -np.inf), np.full(len(given), np.inf)
        self._function, self._scale = function, scale
        self._defaults = np.array([float(one.default) for one in given])

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        value = self._log(theta, z)
        jacobian = np.empty((*value.shape, theta.shape[1]))
        for i in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[:, i] = _STEP * (np.abs(theta[:, i]) + np.abs(self._defaults[i]) + 1e-6)
            with np.errstate(all="ignore"):
                there, back = self._log(theta + step, z), self._log(theta - step, z)
                jacobian[..., i] = (there - back) / (2 * step[:, i, None])
        return value, jacobian

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        """Return the defaults and the best of a cloud around them [batch, k, p]."""
        draws = np.random.default_rng(0).standard_normal((_TRIED, self._defaults.size))
        cloud = np.where(self._defaults == 0, draws, self._defaults * np.exp(draws))
        cloud = np.concatenate([self._defaults[None], cloud])
        found = []
        for row in range(len(target)):
            left = self._log(cloud, z[[row if len(z) > 1 else 0]]) - target[row]
            with np.errstate(all="ignore"):
                squares = np.nan_to_num(np.sum(weight[row] * left**2, 1), nan=np.inf)
            found.append(np.concatenate([cloud[:1], cloud[np.argsort(squares, kind="stable")[:_KEPT]]]))
        return np.stack(found)

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        return theta.copy(), np.eye(theta.size)

    def _log(self, theta: FloatArray, z: FloatArray) -> FloatArray:
        """Return log f - level [b, n] for theta [b, p] and z [b, n] or [1, n]; NaN where f is not positive."""
        tokens = np.exp(self._scale.middle + self._scale.half * z)
        with np.errstate(all="ignore"):
            values = np.asarray(self._function(tokens, *(theta[:, i, None] for i in range(theta.shape[1]))), float)
            values = np.broadcast_to(values, np.broadcast_shapes(tokens.shape, (len(theta), 1)))
            return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)) - self._scale.level, np.nan)
