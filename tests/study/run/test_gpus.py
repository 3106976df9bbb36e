"""GPUs that are only names: a job sees the one it holds, and no two jobs hold the same."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.study.plan.jobs import Job
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.gpus import GPUS_VARIABLE, check_gpus, find_gpus, free_gpus, parse_gpus
from fairseq_scaling.study.run.scheduling import Scheduling
from fairseq_scaling.study.run.workflow import run_plan
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes
from tests.study.helpers import PAPER


@pytest.fixture(autouse=True)
def _locks_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def job(stage: str) -> Job:
    return Job(f"{stage}/x", stage, stage, [])


def test_two_jobs_hold_two_gpus_and_a_freed_one_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS_VARIABLE, "2,5")
    with free_gpus(job("finetune")) as (second, _):
        with free_gpus(job("pretrain")) as (first, _):
            assert {first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]} == {"2", "5"}
        with free_gpus(job("translate")) as (third, _):
            assert third == first


def test_a_job_does_not_wait_for_a_gpu_that_no_file_system_can_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setenv(GPUS_VARIABLE, "0")
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DataError, match="knows no locks"), free_gpus(job("pretrain")):
        pass


@pytest.mark.parametrize(("gpus", "there"), [(("0", "1"), r"2 \(0, 1\)"), ((), "none"), (None, "none")])
def test_a_training_with_fewer_gpus_than_it_asks_for_is_refused_before_anything_runs(
    gpus: tuple[str, ...] | None, there: str, values: dict[str, Any],
    write_study: Callable[[dict[str, Any]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It would train with another batch."""
    monkeypatch.delenv("SCALING_STUDY_PROGRAMS", raising=False)
    values["resources"] = {"pretrain": {"gpus": 4}}
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(tmp_path / "out")
    message = rf"resources.pretrain.gpus = 4: .* may use {there}\n(.*\n)?.*--set resources='{{}}'"
    with pytest.raises(SettingError, match=message):
        run_plan(plan, folder, Scheduling(gpus=gpus))
    assert not folder.snakemake_log.exists()


def test_what_a_translation_asks_for_may_be_missing_and_a_study_may_do_without_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SCALING_STUDY_PROGRAMS", raising=False)
    check_gpus([Job("translate/x", "translate", "t", [], resources={"gpu": 4})], ())
    jobs = make_plan(load_study(PAPER / "small.yaml")).jobs
    check_gpus(jobs, ("0",))
    with pytest.raises(SettingError):
        check_gpus(jobs, ())
    check_gpus(make_plan(load_study(PAPER / "small.yaml", ["resources={}"])).jobs, ())


def test_what_does_not_train_sees_no_gpu_and_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS_VARIABLE, "0")
    with free_gpus(job("pretrain")), free_gpus(job("encode")) as (variables, locks):
        assert variables == {"CUDA_VISIBLE_DEVICES": ""}
        assert locks == []


def test_without_gpus_a_job_sees_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GPUS_VARIABLE, raising=False)
    with free_gpus(job("pretrain")) as (variables, _):
        assert variables == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0,1", ("0", "1")),
        (" 0, 1,0", ("0", "1")),
        ("", ()),
        ("none", ()),
        ("-1", ()),
        ("GPU-8a,MIG-1", ("GPU-8a", "MIG-1")),
    ],
)
def test_gpus_are_named_as_in_cuda_visible_devices(text: str, names: tuple[str, ...]) -> None:
    assert parse_gpus(text) == names
    assert find_gpus({"CUDA_VISIBLE_DEVICES": text}) == names


def test_the_driver_is_asked_where_nobody_says_which_gpus(tmp_path: Path) -> None:
    assert find_gpus({"PATH": str(tmp_path)}) == ()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA A100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    assert find_gpus({"PATH": str(tmp_path)}) == ("0", "1")
    program.write_text("#!/bin/sh\necho 'GPU 0: x'\nexit 9\n")
    assert find_gpus({"PATH": str(tmp_path)}) == ()


def test_jobs_can_be_kept_from_all_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StudyFolder(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert Scheduling(gpus=()).environment(folder)["CUDA_VISIBLE_DEVICES"] == ""
    assert Scheduling(gpus=None).environment(folder)["CUDA_VISIBLE_DEVICES"] == "0"
    assert Scheduling(gpus=("0",)).environment(folder)[GPUS_VARIABLE] == "0"


@pytest.mark.usefixtures("one_budget")
def test_jobs_of_a_study_take_turns_on_its_gpus_and_never_share_one(
    fakes: Fakes, values: dict[str, Any], write_study: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    """Five trainings and three translations, four cores, two GPUs."""
    study = write_study(values)
    result = fakes.run("run", study, "--out", tmp_path / "out", "--cores", "4", "--gpus", "7,9", FAKE_SECONDS="0.3")
    assert result.returncode == 0, result.stderr
    held: set[str] = set()
    seen: set[str] = set()
    for line in fakes.journal.read_text().splitlines():
        event, name, *_, gpu = line.split()
        if name not in ("fairseq-train", "fairseq-generate"):
            assert gpu == "gpu="
        elif event == "start":
            assert gpu not in held
            held.add(gpu)
            seen.add(gpu)
        else:
            held.remove(gpu)
    assert seen == {"gpu=7", "gpu=9"}
