"""Read fairseq logs, generate output and score files into run records."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .record import Reading


def read_runs(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], mapping: str | None = None) -> Reading:
    """Return the runs that ``paths`` hold, and a problem for everything that could not be used.

    Args:
        paths: files or folders (walked recursively, in sorted order). Files are recognised by content, ``.gz`` too.
        mapping: what stock fairseq logs do not say: a CSV file, or a path pattern with named fields such as
            ``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log``.

    Raises:
        DataError: a path or the mapping file does not exist.
        SettingError: the mapping is malformed.
    """
    raise NotImplementedError
