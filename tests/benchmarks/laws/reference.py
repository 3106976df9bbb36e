"""The reference optimiser: scipy's L-BFGS-B on the laws as the papers write them, helped by everything that helps it.

Analytic gradients, a summed loss, centred logarithms, tight tolerances.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import minimize

from fairseq_scaling.laws import Fit
from fairseq_scaling.laws.forms.registry import LAWS
from fairseq_scaling.laws.numerics.engine import scale_of
from fairseq_scaling.laws.numerics.solver import huber

from .curves import PAPER_LAWS
from .lockstep import OPTIONS, lbfgs_together


class PaperLoss:
    """The summed Huber loss of one curve in a paper's own parameters.

    log-law: (log A + alpha times the middle of log D, alpha, beta); cross-entropy law: log-sum-exp of (log E, log A,
    alpha), logarithms about the middle.
    """

    def __init__(self, law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float) -> None:
        self.law, self.delta = law, delta
        self.middle, self.level = log_tokens.mean(), log_values.mean()
        self.x, self.y = log_tokens - self.middle, log_values - self.level
        lowest = (1e-6, 1e-9, -np.inf) if law == "log_law" else (-60.0, -60.0, 0.0)
        self.lower, self.upper = np.array(lowest), np.full(3, np.inf)

    def __call__(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss [...] and its gradient [..., 3] at p [..., 3]."""
        value, slopes = self._log_law(p) if self.law == "log_law" else self._cross_entropy(p)
        return _loss(self.y - value, slopes, self.delta)

    def starts(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Return random starts [count, 3]."""
        if self.law == "log_law":
            low, high = np.array([-1.0, -4.0, 0.05]), np.array([5.0, 3.0, 3.0])
            logarithms = [0, 1]
        else:
            low, high = np.array([-4.0, -4.0, -4.0]), np.ones(3)
            logarithms = [2]
        drawn = generator.uniform(low, high, (count, 3))
        drawn[:, logarithms] = np.exp(drawn[:, logarithms])
        return drawn

    def inside(self, p: np.ndarray) -> np.ndarray:
        """Return whether the law has a value at every point, for p [..., 3]."""
        return np.all((self.law != "log_law") | (p[..., :1] + p[..., 1:2] * self.x > 1e-9), -1)

    def of_fit(self, fit: Fit) -> np.ndarray:
        """Return the parameters [3] at which a fit of this project lies."""
        found = {name: estimate.value for name, estimate in fit.coefficients.items()}
        if self.law == "log_law":
            return np.array([found["log A"] + found["alpha"] * self.middle, found["alpha"], found["beta"]])
        shift = found["alpha"] * self.middle + self.level
        return np.array([np.log(max(found["E"], 1e-25)) - self.level, found["log A"] - shift, found["alpha"]])

    def _log_law(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inner = np.maximum(p[..., :1] + p[..., 1:2] * self.x, 1e-12)
        log_inner = np.log(inner)
        beta = p[..., 2:]
        return beta * log_inner - self.level, np.stack([beta / inner, beta * self.x / inner, log_inner], -1)

    def _cross_entropy(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, share = _log_sum_exp(np.stack([p[..., :1] + 0 * self.x, p[..., 1:2] - p[..., 2:] * self.x]))
        return total, np.stack([share[0], share[1], -share[1] * self.x], -1)


class OwnLoss:
    """The same in this project's parameters and box, for laws without a form of the papers' own."""

    def __init__(self, law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float) -> None:
        self.law, self.delta = LAWS[law], delta
        x = log_tokens[None]
        scale = scale_of(x, log_values[None], np.ones_like(x))
        self.z, self.target = scale.z(x), log_values - scale.level
        self.lower, self.upper = self.law.lower, self.law.upper

    def __call__(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss [b] and its gradient [b, p] at p [b, p]; very large where the law has no value."""
        value, slopes = self.law.evaluate(p, self.z)
        loss, gradient = _loss(self.target - value, slopes, self.delta)
        bad = ~(np.isfinite(loss) & np.all(np.isfinite(gradient), -1))
        return np.where(bad, 1e6, loss), np.where(bad[:, None], 0.0, gradient)

    def starts(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Return random starts [count, p]: values near the curve's, exponents and places all over the box."""
        low, high = np.maximum(self.lower, -6.0), np.minimum(self.upper, 8.0)
        low[:2], high[:2] = np.maximum(low[:2], -2.0), np.minimum(high[:2], 2.0)
        return generator.uniform(low, high, (count, self.law.size))

    def inside(self, p: np.ndarray) -> np.ndarray:
        return np.ones(len(p), bool)


def reached(loss: PaperLoss, start: np.ndarray) -> float:
    """Return the loss that scipy's ``minimize`` reaches from a start [3]; inf where that is no point of the law."""
    bounds = [(low if np.isfinite(low) else None, None) for low in loss.lower]
    with np.errstate(all="ignore"):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS)
    return float(found.fun) if np.isfinite(found.fun) and loss.inside(found.x) else float("inf")


def lbfgs_from_many_starts(
    law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float, starts: int, seed: int
) -> np.ndarray:
    """Return the objectives L-BFGS-B reaches from random starts [starts], inf where it leaves the law."""
    made = PaperLoss if law in PAPER_LAWS else OwnLoss
    loss = made(law, log_tokens, log_values, delta)
    with np.errstate(all="ignore"):
        at, found = lbfgs_together(
            loss, loss.starts(starts, np.random.default_rng([seed, 0x1BF])), loss.lower, loss.upper
        )
    return np.where(np.isfinite(found) & loss.inside(at), found, np.inf)


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
    return np.array([minimize(objective, grid[i], jac=True, method="L-BFGS-B", options=OPTIONS).fun for i in chosen])


def _loss(residual: np.ndarray, slopes: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed Huber loss [...] and its gradient [..., p] of residuals [..., n] and slopes [..., n, p]."""
    pull = np.clip(residual, -delta, delta)[..., None, :]
    return huber(residual, delta).sum(-1), -(pull @ slopes)[..., 0, :]


def _log_sum_exp(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of the sum over the first axis, and the share of every part in it."""
    top = parts.max(0)
    total = top + np.log(np.exp(parts - top).sum(0))
    return total, np.exp(parts - total)
