"""Find the programs of a study and run them; fairseq's are forked from a process that has imported it.

Python with torch and fairseq starts in seconds, and a study of short runs starts often. So the first job that needs
them starts a server (``fork_server``), which imports them once and forks for every later job.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ...errors import DataError
from .lock import alone

# Names the folder of the servers' sockets; unset: no server. They are no sockets of the network: only processes of the
# same person can open the folder.
SERVERS_VARIABLE = "SCALING_STUDY_FORK_SERVERS"
# The others start quickly.
_FORKED = ("fairseq-train", "fairseq-generate")
# The folder for fairseq's --user-dir.
PACKAGE = Path(__file__).parents[2]
_SERVER = Path(__file__).with_name("fork_server.py")


def find_program(name: str) -> str | None:
    """Return where a program is: in SCALING_STUDY_PROGRAMS, beside this Python, or on the PATH; None: nowhere.

    Beside this Python comes before the PATH, so that ``.venv/bin/scaling-study`` works without activating ``.venv``.
    """
    places = [
        os.environ.get("SCALING_STUDY_PROGRAMS", ""),
        str(Path(sys.executable).parent),
        os.environ.get("PATH", ""),
    ]
    return shutil.which(name, path=os.pathsep.join(place for place in places if place))


def run_program(
    command: Sequence[str],
    output: IO[bytes],
    errors: IO[bytes],
    folder: Path | str,
    environment: Mapping[str, str],
    descriptors: Sequence[int] = (),
    server_log: Path | None = None,
) -> int:
    """Run a command to its end, without standard input; return its exit code, or minus the signal that killed it.

    Args:
        command: the full path of a program, and its arguments.
        folder: where it runs.
        descriptors: further files that it holds open.
        server_log: for what a server has to say that is started for it; None: nobody hears it.

    Raises:
        OSError: the program cannot be started.
    """
    with contextlib.ExitStack() as stack:
        if (server := _find_server(command[0], environment, server_log)) is not None:
            stack.enter_context(server)
            code = _run_forked(server, command, output, errors, folder, environment, descriptors)
            if code is not None:
                return code
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder, env=environment, check=False,
        pass_fds=descriptors,
    ).returncode  # fmt: skip


def _find_server(program: str, environment: Mapping[str, str], log: Path | None) -> socket.socket | None:
    """Return a connection to the server that has imported what a program needs; None: start it the usual way."""
    folder = environment.get(SERVERS_VARIABLE)
    path = Path(program)
    if not folder or not Path(folder).is_dir():
        return None
    # A program of the person's own need not be what its name says.
    if path.name not in _FORKED or path.parent != Path(sys.executable).parent:
        return None
    # The number of threads is read when torch is imported.
    address = Path(folder) / f"threads-{environment.get('OMP_NUM_THREADS', '')}"
    connection = socket.socket(socket.AF_UNIX)
    try:
        with alone(address.with_suffix(".lock")):
            try:
                connection.connect(str(address))
            except (FileNotFoundError, ConnectionRefusedError):
                _start_server(address, environment, log)
                connection.connect(str(address))
    except (OSError, DataError):
        connection.close()
        return None
    return connection


def _start_server(address: Path, environment: Mapping[str, str], log: Path | None) -> None:
    """Start a server. Its socket listens at once: who connects waits until it has imported everything."""
    address.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(address))
        listener.listen(128)
        errors = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        # -P: this folder holds modules whose names are not to be taken for others'.
        subprocess.Popen(
            [sys.executable, "-P", str(_SERVER), str(listener.fileno()), str(PACKAGE)],
            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment, pass_fds=[listener.fileno()],
        )  # fmt: skip


def _run_forked(
    server: socket.socket,
    command: Sequence[str],
    output: IO[bytes],
    errors: IO[bytes],
    folder: Path | str,
    environment: Mapping[str, str],
    descriptors: Sequence[int],
) -> int | None:
    """Have the server run a command; return its exit code, None where it could not begin."""
    request = {"command": list(command), "folder": str(folder), "environment": dict(environment)}
    begun = False
    try:
        socket.send_fds(server, [b"\n"], [output.fileno(), errors.fileno(), *descriptors])
        server.sendall(json.dumps(request).encode())
        server.shutdown(socket.SHUT_WR)
        with server.makefile("r") as answers:
            begun = answers.readline() == "begun\n"
            return int(answers.readline())
    except (OSError, ValueError):
        # A server that was killed after the beginning takes the job for killed, too: it must not run a second time.
        return -signal.SIGKILL if begun else None
