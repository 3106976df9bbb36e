"""The reference optimiser: scipy's L-BFGS-B on the laws as the papers write them, helped by everything that helps it.

Analytic gradients, a summed loss, centred logarithms, tight tolerances.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize

from fairseq_scaling.laws import Fit
from fairseq_scaling.laws.solver import huber

_TIGHT = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-12}


class PaperLoss:
    """The summed Huber loss of one curve in a paper's own parameters.

    log-law: (log A + alpha times the middle of log D, alpha, beta); cross-entropy law: log-sum-exp of (log E, log A,
    alpha), logarithms about the middle.
    """

    def __init__(self, law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float) -> None:
        self.law, self.delta = law, delta
        self.middle, self.level = log_tokens.mean(), log_values.mean()
        self.x, self.y = log_tokens - self.middle, log_values - self.level
        self.bounds: list[tuple[float | None, float | None]] = (
            [(1e-6, None), (1e-9, None), (None, None)]
            if law == "log_law"
            else [(-60.0, None), (-60.0, None), (0.0, None)]
        )

    def __call__(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient at p [3]."""
        value, slopes = self._log_law(p) if self.law == "log_law" else self._cross_entropy(p)
        residual = self.y - value
        return float(huber(residual, self.delta).sum()), -np.clip(residual, -self.delta, self.delta) @ slopes

    def start(self, generator: np.random.Generator) -> np.ndarray:
        """Return a random start [3]."""
        if self.law == "log_law":
            return np.array(
                [np.exp(generator.uniform(-1, 5)), np.exp(generator.uniform(-4, 3)), generator.uniform(0.05, 3)]
            )
        return np.array([generator.uniform(-4, 1), generator.uniform(-4, 1), np.exp(generator.uniform(-4, 1))])

    def of_fit(self, fit: Fit) -> np.ndarray:
        """Return the parameters [3] at which a fit of this project lies."""
        found = {name: estimate.value for name, estimate in fit.coefficients.items()}
        if self.law == "log_law":
            return np.array([found["log A"] + found["alpha"] * self.middle, found["alpha"], found["beta"]])
        shift = found["alpha"] * self.middle + self.level
        return np.array([np.log(max(found["E"], 1e-25)) - self.level, found["log A"] - shift, found["alpha"]])

    def reached(self, start: np.ndarray) -> float:
        """Return the loss that L-BFGS-B reaches from a start; inf where that is no point of the law."""
        with np.errstate(all="ignore"):
            found = minimize(self, start, jac=True, method="L-BFGS-B", bounds=self.bounds, options=_TIGHT)
        inside = self.law != "log_law" or bool(np.all(found.x[0] + found.x[1] * self.x > 1e-9))
        return float(found.fun) if np.isfinite(found.fun) and inside else float("inf")

    def _log_law(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inner = np.maximum(p[0] + p[1] * self.x, 1e-12)
        log_inner = np.log(inner)
        return p[2] * log_inner - self.level, np.stack([p[2] / inner, p[2] * self.x / inner, log_inner], -1)

    def _cross_entropy(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, share = _log_sum_exp(np.stack([p[0] + 0 * self.x, p[1] - p[2] * self.x]))
        return total, np.stack([share[0], share[1], -share[1] * self.x], -1)


def lbfgs_from_many_starts(
    law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float, starts: int, seed: int
) -> np.ndarray:
    """Return the objectives L-BFGS-B reaches from random starts, inf where it leaves the law."""
    generator = np.random.default_rng([seed, 0x1BF])
    loss = PaperLoss(law, log_tokens, log_values, delta)
    return np.array([loss.reached(loss.start(generator)) for _ in range(starts)])


def lbfgs_chinchilla(size: np.ndarray, tokens: np.ndarray, loss: np.ndarray, starts: int, seed: int = 0) -> np.ndarray:
    """Return the objectives of L(N, D) from ``starts`` nodes of the grid of Hoffmann et al. (2022), delta 1e-3."""
    x, y, target = np.log(size), np.log(tokens), np.log(loss)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = p
        total, share = _log_sum_exp(np.stack([a - alpha * x, b - beta * y, e + 0 * x]))
        residual = target - total
        slopes = np.stack([*share, -share[0] * x, -share[1] * y], -1)
        return float(huber(residual, 1e-3).sum()), -np.clip(residual, -1e-3, 1e-3) @ slopes

    rates = np.linspace(0, 2, 5)
    grid = np.array(list(product(np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5), rates, rates)))
    chosen = np.random.default_rng(seed).choice(len(grid), min(starts, len(grid)), replace=False)
    options: Any = _TIGHT
    return np.array([minimize(objective, grid[i], jac=True, method="L-BFGS-B", options=options).fun for i in chosen])


def _log_sum_exp(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of the sum over the first axis, and the share of every part in it."""
    top = parts.max(0)
    total = top + np.log(np.exp(parts - top).sum(0))
    return total, np.exp(parts - total)
