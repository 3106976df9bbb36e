"""Inputs spoilt in thousands of ways: refused by name, counted, or read rightly. ``make test-torture`` runs this."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fairseq_scaling.errors import CheckpointError, ScalingError
from preprocess.clean import clean
from preprocess.fetch import fetch
from preprocess.settings import CleanSettings
from tests.preprocess.samples import files_source, sentence
from tests.study.spoiling import spoil_all
from tests.tasks.hostile import save_checkpoint, small_corpus
from tests.tasks.runs import PRETRAINING, ROOT

Record = Callable[[str, object], None]
ENDLESS = 200_000_000
# Runs a command and prints its largest memory. A process of its own: Linux counts what its parent held when it began.
MEASURED = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)
PAIRS = [sentence(7 * number) for number in range(120)]


@pytest.mark.faults("a line of 200 MB", lost="nothing; file and line are named, in 400 MB of memory")
@pytest.mark.parametrize("kind", ["letters", "zeros", "spaces", "packed"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_endless_line_is_named_in_little_memory(kind: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.en.gz" if kind == "packed" else "a.en")
    piece = {"letters": b"a", "zeros": b"\0", "spaces": b" ", "packed": b"a"}[kind] * 1_000_000
    with gzip.open(path, "wb", 1) if kind == "packed" else open(path, "wb") as stream:
        stream.write(b"" if place == "first" else b"A first line.\n")
        stream.writelines(piece for _ in range(ENDLESS // len(piece)))
        stream.write(b"\nA last line.\n" if place == "first" else b"")
    words = ["fetch", "--source", "files", "--languages", "en", "--mono", f"en={path}", "--out", tmp_path / "raw"]
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "preprocess", *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 2, run.stderr
    assert f"{path}, line {1 if place == 'first' else 2}: " in run.stderr
    assert int(run.stdout.split()[-1]) < 400_000  # kilobytes
    assert not list(tmp_path.glob("raw*"))


def spoil(content: bytes, choose: random.Random) -> bytes:
    """Return text with one thing wrong."""
    place = choose.randrange(len(content))
    odd = choose.choice(
        [b"\0", b"\r", b"\x0b", b"\x0c", b"\x1e", b"\x85", "\x85".encode(), "\u2028".encode(), "\ufeff".encode(),
         b"\xff", b"\xc3", b"\n", b"\r\n", "\u202e".encode(), "e\u0301".encode(), "\U0001f600".encode(),
         b"\t", b"\x1b[31m"]
    )  # fmt: skip
    how = choose.choice(["insert", "replace", "flip", "cut", "drop line", "repeat line", "encode", "all line ends"])
    lines = content.splitlines(keepends=True)
    number = choose.randrange(len(lines))
    if how == "insert":
        return content[:place] + odd + content[place:]
    if how == "replace":
        return content[:place] + odd + content[place + 1 :]
    if how == "flip":
        return content[:place] + bytes([content[place] ^ 1 << choose.randrange(8)]) + content[place + 1 :]
    if how == "cut":
        return content[:place]
    if how == "drop line":
        return b"".join(lines[:number] + lines[number + 1 :])
    if how == "repeat line":
        return b"".join(lines[: number + 1] + lines[number:])
    if how == "encode":
        return content.decode().encode(choose.choice(["latin-1", "utf-16", "utf-16-le", "utf-32", "cp500", "utf-7"]))
    return content.replace(b"\n", choose.choice([b"\r\n", b"\r", b"\x85", b"\n\n"]))


@pytest.mark.faults("a side of a pair spoilt at random", lost="at most the line that was spoilt")
def test_a_side_spoilt_at_random_is_refused_or_loses_a_line(tmp_path: Path, record_property: Record) -> None:
    choose = random.Random(11)
    translations, number = dict(PAIRS), 1500
    sources = {right: left for left, right in PAIRS}
    sides = ["".join(pair[side] + "\n" for pair in PAIRS).encode() for side in (0, 1)]
    settings = CleanSettings(valid=3, test=3, language_check=False)
    refused = 0
    for _ in range(number):
        side = choose.randrange(2)
        spoilt = list(sides)
        spoilt[side] = spoil(sides[side], choose)
        paths = [tmp_path / f"a.{language}" for language in ("en", "fr")]
        for path, content in zip(paths, spoilt, strict=True):
            path.write_bytes(content)
        try:
            source = files_source(f"{paths[0]},{paths[1]}")
            fetch(lambda source=source: [source], [], ["en-fr"], tmp_path / "raw", overwrite=True)
            clean(tmp_path / "raw", tmp_path / "clean", settings, overwrite=True)
        except ScalingError:
            refused += 1
            continue
        kept = 0
        for split in ("train", "valid", "test"):
            texts = [(tmp_path / f"clean/pairs.en-fr.{split}.{language}.txt").read_text() for language in ("en", "fr")]
            lines = [text.split("\n")[:-1] for text in texts]
            for left, right in zip(*lines, strict=True):
                kept += 1
                # The side that was not spoilt tells which pair it is; one line of the other may read otherwise.
                assert translations.get(left, right) == right or left not in translations or right not in sources
        assert kept >= len(PAIRS) - 2, spoilt[side]
    record_property("faults", number)
    assert 0 < refused < number


@pytest.mark.faults("a checkpoint with a flipped bit, or cut", lost="nothing; refused before training")
def test_a_checkpoint_spoilt_at_random_is_refused_or_unchanged(tmp_path: Path, record_property: Record) -> None:
    from fairseq_scaling.tasks.checkpoints import check_whole, read_checkpoint

    path = save_checkpoint(tmp_path / "x.pt", small_corpus(tmp_path / "corpus"), PRETRAINING)
    whole, choose, number = path.read_bytes(), random.Random(12), 1500
    before = read_checkpoint(tmp_path / "x.pt")
    weights = {name: weight.clone() for name, weight in before["model"].items()}
    accepted = 0
    for attempt in range(number):
        place = choose.randrange(len(whole))
        flipped = whole[:place] + bytes([whole[place] ^ 1 << choose.randrange(8)]) + whole[place + 1 :]
        other = tmp_path / "y.pt"
        other.unlink(missing_ok=True)  # the one before may still be mapped into memory
        other.write_bytes(whole[:place] if attempt % 3 == 0 else flipped)
        try:
            state = read_checkpoint(other)
            check_whole(other)
        except CheckpointError:
            continue
        accepted += 1  # padding between two tensors, or a name in the archive that nobody reads
        assert all(torch.equal(weight, state["model"][name]) for name, weight in weights.items())
        assert state["task_state"] == before["task_state"]
    record_property("faults", number)
    assert accepted < number // 2


@pytest.mark.faults("a study.yaml spoilt in one place", lost="nothing; the key is named before anything starts")
def test_a_study_spoilt_anywhere_is_refused_or_possible(tmp_path: Path, record_property: Record) -> None:
    tried, refused = spoil_all(tmp_path / "study.yaml", every=1)
    record_property("faults", tried)
    assert refused > tried // 2 > 200
