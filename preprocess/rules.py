"""What is done to each line or pair on its own, in worker processes: normalise, leave out, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeVar

from fairseq_scaling.errors import SettingError

from .buckets import digest
from .filters import Limits, reject_language, reject_line, reject_pair, reject_raw
from .lines import text_batches
from .normalise import CHOICES, content_key, normalise
from .profile import LanguageProfile

_BATCH = 2000
CATALOGUE_RULES = ("auto", "always", "never")
_Text = TypeVar("_Text", str, tuple[str, str])


@dataclass(frozen=True)
class Rules:
    """Everything that decides what becomes of a line.

    Attributes:
        limits: which lines and pairs stay.
        normalise: one of ``normalise.CHOICES``; the same for training, validation and test text.
        catalogue_rules: ``auto`` applies the rules for catalogues to text that comes from one.
        accelerators: of the rules for catalogues, that which removes the marks of keys.
        seed: of the digests.
    """

    limits: Limits = field(default_factory=Limits)
    normalise: str = "nfc"
    catalogue_rules: str = "auto"
    accelerators: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        for option, value, choices in (
            ("--normalise", self.normalise, CHOICES),
            ("--catalogue-rules", self.catalogue_rules, CATALOGUE_RULES),
        ):
            if value not in choices:
                raise SettingError(option, value, f"must be one of {', '.join(choices)}")

    def for_catalogue(self, from_catalogue: bool) -> bool:
        """Return whether the rules for catalogues apply to text that is, or is not, from a catalogue."""
        return from_catalogue if self.catalogue_rules == "auto" else self.catalogue_rules == "always"

    def normalised(self, line: str, language: str, from_catalogue: bool = False) -> tuple[str, list[str]]:
        """Return the line as a model is to read it, and the names of the steps that changed it."""
        return normalise(line, language, self.normalise, self.for_catalogue(from_catalogue), self.accelerators)

    def key(self, line: str) -> int:
        """Return 64 bits that copies of a line share, whatever their case and punctuation."""
        return digest(content_key(line), self.seed)


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
    for _ in items:  # none is left, but two sides are only then known to be equally long
        pass


_profile: LanguageProfile | None = None  # of a worker process


def set_profile(profile: LanguageProfile | None) -> None:
    """Give this process the profile that ``clean_batch`` uses."""
    global _profile
    _profile = profile


def clean_batch(batch: Batch, languages: tuple[str, ...], rules: Rules) -> Done:
    """Normalise and filter lines (one language) or pairs (two)."""
    texts, from_catalogue = batch
    done = Done(Counter(read=len(texts)), Counter(), [])
    for raw in texts:
        both = [rules.normalised(line, language, from_catalogue) for line, language in zip(raw, languages, strict=True)]
        lines = tuple(line for line, _ in both)
        if reason := reject_raw(*raw) or _reject(lines, languages, rules, from_catalogue):
            done.counts[reason] += 1
        else:
            done.changed.update({name for _, changes in both for name in changes})
            done.kept.append((rules.key(lines[0]), lines))
    return done


def held_out_keys(sides: Iterable[tuple[str, str]], rules: Rules) -> Iterator[int]:
    """Yield the digests of lines (line, language) as they are and as cleaned training text would hold them."""
    for line, language in sides:
        for text in (line, *(rules.normalised(line, language, catalogue)[0] for catalogue in (False, True))):
            yield rules.key(text)


def _reject(lines: tuple[str, ...], languages: tuple[str, ...], rules: Rules, from_catalogue: bool) -> str | None:
    catalogue = rules.for_catalogue(from_catalogue)
    if len(lines) == 2:
        reason = reject_pair((lines[0], lines[1]), rules.limits, catalogue)
    else:
        reason = reject_line(lines[0], rules.limits, catalogue)
    return reason or reject_language(lines, languages, _profile)
