"""Small made-up languages with a known grammar, lexicon and word order, which a tiny model learns in under a minute.

``aa`` puts the verb between subject and object and the adjective before its noun; ``bb`` says the same with its own
words, the verb last and the adjective behind; ``cc`` has a third lexicon and no counterpart: a language that does not
help. Sentence ``i`` of ``aa`` is the translation of sentence ``i`` of ``bb``.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]

LANGUAGES = ("aa", "bb", "cc")
_SYLLABLES = {
    "aa": ("ka", "to", "mi", "su", "re", "no"),
    "bb": ("ple", "dru", "gan", "vost", "chi", "lem"),
    "cc": ("oo", "ya", "xi", "wu", "zai", "he"),
}
_NOUNS, _ADJECTIVES, _VERBS = 12, 6, 8


def word(language: str, index: int) -> str:
    """Return word ``index`` (0 to 35) of a language: two syllables."""
    first, second = list(itertools.product(_SYLLABLES[language], repeat=2))[index]
    return first + second


def sentences(language: str, number: int, seed: int = 0) -> list[str]:
    """Return ``number`` sentences; the same ``number`` and ``seed`` say the same in every language."""
    random = np.random.default_rng(seed)
    drawn = random.random((number, 5))
    return [_sentence(language, row) for row in drawn]


def write_files(folder: Path, pairs: int = 900, mono: int = 3000) -> dict[str, Path]:
    """Write ``mono.<lang>.txt`` for all languages, ``pairs.<lang>.txt`` for aa and bb; return their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"mono.{language}": sentences(language, mono, seed) for seed, language in enumerate(LANGUAGES, start=1)}
    texts |= {f"pairs.{language}": sentences(language, pairs, seed=99) for language in ("aa", "bb")}
    paths = {}
    for name, lines in texts.items():
        paths[name] = folder / f"{name}.txt"
        paths[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def _sentence(language: str, draws: np.ndarray) -> str:
    def noun_phrase(noun: float, adjective: float) -> list[str]:
        words = [word(language, int(noun * _NOUNS))]
        if adjective < 0.7:
            described = word(language, _NOUNS + int(adjective / 0.7 * _ADJECTIVES))
            words = [*words, described] if language == "bb" else [described, *words]
        return words

    subject, object_ = noun_phrase(draws[0], draws[1]), noun_phrase(draws[2], draws[3])
    verb = [word(language, _NOUNS + _ADJECTIVES + int(draws[4] * _VERBS))]
    return " ".join(subject + object_ + verb if language == "bb" else subject + verb + object_)


def make_corpus(folder: Path, pairs: int = 900, mono: int = 3000) -> Path:
    """Make a corpus folder of the toy languages below ``folder`` with the project's own commands, and return it."""
    texts = write_files(folder / "text", pairs, mono)
    monolingual = [word for language in LANGUAGES for word in ("--mono", f"{language}={texts[f'mono.{language}']}")]
    for command in (
        ["fetch", "--source", "files", "--languages", ",".join(LANGUAGES), "--pairs", "aa-bb", *monolingual,
         "--pair", f"aa-bb={texts['pairs.aa']},{texts['pairs.bb']}", "--out", folder / "raw"],
        ["clean", folder / "raw", "--valid", "50", "--test", "50", "--mono-valid", "100", "--no-language-check",
         "--workers", "1", "--out", folder / "clean"],
        ["train-sentencepiece", folder / "clean", "--vocab-size", "70", "--out", folder / "sentencepiece.model"],
        ["encode", folder / "clean", "--model", folder / "sentencepiece.model", "--workers", "1",
         "--out", folder / "corpus"],
    ):  # fmt: skip
        line = [sys.executable, "-m", "preprocess", *map(str, command)]
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder / "corpus"
