"""Minimise Huber losses of log residuals, many problems as one batch, each to its minimum inside a box.

Levenberg-Marquardt with analytic derivatives. A Huber threshold far below the noise makes the loss nearly absolute:
there Newton's curvature (points inside the threshold only) is exact but may be singular, and the reweighted one (every
point, weight delta / |r|) is safe but slow. The solver mixes the two, per problem, and lets the share of the safe one
go to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray

_PATIENCE = 20
"""Steps after which a problem that is not done is taken to creep along a valley."""

Evaluate = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Solution:
    """Minima of a batch: theta [b, p], objective [b], iterations [b], converged [b]."""

    theta: FloatArray
    objective: FloatArray
    iterations: NDArray[np.int_]
    converged: NDArray[np.bool_]


def huber(residual: FloatArray, delta: FloatArray | float) -> FloatArray:
    """Return 0.5 r^2 inside ``delta`` and delta (|r| - delta / 2) outside (Huber 1964)."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * np.asarray(delta)))


def minimise(
    evaluate: Evaluate,
    theta: FloatArray,
    points: FloatArray,
    target: FloatArray,
    weight: FloatArray,
    delta: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    max_iterations: int = 300,
    tolerance: float = 1e-13,
    linear: int = 0,
) -> Solution:
    """Return the local minimum of sum_i w_i huber(target_i - f_i(theta)) reached from every start.

    Args:
        evaluate: maps theta [b, p] and points [b, n, ...] to f [b, n] and df/dtheta [b, n, p].
        theta: starts [b, p].
        points: [b, n, ...], or [1, n, ...] when shared.
        target, weight: [b, n]; weight 0 marks padding.
        delta: Huber thresholds [b].
        lower, upper: box of theta [p].
        tolerance: relative decrease of the objective below which a problem is done.
        linear: so many parameters, the first ones, enter f or exp(f) linearly.
    """
    count, size = theta.shape
    shared = points.shape[0] == 1
    final = np.clip(theta, lower, upper)
    final_objective = np.full(count, np.inf)
    final_iterations = np.zeros(count, int)
    final_converged = np.zeros(count, bool)

    rows = np.arange(count)
    current = final.copy()
    real = weight > 0
    residual, jacobian = _residual(evaluate, current, points, target, real)
    objective = _objective(residual, weight, delta)
    damping = np.full(count, 1e-3)
    safe = np.ones(count)
    eye = np.eye(size)
    quiet = np.zeros(count, int)
    stride = np.ones(count)

    for iteration in range(1, max_iterations + 1):
        amount = np.abs(residual)
        inside = amount <= delta[:, None]
        psi = np.clip(residual, -delta[:, None], delta[:, None])
        with np.errstate(invalid="ignore"):
            gradient = -np.matmul((weight * psi)[:, None, :], jacobian)[:, 0]
            ratio = delta[:, None] / np.maximum(amount, 1e-300)
            curvature = weight * np.where(inside, 1.0, safe[:, None] * ratio)
            transposed = jacobian.transpose(0, 2, 1)
            hessian = np.matmul(transposed * curvature[:, None, :], jacobian)
            metric = np.matmul((weight * np.where(inside, 1.0, ratio))[:, None, :], jacobian * jacobian)[:, 0]
        floor = 1e-12 * np.max(metric, 1, keepdims=True, initial=1e-290) + 1e-290
        hessian += (damping[:, None] * np.maximum(metric, floor) + floor)[:, :, None] * eye
        held = ((current <= lower) & (gradient > 0)) | ((current >= upper) & (gradient < 0))
        gradient = np.where(held, 0.0, gradient)
        free = ~held
        hessian = np.where(free[:, :, None] & free[:, None, :], hessian, eye)
        step = -_solve(hessian, gradient)
        trial = np.clip(current + step, lower, upper)
        # The decrease the linear model promises for a full step, before clipping.
        promised = -0.5 * np.sum(gradient * step, 1)
        trial_residual, trial_jacobian = _residual(evaluate, trial, points, target, real)
        trial_objective = _objective(trial_residual, weight, delta)
        if linear and iteration > _PATIENCE:
            # A long valley bends as the linear parameters answer to the others: solving for them follows it, and
            # longer and longer strides shorten it.
            ahead = np.clip(current + stride[:, None] * (trial - current), lower, upper)
            answer = _answer(*_residual(evaluate, ahead, points, target, real), weight, delta, linear)
            followed = np.clip(ahead + answer, lower, upper)
            other_residual, other_jacobian = _residual(evaluate, followed, points, target, real)
            other_objective = _objective(other_residual, weight, delta)
            lead = other_objective < trial_objective
            stride = np.where(lead, 2 * stride, 1.0)
            trial = np.where(lead[:, None], followed, trial)
            trial_residual = np.where(lead[:, None], other_residual, trial_residual)
            trial_jacobian = np.where(lead[:, None, None], other_jacobian, trial_jacobian)
            trial_objective = np.where(lead, other_objective, trial_objective)
        better = trial_objective < objective
        decrease = np.where(better, objective - trial_objective, 0.0)
        small = (decrease <= tolerance * objective) & (promised <= 10 * tolerance * objective)
        # A promise below rounding is kept by standing still; one small step after a damped one is no proof yet.
        quiet = np.where(small, quiet + 1, 0)
        stuck = damping > 1e12
        done = (quiet >= 2) | stuck | (objective < 1e-300) | ~np.isfinite(objective)

        residual = np.where(better[:, None], trial_residual, residual)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        current = np.where(better[:, None], trial, current)
        objective = np.where(better, trial_objective, objective)
        good = decrease > 0.25 * promised
        damping = np.where(better, np.where(good, damping * 0.1, damping), np.maximum(damping, 1e-9) * 10)
        safe = np.where(better, np.where(good, safe * 0.2, safe), np.minimum(1.0, np.maximum(safe, 1e-4) * 10))
        damping = np.maximum(damping, 1e-15)

        if iteration == max_iterations:
            ending = np.ones(len(rows), bool)
        elif np.any(done):
            ending = done
        else:
            continue
        out = rows[ending]
        final[out], final_objective[out], final_iterations[out] = current[ending], objective[ending], iteration
        final_converged[out] = done[ending] & np.isfinite(objective[ending])
        stay = ~ending
        if not np.any(stay):
            break
        rows, current, residual, jacobian = rows[stay], current[stay], residual[stay], jacobian[stay]
        objective, damping, safe, quiet, stride = (x[stay] for x in (objective, damping, safe, quiet, stride))
        target, weight, delta, real = target[stay], weight[stay], delta[stay], real[stay]
        points = points if shared else points[stay]
    return Solution(final, final_objective, final_iterations, final_converged)


def _residual(
    evaluate: Evaluate, theta: FloatArray, points: FloatArray, target: FloatArray, real: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    value, jacobian = evaluate(theta, points)
    residual = np.where(real, target - value, 0.0)
    return residual, np.where(real[..., None], jacobian, 0.0)


def _answer(
    residual: FloatArray, jacobian: FloatArray, weight: FloatArray, delta: FloatArray, linear: int
) -> FloatArray:
    """Return the Gauss-Newton step [b, p] of the first ``linear`` parameters alone; 0 for the others."""
    part = jacobian[..., :linear]
    robust = weight * np.minimum(1.0, delta[:, None] / np.maximum(np.abs(residual), 1e-300))
    with np.errstate(invalid="ignore"):
        matrix = np.matmul((part * robust[..., None]).transpose(0, 2, 1), part)
        vector = np.matmul((robust * residual)[:, None, :], part)[:, 0]
    step = np.zeros((len(residual), jacobian.shape[2]))
    step[:, :linear] = _solve(matrix, vector)
    return step


def _objective(residual: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
    total = np.sum(weight * huber(residual, delta[:, None]), 1)
    return np.where(np.isfinite(total), total, np.inf)


def _solve(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    return solve_scaled(matrix, vector[..., None])[..., 0]


def solve_scaled(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve symmetric positive definite systems [b, p, p] for right-hand sides [b, p, k] after scaling their diagonals
    to 1; 0 where that fails."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    right = right * scale[..., None]
    bad = ~(np.all(np.isfinite(scaled), (1, 2)) & np.all(np.isfinite(right), (1, 2)))
    if np.any(bad):
        scaled = np.where(bad[:, None, None], np.eye(matrix.shape[1]), scaled)
        right = np.where(bad[:, None, None], 0.0, right)
    try:
        solution = np.linalg.solve(scaled, right)
    except np.linalg.LinAlgError:
        solution = np.stack([np.linalg.lstsq(m, r, rcond=1e-14)[0] for m, r in zip(scaled, right, strict=True)])
    return solution * scale[..., None]
