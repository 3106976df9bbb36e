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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from .plan import Job

# What uses a GPU where there is one.
GPU_STAGES = ("pretrain", "finetune", "translate")
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


@contextlib.contextmanager
def free_gpu(job: Job) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Hold a GPU for a job that needs one; yield the variables that name it to the command, and the locks to hold.

    The locks lie outside the study, so that two studies of one person on one machine share its GPUs. They are free
    again when their holders have ended, however.
    """
    names = parse_gpus(os.environ.get(GPUS_VARIABLE, ""))
    if not names or job.stage not in GPU_STAGES:
        # Where GPUs are shared out, what has none must not take one.
        yield ({"CUDA_VISIBLE_DEVICES": ""} if names else {}), []
        return
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(_lock_path(name).open("a")) for name in names}
        while not (free := next((name for name, file in files.items() if _taken(file)), None)):
            time.sleep(_TICK)
        yield {"CUDA_VISIBLE_DEVICES": free}, [files[free].fileno()]


def _taken(file: IO[str]) -> bool:
    """Take a lock and tell whether that went well."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_path(name: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"scaling-study-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / re.sub(r"[^\w-]", "_", name)
