"""Laws of two inputs: L(N, D) of Chinchilla, and the joint law in (D_p, D_f)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .curve import FloatArray
from .results import Estimate


@dataclass(frozen=True, eq=False)
class Surface:
    """A law of two inputs."""

    name: str
    title: str
    formula: str
    latex: str
    source: str
    inputs: tuple[str, str]


@dataclass(frozen=True, eq=False)
class SurfaceFit:
    """A surface fitted to points."""

    surface: Surface
    coefficients: dict[str, Estimate]
    objective: float
    delta: float
    used: NDArray[np.bool_]
    state: Any = None

    def predict(self, first: ArrayLike, second: ArrayLike) -> FloatArray:
        """Return the law's values at (first, second)."""
        raise NotImplementedError


SURFACES: Mapping[str, Surface] = {}


def fit_surface(
    first: ArrayLike,
    second: ArrayLike,
    values: ArrayLike,
    surface: str = "L_ND",
    *,
    delta: float = 1e-3,
    level: float = 0.95,
    n_boot: int = 0,
    seed: int = 0,
) -> SurfaceFit:
    """Fit a law of two inputs; intervals by case bootstrap with ``n_boot`` > 0, by the delta method otherwise."""
    raise NotImplementedError
