"""Fit laws to curves."""

from __future__ import annotations

from collections.abc import Sequence

from .curve import Curve
from .law import Law
from .results import Fit

PAPER_BUDGETS = 4
"""Isik et al. fit the coefficients on the four points with the least pretraining data and hold out the rest."""


def fit(
    curve: Curve,
    law: Law | str | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "delta",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> Fit:
    """Fit one law to one curve (see ``fit_many``)."""
    return fit_many([curve], law, delta=delta, protocol=protocol, interval=interval, level=level, n_boot=n_boot, seed=seed)[0]


def fit_many(
    curves: Sequence[Curve],
    law: Law | str | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "delta",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> list[Fit]:
    """Fit a law to every curve, as one batch.

    The objective is sum_i w_i * Huber_delta(log y_i - log f(D_i)), minimised globally inside the law's bounds.

    Args:
        curves: held-out points, points with D_p = 0 and values at or below 0 are left out, and listed in the fit.
        law: a law or its name; None takes the paper's law of the curve's metric (``default_law``).
        delta: Huber threshold; None takes the paper's (0.1 for scores, 1e-3 for cross-entropy).
        protocol: ``all``, or ``paper``: fit the four smallest budgets, hold out the rest.
        interval: ``delta`` (delta method, t quantiles), ``case`` or ``parametric`` (bootstrap, ``n_boot`` refits).
            ``bootstrap`` is short for ``parametric``.
        level: coverage of the intervals.
        seed: of the bootstrap's random numbers.

    Raises:
        SettingError: an unknown law, protocol or interval, or a level outside (0, 1).
        DataError: no usable point at all.
    """
    raise NotImplementedError
