"""Loaded by fairseq through ``--user-dir``: the tasks, and with them the optimizer and schedule fairseq must know."""

from __future__ import annotations

import sys
from types import TracebackType

from .. import optim  # noqa: F401  fairseq looks into tasks/ and models/ only
from ..errors import ScalingError
from ._checkpoints import guard_fairseq

_default_hook = sys.excepthook


def _say_without_traceback(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print what the user can mend as a message; fairseq itself would print twenty lines of its own code."""
    if isinstance(error, ScalingError):
        print(f"Error: {error}", file=sys.stderr)
    else:
        _default_hook(kind, error, traceback)


sys.excepthook = _say_without_traceback
guard_fairseq()
