"""Numbers of tokens as people write them: ``250000``, ``250k``, ``0.25M``, ``3B``."""

from __future__ import annotations

import re
from fractions import Fraction

from .errors import SettingError

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_NUMBER = re.compile(r"(?P<digits>\d[\d_]*(?:\.\d+)?(?:[eE]\+?\d+)?)\s*(?P<unit>[kKmMbBgGtT]?)")


def parse_tokens(text: str | int, setting: str = "tokens") -> int:
    """Return the number of tokens that ``text`` names, exactly.

    Args:
        text: a number, optionally with a unit: k (thousand), M (million), B or G (billion), T (trillion).
        setting: what the number belongs to, for the message.

    Raises:
        SettingError: it is no number, or no whole number of tokens.
    """
    match = _NUMBER.fullmatch(str(text).strip())
    if match is None:
        raise SettingError(setting, text, "not a number of tokens", "write for example 250000, 250k, 0.25M or 3B")
    value = Fraction(match["digits"].replace("_", "")) * _FACTORS[match["unit"].lower()]
    if value.denominator != 1:
        raise SettingError(setting, text, "not a whole number of tokens")
    return int(value)


def format_tokens(tokens: int | float) -> str:
    """Return a short form for people, at most four significant digits: 1500000 -> ``1.5M``."""
    for unit, factor in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if tokens >= factor:
            return f"{tokens / factor:.4g}{unit}"
    return f"{tokens:.4g}"


def short_tokens(tokens: float) -> str:
    """Return a size with three digits: a run consumes a little less than its budget, 299934 -> ``300k``."""
    return format_tokens(float(f"{tokens:.3g}"))
