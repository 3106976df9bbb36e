"""Laws that are linear in two of their parameters, and their starts by variable projection.

Both families leave few non-linear parameters (Golub and Pereyra 1973): for every node of a grid over those, the linear
ones have a closed form, so the grid shows all basins of the objective and the solver only has to polish.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..law import Law

_THIN = 24
"""Starts need no more than this many points; longer curves are averaged in bins of log D."""

_REFINED = 48
"""Nodes that are reweighted."""


class SeparableLaw(Law):
    """A law with two linear parameters first in theta, and a basis phi(z; rest)."""

    linear = 2
    axes: tuple[FloatArray, ...] = ()
    """Grid of every non-linear parameter."""
    linear_bounds: tuple[tuple[float, float], tuple[float, float]] = ((-np.inf, np.inf), (-np.inf, np.inf))
    """Bounds of the two linear parameters."""

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return phi [..., n] and d phi / d rest [..., n, q] for rest [..., q] and z [..., n]; here a straight line."""
        phi = z + 0 * rest.sum(-1, keepdims=True)
        return phi, np.zeros((*phi.shape, 0))

    def shape(self, rest: FloatArray, z: FloatArray) -> FloatArray:
        """Return phi alone; laws whose derivatives cost much give a shorter way."""
        return self.basis(rest, z)[0]

    @cached_property
    def grid(self) -> FloatArray:
        """Nodes of the grid [g, q]."""
        if not self.axes:
            return np.zeros((1, 0))
        return np.stack([axis.ravel() for axis in np.meshgrid(*self.axes, indexing="ij")], -1)

    @cached_property
    def _near(self) -> FloatArray:
        """Which nodes are neighbours [g, g]: at most one step apart along every axis."""
        shape = tuple(len(axis) for axis in self.axes) or (1,)
        steps = np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), -1)
        return np.max(np.abs(steps[:, None] - steps[None]), -1) <= 1

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        z, target, weight = thinned(z, target, weight)
        with np.errstate(all="ignore"):
            phi = self.shape(self.grid[None], z[:, None, :])
            first, second, objective = self._project(phi, target, weight, delta)
        picked = self._lowest(objective)
        rows = np.arange(len(target))[:, None]
        linear = np.stack([first[rows, picked], second[rows, picked]], -1)
        return np.concatenate([linear, self.grid[picked]], -1)

    def _lowest(self, objective: FloatArray) -> NDArray[np.int_]:
        """Return the nodes [b, starts] of the lowest objectives [b, g], no two of them neighbours."""
        order = []
        for _ in range(min(self.starts, len(self.grid))):
            best = np.argmin(objective, 1)
            order.append(best)
            objective = np.where(self._near[best], np.inf, objective)
        return np.stack(order, 1)

    @abstractmethod
    def _model(self, first: FloatArray, second: FloatArray, phi: FloatArray) -> FloatArray:
        """Return log f for first, second [b, g, 1] and phi [b, g, n]."""

    @abstractmethod
    def _linearised(self, target: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return values and weights of the least-squares problem that stands for the log residuals."""

    def _project(
        self, phi: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return both linear parameters and the objective at every node [b, g]."""
        values, weights = self._linearised(target, weight)
        if phi.shape[0] == 1:
            first, second = self._solve_shared(phi[0], values, weights)
        else:
            first, second = self._solve(phi, values[:, None, :], weights[:, None, :])
        objective, robust = self._judge(phi, first, second, target, weight, delta)
        nodes = objective.shape[1]
        if np.min(robust) >= 1.0:
            return first, second, objective
        # Reweighting brings the projected least-squares solution close to the projected Huber solution; only the better
        # nodes are worth it.
        rows = np.arange(len(objective))[:, None]
        best = np.argpartition(objective, _REFINED, 1)[:, :_REFINED] if nodes > _REFINED else np.arange(nodes)[None]
        part = np.broadcast_to(phi, (len(objective), *phi.shape[1:]))[rows, best]
        robust = robust[rows, best]
        for _ in range(2):
            one, two = self._solve(part, values[:, None, :], weights[:, None, :] * robust)
            refined, robust = self._judge(part, one, two, target, weight, delta)
            better = refined < objective[rows, best]
            first[rows, best] = np.where(better, one, first[rows, best])
            second[rows, best] = np.where(better, two, second[rows, best])
            objective[rows, best] = np.where(better, refined, objective[rows, best])
        return first, second, objective

    def _judge(
        self,
        phi: FloatArray,
        first: FloatArray,
        second: FloatArray,
        target: FloatArray,
        weight: FloatArray,
        delta: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the Huber objective [b, g] and the robust weights [b, g, n] of linear parameters [b, g]."""
        threshold = delta[:, None, None]
        real = weight[:, None, :] > 0
        size = np.where(real, np.abs(target[:, None, :] - self._model(first[..., None], second[..., None], phi)), 0.0)
        inside = np.minimum(size, threshold)
        objective = np.sum(weight[:, None, :] * inside * (size - 0.5 * inside), -1)
        return np.where(np.isfinite(objective), objective, 1e300), np.minimum(1.0, threshold / np.maximum(size, 1e-300))

    def _solve_shared(self, phi: FloatArray, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        # All problems share z: sums over points are matrix products.
        return self._closed_form(
            weights.sum(1)[:, None],
            weights @ phi.T,
            weights @ (phi * phi).T,
            np.sum(weights * values, 1)[:, None],
            (weights * values) @ phi.T,
        )

    def _solve(self, phi: FloatArray, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        weighted = weights * phi
        return self._closed_form(
            np.sum(weights, -1),
            weighted.sum(-1),
            np.sum(weighted * phi, -1),
            np.sum(weights * values, -1),
            np.sum(weighted * values, -1),
        )

    def _closed_form(
        self, one: FloatArray, p: FloatArray, pp: FloatArray, v: FloatArray, pv: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Solve the 2 x 2 normal equations inside the bounds: inside, or the best point of the violated edges."""
        (low1, high1), (low2, high2) = self.linear_bounds
        determinant = np.maximum(one * pp - p * p, 1e-14 * one * pp + 1e-300)
        second = (one * pv - p * v) / determinant
        second_clipped = np.clip(second, low2, high2)
        first = (v - second_clipped * p) / np.maximum(one, 1e-300)
        first_clipped = np.clip(first, low1, high1)
        again = np.clip((pv - first_clipped * p) / np.maximum(pp, 1e-300), low2, high2)
        return first_clipped, np.where(first == first_clipped, second_clipped, again)


class ValueLinearLaw(SeparableLaw):
    """f = E + I * phi(z; rest), in units of exp(level)."""

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            phi, slopes = self.basis(theta[:, 2:], z)
            value = theta[:, :1] + theta[:, 1:2] * phi
            value = np.where(value > 0, value, np.nan)
            jacobian = np.empty((*value.shape, theta.shape[1]))
            jacobian[..., 0] = 1 / value
            jacobian[..., 1] = phi / value
            jacobian[..., 2:] = (theta[:, 1:2] / value)[..., None] * slopes
            return np.log(value), jacobian

    def _model(self, first: FloatArray, second: FloatArray, phi: FloatArray) -> FloatArray:
        value = first + second * phi
        return np.log(np.where(value > 0, value, np.nan))

    def _linearised(self, target: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        values = np.exp(target)
        return values, np.where(weight > 0, weight / values**2, 0.0)


class LogLinearLaw(SeparableLaw):
    """log f = kappa + gamma * phi(z; rest)."""

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            phi, slopes = self.basis(theta[:, 2:], z)
            jacobian = np.empty((*phi.shape, theta.shape[1]))
            jacobian[..., 0] = 1.0
            jacobian[..., 1] = phi
            jacobian[..., 2:] = theta[:, 1:2, None] * slopes
            return theta[:, :1] + theta[:, 1:2] * phi, jacobian

    def _model(self, first: FloatArray, second: FloatArray, phi: FloatArray) -> FloatArray:
        return first + second * phi

    def _linearised(self, target: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        return target, weight


def thinned(z: FloatArray, target: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return points averaged in bins of z where there are many: medians would be slower, and this is only the start."""
    if z.shape[1] <= _THIN:
        return z, target, weight
    batch = max(z.shape[0], target.shape[0])
    z = np.broadcast_to(z, (batch, z.shape[1]))
    bins = np.clip(((z + 1) * (_THIN / 2)).astype(int), 0, _THIN - 1)
    index = (np.arange(batch)[:, None] * _THIN + bins).ravel()
    total = np.bincount(index, weight.ravel(), batch * _THIN)

    def mean(x: FloatArray) -> FloatArray:
        sums = np.bincount(index, (weight * x).ravel(), batch * _THIN)
        return (sums / np.maximum(total, 1e-300)).reshape(batch, _THIN)

    return mean(z), mean(np.where(weight > 0, target, 0.0)), np.asarray(total, float).reshape(batch, _THIN)
