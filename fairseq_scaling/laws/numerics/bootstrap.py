"""Bootstrap refits of one curve, as one batch."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Law, Scale
from .engine import solve


def refit(
    law: Law,
    scale: Scale,
    theta: FloatArray,
    log_tokens: FloatArray,
    log_values: FloatArray,
    weight: FloatArray,
    delta: float,
    sigma: float,
    freedom: float,
    kind: str,
    count: int,
    seed: int,
) -> FloatArray:
    """Return refitted thetas [count, p], all in the scale of the fit.

    Args:
        log_tokens, log_values, weight: the budgets' log D_p, mean log values and weights [g].
        sigma: standard deviation of a log value of weight 1; freedom: its degrees of freedom.
        kind: ``case`` resamples budgets (draws with fewer distinct budgets than parameters are drawn again);
            ``parametric`` adds normal noise to the fitted values, its scale drawn as uncertain as sigma is (a t
            distribution): resampled residuals would cover far too little with few budgets.
    """
    generator = np.random.default_rng([seed, 0xB005])
    budgets = log_tokens.size
    if kind == "case":
        draws = _resampled(generator, budgets, count, min(law.size, budgets)) * weight
        values = np.broadcast_to(log_values, draws.shape)
    else:
        fitted = law.evaluate(theta[None], scale.z(log_tokens)[None])[0][0] + scale.level
        spread = sigma / np.sqrt(weight)
        if freedom > 0:
            spread = spread * np.sqrt(freedom / generator.chisquare(freedom, (count, 1)))
        values = fitted + spread * generator.standard_normal((count, budgets))
        draws = np.broadcast_to(weight, values.shape)
    one = Scale(*(np.atleast_1d(part) for part in (scale.middle, scale.half, scale.level)))
    starts = 1 if law.size <= 3 else None
    return solve(law, log_tokens[None], values, draws, np.full(count, delta), one, starts, tolerance=1e-6).theta


def _resampled(generator: np.random.Generator, budgets: int, count: int, distinct: int) -> FloatArray:
    """Return how often each budget was drawn [count, budgets]."""
    share = np.full(budgets, 1 / budgets)
    drawn = generator.multinomial(budgets, share, count)
    for _ in range(200):
        poor = np.sum(drawn > 0, 1) < distinct
        if not poor.any():
            break
        drawn[poor] = generator.multinomial(budgets, share, int(poor.sum()))
    return drawn.astype(float)
