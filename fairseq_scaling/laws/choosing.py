"""Choose the law of a curve by what it predicts, not by how well it fits."""

from __future__ import annotations

from collections.abc import Sequence

from .curve import Curve
from .law import Law
from .results import Choice


def choose(
    curve: Curve,
    laws: Sequence[Law | str] | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "delta",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> Choice:
    """Return the law with the least rolling-origin error on the points not held out (see ``choose_many``)."""
    return choose_many(
        [curve], laws, delta=delta, protocol=protocol, interval=interval, level=level, n_boot=n_boot, seed=seed
    )[0]


def choose_many(
    curves: Sequence[Curve],
    laws: Sequence[Law | str] | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "delta",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> list[Choice]:
    """Choose a law for every curve: each candidate is fitted to the first k budgets and predicts the next ones."""
    raise NotImplementedError
