"""Damaged logs: no traceback, no invented number, nothing left out without being listed, nothing of one run in another.

tests/torture/test_logs.py does the same 10,000 times.
"""

from __future__ import annotations

import csv
import json
import math
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.fit_scaling import EXIT_NOTHING_FITTED, main
from fairseq_scaling.logs import LogProblem, RunRecord, read_runs
from tests.logs.fuzzing import KEEPING, KINDS, MIXING, RESPELLING, SAMPLES, mutate
from tests.logs.judging import case, finite, judge, write, wrong_sentences
from tests.logs.oracle import sentences, validations
from tests.logs.samples import GOLDEN, plugin_log, run_object, score_file

CASES = 14  # of each kind
STUDIES = 24


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_stands_in_its_line_and_every_line_counts_or_is_listed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(CASES):
        mutant = case(kind, number)
        _, faults = judge(mutant, tmp_path / "logs", monkeypatch, number)
        assert not faults, (number, mutant.kinds, faults)


def places(log: bytes) -> set[str]:
    """Return the folders of checkpoints and run ids that a log names."""
    text = log.decode("utf-8", "replace")
    return {*re.findall(r"'?save_dir'?(?:: |=)'([^']+)'", text), *re.findall(r'SCALING_RUN .*"run_id": "(\w+)"', text)}


def place(run: RunRecord) -> str:
    config = run.extra.get("config", {})
    return run.run_id if "run" in run.extra else config.get("checkpoint.save_dir") or config.get("save_dir") or ""


TRAINED = {name: places(log) for name, log in SAMPLES.items() if b"valid" in log and places(log)}


@pytest.mark.parametrize("kind", ["concatenate", "cut then other", "interleave"])
def test_no_run_gets_losses_of_another(kind: str, tmp_path: Path) -> None:
    for number in range(3 * CASES):
        draw = random.Random(f"attribution {kind} {number}")
        names = draw.sample(sorted(TRAINED), 2)
        one, two = (SAMPLES[name] for name in names)
        (tmp_path / "log").write_bytes(MIXING[kind](one, two, draw))
        for run in read_runs(tmp_path / "log").runs:
            own = [name for name in names if place(run) in TRAINED[name]]
            if own:
                known = {said for name in own for said in validations(SAMPLES[name].decode())}
                assert finite(run) <= known, (number, names, finite(run) - known)


def test_a_log_whose_losses_become_nan_or_inf_is_a_diverged_run(tmp_path: Path) -> None:
    found = 0
    for number in range(4 * CASES):
        mutant = mutate(random.Random(f"diverged {number}"), "not a number")
        (text,) = write(mutant, tmp_path / "logs").values()
        last = [loss for loss in text.splitlines() if re.search(r"valid_loss|valid on 'valid' subset \|", loss)][-1:]
        reading = read_runs(tmp_path / "logs")
        if last and re.search(r"nan|inf\b|Infinity", re.sub(r"\w+_wps\W+inf|wps inf", "", last[0]), re.IGNORECASE):
            found += 1
            assert any(run.diverged for run in reading.runs), (number, last)
            assert any(problem.kind is LogProblem.DIVERGED for problem in reading.problems)
    assert found > CASES // 2


def test_a_number_with_too_few_digits_is_never_exact(tmp_path: Path) -> None:
    found = 0
    for number in range(2 * CASES):
        mutant = mutate(random.Random(f"digits {number}"), "too few digits")
        write(mutant, tmp_path / "logs")
        (text,) = mutant.texts.values()
        exact = {int(digits) for digits in re.findall(r"(?<![\d.])\d+(?![\d.]|e[+-])", text)}
        found += "e+" in text
        for run in read_runs(tmp_path / "logs").runs:
            said = [run.updates, run.pretrain_tokens, *(updates for updates, _, _ in run.extra["validations"])]
            assert exact.issuperset(updates for updates in said if updates is not None), number
    assert found > CASES // 2


def study(draw: random.Random, folder: Path) -> None:
    """Write finetuning runs of one curve, of which some are damaged, beside whatever else there may be."""
    for size in range(6):
        run = run_object(f"{size:012x}", pretrain_tokens=10**6 * 2**size)
        losses = {100 * n: round(4 - size / 4 + 1 / n, 3) for n in range(1, 4)}
        log = plugin_log(run, losses, f"checkpoints-{size}").encode()
        score = score_file(run, 10 + 2 * size + draw.random(), "valid").encode()
        if draw.random() < 0.3:
            # the first of what is drawn below, in place of a golden log
            log = mutate_one(draw, log)
        if draw.random() < 0.15:
            score = mutate_one(draw, score)
        (folder / f"run{size}").mkdir(parents=True)
        (folder / f"run{size}" / "train.log").write_bytes(log)
        (folder / f"run{size}" / "scores.json").write_bytes(score)
    write_beside = mutate(draw, draw.choice(KINDS), draw.choice([1, 2]), 0.3)
    write(write_beside, folder / "other")


def mutate_one(draw: random.Random, log: bytes) -> bytes:
    changes = {**KEEPING, **RESPELLING}
    return changes[draw.choice(sorted(changes))](log, draw)


@pytest.mark.parametrize("with_report", [False, True])
def test_fit_scaling_on_damaged_studies_ends_as_documented(with_report: bool, tmp_path: Path) -> None:
    codes, points = [], 0
    for number in range(1 if with_report else STUDIES):
        folder, out = tmp_path / f"logs{number}", tmp_path / f"out{number}"
        study(random.Random(f"study {number} {with_report}"), folder)
        result = CliRunner().invoke(main, [str(folder), "--out", str(out), *([] if with_report else ["--no-report"])])
        assert result.exception is None or isinstance(result.exception, SystemExit), (number, result.exc_info)
        assert "Traceback" not in result.output
        codes.append(result.exit_code)
        if result.exit_code in (0, EXIT_NOTHING_FITTED):
            points += check_points(out, folder)
    assert set(codes) <= {0, 2, EXIT_NOTHING_FITTED}
    assert codes.count(0) > len(codes) // 2
    assert points > 5 * len(codes)


def check_points(out: Path, folder: Path) -> int:
    """Every point stands in the logs: its score as it is, its loss in nats or in base 2; return how many."""
    json.loads((out / "fits.json").read_text())
    text = b" ".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    known = {float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", text.decode("latin-1"))}
    known |= {number * math.log(2) for number in known}
    checked = 0
    with (out / "points.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            origin = Path(row["origin"].rpartition(":")[0])
            # what is packed or encoded is judged by the tests above
            if b"\0" not in origin.read_bytes() and not origin.read_bytes().startswith(b"\x1f\x8b"):
                assert any(math.isclose(float(row["value"]), number, rel_tol=1e-9) for number in known), row
                checked += 1
    return checked


def test_the_text_files_of_the_golden_logs_hold_sentences() -> None:
    """The check of translations above must have something to check."""
    text = (GOLDEN / "generate-tokens.txt").read_text()
    assert len(sentences(text)["D"]) == 12
    assert list(wrong_sentences(GOLDEN / "generate-tokens.txt", text)) == []
    assert list(wrong_sentences(GOLDEN / "generate-tokens.txt", text.replace("D-", "D-1"))) != []
