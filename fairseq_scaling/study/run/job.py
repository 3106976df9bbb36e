"""Run one job of a study, in its folder: ``python -m fairseq_scaling.study.run.job OUTPUT [ATTEMPT RETRIES]``.

OUTPUT is the first output of the job. Snakemake calls this, and calls it again while a job fails, up to RETRIES times.
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
from ..plan.names import train_log
from ..stages import STAGES, position
from . import training
from .folder import Record, StudyFolder
from .gpus import free_gpus
from .lock import alone
from .programs import PACKAGE, find_program, run_program
from .progress import fraction_in_log, tail

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
    folder = StudyFolder(Path.cwd())
    plan = Plan.read(folder.plan_path)
    job = next(job for job in plan.jobs if job.writes[0] == sys.argv[1])
    attempt, retries = (int(word) for word in sys.argv[2:4] or ("1", "0"))
    with alone(folder.private / "running" / f"{job.id}.lock") as lock, free_gpus(job) as (gpu, gpu_locks):
        if position(job.stage) > position("encode") and too_little_text(folder, plan):
            return 2
        code = run_job(folder, plan, job, attempt, retries + 1, gpu, [lock, *gpu_locks])
        if code == 0 and job.stage == "encode":
            _check_corpus(folder, plan, job)
        return code


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
    before = folder.record(job.id) if attempt > 1 else None
    trains, log = STAGES[job.stage].trains, folder.path / job.log
    if before is not None and before["state"] == "failed":
        # The attempt before has found that no further one can help. Before this one Snakemake has deleted what it said.
        if not log.exists() or not log.stat().st_size:
            log.write_text(f"{before['said']}\n", "utf-8")
        return int(before["code"])
    ready = trains and training.begin(folder, plan, job)
    command = resolve(folder, plan, job)
    started, fraction = time.time(), fraction_in_log(log, job.goal, job.goal_start)
    record: Record = {
        "state": "running", "argv": job.argv, "command": command, "log": str(log), "started": started,
        "fraction": fraction, "host": platform.node(), "process": os.getpid(), "attempt": attempt, "attempts": attempts,
    }  # fmt: skip
    folder.write_record(job.id, record)
    code = 0 if ready else _run(folder, plan, job, command, environment or {}, locks)
    hopeless = code in _HOPELESS
    if trains and job.candidate and choice.diverged(log):
        code = 0  # a rate at which training diverges has been tried, too: the choice knows it from the log
    if code == 0 and trains:
        training.end(folder, job)
    if code == 0 and (missing := [name for name in job.writes if not (folder.path / name).exists()]):
        with _open_log(log, append=True) as file:
            text = f"The command ended without an error, but these files are not there: {', '.join(missing)}.\n"
            file.write(f"{text}The next start begins this job afresh.\n".encode())
        code, hopeless = 1, True
    record |= {"code": code, "seconds": time.time() - started}
    if code == 0:
        folder.write_record(job.id, {**record, "state": "finished"})
        return 0
    # A second failure at the same place is the settings' or the data's fault: a further attempt only costs time.
    record["stuck"] = code > 0 and fraction_in_log(log, job.goal, job.goal_start) <= fraction
    final = hopeless or attempt >= attempts or (before is not None and before.get("stuck") and record["stuck"])
    folder.write_record(job.id, {**record, "state": "failed" if final else "retry", "said": tail(log, 200)})
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


def too_little_text(folder: StudyFolder, plan: Plan) -> bool:
    """Tell whether the study has made a corpus that is too small for it."""
    return any("too_little" in (folder.record(job.id) or {}) for job in plan.of_stage("encode"))


def _check_corpus(folder: StudyFolder, plan: Plan, job: Job) -> None:
    """Record a job that has made a corpus as failed where the text is too little for the study.

    The corpus stays: a study that asks less of it does not make it again.
    """
    from ..plan.text_check import check_text, find_corpus

    try:
        if (corpus := find_corpus(folder.corpus(plan))) is not None:
            check_text(plan, corpus)
    except ScalingError as error:
        with (folder.path / job.log).open("a", encoding="utf-8") as log:
            log.write(f"{error}\n")
        folder.write_record(job.id, {**(folder.record(job.id) or {}), "state": "failed", "code": 2, "too_little": True})


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
        log = stack.enter_context(_open_log(folder.path / job.log, append=STAGES[job.stage].trains))
        evaluates = job.stage in ("translate", "score")
        if job.candidate and evaluates and choice.diverged(folder.path / train_log(job.folder)):
            log.write(b"The training of this candidate diverged: there is nothing to translate or to score.\n")
            for name in job.writes:
                (folder.path / name).touch()
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
    if job.output and code == 0:
        part.replace(result)
    return code


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
