"""Numbers as fairseq prints them, with the width of what the printing lost."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.(?P<decimals>\d*))?|\.\d+)(?:[eE](?P<exponent>[+-]?\d+))?")
_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}


class Printed(NamedTuple):
    """A number read from a log: its value, and half a unit of its last printed digit."""

    value: float
    half_width: float


def parse_printed(text: object, decimals: int | None = None) -> Printed | None:
    """Return the number that ``text`` is as a whole, or ``None`` when it is not a number as a whole.

    Args:
        text: a string of the log, or a value of its JSON (bool is not a number).
        decimals: decimals that fairseq rounds this number to before it prints it; it drops trailing zeros then (7.500
            is printed as 7.5), so the digits that are there understate what is known. ``{:g}`` keeps six
            significant digits at most, which limits large numbers further.
    """
    if isinstance(text, bool) or text is None:
        return None
    if isinstance(text, (int, float)):
        text = repr(text)
    if not isinstance(text, str) or len(text) > 40:
        return None
    text = text.strip()
    match = _NUMBER.fullmatch(text)
    if match is None:
        special = _SPECIAL.get(text.lower())
        return Printed(special, 0.0) if special is not None else None
    value = float(text)
    if not math.isfinite(value):
        return None
    digits, exponent = match.groups("")
    power = int(exponent or 0)
    if abs(power) > 300:
        # 0e999 is a zero that was damaged: its last digit is worth more than a float can hold
        return None
    shown = 0.5 * 10.0 ** (power - len(digits))
    if decimals is None or len(digits) > decimals:
        return Printed(value, shown)
    rounded = 0.5 * 10.0**-decimals
    if value:
        rounded = max(rounded, 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 5))
    return Printed(value, rounded)


def parse_exact_integer(text: object) -> int | None:
    """Return the integer that ``text`` says exactly; ``None`` for ``1.23457e+09``, ``12.0``, ``true`` and all else."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text
    if isinstance(text, str) and len(text) <= 30 and _INTEGER.fullmatch(text):
        return int(text)
    return None
