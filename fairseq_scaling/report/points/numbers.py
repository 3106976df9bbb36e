"""Numbers as tables hold them: ``12.5``, ``12,5``, ``1.234.567``, ``250 000``, ``1.5B``, ``31.2 %``, ``12.5 ± 0.3``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_FACTORS = {
    "k": 1e3, "thousand": 1e3, "tsd": 1e3, "m": 1e6, "mm": 1e6, "mio": 1e6, "mn": 1e6, "million": 1e6, "millions": 1e6,
    "b": 1e9, "bn": 1e9, "g": 1e9, "mrd": 1e9, "billion": 1e9, "billions": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12,
    "trillions": 1e12, "thousands": 1e3,
}  # fmt: skip
_MISSING = {
    "", "-", "--", "---", "\u2013", "\u2014", "n/a", "na", "#n/a", "none", "null", "nil", "?", "tbd", "missing", ".",
}  # fmt: skip
_NOUNS = {"token", "update", "step", "param", "parameter", "flop", "example", "sentence", "nat", "bit", "point", "pair"}
_GROUPING = re.compile(r"(?<=\d)[\s_'\u2019\u00a0\u202f](?=\d{3})")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<digits>\d[\d.,]*|[.,]\d+)(?P<exponent>e[-+]?\d+)?"
    r"(?:\s*(?:[x*\u00d7\u00b7]\s*)?10(?:\^|\*\*)(?P<power>[-+]?\d+))?\s*(?P<word>[a-z]*)\.?\s*(?P<noun>[a-z]*)\s*(?P<percent>%?)",
    re.I,
)

_POWER = re.compile(r"(?P<base>\d+)(?:\^|\*\*)(?P<power>\d+)")


@dataclass(frozen=True)
class Number:
    """A number, the error behind its ``±`` (or None), and whether a unit or a per cent sign stood behind it."""

    value: float
    error: float | None = None
    has_unit: bool = False
    is_percent: bool = False


def is_missing(text: str) -> bool:
    """Return whether a cell says that there is no value."""
    return text.strip().lower() in _MISSING


def is_number(text: str) -> bool:
    """Return whether a cell is a number."""
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def factor_of(word: str) -> float | None:
    """Return what a word or letter multiplies by (``k`` 1000, ``Mio`` a million, ``1e9``), or None."""
    folded = word.strip().lower().rstrip(".").removeprefix("in ").strip()
    power = re.fullmatch(r"(?:1e|10\^|10\*\*)(\d+)", folded)
    return 10.0 ** int(power[1]) if power else _FACTORS.get(folded)


def parse_number(text: str, decimal: str = ".") -> Number:
    """Return the number of a cell.

    A cell that shows by itself which sign is the decimal mark (``1.234,5``, ``12,5``) is read by that.

    Args:
        text: the cell.
        decimal: the decimal mark of cells that do not show it (``1,234``).

    Raises:
        ValueError: it is no number.
    """
    body, *rest = re.split(r"\u00b1|\+-|\+/-", _clean(text), maxsplit=1)
    if rest:
        number, error = parse_number(body, decimal), parse_number(rest[0], decimal)
        percent = number.is_percent or error.is_percent
        return Number(number.value, abs(error.value), number.has_unit, percent)
    power = _POWER.fullmatch(body)
    if power:
        return Number(float(power["base"]) ** int(power["power"]))
    if body.lower() in ("nan", "inf", "-inf", "infinity", "-infinity", "+inf"):
        return Number(float(body))
    match = _NUMBER.fullmatch(body)
    if match is None:
        raise ValueError(text)
    factor = 1.0
    if match["word"]:
        known = factor_of(match["word"])
        noun = match["noun"] if known is not None else match["word"] + match["noun"]
        if noun and noun.lower().rstrip("s") not in _NOUNS:
            raise ValueError(text)
        factor = known or 1.0
    digits = _ungrouped(match["digits"], decimal_mark(match["digits"], match["exponent"], match["word"]) or decimal)
    exponent = int((match["exponent"] or "e0")[1:]) + int(match["power"] or 0)
    written = f"{match['sign']}{digits}e{exponent}"
    value = float(written) if factor == 1 else float(Fraction(written) * int(factor))  # 2.3M is 2300000, exactly
    return Number(value, None, factor != 1.0, bool(match["percent"]))


def decimal_mark(digits: str, exponent: str | None = None, word: str | None = None) -> str | None:
    """Return ``.`` or ``,`` where the digits show by themselves which is the decimal mark, else None.

    ``1,234`` may be 1234 or 1.234 and does not show it.
    """
    marks = [sign for sign in digits if sign in ".,"]
    if not marks:
        return None
    other = {".": ",", ",": "."}
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return other[marks[0]]
    before, after = digits.split(marks[0])
    grouped = len(after) == 3 and 1 <= len(before) <= 3 and before[0] != "0"
    return None if grouped and not exponent and not (word and marks[0] == ".") else marks[0]


def column_mark(cells: Iterable[str]) -> str | None:
    """Return the decimal mark that the cells of a column show most often, or None."""
    votes = {".": 0, ",": 0}
    for cell in cells:
        match = _NUMBER.match(_clean(cell))
        mark = decimal_mark(match["digits"], match["exponent"], match["word"]) if match else None
        if mark:
            votes[mark] += 1
    return max(votes, key=votes.__getitem__) if any(votes.values()) else None


def grouping_mark(cells: Iterable[str]) -> str | None:
    """Return the sign in cells such as ``1,234``, which groups thousands or marks decimals; None where none has it."""
    for cell in cells:
        match = _NUMBER.match(_clean(cell))
        marks = [sign for sign in match["digits"] if sign in ".,"] if match else []
        if marks:
            return marks[0]
    return None


def _clean(text: str) -> str:
    text = text.strip().strip("$~\u2248").replace("\u2212", "-").replace("\u00a0", " ").replace("\u202f", " ").strip()
    return _GROUPING.sub("", text)


def _ungrouped(digits: str, decimal: str) -> str:
    """Return the digits with ``.`` as decimal mark and without marks between thousands."""
    grouping = "," if decimal == "." else "."
    whole, _, fraction = digits.partition(decimal)
    if grouping in whole and not re.fullmatch(rf"\d{{1,3}}({re.escape(grouping)}\d{{3}})+", whole):
        raise ValueError(digits)
    if grouping in fraction or decimal in fraction:
        raise ValueError(digits)
    return f"{whole.replace(grouping, '') or '0'}.{fraction or '0'}"
