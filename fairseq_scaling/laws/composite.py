"""Fits made of other fits: they predict, but have no parameters for the solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .curve import FloatArray
from .law import Law, Parameter, Scale
from .results import Prediction


class Composite(ABC):
    """The state of such a fit."""

    @abstractmethod
    def log_value(self, tokens: FloatArray) -> FloatArray:
        """Return log f at ``tokens`` (any shape)."""

    @abstractmethod
    def predict(self, tokens: FloatArray, level: float) -> Prediction:
        """Return values and intervals at ``tokens`` (any shape)."""

    @abstractmethod
    def draws(self, tokens: FloatArray, size: int, seed: int) -> FloatArray:
        """Return draws of the values [size, ...]; NaN where nothing is known of their uncertainty."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what a fit file says of the parts."""


class CompositeLaw(Law):
    """The law of a composite fit: names and texts only."""

    parameters: tuple[Parameter, ...] = ()
    internal = ()
    lower = upper = np.zeros(0)

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        raise NotImplementedError(f"{self.name} is predicted from the fits it is made of")

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        raise NotImplementedError(f"{self.name} is not fitted by the solver")

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        raise NotImplementedError(f"{self.name} has no coefficients of its own")
