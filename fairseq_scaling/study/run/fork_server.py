"""Import fairseq once, then fork for each program that asks: ``python -P fork_server.py SOCKET PACKAGE``.

SOCKET is the number of a listening socket, PACKAGE the folder for --user-dir. ``programs`` starts this and speaks to
it. It is a script, not a module of the package, because fairseq imports a --user-dir in full only where that is not yet
imported. It ends when nobody has asked for a minute and nothing runs that it has forked.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import random
import signal
import socket
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import metadata
from typing import Any

_IDLE = 60.0
_MOST_DESCRIPTORS = 64

Program = Callable[[], str | int | None]


def serve(listener: socket.socket, package: str) -> Program | None:
    """Fork for each request; return in the fork, with the program to run, and else when nobody asks any more."""
    # Ctrl-C is for the programs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_everything(package)
    # What is there now need not be looked through again in each fork, and stays shared memory.
    gc.collect()
    gc.freeze()
    listener.settimeout(_IDLE)
    handlers: set[int] = set()
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            connection = None
        handlers = {process for process in handlers if os.waitpid(process, os.WNOHANG) == (0, 0)}
        if connection is None:
            if not handlers:
                return None
            continue
        process = os.fork()
        if process == 0:
            listener.close()
            return _handle(connection)
        handlers.add(process)
        connection.close()


def _import_everything(package: str) -> None:
    from fairseq.utils import import_user_module

    import_user_module(Namespace(user_dir=package))
    # Optimizers import it on their way.
    importlib.import_module("torch._dynamo")


def _handle(connection: socket.socket) -> Program:
    """Fork again: return there what the connection asks for, ready to run; here answer how that ended, and end."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST_DESCRIPTORS)
    with connection.makefile("rb") as file:
        request = json.loads(file.read())
    process = os.fork()
    if process == 0:
        connection.close()
        return _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    # The other side may have been killed; the program goes on without it, as it would after an ordinary start.
    with contextlib.suppress(OSError):
        connection.sendall(b"begun\n")
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: dict[str, Any], descriptors: list[int]) -> Program:
    """Make this process look like the program just started; return its entry point."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output, errors, *_ = descriptors
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, errors)):
        os.dup2(descriptor, number)
    for descriptor in (nothing, output, errors):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["command"]
    random.seed()
    return _load(os.path.basename(sys.argv[0]))


def _load(name: str) -> Program:
    """Return the entry point of a program, with logging set up as if it had imported all by itself."""
    (entry, *_) = metadata.entry_points(group="console_scripts", name=name)
    root = logging.getLogger()
    # Importing fairseq sets up logging, unless the program has done so before, as fairseq-train does.
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    program: Program = entry.load()
    if not root.handlers:
        root.handlers[:] = handlers
        root.setLevel(level)
    return program


if __name__ == "__main__":
    forked = serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    if forked is not None:
        sys.exit(forked())
