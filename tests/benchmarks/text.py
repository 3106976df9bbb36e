"""Made-up text of any size for the benchmarks, its words as frequent as Zipf's law says, and a corpus folder of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
_SYLLABLES = [first + vowel for first in "bcdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u", "an", "er", "is")]
_WORDS = 30_000


def lines(number: int, seed: int, words: tuple[int, int] = (5, 30)) -> list[str]:
    """Return ``number`` lines of so many words, at least and at most, of a vocabulary of 30,000."""
    random = np.random.default_rng(seed)
    spelling = random.integers(0, len(_SYLLABLES), (_WORDS, 3))
    vocabulary = ["".join(_SYLLABLES[i] for i in row[: 1 + place % 3]) for place, row in enumerate(spelling.tolist())]
    frequency = 1 / np.arange(1, _WORDS + 1)
    sizes = random.integers(words[0], words[1] + 1, number)
    drawn = random.choice(_WORDS, int(sizes.sum()), p=frequency / frequency.sum()).tolist()
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends[:-1]]
    return [" ".join(vocabulary[i] for i in drawn[start:end]) for start, end in zip(starts, ends, strict=True)]


def clean_folder(folder: Path, mono: int, pairs: int, test: int, vocabulary: int) -> tuple[Path, Path]:
    """Make a clean folder of ``mono`` lines in aa and ``pairs`` pairs aa-bb; return it and a SentencePiece model."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"mono.aa": lines(mono, seed=1), "pairs.aa": lines(pairs, seed=2, words=(3, 12))}
    # a language that a small model can learn something of: every word spelt backwards
    texts["pairs.bb"] = [" ".join(word[::-1] for word in line.split()) for line in texts["pairs.aa"]]
    for name, text in texts.items():
        (folder / name).write_text("\n".join(text) + "\n")
    preprocess(
        "fetch", "--source", "files", "--languages", "aa", "--pairs", "aa-bb", "--mono", f"aa={folder / 'mono.aa'}",
        "--pair", f"aa-bb={folder / 'pairs.aa'},{folder / 'pairs.bb'}", "--out", folder / "raw",
    )  # fmt: skip
    preprocess(
        "clean", folder / "raw", "--valid", 50, "--test", test, "--mono-valid", 100, "--max-ratio", 1000,
        "--no-language-check", "--workers", 1, "--out", folder / "clean",
    )  # fmt: skip
    model = folder / "sentencepiece.model"
    preprocess("train-sentencepiece", folder / "clean", "--vocab-size", vocabulary, "--out", model)
    return folder / "clean", model


def preprocess(*arguments: object) -> tuple[float, float]:
    """Run a step of scaling-preprocess; return what ``run`` returns."""
    return run([sys.executable, "-m", "preprocess", *map(str, arguments)])


def run(command: list[str], threads: int = 1, output: Path = Path(os.devnull)) -> tuple[float, float]:
    """Run a command to its end, its output in a file; return its processor time in seconds and its memory in bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, cwd=ROOT, env=environment)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{errors.decode()[-3000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
