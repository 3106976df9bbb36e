"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

from .errors import DataError, SettingError

_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}


def write_whole(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write a file in an existing folder under a temporary name and rename it: no reader ever sees half of it.

    The temporary file is removed where anything goes wrong, and its name is short whatever the length of the file's
    own. The mode is that of any new file (the umask decides).

    Args:
        path: the file; what is there is replaced.
        content: text becomes UTF-8, what UTF-8 cannot hold a question mark.
        durable: not even a power failure leaves half a file. False where a damaged one is recognised and costs little.

    Raises:
        OSError: the folder is missing, is read-only or full.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            if durable:  # else the file system may keep the new name before the content
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def check_free(path: Path, own: Collection[str], overwrite: bool) -> None:
    """Raise SettingError where something is in the way of a result; called before any work is done.

    Args:
        path: the file or folder to be written.
        own: patterns of the names in such a folder; other files are never removed.
        overwrite: replace what is there.
    """
    inside = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if foreign := [name for name in inside if not any(fnmatch(name, pattern) for pattern in own)]:
        raise SettingError("--out", path, f"holds other files, for example {foreign[0]}", "give a new or empty folder")
    if (inside or path.is_file()) and not overwrite:
        raise SettingError("--out", path, "exists", "give --overwrite to replace it, or another name")


@contextlib.contextmanager
def names_failures(path: Path) -> Iterator[None]:
    """Raise DataError, naming the result that was to be written, where its disk is full, read-only or refused.

    The system's own error for a full disk names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITING:
            raise
        where = "" if error.filename is None or str(error.filename) == str(path) else f" ({error.filename})"
        raise DataError(
            f"{path}: cannot be written: {error.strerror}{where}\n"
            "  nothing that looks finished was left; make room, or name a place that you may write"
        ) from None


@contextlib.contextmanager
def replaced(*paths: Path) -> Iterator[list[Path]]:
    """Yield temporary names beside files or folders; what is written there takes their place when all is done.

    Where anything goes wrong it is removed, and what was there before stays.

    Raises:
        DataError: the disk is full or read-only.
    """
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    with names_failures(paths[0]):
        try:
            for part in parts:
                _remove(part)
                part.parent.mkdir(parents=True, exist_ok=True)
            yield parts
            for part, path in zip(parts, paths, strict=True):
                old = path.with_name(f"{path.name}.old")
                _remove(old)
                if path.is_dir():
                    os.replace(path, old)
                os.replace(part, path)
                _remove(old)
        finally:
            for part in parts:
                _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
