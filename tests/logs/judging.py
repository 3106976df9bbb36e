"""Writing damaged logs, and judging what they are read as."""

from __future__ import annotations

import math
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.logs import LogProblem, Reading, RunRecord, files, read_runs
from fairseq_scaling.scores.generation import read_generation
from tests.logs.fuzzing import KEEPING, Mutant, mutate
from tests.logs.oracle import Judge, sentences, validations


def write(mutant: Mutant, folder: Path) -> dict[str, str]:
    """Write the files into an empty folder, an hour old, and return path -> text."""
    shutil.rmtree(folder, ignore_errors=True)
    hour = time.time() - 3600
    for name, content in mutant.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (hour, hour))
    return {str(folder / name): text for name, text in mutant.texts.items()}


def case(kind: str, number: int) -> Mutant:
    """Return a folder of files; of three cases one has nothing but the kind done to it."""
    draw = random.Random(f"{kind} {number}")
    return mutate(draw, kind, draw.choice([1, 1, 2, 3]), 0.4 if number % 3 else 0.0)


def judge(mutant: Mutant, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> tuple[Reading, list[str]]:
    """Return what the folder is read as, and the faults of it."""
    # so that short logs too are cut into blocks
    with monkeypatch.context() as patch:
        if number % 2:
            patch.setattr(files, "BLOCK", (700, 5000)[number // 2 % 2])
        texts = write(mutant, folder)
        reading = read_runs(folder)
        faults = Judge(reading, texts, mutant.lines).faults()
    if len(mutant.kinds) == len(mutant.files) and mutant.kinds[0] in KEEPING and mutant.kinds[0] != "restart":
        # (of a restart the line feed behind a cut number hides the cut)
        known = {said for line in mutant.lines for said in validations(line)}
        for run in reading.runs:
            faults += [f"{said} is in none of the logs" for said in finite(run) - known]
    damaged = (LogProblem.DAMAGED_ARCHIVE, LogProblem.UNREADABLE, LogProblem.BAD_SCORE_FILE)
    listed = {problem.file for problem in reading.problems if problem.kind in damaged}
    for name, text in mutant.texts.items():
        if name in mutant.lost:
            faults += (
                []
                if str(folder / name) in listed or "flip gzip" in mutant.kinds
                else [f"{name} is damaged, which is not listed"]
            )
        else:
            faults += wrong_sentences(folder / name, text)
    return reading, faults


def finite(run: RunRecord) -> set[tuple[int | None, str, float]]:
    return {said for said in run.extra["validations"] if math.isfinite(said[2])}


def wrong_sentences(path: Path, text: str) -> Iterator[str]:
    """Yield what translations are read from the file that no line of it holds."""
    try:
        generation = read_generation(path)
    except DataError:
        return
    there = sentences(text)["H" if generation.lines == "H" else "D"] or sentences(text)["H"]
    for number, hypothesis in enumerate(generation.hypotheses):
        texts = there.get(number, set())
        joined = {said.replace(" ", "").replace("\u2581", " ").strip() for said in texts}
        if hypothesis not in (joined if generation.pieces else texts):
            yield f"sentence {number} stands in no line: {hypothesis!r}"
