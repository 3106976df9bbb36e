"""Run a plan with Snakemake: one process for each study, a line of progress, and the words of failures."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import DataError, ScalingError, SettingError
from ..plan.jobs import Job, Plan
from ..stages import STAGES
from .folder import Record, Source, StudyFolder, check_corpus, write_whole
from .gpus import check_gpus
from .lock import locked
from .pending import pending_jobs
from .preflight import check_flags
from .programs import SERVERS_VARIABLE, find_program
from .progress import Progress, calibrated, fraction_in_log, tail
from .scheduling import Scheduling, snakemake_command
from .training import tidy

_TICK = 1.0
# Parts of a path that fairseq and its configuration (OmegaConf) read as something else.
_NOT_IN_PATHS = {":": "the end of a path", "${": "a variable", "\n": "the end of a line"}

Observer = Callable[[list[Progress]], None]


class JobsFailed(ScalingError):
    """Some jobs of a study failed; the message names their commands and logs. Trying again may be all it takes."""


def run_plan(
    plan: Plan,
    folder: StudyFolder,
    scheduling: Scheduling,
    until: str | None = None,
    source: Source | None = None,
    limits: Mapping[str, int] | None = None,
    observe: Observer | None = None,
    announce_failure: Callable[[str], None] | None = None,
) -> int:
    """Do what is left to do of a plan; return how many jobs that were.

    Args:
        plan: the jobs.
        folder: where the study lives; made where it is missing.
        scheduling: where the jobs run, and how many side by side.
        until: the last stage to do; None: all.
        source: the study.yaml that the plan was made from, which the study keeps.
        limits: mixture -> number of budgets after which the plan stops for now (see ``results.sequential``).
        observe: called at once, and then about once a second, with the state of all jobs.
        announce_failure: called with a text as soon as a job has failed, also where it is tried again; independent
            jobs go on.

    Raises:
        DataError: another process runs this study; a program or the corpus is missing.
        SettingError: a path cannot be used; a command refuses its flags; a training asks for GPUs that are not there.
        JobsFailed: a job failed.
        KeyboardInterrupt: stopped; all children have ended.
    """
    check_paths(plan, folder)
    with locked(folder) as lock:
        folder.snakemake_log.parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder.plan_path, plan.to_json())
        if source is not None:
            source.keep(folder)
        folder.write_limits(limits or {}, folder.settled if limits else ())
        jobs = plan.until(until) if until else plan.jobs
        pending = pending_jobs(plan, folder, jobs)
        waiting = {job.id for job in pending}
        done = [job for job in jobs if job.id not in waiting]
        tidy(folder, done)
        for job in done:
            _now_enough(folder, job)
        if not pending:
            return 0
        scheduling.check()
        if not scheduling.remote:
            check_gpus(pending, scheduling.gpus or ())
        check_corpus(folder, plan)
        check_programs(pending)
        check_flags(plan, folder, pending)
        scheduling.capacity.note(folder)
        write_whole(folder.to_do_path, json.dumps(sorted(waiting)))
        for job in pending:
            _forget(folder, job)
        code = _supervised(plan, folder, jobs, pending, scheduling, observe, announce_failure, lock)
        tidy(folder, [job for job in pending if _state(folder, job) == "finished"])
        for job in pending:
            if _end_record(folder, job, code) and announce_failure:
                announce_failure(describe_failure(folder, job))
    failed = [job for job in pending if _state(folder, job) == "failed"]
    if failed:
        names = "\n".join(f"  {job.label}: {folder.path / job.log}" for job in failed)
        raise JobsFailed(f"{len(failed)} of {len(pending)} jobs failed:\n{names}\n  The same command tries them again.")
    if code != 0 and (refused := refusals(folder.snakemake_log)):
        raise JobsFailed(
            f"SLURM rejected the resource request of a job:\n{refused}\n  Change resources in study.yaml, or the "
            f"profile (docs/clusters.md). All messages: {folder.snakemake_log}"
        )
    if code != 0:
        lines = tail(folder.snakemake_log, 15)
        raise JobsFailed(f"Snakemake ended with code {code}; its log, {folder.snakemake_log}, ends with\n{lines}")
    return len(pending)


def refusals(log: Path) -> str:
    """Return what SLURM says in Snakemake's log, since its last start, on jobs that it refuses; often nothing."""
    started = tail(log, 200).rpartition("Building DAG of jobs")[2]
    said = re.findall(r"sbatch: error: (.*?)'?\.?$", started, re.MULTILINE)
    return "\n".join(f"  {line}" for line in dict.fromkeys(said))


def describe_failure(folder: StudyFolder, job: Job) -> str:
    """Return the message about a failed job: its command, its log, and the log's last lines."""
    record = folder.record(job.id) or {}
    command = subprocess.list2cmdline(record.get("command", []))
    code = record.get("code")
    how = "ended from outside" if code is None else f"exit code {code}"
    again = f"; it is tried again, {record['attempt']} of {record['attempts']} times done" if _again(record) else ""
    # The log itself may just have been deleted for the next attempt.
    said = record.get("said") or tail(folder.path / job.log, 12)
    return (
        f"{job.label} failed ({how}{again})\n"
        f"  command: {command}\n  log: {folder.path / job.log}\n  its last lines:\n"
        + "\n".join(f"    {line}" for line in said.splitlines()[-12:])
    )


def observe_jobs(plan: Plan, folder: StudyFolder, jobs: Sequence[Job], pending: set[str], live: bool) -> list[Progress]:
    """Return the calibrated progress of ``jobs``.

    ``pending`` names those that are not done; ``live`` tells whether the study runs now: a record of a running job in
    a study that does not run is a run that was killed.
    """
    return calibrated([_progress(folder, job, pending, live) for job in jobs], time.time())


def check_paths(plan: Plan, folder: StudyFolder) -> None:
    """Raise SettingError where a path of the study holds what fairseq reads as something else."""
    paths = {"--out": str(folder.path), "corpus": str(folder.corpus(plan))}
    paths |= {word.strip("{}"): path for word, path in plan.given.items()}
    for setting, path in paths.items():
        for text, meaning in _NOT_IN_PATHS.items():
            if text in path:
                raise SettingError(setting, path, f"fairseq reads {text!r} as {meaning}", "use a path without it")


def check_programs(jobs: Sequence[Job]) -> None:
    """Raise DataError where a program that the jobs call, or Snakemake, is not installed."""
    for name in dict.fromkeys(job.argv[0] for job in jobs):
        if find_program(name) is None:
            raise DataError(f"{name} is not installed\n  In the project's folder: pip install '.[study]'")
    if importlib.util.find_spec("snakemake") is None:
        raise DataError("Snakemake is not installed\n  In the project's folder: pip install '.[study]'")


def _supervised(
    plan: Plan,
    folder: StudyFolder,
    jobs: Sequence[Job],
    pending: Sequence[Job],
    scheduling: Scheduling,
    observe: Observer | None,
    announce_failure: Callable[[str], None] | None,
    lock: int,
) -> int:
    """Run Snakemake to its end and return its exit code; on KeyboardInterrupt end it and all its jobs first."""
    targets = jobs if len(jobs) < len(plan.jobs) else []
    supervisor = [sys.executable, "-m", "fairseq_scaling.study.run.supervise", str(scheduling.patience)]
    command = [*supervisor, *snakemake_command(folder, scheduling, jobs, targets)]
    announced: set[tuple[str, int]] = set()

    def show() -> None:
        if observe:
            left = {job.id for job in pending if _state(folder, job) != "finished"}
            observe(observe_jobs(plan, folder, jobs, left, live=True))

    show()  # at once: Snakemake takes seconds to start
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(folder.snakemake_log.open("ab"))
        environment = scheduling.environment(folder)
        # A value set by the user wins, even an empty one.
        if scheduling.may_fork and SERVERS_VARIABLE not in environment:
            # Not in the study's folder, whose path can be too long for a socket.
            sockets = tempfile.TemporaryDirectory(prefix="scaling-study-", ignore_cleanup_errors=True)
            environment[SERVERS_VARIABLE] = stack.enter_context(sockets)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
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
                    failure = (job.id, _failures(folder, job))
                    if announce_failure and failure[1] and failure not in announced:
                        announced.add(failure)
                        announce_failure(describe_failure(folder, job))
                show()
                if code is not None:
                    return code
        finally:
            # Closing the pipe is the sign for the supervisor to end everything below it.
            process.stdin.close()
            process.wait()


def _forget(folder: StudyFolder, job: Job) -> None:
    """Make a pending job look not yet finished, failed or running to the progress line."""
    if record := folder.record(job.id):
        record.pop("too_little", None)
        folder.write_record(job.id, {**record, "state": "stopped"})


def _now_enough(folder: StudyFolder, job: Job) -> None:
    """Record a corpus as finished that was too small for the settings of an earlier start."""
    record = folder.record(job.id)
    if record is not None and record.pop("too_little", False):
        folder.write_record(job.id, {**record, "state": "finished", "code": 0})


def _end_record(folder: StudyFolder, job: Job, code: int) -> bool:
    """Record a job as failed that is recorded as running although Snakemake has ended; tell whether it was so.

    It was killed together with the process that keeps its record: by the cluster, for memory or time, or by hand. A job
    that was not run in a study that is done was found to be up to date, because its corpus or rate is the same again.
    """
    record = folder.record(job.id)
    killed = record is not None and record["state"] in ("retry", "running")
    if record is not None and killed:
        folder.write_record(job.id, {**record, "state": "failed"})
    elif record is not None and record["state"] == "stopped" and code == 0:
        folder.write_record(job.id, {**record, "state": "finished"})
    return killed


def _progress(folder: StudyFolder, job: Job, pending: set[str], live: bool) -> Progress:
    record = folder.record(job.id)
    base = Progress(job.id, job.stage, tuple(job.needs), job.seconds, min(STAGES[job.stage].start, job.seconds))
    if record is None:
        return base
    if job.id not in pending and record["state"] in ("finished", "stopped"):
        seconds = float(record.get("seconds", 0))
        share = 1.0 - _resumed_at(record)
        ended = float(record.get("started", 0)) + seconds
        return replace(
            base, state="finished", fraction=1.0, measured=seconds, measured_fraction=share, ended=ended
        )  # fmt: skip
    if record["state"] == "running" and live:
        now = time.time()
        fraction = fraction_in_log(folder.path / job.log, job.goal, job.goal_start)
        return replace(
            base, state="running", fraction=fraction, measured=max(0.0, now - record["started"]),
            measured_fraction=max(0.0, fraction - _resumed_at(record)), ended=now, counted=job.goal is not None,
        )  # fmt: skip
    return base


def _resumed_at(record: Record) -> float:
    return float(record.get("fraction", 0.0))


def _state(folder: StudyFolder, job: Job) -> str:
    record = folder.record(job.id)
    return str(record["state"]) if record else "waiting"


def _failures(folder: StudyFolder, job: Job) -> int:
    """Return which attempt of a job has failed now: 1 for the first; 0 where it runs, waits or is done."""
    record = folder.record(job.id)
    return int(record.get("attempt", 1)) if record and record["state"] in ("failed", "retry") else 0


def _again(record: Record) -> bool:
    return record.get("state") == "retry"
