"""The words for Snakemake: this machine, its GPUs, a cluster's profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.study.plan import Job
from fairseq_scaling.study.scheduling import PROFILES, Scheduling, count_cores, find_profile, snakemake_command
from fairseq_scaling.study.state import StudyFolder

JOBS = [Job("pretrain/x", "pretrain", "p", []), Job("fit/results", "fit", "f", [])]


def command(scheduling: Scheduling) -> str:
    return " ".join(snakemake_command(StudyFolder(Path("out")), scheduling, JOBS, []))


def test_here_all_cores_work_and_on_a_cluster_the_profile_decides() -> None:
    slurm = find_profile("slurm")
    assert slurm == PROFILES / "slurm"
    assert f"--cores {count_cores()}" in command(Scheduling())
    assert "--cores" not in command(Scheduling(profile=slurm))
    assert "--jobs" not in command(Scheduling(profile=slurm))
    assert Scheduling(profile=slurm).side_by_side == 100
    assert "--jobs 7" in command(Scheduling(cores=7, profile=slurm))
    assert Scheduling(cores=7, profile=slurm).side_by_side == 7


def test_gpus_limit_what_trains_and_nothing_else() -> None:
    words = command(Scheduling(cores=8, gpus=("0", "1")))
    assert "--resources gpu=2" in words
    assert "pretrain:gpu=1" in words
    assert "fit:gpu" not in words
    assert Scheduling(cores=8, gpus=("0", "1")).side_by_side == 2


@pytest.mark.parametrize(
    ("scheduling", "may"),
    [
        (Scheduling(), True),
        (Scheduling(gpus=()), True),
        (Scheduling(gpus=("0",)), False),
        (Scheduling(profile=PROFILES / "slurm"), False),
        (Scheduling(arguments=("--executor", "slurm")), False),
    ],
)
def test_jobs_are_forked_here_and_without_gpus(scheduling: Scheduling, may: bool) -> None:
    assert scheduling.may_fork == may


def test_a_profile_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder\n.*one of: slurm"):
        find_profile("slrum")
    with pytest.raises(DataError, match=r"no config.yaml in it"):
        find_profile(str(tmp_path))
    (tmp_path / "config.yaml").write_text("jobs: [\n")
    with pytest.raises(DataError, match="cannot be read"):
        find_profile(str(tmp_path))
