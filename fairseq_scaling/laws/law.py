"""What a law is: names and texts for people, a model with derivatives for the solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from .curve import FloatArray


@dataclass(frozen=True)
class Parameter:
    """A coefficient of a law, in natural units."""

    name: str
    meaning: str
    unit: str = ""
    lower: float = -np.inf
    upper: float = np.inf


@dataclass(frozen=True)
class Scale:
    """How budgets are brought to z in [-1, 1] and values to a mean logarithm of 0: z = (log D - middle) / half.

    All fields are arrays of one shape: [] for one fit, [batch] for many.
    """

    middle: FloatArray
    half: FloatArray
    level: FloatArray

    def __getitem__(self, index: Any) -> Scale:
        return Scale(self.middle[index], self.half[index], self.level[index])

    def z(self, log_tokens: FloatArray) -> FloatArray:
        """Return z of ``log_tokens`` [..., n]."""
        return (log_tokens - np.asarray(self.middle)[..., None]) / np.asarray(self.half)[..., None]


class Law(ABC):
    """A functional form f(D_p).

    The solver works in *internal* parameters theta [p], chosen so that the problem is well conditioned over z in
    [-1, 1] (see ``Scale``); people read *natural* coefficients, those of ``formula``.
    """

    name: str
    title: str
    formula: str
    source: str
    parameters: tuple[Parameter, ...]
    internal: tuple[str, ...]
    """Names of the internal parameters."""
    lower: FloatArray
    upper: FloatArray
    """Bounds of the internal parameters [p]."""
    linear: int = 0
    """How many of the internal parameters, the first ones, enter f or log f linearly."""
    starts: int = 3
    """How many grid minima the solver polishes."""
    finalists: int = 2
    """How many of them it polishes to the end, after a few steps of all."""

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.internal)

    @abstractmethod
    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log f - level [batch, n] and its derivatives [batch, n, p] for theta [batch, p] and z [batch, n].

        Where f is not positive the value is -inf or NaN; the solver treats that as infinitely bad.
        """

    @abstractmethod
    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        """Return candidate starts [batch, k, p], covering the basins of the objective.

        Args:
            z: [batch, n], or [1, n] when all problems share it.
            target: log y - level [batch, n].
            weight: case weights [batch, n]; 0 for padding.
            delta: Huber threshold [batch].
        """

    @abstractmethod
    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        """Return natural coefficients [p] and their derivatives by theta [p, p] of one fit."""

    def limits(self, theta: FloatArray) -> list[str]:
        """Return sentences on what it means that this theta [p] lies at a bound; empty when it does not."""
        span = np.where(np.isfinite(self.upper - self.lower), self.upper - self.lower, 1.0)
        at_bound = (theta - self.lower < 1e-7 * span) | (self.upper - theta < 1e-7 * span)
        return [f"{name} lies at its bound" for name, hit in zip(self.internal, at_bound, strict=True) if hit]

    def __repr__(self) -> str:
        return f"<law {self.name}: {self.formula}>"
