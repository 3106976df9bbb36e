"""Run one job of a study: ``python -m fairseq_scaling.study.run.job STUDY_FOLDER JOB [ATTEMPT ATTEMPTS]``.

Snakemake calls this, and calls it again while a job fails, up to ATTEMPTS times.

A training that was stopped resumes from its last checkpoint. One whose command or inputs have changed starts again from
nothing. One that finished with this command and these inputs is not run again, unless files that a later job needs were
removed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ...errors import ScalingError
from ..plan import choice
from ..plan.jobs import Job, Plan
from ..stages import STAGES
from .gpus import free_gpus
from .lock import alone
from .programs import PACKAGE, find_program, run_program
from .progress import fraction_in_log
from .state import StudyFolder

# The exit code of fit-scaling where no curve has enough points for a law. Its files are written all the same, and the
# report says so: the study is done.
NOTHING_FITTED = 3
# Exit codes after which another attempt cannot help: 2 for a wrong setting; 127 where the program is missing.
_HOPELESS = {2, 127}
# With small models on CPUs, a few percent of the time go into memory that glibc returns to the system after each update
# and requests again, page by page. These settings make it keep the memory, in large pages.
_KEEP_MEMORY = ":".join(
    f"glibc.malloc.{name}" for name in ("hugetlb=1", f"mmap_threshold={1 << 30}", f"trim_threshold={1 << 31}")
)


def main() -> int:
    folder = StudyFolder(Path(sys.argv[1]))
    plan = Plan.read(folder.plan_path)
    job = plan.by_id[sys.argv[2]]
    attempt, attempts = (int(word) for word in sys.argv[3:5] or ("1", "1"))
    with alone(folder.private / "running" / f"{job.id}.lock") as lock, free_gpus(job) as (gpu, gpu_locks):
        code = run_job(folder, plan, job, attempt, attempts, gpu, [lock, *gpu_locks])
        return _check_corpus(folder, plan, job) if code == 0 and job.stage == "encode" else code


def run_job(
    folder: StudyFolder,
    plan: Plan,
    job: Job,
    attempt: int = 1,
    attempts: int = 1,
    environment: Mapping[str, str] | None = None,
    locks: Sequence[int] = (),
) -> int:
    """Run a job and keep its record; return the exit code of its command (0: done).

    Args:
        attempt, attempts: the number of this attempt, and how many there may be.
        environment: further variables for the command.
        locks: file descriptors that the command holds open as long as it runs, whatever happens to this process.
    """
    identity = folder.identity(plan, job)
    if folder.up_to_date(plan, job) and not folder.lost(plan, job):
        folder.mark_done(job.id)
        return 0
    record = folder.record(job.id)
    if attempt > 1 and record is not None and record["state"] == "failed":
        # The attempt before has found that no further one can help.
        return int(record["code"])
    stuck_before = attempt > 1 and record is not None and record.get("stuck", False)
    if not (STAGES[job.stage].resumable and folder.resumable(plan, job)):
        folder.remove(plan, job)

    command = resolve(folder, plan, job)
    log = folder.path / job.log
    record = {
        "state": "running", "identity": identity, "command": command, "log": str(log),
        "started": time.time(), "fraction": fraction_in_log(log, job.goal, job.goal_start), "host": platform.node(),
        "process": os.getpid(), "attempt": attempt, "attempts": attempts,
    }  # fmt: skip
    folder.write_record(job.id, record)
    code = _run(folder, plan, job, command, environment or {}, locks)
    hopeless = code in _HOPELESS
    if code == 0 and (missing := _missing(folder, plan, job)):
        with log.open("a", encoding="utf-8") as file:
            file.write(f"The command ended without an error, but these files are not there: {', '.join(missing)}.\n")
            file.write("The next start begins this job afresh.\n")
        code, hopeless = 1, True
        # No identity: resumed, it would only end without these files again.
        record["identity"] = ""
    record |= {"code": code, "seconds": time.time() - record["started"]}
    if code == 0:
        folder.write_record(job.id, {**record, "state": "finished"})
        folder.mark_done(job.id)
        return 0
    # A second failure at the same place is the settings' or the data's fault: a further attempt only costs time.
    record["stuck"] = code > 0 and fraction_in_log(log, job.goal, job.goal_start) <= record["fraction"]
    final = hopeless or attempt >= attempts or (stuck_before and record["stuck"])
    folder.write_record(job.id, {**record, "state": "failed" if final else "retry"})
    return code


def resolve(folder: StudyFolder, plan: Plan, job: Job) -> list[str]:
    """Return the job's command with the folders of this machine instead of placeholders, its program as a full path."""
    places = {
        "{corpus}": str(folder.corpus(plan)),
        "{out}": str(folder.path),
        "{package}": str(PACKAGE),
        **plan.given,
    }
    # In one pass: the name of a folder may look like a placeholder.
    known = re.compile("|".join(map(re.escape, places)))
    argv = [known.sub(lambda found: places[found[0]], choice.filled(word, folder.path)) for word in job.argv]
    return [find_program(argv[0]) or argv[0], *argv[1:]]


def _check_corpus(folder: StudyFolder, plan: Plan, job: Job) -> int:
    """Record a job that has made a corpus as failed where the text is too little for the study; return the exit code.

    The corpus stays and stays valid: a study that asks less of it does not make it again.
    """
    from ..plan.text_check import check_text, find_corpus

    record = folder.record(job.id) or {}
    try:
        if (corpus := find_corpus(folder.corpus(plan))) is not None:
            check_text(plan, corpus)
    except ScalingError as error:
        folder.done_path(job.id).unlink(missing_ok=True)
        if record["state"] != "failed":  # else it was told in the attempt before
            with (folder.path / job.log).open("a", encoding="utf-8") as log:
                log.write(f"{error}\n")
        folder.write_record(job.id, {**record, "state": "failed", "code": 2, "made": True})
        return 2
    if record["state"] != "finished":
        folder.write_record(job.id, {**record, "state": "finished", "code": 0})
    return 0


def _missing(folder: StudyFolder, plan: Plan, job: Job) -> list[str]:
    """Return the files that a job should have left and has not: its own, and those that jobs to come read."""
    own = [name for name in job.writes if not (folder.path / name).exists()]
    return list(dict.fromkeys([*own, *folder.lost(plan, job)]))


def _run(
    folder: StudyFolder,
    plan: Plan,
    job: Job,
    command: list[str],
    further: Mapping[str, str],
    locks: Sequence[int],
) -> int:
    if missing := choice.missing(job.argv, folder.path):
        with _open_log(folder.path / job.log, append=True) as log:
            log.write(f"no learning rate is chosen: {missing} is not there, or not to be read\n".encode())
        return 1
    environment = {
        **os.environ,
        **further,
        "COLUMNS": os.environ.get("COLUMNS", "120"),
        # Translations are read as UTF-8, whatever the terminal shows.
        "PYTHONIOENCODING": "utf-8",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(job.threads)),
    }
    if STAGES[job.stage].uses_gpu:
        environment.setdefault("GLIBC_TUNABLES", _KEEP_MEMORY)
    cwd = plan.source_folder if job.stage == "fetch" else str(folder.path)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(_open_log(folder.path / job.log, append=STAGES[job.stage].resumable))
        if job.candidate and job.stage in ("translate", "score") and _has_diverged(folder, job):
            log.write(b"The training of this candidate diverged: there is nothing to translate or to score.\n")
            _leave_empty(folder, job.writes)
            return 0
        output: IO[bytes] = log
        result = folder.path / job.output
        part = result.with_name(f"{result.name}.part")
        if job.output:
            result.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(part.open("wb"))
        try:
            code = run_program(command, output, log, cwd, environment, locks, folder.fork_server_log)
        except OSError as error:
            log.write(f"cannot start {command[0]}: {error.strerror}\n".encode())
            return 127
    if job.stage == "fit" and code == NOTHING_FITTED:
        code = 0
    if job.candidate and job.stage in ("pretrain", "finetune") and _has_diverged(folder, job):
        # A rate at which training diverges has been tried, too: the choice knows it from the log.
        _leave_empty(folder, folder.lost(plan, job))
        code = 0
    if job.output and code == 0:
        result.parent.mkdir(parents=True, exist_ok=True)
        part.replace(result)
    return code


def _has_diverged(folder: StudyFolder, job: Job) -> bool:
    """Tell whether the training that a job is, or whose model it reads, diverged."""
    return choice.diverged((folder.path / job.log).with_name("train.log"))


def _leave_empty(folder: StudyFolder, names: Sequence[str]) -> None:
    """Make the files that jobs to come wait for, with nothing in them: of a candidate's training even the model."""
    for name in names:
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).touch()


def _open_log(path: Path, append: bool) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab" if append else "wb")
    if file.tell():
        # A run that was killed may have left half a line; what follows must not be glued to it.
        with path.open("rb") as end:
            end.seek(-1, os.SEEK_END)
            if end.read() != b"\n":
                file.write(b"\n")
                file.flush()
    return file


if __name__ == "__main__":
    sys.exit(main())
