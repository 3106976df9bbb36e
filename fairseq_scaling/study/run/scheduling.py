"""How a study's jobs are spread: over the cores or GPUs of this machine, or over a cluster."""

from __future__ import annotations

import getpass
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from ...errors import DataError
from ..plan.jobs import Job
from ..stages import STAGES
from .folder import StudyFolder, write_whole
from .gpus import GPUS_VARIABLE, gpus_needed

PROFILES = Path(__file__).parent / "profiles"
# How long Snakemake gets to end its jobs when a study is stopped. A cluster's queue may answer late.
_PATIENCE_HERE = 4.0
_PATIENCE_CLUSTER = 30.0
_JOBS_BY_DEFAULT = 100
_JOBS_PER_SECOND = 50  # the span of Snakemake's limit of jobs has a second for so many
_COMPARED_BYTES = 100_000_000
# Programs that Snakemake's SLURM executor calls; the command that tells the state of a job is a setting of the profile.
_SLURM_PROGRAMS = ("sbatch", "scancel")
_SLURM_STATUS = "sacct"


class Capacity(NamedTuple):
    """What bounds how many jobs run side by side: the cores and GPUs of a machine, or a cluster's queue.

    Attributes:
        cores: of the machine.
        gpus: of the machine, which the jobs share out among them.
        queue: jobs of the study that may be in a cluster's queue; 0: it runs on this machine.
    """

    cores: int = 1
    gpus: int = 0
    queue: int = 0

    @property
    def whole(self) -> int:
        """All of it, in units of which every job takes a whole number."""
        return self.queue or self.cores * (self.gpus or 1)

    def taken_by(self, job: Job) -> int:
        """Return what a job takes of the whole: its part of the cores or of the GPUs, whichever is larger."""
        if self.queue:
            return 1
        cores, gpus = min(job.threads, self.cores), min(gpus_needed(job), self.gpus)
        return max(cores * (self.gpus or 1), gpus * self.cores)

    def __str__(self) -> str:
        if self.queue:
            return f"with {self.queue} jobs in the queue"
        cores = "one core" if self.cores == 1 else f"{self.cores} cores"
        gpus = "" if not self.gpus else " and one GPU" if self.gpus == 1 else f" and {self.gpus} GPUs"
        return f"on {cores}{gpus}"

    def note(self, folder: StudyFolder) -> None:
        """Keep it in a study's folder: who asks how long the study takes need not run where its jobs do."""
        write_whole(_noted(folder), json.dumps(self._asdict()))

    @classmethod
    def of(cls, folder: StudyFolder) -> Capacity:
        """Return what the last start of a study had, or the cores of this machine where it never started."""
        try:
            return cls(**json.loads(_noted(folder).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(count_cores())


def _noted(folder: StudyFolder) -> Path:
    return folder.private / "capacity.json"


@dataclass(frozen=True)
class Scheduling:
    """What spreads the jobs.

    Attributes:
        cores: of this machine, on a cluster jobs in its queue at a time; None: all cores, or what the profile says.
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
    def capacity(self) -> Capacity:
        if not self.remote:
            return Capacity(self.cores or count_cores(), len(self.gpus or ()))
        jobs = _values(self.profile).get("jobs") if self.profile else count_cores()
        return Capacity(queue=self.cores or (jobs if isinstance(jobs, int) and jobs > 0 else _JOBS_BY_DEFAULT))

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

    @property
    def executor(self) -> str | None:
        """Name of the Snakemake executor plugin that submits the jobs; None: this machine runs them."""
        if "--executor" in self.arguments[:-1]:
            return self.arguments[list(self.arguments).index("--executor") + 1]
        named = _values(self.profile).get("executor") if self.profile else None
        return None if named is None else str(named)

    def check(self) -> None:
        """Raise DataError where the executor plugin, or a program of SLURM that it calls, is not installed here."""
        name = self.executor
        if name in (None, "local", "dryrun", "touch"):
            return
        plugin = f"snakemake-executor-plugin-{name}"
        if importlib.util.find_spec(plugin.replace("-", "_")) is None:
            raise DataError(f"executor = {name}: {plugin} is not installed\n  pip install {plugin}")
        if name != "slurm":
            return
        settings = _values(self.profile) if self.profile else {}
        programs = (*_SLURM_PROGRAMS, str(settings.get("slurm-status-command", _SLURM_STATUS)))
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            where = f"--profile = {self.profile.name}" if self.profile else "--executor = slurm"
            raise DataError(
                f"{where}: SLURM's {', '.join(missing)} cannot be found on this machine\n"
                "  Run this command where SLURM is installed (a login node), or without SLURM: leave the option out."
            )

    def environment(self, folder: StudyFolder) -> dict[str, str]:
        """Return the variables that Snakemake and the jobs see.

        Snakemake keeps files in the user's cache folder. Where that cannot be written, the study's folder holds them.
        It asks for the user's name, which a container's user may not have.
        """
        environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
        if not _can_write(_cache_folder()):
            environment["XDG_CACHE_HOME"] = str(folder.private / "cache")
        try:
            getpass.getuser()
        except (KeyError, OSError):  # OSError since Python 3.13
            environment["LOGNAME"] = f"user{os.getuid()}"
        if self.gpus is None:
            return environment
        hidden = {} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        return {**environment, GPUS_VARIABLE: ",".join(self.gpus), **hidden}


def workflow_command(folder: StudyFolder, plan: Path, to_do: Path) -> list[str]:
    """Return Snakemake's command for a study, as far as it decides which jobs have to run.

    Args:
        plan: file with the table of all jobs.
        to_do: file with the ids of those that are to run: only these wait for checkpoints.
    """
    return [
        sys.executable, "-m", "snakemake",
        "--snakefile", str(Path(__file__).parent / "Snakefile"),
        "--directory", str(folder.path),
        # Not "code" and "software-env": a new release of this package must not train everything again. Not "input":
        # checkpoints are inputs of the jobs alone that are to run.
        "--rerun-triggers", "mtime", "params",
        "--rerun-incomplete",
        # Up to this size, content counts instead of modification time: it holds for everything but checkpoints.
        "--max-checksum-file-size", str(_COMPARED_BYTES),
        # Its lock would outlive a kill; the study has one that does not.
        "--nolock",
        "--config", f"plan={plan}", f"to_do={to_do}",
    ]  # fmt: skip


def snakemake_command(
    folder: StudyFolder,
    scheduling: Scheduling,
    jobs: Sequence[Job],
    targets: Sequence[Job] = (),
) -> list[str]:
    """Return the command that schedules what is left to do of ``jobs``.

    Args:
        targets: the jobs to do, with all that they need; none: all.
    """
    plan, to_do = (path.relative_to(folder.path) for path in (folder.plan_path, folder.to_do_path))
    command = [
        *workflow_command(folder, plan, to_do), f"retries={scheduling.retries}",
        "--keep-going",
        "--scheduler", "greedy",
        "--retries", str(scheduling.retries),
    ]  # fmt: skip
    if scheduling.profile:
        command += ["--profile", str(scheduling.profile)]
        command += ["--jobs", str(scheduling.cores)] if scheduling.cores else []
    else:
        command += ["--cores", str(scheduling.cores or count_cores()), "--latency-wait", "5"]
        # In each span of its limit of jobs Snakemake looks at all waiting jobs, once for every job that has ended: with
        # the default, a second, an eighth of a core in a study of 300 jobs. At the end it waits for the span.
        command += ["--max-jobs-per-timespan", f"100000/{1 + len(jobs) // _JOBS_PER_SECOND}s"]
    if scheduling.gpus:
        command += ["--resources", f"gpu={len(scheduling.gpus)}"]
        command += ["--set-resources", *(f"{stage}:gpu={number}" for stage, number in _gpus_of(jobs).items())]
    command += scheduling.arguments
    if targets:
        command += ["--", *(job.writes[0] for job in targets)]
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


def _cache_folder() -> Path:
    """Return the user's folder for caches (XDG base directory specification); ``~`` is HOME, else of the account."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~")) / ".cache"


def _can_write(folder: Path) -> bool:
    """Tell whether files can be made in a folder, which is made where it is missing. Only trying is certain."""
    try:
        (folder / "snakemake").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "snakemake"):
            return True
    except OSError:
        return False


def _gpus_of(jobs: Sequence[Job]) -> dict[str, int]:
    """Return stage -> GPUs that one of its jobs takes."""
    return {job.stage: gpus_needed(job) for job in jobs if STAGES[job.stage].uses_gpu}


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
