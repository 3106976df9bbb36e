"""Run a command, and end it with all its children when the process that started this one has gone.

``python -m fairseq_scaling.study._supervise COMMAND...``, in a process group of its own, standard input a pipe. The
pipe closes when the parent closes it or ends, however it ends: a study killed with -9 leaves no training behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

# Ctrl-C lets Snakemake cancel what it has submitted to a cluster; the rest ends what does not listen.
_STEPS = ((signal.SIGINT, 4.0), (signal.SIGTERM, 2.0))


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: the command must not inherit that the signals are ignored.
        signal.signal(number, _ignore)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    watcher = threading.Thread(target=_end_with_parent, args=(child,), daemon=True)
    watcher.start()
    code = child.wait()
    # What the command has left behind, because it crashed, must not go on beside the next start.
    os.killpg(0, signal.SIGTERM)
    return code


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    # Not sys.stdin.read(): the interpreter cannot end while another thread waits inside a buffered file.
    while os.read(0, 4096):
        pass
    for number, patience in _STEPS:
        os.killpg(0, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
