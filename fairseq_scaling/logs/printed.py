"""Records and their numbers as fairseq prints them, with the width of what the printing lost."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .kinds import LogProblem, Why
from .record import Origin

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


TRAINING = ("train_inner", "train")
"""Tags of records of training; every other tag is the name of a validation subset."""
# fields that say how fast the machine was, not what was learnt
_MEASURED = frozenset(("wps", "ups", "wall", "train_wall", "best_loss", "best_bleu", "gb_free", "cuda_gb_allocated"))


@dataclass(frozen=True, slots=True)
class Stats:
    """One record of the log.

    Attributes:
        tag: ``train_inner``, ``train`` or the validation subset.
        fields: name -> value as printed.
        updates: None where the number was printed with too few digits or not at all.
        step: ``updates``; where that is None, the rounded number, or -inf where nothing was printed.
    """

    tag: str
    fields: dict[str, Any]
    updates: int | None
    origin: Origin
    step: float

    @classmethod
    def of(cls, tag: str, fields: dict[str, Any], origin: Origin) -> Stats:
        updates = parse_exact_integer(fields.get("num_updates"))
        if updates is not None and abs(updates) < 10**15:
            return cls(tag, fields, updates, origin, float(updates))
        printed = parse_printed(fields.get("num_updates"))
        known = printed is not None and not math.isnan(printed.value)
        return cls(tag, fields, updates, origin, printed.value if known and printed else -math.inf)

    def number(self, key: str, decimals: int | None = None) -> Printed | None:
        return parse_printed(self.fields.get(key), decimals)

    @property
    def epoch(self) -> int | None:
        return parse_exact_integer(self.fields.get("epoch"))


@dataclass
class Records:
    """The last record of training and every record of validation, in the order of the file."""

    last: dict[str, Stats] = field(default_factory=dict)
    styles: dict[tuple[str, bool], Origin] = field(default_factory=dict)
    """(tag, whether something stands before the records) -> the first record of that tag and style."""
    _kept: dict[tuple[str, str], Stats] = field(default_factory=dict)
    _repeats: int = 0

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __iter__(self) -> Iterator[Stats]:
        return iter(self._kept.values())

    @property
    def last_step(self) -> float:
        """The last update of any record, -inf without any."""
        return max((stats.step for stats in self.last.values()), default=-math.inf)

    def add(self, stats: Stats, dated: bool) -> Why | None:
        """Keep a record; return why it cannot be of the same run as those before it, if so."""
        before = self.last.get(stats.tag)
        self.last[stats.tag] = stats
        self.styles.setdefault((stats.tag, dated), stats.origin)
        # of training the last record alone counts, of validation the last of each update (or, without any, epoch)
        at = stats.fields.get("num_updates", f"epoch {stats.fields.get('epoch')}")
        self._kept["" if stats.tag in TRAINING else str(at), stats.tag] = stats
        if before is None or stats.step == -math.inf:
            return None
        if stats.step < before.step:
            return Why(LogProblem.UPDATES_GO_BACK, {"updates": before.fields.get("num_updates")})
        if stats.step == before.step and stats.tag in TRAINING and _differ(stats, before):
            self._repeats += 1
            if self._repeats > 1:
                return Why(LogProblem.TWO_VALUES, {"updates": stats.updates})
        return None


def _differ(one: Stats, two: Stats) -> bool:
    """Return whether two records of one step say different things, apart from speed and time."""
    shared = (one.fields.keys() & two.fields.keys()) - _MEASURED
    return any(str(one.fields[key]) != str(two.fields[key]) for key in shared)
