"""Runs killed again and again, at random moments and while they write checkpoints, end like one never disturbed.

``make test-torture`` runs this (minutes); ``make test`` has one such kill.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.runs import FINETUNING, PRETRAINING, ROOT, assert_same_run, fairseq, records

KILLS = 24
# What a kill waits for. After the line it waits a moment longer: writing and copying a checkpoint takes some 30 ms.
MOMENTS = ("begin training epoch", "train_inner", "Preparing to save checkpoint", "Saved checkpoint", "valid on")
EXACT = ("loss", "cross_entropy", "nll_loss", "gnorm", "lr", "pretrain_tokens", "pretrain_tokens_aa")


def run_and_kill(arguments: list[str], moment: str, occurrence: int, delay: float) -> tuple[bool, str]:
    """Start a training, kill it ``delay`` seconds after a line came so often; return whether it was, and its log."""
    line = [str(Path(sys.executable).parent / "fairseq-train"), *arguments]
    lines: list[str] = []
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as run:
        assert run.stdout is not None
        seen, timer = 0, threading.Timer(delay, run.kill)
        for printed in run.stdout:
            lines.append(printed)
            seen += moment in printed
            if seen == occurrence and not timer.is_alive() and not timer.finished.is_set():
                timer.start()
        timer.cancel()
    assert run.returncode in (0, -signal.SIGKILL), "".join(lines)[-3000:]
    return run.returncode != 0, "".join(lines)


def by_step(log: str) -> dict[str, dict[str, Any]]:
    """Return update -> what the last record of that update says, without times."""
    return {
        record["num_updates"]: {name: record[name] for name in EXACT if name in record}
        for record in records(log, "train_inner")
    }


@pytest.fixture(scope="module", params=["pretraining", "finetuning"])
def stage(request: pytest.FixtureRequest, corpus: Path, pretrained: tuple[Path, str]) -> list[str]:
    """Return the flags of a training without its folder; it saves after every second update."""
    often = ["--save-interval-updates", "2", "--keep-interval-updates", "2"]
    if request.param == "pretraining":
        return [str(corpus), "--user-dir", str(ROOT / "fairseq_scaling"), *PRETRAINING, *often]
    start = ["--finetune-from-model", str(pretrained[0] / "checkpoint2.pt"), "--max-update", "25"]
    return [str(corpus), "--user-dir", str(ROOT / "fairseq_scaling"), *FINETUNING, *start, *often]


@pytest.mark.faults("a run killed at any moment, also while it writes a checkpoint", lost="nothing, bit for bit")
def test_killed_at_any_moment_a_run_ends_in_the_same_weights_and_records(
    stage: list[str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = fairseq("train", Path(stage[0]), *stage[3:], "--save-dir", tmp_path / "whole")
    expected = by_step(whole)
    choose = random.Random(5)
    kills, runs = 0, 0
    while kills < KILLS:
        folder, log, killed = tmp_path / f"disturbed{runs}", "", True
        while killed:
            moment, occurrence, delay = choose.choice(MOMENTS), choose.randint(1, 4), choose.uniform(0, 0.06)
            killed, printed = run_and_kill([*stage, "--save-dir", str(folder)], moment, occurrence, delay)
            log += f"{printed}\n== killed: {killed}, {delay:.3f} s after {moment!r} number {occurrence}\n"
            kills += killed
            if kills >= KILLS and killed:
                killed, printed = run_and_kill([*stage, "--save-dir", str(folder)], "never", 1, 0)
                log += printed
        runs += 1
        folder.with_suffix(".log").write_text(log)
        assert_same_run(tmp_path / "whole" / "checkpoint_last.pt", folder / "checkpoint_last.pt")
        assert by_step(log) == expected
        assert {score["subset"]: score for score in records(log, "SCALING_SCORES")} == {
            score["subset"]: score for score in records(whole, "SCALING_SCORES")
        }
    record_property("faults", kills)
    print(f"{kills} kills in {runs} runs; {log.count('is damaged')} damaged checkpoints in the last one")
