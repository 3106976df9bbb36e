"""Progress on standard error, and work spread over processes with the order kept."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_QUIET_SECONDS = 15.0  # between two lines where standard error is no terminal


@contextlib.contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far a step is; yields a function that is called with how many items were done since the last call."""
    if not sys.stderr.isatty():
        yield _plain_progress(label, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.advance(task, done)


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[_Result]:
    """Yield ``function(item)`` in the order of the items, computed in ``workers`` processes.

    At most a few items per worker are under way, so memory does not grow with their number (``Pool.imap`` reads its
    whole input ahead). With one worker everything happens in this process.
    """
    if workers <= 1:
        if initializer is not None:
            initializer(*arguments)
        yield from map(function, items)
        return
    # spawn, not fork: this process may hold threads (progress bar, SentencePiece), which a fork would break
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[_Result]] = deque()
    with ProcessPoolExecutor(workers, context, initializer=initializer, initargs=arguments) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _plain_progress(label: str, total: int | None) -> Callable[[int], None]:
    done, last = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= _QUIET_SECONDS:
            last = time.monotonic()
            print(f"{label}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)

    return advance
