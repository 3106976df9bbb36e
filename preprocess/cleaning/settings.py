"""The settings of the step ``clean``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fairseq_scaling.errors import SettingError

from ..buckets import digest
from .filters import Limits
from .normalise import CHOICES, content_key, normalise

CATALOGUE_RULES = ("auto", "always", "never")


@dataclass(frozen=True)
class CleanSettings:
    """Everything that decides what comes out of ``clean``."""

    limits: Limits = field(default_factory=Limits)
    normalise: str = "auto"
    """one of ``normalise.CHOICES``; auto: moses where all text is from catalogues, else nfc"""
    catalogue_rules: str = "auto"
    """auto: for text from catalogues; always; never"""
    accelerators: bool = True
    """of the rules for catalogues: remove the marks of keys"""
    language_check: bool = True
    simple_words: int = 0
    """keep only pairs whose English side (first, if none is) uses only the so many most frequent words; 0: all"""
    unique_sides: bool = False
    """a sentence is in one pair only; else only copies of a whole pair are removed"""
    valid: int = 1000
    """pairs taken out as valid set, where none is given"""
    test: int = 1000
    mono_valid: int = 1000
    """lines per language taken out as monolingual valid set"""
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("simple_words", "valid", "test", "mono_valid", "seed"):
            if getattr(self, name) < 0:
                raise SettingError(f"--{name.replace('_', '-')}", getattr(self, name), "must not be negative")
        for name, choices in (("normalise", ("auto", *CHOICES)), ("catalogue_rules", CATALOGUE_RULES)):
            if getattr(self, name) not in choices:
                option = "--" + name.replace("_", "-")
                raise SettingError(option, getattr(self, name), f"must be one of {', '.join(choices)}")

    def resolved(self, only_catalogues: bool) -> CleanSettings:
        """Return the settings for a raw folder, whose text may be from catalogues alone: ``normalise`` is no auto."""
        choice = ("moses" if only_catalogues else "nfc") if self.normalise == "auto" else self.normalise
        return replace(self, normalise=choice)

    def for_catalogue(self, from_catalogue: bool) -> bool:
        """Return whether the rules for catalogues apply to text that is, or is not, from a catalogue."""
        return from_catalogue if self.catalogue_rules == "auto" else self.catalogue_rules == "always"

    def normalised(self, line: str, language: str, from_catalogue: bool = False) -> tuple[str, list[str]]:
        """Return the line as a model is to read it, and the names of the steps that changed it."""
        return normalise(line, language, self.normalise, self.for_catalogue(from_catalogue), self.accelerators)

    def key(self, line: str) -> int:
        """Return 64 bits that copies of a line share, whatever their case and punctuation."""
        return digest(content_key(line), self.seed)


DEFAULTS = CleanSettings()
