"""``fit-scaling --watch``: fit again whenever a file has changed, until Ctrl-C."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import click

from ..errors import ScalingError
from ..report.reading import OWN_FILES
from ._fitting import NothingToFit, Outcome, Request, fit

State = dict[str, tuple[int, int, int]]


def watch(request: Request, every: float) -> None:
    """Fit, print and write again after every change, looking every ``every`` seconds; Ctrl-C after a fit ends it.

    Raises:
        ScalingError: the mapping cannot be read. What may come right while a study runs is printed and waited for.
        KeyboardInterrupt: it was stopped before anything could be fitted.
    """
    if request.mapping is not None:
        from ..logs.mapping import PathMapping

        PathMapping.read(request.mapping)
    seen: State | None = None
    waiting = ""
    fitted = False
    try:
        while True:
            now = state(request)
            if now != seen:
                seen = now
                try:
                    outcome = fit(request)
                except ScalingError as error:
                    waiting = _wait(request, error, waiting)
                else:
                    waiting = ""
                    fitted = fitted or outcome.report.fitted > 0
                    _show(outcome, every)
            time.sleep(every)
    except KeyboardInterrupt:
        if not fitted:
            raise
        click.echo()


def state(request: Request) -> State:
    """Return file -> (size, time of change, inode) of everything that is read, without what this command writes."""
    from ..logs.files import walk

    given = [*request.paths, *([request.mapping] if request.mapping else [])]
    out = os.path.abspath(request.out)
    found: State = {}
    try:
        for path, _ in walk([path for path in given if os.path.exists(path)]):
            if not _is_own(os.path.abspath(path), out):
                status = path.stat()
                found[str(path)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    except (OSError, ScalingError):
        # a file or folder went away meanwhile: what is there will differ again at the next look
        found[""] = (0, time.monotonic_ns(), 0)
    return found


def _is_own(path: str, out: str) -> bool:
    folder, name = os.path.split(path)
    return (folder == out and name in OWN_FILES) or folder == os.path.join(out, "figures")


def _wait(request: Request, error: ScalingError, before: str) -> str:
    """Say what is waited for, unless it was said before; return it."""
    places = ", ".join(str(Path(path)) + os.sep * os.path.isdir(path) for path in request.paths)
    nothing = isinstance(error, NothingToFit) or not all(map(os.path.exists, request.paths))
    reason = "" if nothing else f" ({str(error).splitlines()[0]})"
    text = f"waiting for runs in {places} ...{reason}"
    if text != before:
        click.echo(f"{_now()} {text}")
    return text


def _show(outcome: Outcome, every: float) -> None:
    from ..report.render.terminal import make_console, print_report

    console = make_console()
    if console.is_terminal:
        console.clear()
    else:
        click.echo(f"{_now()} fitted {outcome.report.fitted} of {len(outcome.report.curves)} curves")
    print_report(outcome.report, console, outcome.files)
    if console.is_terminal:
        click.echo(f"\n{_now()} looking for changes every {every:g} s; Ctrl-C ends")


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")
