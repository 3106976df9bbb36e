"""The words for Snakemake: this machine, its GPUs, a cluster's profile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairseq_scaling.errors import DataError
from fairseq_scaling.study.plan.jobs import Job
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.scheduling import (
    PROFILES,
    Capacity,
    Scheduling,
    count_cores,
    find_profile,
    snakemake_command,
)
from tests.study.conftest import Fakes

JOBS = [Job("pretrain/x", "pretrain", "p", []), Job("fit/results", "fit", "f", [])]


def command(scheduling: Scheduling) -> str:
    return " ".join(snakemake_command(StudyFolder(Path("out")), scheduling, JOBS, []))


def test_here_all_cores_work_and_on_a_cluster_the_profile_decides() -> None:
    slurm = find_profile("slurm")
    assert slurm == PROFILES / "slurm"
    assert f"--cores {count_cores()}" in command(Scheduling())
    assert "--cores" not in command(Scheduling(profile=slurm))
    assert "--jobs" not in command(Scheduling(profile=slurm))
    assert Scheduling(profile=slurm).capacity == Capacity(queue=100)
    assert "--jobs 7" in command(Scheduling(cores=7, profile=slurm))
    assert Scheduling(cores=7, profile=slurm).capacity == Capacity(queue=7)


def test_a_small_study_ends_a_second_after_its_last_job() -> None:
    """Snakemake ends when the span of its limit of jobs is over."""
    assert "--max-jobs-per-timespan 100000/1s" in command(Scheduling())


def test_gpus_limit_what_trains_and_nothing_else() -> None:
    words = command(Scheduling(cores=8, gpus=("0", "1")))
    assert "--resources gpu=2" in words
    assert "pretrain:gpu=1" in words
    assert "fit:gpu" not in words
    assert Scheduling(cores=8, gpus=("0", "1")).capacity == Capacity(cores=8, gpus=2)


@pytest.mark.parametrize(
    ("capacity", "job", "side_by_side"),
    [
        (Capacity(cores=8), Job("pretrain/x", "pretrain", "p", [], threads=4), 2),
        (Capacity(cores=8), Job("pretrain/x", "pretrain", "p", [], threads=16), 1),
        (Capacity(cores=8), Job("pretrain/x", "pretrain", "p", [], resources={"gpu": 2}), 8),
        (Capacity(cores=8, gpus=2), Job("pretrain/x", "pretrain", "p", []), 2),
        (Capacity(cores=8, gpus=4), Job("pretrain/x", "pretrain", "p", [], resources={"gpu": 2}), 2),
        (Capacity(cores=8, gpus=4), Job("pretrain/x", "pretrain", "p", [], threads=8), 1),
        (Capacity(cores=8, gpus=2), Job("score/x", "score", "s", []), 8),
        (Capacity(queue=7), Job("pretrain/x", "pretrain", "p", [], threads=4, resources={"gpu": 2}), 7),
    ],
)
def test_a_job_takes_its_part_of_the_cores_or_of_the_gpus(capacity: Capacity, job: Job, side_by_side: int) -> None:
    assert capacity.whole // capacity.taken_by(job) == side_by_side


def test_who_asks_for_the_time_left_learns_what_the_study_runs_on(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert Capacity.of(folder) == Capacity(count_cores())
    Capacity(cores=64, gpus=8).note(folder)
    assert Capacity.of(folder) == Capacity(cores=64, gpus=8)


def test_what_study_yaml_asks_for_reaches_sbatch(
    fakes: Fakes, values: dict[str, Any], write_study: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    """A stand-in for sbatch writes its arguments to a file and refuses the job. Other values are the profile's."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text(json.dumps({"fingerprint": "abc"}))
    del values["text"]
    values["corpus"] = "corpus"
    values["pretraining"]["mixtures"] = ["de:1"]
    values["resources"] = {
        "pretrain": {"gpus": 4, "threads": 2, "memory": "64G"}, "finetune": {"time": "9h"}, "alignment": {"gpus": 0},
    }  # fmt: skip
    profile = yaml.safe_load((PROFILES / "slurm/config.yaml").read_text())
    profile |= {"slurm-no-account": True, "slurm-init-seconds-before-status-checks": 1}
    profile |= {"default-resources": [*profile["default-resources"], "slurm_partition=main"]}
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    (tmp_path / "slurm").mkdir()
    for name in _SLURM_PROGRAMS:
        (tmp_path / "slurm" / name).write_text(_SBATCH if name == "sbatch" else "#!/bin/sh\n")
        (tmp_path / "slurm" / name).chmod(0o755)
    words = ("run", write_study(values), "--out", tmp_path / "out", "--profile", tmp_path / "profile", "--retries", "0")
    path = os.pathsep.join([str(tmp_path / "slurm"), os.environ["PATH"]])
    result = fakes.run(*words, PATH=path, ASKED=str(tmp_path / "asked"))
    assert result.returncode == 1, result.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    (pretraining,) = [line.split() for line in asked if "rule_pretrain" in line]
    assert {"--gpus=4", "--cpus-per-task=2"} <= set(pretraining)
    assert _after("--mem", pretraining) == "64000"
    assert _after("-t", pretraining) == "1440"
    (finetuning,) = [line.split() for line in asked if "finetune" in line and "rule_" in line]
    assert not [word for word in finetuning if word.startswith("--gpus")]
    assert _after("--mem", finetuning) == "4000"
    # One job of the queue: the translation and the score follow within two hours each.
    assert _after("-t", finetuning) == str(9 * 60 + 2 * 120)


# Every program of SLURM that Snakemake may start: none of them must be installed, none that is installed is started.
_SLURM_PROGRAMS = ("sbatch", "sacct", "sacctmgr", "scancel", "scontrol", "sinfo", "squeue", "srun", "sshare")
_SBATCH = """\
#!/bin/sh
echo "$*" >> "$ASKED"
exit 1
"""


def _after(flag: str, words: list[str]) -> str:
    return words[words.index(flag) + 1]


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
