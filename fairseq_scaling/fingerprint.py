"""What a file holds, and what this program does, as hashes: cheap to make, also of gigabytes of weights; no torch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from functools import lru_cache
from pathlib import Path

from . import __version__


def fingerprint(path: Path) -> str:
    """Return 64 hexadecimal digits that are the same for the same content, whatever the file's name, place and age.

    torch saves checkpoints as zip files: the checksums of their tensors, which stand in the directory at the end, are
    all that is read of them. Of any other file every byte is.

    Raises:
        OSError: there is no such file, or it may not be read.
    """
    status = path.stat()
    return _of_content(path, status.st_size, status.st_mtime_ns)


@lru_cache
def code_fingerprint(*packages: str) -> str:
    """Return 64 hexadecimal digits that change with this program's version and the code of ``packages``.

    Args:
        packages: their names below this one, such as ``laws``.
    """
    digest = hashlib.sha256(__version__.encode())
    for package in packages:
        for module in sorted((Path(__file__).parent / package).rglob("*.py")):
            digest.update(module.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _of_content(path: Path, size: int, modified: int) -> str:
    try:
        with zipfile.ZipFile(path) as file:
            # The first part of every name is that of the file that torch.save was asked for.
            entries = sorted((i.filename.partition("/")[2], i.file_size, i.CRC) for i in file.infolist())
    except zipfile.BadZipFile:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
