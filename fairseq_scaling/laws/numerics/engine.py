"""Batches of one law's problems, from start to global minimum: every fit, bootstrap draw and rolling-origin split."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..law import Law, Scale
from .solver import Solution, minimise

_CHUNK = 3_000_000
"""Numbers in the largest array of a start (nodes x points x problems): larger batches are cut."""

_SCOUTING = 20
"""Steps that every start is given before the best of them go on."""


@dataclass(frozen=True)
class Solved:
    """Global minima of a batch; theta [b, p], everything else [b]."""

    theta: FloatArray
    scale: Scale
    objective: FloatArray
    iterations: NDArray[np.int_]
    converged: NDArray[np.bool_]

    def __getitem__(self, row: int) -> Solved:
        """Return the minimum of one problem: theta [p], numbers otherwise."""
        return Solved(*(getattr(self, one.name)[row] for one in fields(self)))


def scale_of(log_tokens: FloatArray, log_values: FloatArray, weight: FloatArray) -> Scale:
    """Return the scaling of every problem [b] over its points of weight > 0, arrays [b, n]."""
    real = weight > 0
    low = np.min(np.where(real, log_tokens, np.inf), 1)
    high = np.max(np.where(real, log_tokens, -np.inf), 1)
    half = (high - low) / 2
    total = np.sum(weight, 1)
    level = np.sum(np.where(real, weight * log_values, 0.0), 1) / np.maximum(total, 1e-300)
    return Scale((low + high) / 2, np.where(half > 0, half, 1.0), level)


def solve(
    law: Law,
    log_tokens: FloatArray,
    log_values: FloatArray,
    weight: FloatArray,
    delta: FloatArray,
    scale: Scale | None = None,
    starts: int | None = None,
    tolerance: float = 1e-11,
    guess: FloatArray | None = None,
    max_iterations: int = 300,
) -> Solved:
    """Minimise sum_i w_i huber(log y_i - log f(D_i)) for every row.

    Args:
        log_tokens, log_values, weight: [b, n]; weight 0 marks padding and points kept out. ``log_tokens`` may be
            [1, n].
        delta: Huber thresholds [b].
        scale: of every problem; None takes it from the points. Give one scale (fields of shape [1]) for bootstrap
            draws.
        starts: at most so many grid minima are polished; None takes all that the law asks for.
        guess: further starts [b, k, p].
        tolerance, max_iterations: as in ``minimise``.
    """
    count, points = log_values.shape
    scale = scale_of(np.broadcast_to(log_tokens, log_values.shape), log_values, weight) if scale is None else scale
    nodes = max(1, len(getattr(law, "grid", [0])))
    rows = max(1, int(_CHUNK / (nodes * min(points, 40))))
    if count > rows:
        parts = []
        for begin in range(0, count, rows):
            part = slice(begin, begin + rows)
            own = scale if len(np.atleast_1d(scale.middle)) == 1 else scale[part]
            tokens = log_tokens if len(log_tokens) == 1 else log_tokens[part]
            arguments = (log_values[part], weight[part], delta[part], own, starts, tolerance)
            more = None if guess is None else guess[part]
            parts.append(solve(law, tokens, *arguments, guess=more, max_iterations=max_iterations))
        merged = [
            np.concatenate([getattr(p, key) for p in parts])
            for key in ("theta", "objective", "iterations", "converged")
        ]
        return Solved(merged[0], scale, *merged[1:])

    z = scale.z(log_tokens)
    target = np.where(weight > 0, log_values - scale.level[:, None], 0.0)
    z = np.where(np.any(weight > 0, 0) | (len(z) > 1), z, 0.0)
    begin_at = law.start(z, target, weight, delta)[:, :starts]
    if guess is not None:
        begin_at = np.concatenate([begin_at, guess], 1)
    shared = len(z) == 1

    def polish(theta: FloatArray, steps: int, precision: float) -> Solution:
        """Go on from theta [b, k, p] and return the solution with arrays [b, k, ...]."""
        tries = theta.shape[1]
        found = minimise(
            law.evaluate,
            theta.reshape(count * tries, -1),
            z if shared else np.repeat(z, tries, 0),
            np.repeat(target, tries, 0),
            np.repeat(weight, tries, 0),
            np.repeat(delta, tries),
            law.lower,
            law.upper,
            steps,
            precision,
            law.linear,
        )
        return Solution(
            found.theta.reshape(count, tries, -1),
            found.objective.reshape(count, tries),
            found.iterations.reshape(count, tries),
            found.converged.reshape(count, tries),
        )

    rows_of = np.arange(count)
    if begin_at.shape[1] > law.finalists and max_iterations > _SCOUTING:
        # Few steps tell most starts from the best ones; only those go all the way.
        scouted = polish(begin_at, _SCOUTING, 1e-6)
        best = np.argsort(scouted.objective, 1, kind="stable")[:, : law.finalists]
        begin_at = scouted.theta[rows_of[:, None], best]
    solution = polish(begin_at, max_iterations, tolerance)
    first = np.argmin(solution.objective, 1)
    return Solved(
        solution.theta[rows_of, first],
        scale,
        solution.objective[rows_of, first],
        solution.iterations[rows_of, first],
        solution.converged[rows_of, first],
    )
