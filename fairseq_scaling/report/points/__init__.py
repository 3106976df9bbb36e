"""From logs and tables to curves."""

from .point import Point, curve_name, mixture_label

__all__ = ["Point", "curve_name", "mixture_label"]
