"""Locks that end with their holders, however these end: one process runs a study, one process runs each of its jobs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...errors import DataError, SettingError
from .folder import StudyFolder

# A study that was killed needs a moment to end its children, and to take its jobs from a cluster's queue; its successor
# waits that long for the lock.
_PATIENCE = 40.0


@contextlib.contextmanager
def locked(folder: StudyFolder) -> Iterator[int]:
    """Hold the study's lock; yield its file descriptor. It is free again when all who hold it have ended, however.

    Raises:
        DataError: another process runs this study, or its file system knows no locks.
        SettingError: the folder cannot be written.
    """
    try:
        folder.private.mkdir(parents=True, exist_ok=True)
        file = folder.lock_path.open("a+")
    except OSError as error:
        raise SettingError("--out", folder.path, f"cannot write there: {error.strerror}") from None
    with file:
        deadline = time.monotonic() + _PATIENCE
        while not try_lock(file):
            if _owner_lives(folder) or time.monotonic() > deadline:
                raise DataError(
                    f"{folder.path}: this study is running already (process {_owner(folder) or 'unknown'})\n"
                    f"  Watch it: scaling-study status --out {folder.path}"
                )
            time.sleep(0.1)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def is_running(folder: StudyFolder) -> bool:
    """Tell whether a process runs this study now (DataError where its file system knows no locks)."""
    try:
        with folder.lock_path.open("r") as file:
            return not try_lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def try_lock(file: IO[Any], kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file unless another process holds its lock; tell whether it is held now.

    Raises:
        DataError: its file system knows no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _no_locks(file.name, error) from None
    return True


@contextlib.contextmanager
def alone(path: Path) -> Iterator[int]:
    """Hold a lock file, waiting for it as long as it takes; yield its file descriptor, for children that hold it too.

    A cluster can still run a job of a study whose starter was killed: its successor waits for it instead of training
    in the same folder beside it.

    Raises:
        DataError: its file system knows no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise _no_locks(path, error) from None
        yield file.fileno()


def _no_locks(path: Path | str, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be locked ({error.strerror}): its file system knows no locks\n"
        "  They keep two processes from the same work. Have it mounted with flock, or name a folder elsewhere: --out."
    )


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
