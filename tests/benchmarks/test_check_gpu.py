"""What check_gpu.py shows without a GPU, and that it tells a difference from agreement."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from tests.benchmarks import check_gpu, gpu_speed
from tests.benchmarks.check_gpu import Check

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run make check-gpu")


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(tmp_path, "cpu", time.monotonic() + 3600)


@no_gpu
@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_does_what_a_cpu_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Part 4 stands for the others that a CPU can do: tests/tasks kills and resumes runs, and trains in bfloat16."""
    assert sorted(check_gpu.parts("cpu")) == [2, 3, 4]
    assert check_gpu.main(["--parts", "4", "--out", str(tmp_path / "table.txt")]) == 0
    printed = capsys.readouterr().out
    assert "no GPU: what a CPU can show" in printed
    assert "0 failed; no GPU was found" in printed
    rows = [line.split("\t") for line in (tmp_path / "table.txt").read_text().splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [("4", "pass"), ("4", "skipped")]


def test_other_losses_and_other_batches_fail(check: Check) -> None:
    one = [{"num_updates": "1", "wpb": "9", "bsz": "1", "pretrain_tokens": 9, "cross_entropy": "2.5"}]
    for change, outcomes in (
        ({}, ["pass", "pass"]),
        ({"cross_entropy": "2.5002"}, ["pass", "FAIL"]),
        ({"cross_entropy": "nan"}, ["pass", "FAIL"]),
        ({"pretrain_tokens": 10}, ["FAIL", "pass"]),
    ):
        check.lines.clear()
        check_gpu.compare(check, 1, "x", one, [one[0] | change], check_gpu.CLOSE)
        assert [line[2] for line in check.lines] == outcomes, change
    check.lines.clear()
    check_gpu.compare(check, 1, "x", [], [], check_gpu.CLOSE)
    assert [line[2] for line in check.lines] == ["FAIL", "FAIL"]


@pytest.mark.parametrize("name", ["fairseq_scaling", "Hugging Face T5, eager", "fairseq transformer"])
def test_every_contender_makes_a_training_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, value in {"VOCABULARY": 500, "SOURCE": 12, "TARGET": 6}.items():
        monkeypatch.setattr(gpu_speed, setting, value)
    seconds, memory = gpu_speed.measure(gpu_speed.contenders("t5_tiny")[name], 2, "cpu", steps=1)
    assert seconds > 0
    assert memory == 0


def test_a_part_without_time_is_skipped_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    late = Check(tmp_path, "cuda", time.monotonic())
    gpu_speed.throughput(late)
    check_gpu.several_jobs(late)
    assert {line[2] for line in late.lines} == {"skipped"}
