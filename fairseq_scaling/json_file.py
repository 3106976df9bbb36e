"""Files of one JSON object that this project's commands write for fit-scaling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import DataError
from .whole_files import write_whole


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the object so that the file is there whole or not at all.

    Raises:
        DataError: the folder is missing or cannot be written.
    """
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        remedy = "name a file in a folder that you may write"
        raise DataError(f"{path}: cannot be written ({error.strerror})\n  {remedy}") from None


def opens_object(head: bytes) -> bytes | None:
    """Return the beginning of a file without the marks and zeros of UTF-16, None unless it opens a JSON object."""
    head = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return head if head.startswith(b"{") else None
