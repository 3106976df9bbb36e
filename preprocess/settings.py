"""The settings of the steps ``clean`` and ``train-sentencepiece``. Each field is an option of its command, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import click

from fairseq_scaling.errors import SettingError

from .buckets import digest
from .cleaning.normalise import CHOICES, content_key, normalise

Command = Callable[..., Any]


def _option(default: Any, help: str, **further: Any) -> Any:
    """Return a field that is an option; ``further`` is what ``click.option`` takes."""
    return field(default=default, metadata={"default": default, "help": help, **further})


def options_of(*settings: type) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each field of the settings, in their order."""

    def add(command: Command) -> Command:
        for one in reversed([each for kind in settings for each in fields(kind) if each.metadata]):
            name = one.name.replace("_", "-")
            switch = f"--{name}/--no-{name}" if one.default is True else f"--{name}"
            shown = {"show_default": one.default is not None, "is_flag": isinstance(one.default, bool)}
            command = click.option(switch, one.name, **{**shown, **one.metadata})(command)
        return command

    return add


@dataclass(frozen=True)
class Limits:
    """What a line or pair must keep to. Words and letters are those of ``cleaning.lengths``: they fit the script."""

    min_words: int = _option(1, "Pairs: words on each side, at least.", type=click.IntRange(1))
    max_words: int = _option(100, "Pairs: words on each side, at most.", type=click.IntRange(1))
    mono_min_words: int = _option(1, "Monolingual lines: words, at least.", type=click.IntRange(1))
    mono_max_words: int = _option(100, "Monolingual lines: words, at most.", type=click.IntRange(1))
    max_characters: int = _option(1000, "Characters of a line, at most.", type=click.IntRange(1))
    max_ratio: float = _option(
        2.5, "Pairs: longer side by shorter side, in letters (a few of grace).", type=click.FloatRange(1)
    )
    max_placeholders: int | None = _option(
        None,
        "Pairs: %s, {name} and such on a side, at most, the same on both.",
        type=int,
        show_default="1 in catalogues, any elsewhere",
    )
    min_letters: float | None = _option(
        None,
        "Share of letters and spaces in a line, at least.",
        type=float,
        show_default="0.7 in catalogues, any elsewhere",
    )

    def __post_init__(self) -> None:
        for low, high in (("min_words", "max_words"), ("mono_min_words", "mono_max_words")):
            if getattr(self, low) > getattr(self, high):
                option = "--" + low.replace("_", "-")
                raise SettingError(option, getattr(self, low), f"must be 1 to {getattr(self, high)} ({high})")


@dataclass(frozen=True)
class CleanSettings:
    """Everything that decides what comes out of ``clean``."""

    limits: Limits = field(default_factory=Limits)
    normalise: str = _option(
        "auto",
        "Applied to training, validation and test text alike. none: only control characters and repeated spaces are "
        "replaced; nfc: also Unicode form C; moses: also Moses' punctuation. auto: moses where all text is from "
        "catalogues (debian), else nfc.",
        type=click.Choice(["auto", *CHOICES]),
    )
    catalogue_rules: str = _option(
        "auto",
        "Remove markup and marks of keys, drop code and placeholders. auto: in text from program catalogues (debian).",
        type=click.Choice(["auto", "always", "never"]),
    )
    accelerators: bool = _option(True, "Catalogue rule: remove the _ and & of menus.")
    language_check: bool = _option(True, "Drop lines in another of the languages.")
    simple_words: int = _option(
        0,
        "Pairs: only the N most frequent English words (of the first side where no side is English). 0: all.",
        type=click.IntRange(0),
        metavar="N",
    )
    unique_sides: bool = _option(False, "Pairs: a sentence stays in one pair only, on either side.")
    valid: int = _option(1000, "Pairs taken out as valid set, where none is given.", type=click.IntRange(0))
    test: int = _option(1000, "Pairs taken out as test set, where none is given.", type=click.IntRange(0))
    mono_valid: int = _option(1000, "Lines taken out per language as valid set.", type=click.IntRange(0))
    seed: int = _option(1, "Of the order, and of what is taken out.", type=click.IntRange(0))

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


@dataclass(frozen=True)
class SentencePieceSettings:
    """Everything that decides a SentencePiece model."""

    vocab_size: int = _option(2000, "Pieces over all languages, the unknown one included.", type=click.IntRange(2))
    model_type: str = _option("unigram", "How text is cut.", type=click.Choice(["unigram", "bpe"]))
    character_coverage: float = _option(
        0.9999, "Share of characters that get a piece.", type=click.FloatRange(0, 1, min_open=True)
    )
    sentences: int = _option(200_000, "Training sentences, equally many per language.", type=click.IntRange(1))
    threads: int = _option(2, "Threads; another number may give another model.", type=click.IntRange(1))
