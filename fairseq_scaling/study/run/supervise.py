"""Run a command, and end it with all its children when the process that started this one has gone.

``python -m fairseq_scaling.study.run.supervise SECONDS COMMAND...``, in its own process group, standard input a pipe.
The pipe closes when the parent closes it or ends, however it ends: a study killed with -9 leaves no training behind.
The command then gets Ctrl-C, and SECONDS to take back what it has submitted to a cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

_SECONDS_TO_TERMINATE = 2.0


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: the command must not inherit that the signals are ignored.
        signal.signal(number, _ignore)
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    watcher = threading.Thread(target=_end_with_parent, args=(child, float(sys.argv[1])), daemon=True)
    watcher.start()
    code = child.wait()
    # What the command has left behind, because it crashed, must not go on beside the next start.
    os.killpg(0, signal.SIGTERM)
    return code


def _end_with_parent(child: subprocess.Popen[bytes], patience: float) -> None:
    # Not sys.stdin.read(): the interpreter cannot end while another thread waits inside a buffered file.
    while os.read(0, 4096):
        pass
    # The second signal and the last end what does not listen.
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGTERM, _SECONDS_TO_TERMINATE)):
        os.killpg(0, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
