"""Lines and pairs in batches, each cleaned in a worker process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from fairseq_scaling.errors import DataError

from ..lines import text_batches
from ..settings import CleanSettings
from .filters import reject_language, reject_line, reject_pair, reject_raw
from .profile import LanguageProfile

_BATCH = 2000
_Text = TypeVar("_Text", str, tuple[str, str])


class Done(NamedTuple):
    """What became of a batch."""

    counts: Counter[str]
    """how many were read, and left out for which reason"""
    changed: Counter[str]
    """how many of those that stay each step of the normalisation changed"""
    kept: list[tuple[int, tuple[str, ...]]]
    """(digest of the first line, lines)"""


Batch = tuple[list[tuple[str, ...]], bool]
"""lines or pairs, and whether they are from a catalogue"""


def in_batches(items: Iterator[_Text], parts: Sequence[tuple[int, bool]]) -> Iterator[Batch]:
    """Yield the lines or pairs of a raw file in batches; each part (items, from a catalogue) begins a new one."""
    for count, from_catalogue in parts:
        for batch in text_batches(islice(items, count), _BATCH):
            yield [(item,) if isinstance(item, str) else item for item in batch], from_catalogue
    # Reading on also shows whether the two sides of a pair are equally long.
    if next(items, None) is not None:
        raise DataError("a raw text has more lines than raw.json says\n  fetch it again")


_profile: LanguageProfile | None = None  # of a worker process


def set_profile(profile: LanguageProfile | None) -> None:
    """Give this process the profile that ``clean_batch`` uses."""
    global _profile
    _profile = profile


def clean_batch(batch: Batch, languages: tuple[str, ...], settings: CleanSettings) -> Done:
    """Normalise and filter lines (one language) or pairs (two)."""
    texts, from_catalogue = batch
    done = Done(Counter(read=len(texts)), Counter(), [])
    for raw in texts:
        both = [
            settings.normalised(line, language, from_catalogue) for line, language in zip(raw, languages, strict=True)
        ]
        lines = tuple(line for line, _ in both)
        reject = reject_pair if len(lines) == 2 else reject_line
        reason = reject_raw(*raw) or reject(lines, settings.limits, settings.for_catalogue(from_catalogue))
        if reason := reason or reject_language(lines, languages, _profile):
            done.counts[reason] += 1
        else:
            done.changed.update({name for _, changes in both for name in changes})
            done.kept.append((settings.key(lines[0]), lines))
    return done


def held_out_keys(sides: Iterable[tuple[str, str]], settings: CleanSettings) -> Iterator[int]:
    """Yield the digests of lines (line, language) as they are and as cleaned training text would hold them."""
    for line, language in sides:
        for text in (line, *(settings.normalised(line, language, catalogue)[0] for catalogue in (False, True))):
            yield settings.key(text)
