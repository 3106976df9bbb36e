"""How a study's jobs are spread: over the cores or GPUs of this machine, or over a cluster. The words for Snakemake."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..errors import DataError
from .gpus import GPU_STAGES, GPUS_VARIABLE, gpus_needed
from .plan import Job
from .state import StudyFolder

PROFILES = Path(__file__).parent / "profiles"
# How long Snakemake gets to end its jobs when a study is stopped. A cluster's queue may answer late.
_PATIENCE_HERE = 4.0
_PATIENCE_CLUSTER = 30.0
_JOBS_BY_DEFAULT = 100


@dataclass(frozen=True)
class Scheduling:
    """What spreads the jobs.

    Attributes:
        cores: jobs of one thread side by side, on a cluster jobs in its queue at a time; None: all cores, or what the
            profile says.
        retries: how often a failed job is tried again.
        profile: folder of a Snakemake profile, which names the cluster; None: this machine.
        gpus: names of the GPUs of this machine (as in CUDA_VISIBLE_DEVICES), which the jobs share out among them;
            empty: they see none; None: they see what they see.
        arguments: further arguments for Snakemake.
    """

    cores: int | None = None
    retries: int = 0
    profile: Path | None = None
    gpus: tuple[str, ...] | None = None
    arguments: Sequence[str] = ()

    @property
    def side_by_side(self) -> int:
        """How many jobs run at a time, for the time left: with GPUs, these."""
        if self.cores is not None or self.profile is None:
            here = self.cores or count_cores()
            return min(here, len(self.gpus)) if self.gpus else here
        jobs = _values(self.profile).get("jobs", _JOBS_BY_DEFAULT)
        return jobs if isinstance(jobs, int) else _JOBS_BY_DEFAULT

    @property
    def remote(self) -> bool:
        return self.profile is not None or "--executor" in self.arguments

    @property
    def may_fork(self) -> bool:
        """Whether jobs may be forked from a process that has imported fairseq: here, and not where GPUs are shared."""
        return not self.remote and not self.gpus

    @property
    def patience(self) -> float:
        """Seconds that Snakemake gets to take back what it has started."""
        return _PATIENCE_CLUSTER if self.remote else _PATIENCE_HERE

    def environment(self) -> dict[str, str]:
        """Return the variables that the jobs see."""
        if self.gpus is None:
            return dict(os.environ)
        hidden = {} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        return {**os.environ, GPUS_VARIABLE: ",".join(self.gpus), **hidden}


def snakemake_command(
    folder: StudyFolder, scheduling: Scheduling, jobs: Sequence[Job], targets: Sequence[Job]
) -> list[str]:
    """Return the command that schedules what is left to do of ``jobs``; no ``targets``: all of it."""
    command = [
        sys.executable, "-m", "snakemake",
        "--snakefile", str(Path(__file__).parent / "Snakefile"),
        "--directory", str(folder.path),
        # Not "code" and "software-env": a new release of this package must not train everything again.
        "--rerun-triggers", "mtime", "params", "input",
        "--rerun-incomplete",
        "--keep-going",
        # Its lock would outlive a kill; the study has one that does not.
        "--nolock",
        "--scheduler", "greedy",
        "--retries", str(scheduling.retries),
        "--config", f"plan={folder.plan_path}", f"retries={scheduling.retries}",
    ]  # fmt: skip
    if scheduling.profile:
        command += ["--profile", str(scheduling.profile)]
        command += ["--jobs", str(scheduling.cores)] if scheduling.cores else []
    else:
        command += ["--cores", str(scheduling.cores or count_cores()), "--latency-wait", "5"]
    if scheduling.gpus:
        command += ["--resources", f"gpu={len(scheduling.gpus)}"]
        command += ["--set-resources", *(f"{stage}:gpu={number}" for stage, number in _gpus_of(jobs).items())]
    command += scheduling.arguments
    if targets:
        command += ["--", *(str(folder.done_path(job.id).relative_to(folder.path)) for job in targets)]
    return command


def find_profile(name: str) -> Path:
    """Return the folder of a Snakemake profile: a folder of the person's own, or one of this package (``slurm``).

    Raises:
        DataError: there is none, or it cannot be read.
    """
    for path in (Path(name), PROFILES / name):
        if path.is_dir():
            _values(path)
            return path.absolute()
    ours = ", ".join(sorted(path.name for path in PROFILES.iterdir() if path.is_dir()))
    raise DataError(f"--profile = {name}: no such folder\n  Name a folder that holds config.yaml, or one of: {ours}.")


def _gpus_of(jobs: Sequence[Job]) -> dict[str, int]:
    """Return stage -> GPUs that one of its jobs takes."""
    return {job.stage: gpus_needed(job) for job in jobs if job.stage in GPU_STAGES}


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _values(profile: Path) -> dict[str, object]:
    files = sorted([*profile.glob("config.v*.yaml"), *profile.glob("config.yaml")])
    if not files:
        raise DataError(f"--profile = {profile}: no config.yaml in it; a Snakemake profile holds one")
    try:
        values = yaml.safe_load(files[0].read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{files[0]}: cannot be read\n  {error}") from None
    return values if isinstance(values, dict) else {}
