"""Run a plan with Snakemake: one run at a time, one line of progress, and going on where it was stopped."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import DataError, ScalingError, SettingError
from .job import find_program
from .plan import Job, Plan
from .preflight import check_flags
from .progress import Progress, calibrated, fraction_in_log
from .state import Record, StudyFolder, check_corpus, write_whole

# A study that was killed needs a moment to end its children; its successor waits that long for the lock.
_LOCK_PATIENCE = 12.0
_TICK = 1.0

Observer = Callable[[list[Progress]], None]


class JobsFailed(ScalingError):
    """Some jobs of a study failed; the message names their commands and logs. Trying again may be all it takes."""


class Stopped(Exception):
    """The person has stopped the study (Ctrl-C, kill)."""


def run_plan(
    plan: Plan,
    folder: StudyFolder,
    cores: int,
    until: str | None = None,
    snakemake_arguments: Sequence[str] = (),
    observe: Observer | None = None,
    announce_failure: Callable[[str], None] | None = None,
) -> int:
    """Do what is left to do of a plan; return how many jobs that were.

    Args:
        plan: the jobs.
        folder: where the study lives; made where it is missing.
        cores: how many jobs of one thread run side by side.
        until: the last stage to do; None: all.
        snakemake_arguments: further arguments for Snakemake (an executor, a profile).
        observe: called about once a second with the state of all jobs.
        announce_failure: called with a text as soon as a job has failed; independent jobs go on.

    Raises:
        DataError: another process runs this study; a program or the corpus is missing.
        JobsFailed: a job failed.
        KeyboardInterrupt: stopped; all children have ended.
    """
    with locked(folder) as lock:
        folder.snakemake_log.parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder.plan_path, plan.to_json())
        jobs = plan.until(until) if until else plan.jobs
        pending = folder.pending(plan, jobs)
        if not pending:
            return 0
        check_corpus(folder, plan)
        check_programs(pending)
        check_flags(plan, folder, pending)
        for job in pending:
            _forget(folder, job)
        code = _supervised(plan, folder, jobs, pending, cores, snakemake_arguments, observe, announce_failure, lock)
    failed = [job for job in pending if _state(folder, job) == "failed"]
    if failed:
        names = "\n".join(f"  {job.label}: {folder.path / job.log}" for job in failed)
        raise JobsFailed(f"{len(failed)} of {len(pending)} jobs failed:\n{names}\n  The same command tries them again.")
    if code != 0:
        lines = tail(folder.snakemake_log, 15)
        raise JobsFailed(f"Snakemake ended with code {code}; its log, {folder.snakemake_log}, ends with\n{lines}")
    return len(pending)


def describe_failure(folder: StudyFolder, job: Job) -> str:
    """Return what a person needs to know about a failed job: its command, its log, and the log's last lines."""
    record = folder.record(job.id) or {}
    command = subprocess.list2cmdline(record.get("command", []))
    return (
        f"{job.label} failed (exit code {record.get('code', '?')})\n"
        f"  command: {command}\n  log: {folder.path / job.log}\n  its last lines:\n"
        + "\n".join(f"    {line}" for line in tail(folder.path / job.log, 12).splitlines())
    )


def observe_jobs(plan: Plan, folder: StudyFolder, jobs: Sequence[Job], pending: set[str], live: bool) -> list[Progress]:
    """Return the calibrated progress of ``jobs``.

    ``pending`` names those that were not done when the study was started; ``live`` tells whether it runs now: a record
    of a running job in a study that does not run is a run that was killed.
    """
    return calibrated([_progress(folder, job, pending, live) for job in jobs])


def check_programs(jobs: Sequence[Job]) -> None:
    """Raise DataError where a program that the jobs call, or Snakemake, is not installed."""
    for name in dict.fromkeys(job.words[0] for job in jobs):
        if find_program(name) is None:
            raise DataError(f"{name} is not installed\n  In the project's folder: pip install '.[study]'")
    if importlib.util.find_spec("snakemake") is None:
        raise DataError("Snakemake is not installed\n  In the project's folder: pip install '.[study]'")


@contextlib.contextmanager
def locked(folder: StudyFolder) -> Iterator[int]:
    """Hold the study's lock; yield its file descriptor. It is free again when all who hold it have ended, however."""
    try:
        folder.private.mkdir(parents=True, exist_ok=True)
        file = folder.lock_path.open("a+")
    except OSError as error:
        raise SettingError("--out", folder.path, f"cannot write there: {error.strerror}") from None
    with file:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if _owner_lives(folder) or time.monotonic() > deadline:
                    raise DataError(
                        f"{folder.path}: this study is running already (process {_owner(folder) or 'unknown'})\n"
                        f"  Watch it: scaling-study status --out {folder.path}"
                    ) from None
                time.sleep(0.1)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def is_running(folder: StudyFolder) -> bool:
    """Tell whether a process runs this study now."""
    try:
        with folder.lock_path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a text file, or a word about why there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


def snakemake_command(folder: StudyFolder, cores: int, targets: Sequence[Job], further: Sequence[str]) -> list[str]:
    """Return the command that schedules what is left to do."""
    command = [
        sys.executable, "-m", "snakemake",
        "--snakefile", str(Path(__file__).parent / "Snakefile"),
        "--directory", str(folder.path),
        "--config", f"plan={folder.plan_path}",
        "--cores", str(cores),
        # Not "code" and "software-env": a new release of this package must not train everything again.
        "--rerun-triggers", "mtime", "params", "input",
        "--rerun-incomplete",
        "--keep-going",
        # Its lock would outlive a kill; the study has one that does not.
        "--nolock",
        "--scheduler", "greedy",
        "--latency-wait", "5",
        *further,
    ]  # fmt: skip
    if targets:
        command += ["--", *(str(folder.done_path(job.id).relative_to(folder.path)) for job in targets)]
    return command


def _supervised(
    plan: Plan,
    folder: StudyFolder,
    jobs: Sequence[Job],
    pending: Sequence[Job],
    cores: int,
    further: Sequence[str],
    observe: Observer | None,
    announce_failure: Callable[[str], None] | None,
    lock: int,
) -> int:
    """Run Snakemake to its end and return its exit code; on KeyboardInterrupt end it and all its jobs first."""
    targets = _last(jobs) if len(jobs) < len(plan.jobs) else []
    supervisor = [sys.executable, "-m", "fairseq_scaling.study._supervise"]
    command = [*supervisor, *snakemake_command(folder, cores, targets, further)]
    names = {job.id for job in pending}
    announced: set[str] = set()
    with folder.snakemake_log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )
        assert process.stdin is not None
        try:
            while True:
                try:
                    code = process.wait(timeout=_TICK)
                except subprocess.TimeoutExpired:
                    code = None
                for job in pending:
                    if announce_failure and job.id not in announced and _state(folder, job) == "failed":
                        announced.add(job.id)
                        announce_failure(describe_failure(folder, job))
                if observe:
                    observe(observe_jobs(plan, folder, jobs, names, live=True))
                if code is not None:
                    return code
        finally:
            # Closing the pipe is the sign for the supervisor to end everything below it.
            process.stdin.close()
            process.wait()


def _last(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that no other one of ``jobs`` needs."""
    needed = {need for job in jobs for need in job.needs}
    return [job for job in jobs if job.id not in needed]


def _forget(folder: StudyFolder, job: Job) -> None:
    """Make a pending job look undone to Snakemake, and not yet failed or running to the progress line."""
    folder.done_path(job.id).unlink(missing_ok=True)
    record = folder.record(job.id)
    if record and record["state"] in ("failed", "running"):
        folder.write_record(job.id, {**record, "state": "stopped"})


def _progress(folder: StudyFolder, job: Job, pending: set[str], live: bool) -> Progress:
    record = folder.record(job.id)
    base = Progress(job.id, job.stage, tuple(job.needs), job.seconds)
    if record is None:
        return base
    finished = record["state"] == "finished" and (job.id not in pending or folder.done_path(job.id).exists())
    if finished:
        share = 1.0 - _resumed_at(record)
        return Progress(
            job.id, job.stage, base.needs, job.seconds, "finished", 1.0, float(record.get("seconds", 0)), share
        )
    if record["state"] == "running" and live:
        fraction = fraction_in_log(folder.path / job.log, job.goal)
        measured = max(0.0, time.time() - record["started"])
        share = max(0.0, fraction - _resumed_at(record))
        return Progress(job.id, job.stage, base.needs, job.seconds, "running", fraction, measured, share)
    return base


def _resumed_at(record: Record) -> float:
    return float(record.get("fraction", 0.0))


def _state(folder: StudyFolder, job: Job) -> str:
    record = folder.record(job.id)
    return str(record["state"]) if record else "waiting"


def _owner(folder: StudyFolder) -> int | None:
    try:
        return int(folder.lock_path.read_text() or "0") or None
    except (OSError, ValueError):
        return None


def _owner_lives(folder: StudyFolder) -> bool:
    """Tell whether the process that took the lock still runs (and not only the children it is ending)."""
    owner = _owner(folder)
    if owner is None:
        return False
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
