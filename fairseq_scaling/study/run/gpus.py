"""The GPUs of this machine: which there are, and one of them for each job that trains, never the same for two."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from ...errors import SettingError
from ..plan.jobs import Job
from ..stages import STAGES
from .lock import try_lock

# Names the GPUs to the jobs, as CUDA_VISIBLE_DEVICES would. Empty or unset: the jobs see what they see.
GPUS_VARIABLE = "SCALING_STUDY_GPUS"

_TICK = 0.2


def find_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs of this machine as CUDA_VISIBLE_DEVICES would name them; that variable, where set, decides.

    Not asked of torch: importing it takes seconds.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return parse_gpus(visible)
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.findall(r"^GPU \d+:", listed.stdout, re.MULTILINE) if listed.returncode == 0 else []
    return tuple(str(number) for number in range(len(found)))


def parse_gpus(text: str) -> tuple[str, ...]:
    """Return the names in ``0,1``; ``none``, ``-1`` and an empty text mean no GPU."""
    names = [name.strip() for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if name not in ("", "none", "-1")))


def gpus_needed(job: Job) -> int:
    """Return how many GPUs a job takes where there are any: what study.yaml asks for its stage, or one if it trains."""
    asked = getattr(job, "resources", {}).get("gpu")
    return int(STAGES[job.stage].uses_gpu) if asked is None else int(asked)


def check_gpus(jobs: Sequence[Job], names: Sequence[str]) -> None:
    """Raise SettingError where a training asks for more GPUs than the ``names`` of those it may use.

    With fewer it would train with another batch than its settings say. A translation takes what there is: it comes out
    the same. Where programs of the person's own start the trainings (SCALING_STUDY_PROGRAMS), these know where the GPUs
    are.
    """
    if os.environ.get("SCALING_STUDY_PROGRAMS"):
        return
    for job in jobs:
        if STAGES[job.stage].trains and "gpu" in job.resources and gpus_needed(job) > len(names):
            found = f"{len(names)} ({', '.join(names)})" if names else "none"
            raise SettingError(
                f"resources.{job.stage}.gpus", gpus_needed(job), f"of the GPUs here the study may use {found}",
                f"With another number of GPUs the effective batch changes. Set resources.{job.stage}.gpus to what "
                "there is,\n  and batch-size, max-tokens or update-freq so that the batch stays the same. "
                "--set resources='{}' makes every training\n  one process. --gpus LIST names GPUs that were not found.",
            )  # fmt: skip


@contextlib.contextmanager
def free_gpus(job: Job) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Hold the GPUs that a job needs; yield the variables that name them to the command, and the locks to hold.

    The locks lie outside the study, so that two studies of one person on one machine share its GPUs. They are free
    again when their holders have ended, however.
    """
    names = parse_gpus(os.environ.get(GPUS_VARIABLE, ""))
    if not names:
        yield {}, []
        return
    needed = min(gpus_needed(job), len(names))  # fewer only for a translation: see check_gpus
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(_lock_path(name).open("a")) for name in names}
        while len(mine := _take(files, needed)) < needed:
            time.sleep(_TICK)
        # What needs none must not take one: it is told that there are none.
        yield {"CUDA_VISIBLE_DEVICES": ",".join(mine)}, [files[name].fileno() for name in mine]


def _take(files: Mapping[str, IO[str]], needed: int) -> list[str]:
    """Take the locks of ``needed`` GPUs and return their names, or none: who waits holds nothing."""
    mine: list[str] = []
    for name, file in files.items():
        if len(mine) < needed and try_lock(file):
            mine.append(name)
    if len(mine) < needed:
        for name in mine:
            fcntl.flock(files[name], fcntl.LOCK_UN)
        return []
    return mine


def _lock_path(name: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"scaling-study-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / re.sub(r"[^\w-]", "_", name)
