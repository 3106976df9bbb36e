"""Everything that the tasks change in fairseq and in the interpreter, once, when fairseq loads them.

- fairseq's commands open checkpoints without running code in them.
- What the user can mend is printed as a message, and the command exits with 2.
- The settings of fairseq's commands are checked before they do anything.
- ``--fp16`` with ``t5_adafactor`` implies ``--fp16-no-flatten-grads``: it steps each parameter by its scale.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

from ..errors import ScalingError
from .checkpoints import read_checkpoint
from .config import check_settings, check_training_settings

_TASKS = ("scaling_pretraining", "scaling_translation")


@functools.cache
def install() -> None:
    """Change what is to be changed; a second call changes nothing."""
    checkpoint_utils.load_checkpoint_to_cpu = _guarded(checkpoint_utils.load_checkpoint_to_cpu)
    distributed_utils.call_main = _checked(distributed_utils.call_main)
    if "fairseq_cli.hydra_train" in sys.modules:
        _check_under_hydra()
    sys.excepthook = _without_traceback(sys.excepthook)


def _guarded(load: Callable[..., Any]) -> Callable[..., Any]:
    """fairseq leaves it to torch's version and an environment variable whether code in a checkpoint is run."""

    @functools.wraps(load)
    def guarded(path: str, *arguments: Any, **named: Any) -> Any:
        if Path(path).is_file():
            read_checkpoint(Path(path))
        return load(path, *arguments, **named)

    return guarded


def _checked(call_main: Callable[..., Any]) -> Callable[..., Any]:
    """fairseq itself looks at its settings with assertions, or not at all."""

    @functools.wraps(call_main)
    def checked(cfg: Any, main: Callable[..., Any], **named: Any) -> Any:
        _check(cfg, trains=main.__module__ == "fairseq_cli.train")
        return call_main(cfg, main, **named)

    return checked


def _check_under_hydra() -> None:
    """fairseq-hydra-train loads the plug-in inside ``call_main``; the next thing that it does is to add defaults."""
    train: Any = sys.modules["fairseq_cli.train"]
    add_defaults = train.add_defaults

    @functools.wraps(add_defaults)
    def checked(cfg: Any) -> None:
        add_defaults(cfg)
        try:
            _check(cfg, trains=True)
        except ScalingError as error:
            _end(error)  # hydra would print a traceback

    train.add_defaults = checked


def _check(cfg: Any, trains: bool) -> None:
    if getattr(cfg.task, "_name", None) in _TASKS:
        check_settings(cfg.task)
        if trains:
            check_training_settings(cfg.task)
            if cfg.common.fp16 and cfg.optimizer._name == "t5_adafactor":
                cfg.common.fp16_no_flatten_grads = True


def _end(error: ScalingError) -> NoReturn:
    print(f"Error: {error}", file=sys.stderr)
    raise SystemExit(2)


def _without_traceback(default: Callable[..., Any]) -> Callable[..., Any]:
    """fairseq itself would print twenty lines of its own code, and exit with 1."""

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not isinstance(error, ScalingError):
            default(kind, error, traceback)
            return
        _end(error)  # Python takes the exit code from an exception of the hook

    return hook
