"""What check_gpu.py shows without a GPU, and that it tells a difference from agreement."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.data.corruption import SpanCorruption
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


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a CPU stand in for the GPU, with models and batches that it can do."""
    small = {"VOCABULARY": 500, "SOURCE": 24, "TARGET": 6, "WARM": 2, "STEPS": 3, "BATCHES": {"t5_tiny": 2}}
    for setting, value in small.items():
        monkeypatch.setattr(gpu_speed, setting, value)
    monkeypatch.setattr(gpu_speed, "LARGEST", ("t5_tiny",))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")


@no_gpu
@pytest.mark.slow
def test_the_speed_of_training_is_measured_alone_and_through_fairseq(
    check: Check, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling Hugging Face's model alone takes minutes: it is left out."""
    contenders = gpu_speed.contenders
    without = {name: make for name, make in contenders("t5_tiny").items() if "compiled" not in name}
    monkeypatch.setattr(gpu_speed, "contenders", lambda arch: without)
    gpu_speed.throughput(check)
    lines = {what: (outcome, detail) for _, what, outcome, detail in check.lines}
    assert {outcome for outcome, _ in lines.values()} == {"", "pass", "skipped"}
    assert [what for what, (outcome, _) in lines.items() if outcome == "skipped"] == [
        "attention 32x12x24x64, trained bias: memory-efficient"
    ]
    through = lines["t5_tiny through fairseq-train, --bf16-autocast"][1]
    assert re.fullmatch(r"[\d,]+ tokens/s, \d+% of the step alone", through)
    assert lines["attention 32x12x24x64, trained bias: PyTorch's choice"][0] == "pass"


@no_gpu
@pytest.mark.slow
def test_two_jobs_are_measured_beside_one(check: Check, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = gpu_speed.pretraining_rate
    monkeypatch.setattr(gpu_speed, "pretraining_rate", lambda check, arch, *more: rate(check, "t5_tiny", *more))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setitem(gpu_speed.BATCHES, "t5_tiny", 16)  # as many as the jobs have
    check_gpu.several_jobs(check)
    assert [(line[1], line[2]) for line in check.lines] == [
        ("two t5_small jobs on one GPU, beside one", ""),
        ("several GPUs", "skipped"),
    ]
    assert float(check.lines[0][3].split()[0]) > 0.1


def test_the_largest_batch_is_found_with_and_without_checkpointing(
    check: Check, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that holds four times the sequences where activations are computed again."""
    measured = []

    def measure(make: Any, batch: int, device: str, steps: int) -> tuple[float, int]:
        model, _ = make()
        again = model.encoder.checkpoint_activations
        measured.append((again, batch))
        if batch > (64 if again else 16):
            raise torch.cuda.OutOfMemoryError
        return 0.001 * batch, batch << 30

    monkeypatch.setattr(gpu_speed, "measure", measure)
    gpu_speed.largest_batch(check)
    assert measured == [(False, 4 << n) for n in range(4)] + [(True, 4 << n) for n in range(6)]
    assert [line[1] for line in check.lines if "GiB" in line[3]] == [
        "t5_tiny: largest batch (doubling)",
        "t5_tiny, --checkpoint-activations: largest batch (doubling)",
    ]
    assert [line[3].split(":")[0] for line in check.lines if "GiB" in line[3]] == ["16", "64"]
    found = next(line[3] for line in check.lines if "for scaling-study plan" in line[1])
    operations = 3 * gpu_speed.shape("t5_tiny").forward(24, 6).flops
    assert float(found.split()[1]) == pytest.approx(operations / 0.001, rel=1e-2)


def test_the_text_for_speed_is_enough_for_the_longest_run(check: Check, tiny: None) -> None:
    folder = gpu_speed.large_corpus(check.folder / "large")
    corpus = Corpus.open(folder)
    block = SpanCorruption.for_input_length(24).block_length
    assert corpus.mono("aa", "train").tokens // block >= (2 + 3) * 2
    assert len(Dictionary.load(str(corpus.dictionary_path))) == 500


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


def test_fairseq_trains_without_scikit_learn_and_scipy(tmp_path: Path) -> None:
    """The machine without network gets neither: fairseq imports them, and finds empty modules."""
    program = f"""
import sys
from pathlib import Path
from tests.benchmarks import check_gpu

folder = Path({str(tmp_path)!r})
sys.modules["sklearn"] = None  # as where it is missing
check_gpu.stand_in_for_scikit_learn(folder)
del sys.modules["sklearn"]
assert sys.path[-1] == str(folder)
sys.path.insert(0, str(folder))  # before those that are installed here
import fairseq.criterions.sentence_prediction as used
assert used.f1_score is None and used.pearsonr is None
assert all(Path(sys.modules[name].__file__).is_relative_to(folder) for name in ("sklearn", "scipy"))
print("imported")
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=check_gpu.ROOT, capture_output=True, text=True)
    assert found.stdout.endswith("imported\n"), found.stderr
