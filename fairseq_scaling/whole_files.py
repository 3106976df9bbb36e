"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


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
