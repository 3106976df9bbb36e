"""Adafactor and T5's learning-rate schedule; importing this package registers both with fairseq."""

from .adafactor import T5Adafactor
from .schedule import T5InverseSquareRootSchedule

__all__ = ["T5Adafactor", "T5InverseSquareRootSchedule"]
