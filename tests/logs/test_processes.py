"""Many files are read by several processes, to the same result."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.logs import Cache, read_runs, reader
from fairseq_scaling.logs.segments import FileReading

GOLDEN = Path(__file__).parent / "golden"
READ = reader._read


def test_several_processes_read_what_one_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(GOLDEN, logs)
    for file in logs.rglob("*.*"):
        os.utime(file, (time.time() - 60,) * 2)  # a file that may still grow is not kept
    monkeypatch.setattr(reader, "_MANY", 2)
    alone = read_runs(logs)
    assert len(alone.runs) > 10
    assert alone.problems
    assert read_runs(logs, processes=2) == alone
    caches = [Cache(tmp_path / name) for name in ("one", "several")]
    for processes, cache in enumerate(caches, start=1):
        assert read_runs(logs, cache=cache, processes=processes) == alone
        assert read_runs(logs, cache=cache, processes=processes) == alone
    one, several = (sorted(file.name for file in (tmp_path / name).iterdir()) for name in ("one", "several"))
    assert one == several
    assert one


def test_few_files_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.__init__", fail)
    read_runs(GOLDEN, processes=8)
    monkeypatch.setattr(reader, "_MANY", 2)
    with pytest.raises(AssertionError, match="was started"):
        read_runs(GOLDEN, processes=8)


def test_where_processes_are_killed_this_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_runs(GOLDEN)
    monkeypatch.setattr(reader, "_MANY", 2)
    monkeypatch.setattr(reader, "_read", _read_here)
    assert read_runs(GOLDEN, processes=2) == alone


def _read_here(*arguments: Any) -> FileReading:
    """Read as :func:`reader._read` does, but in another process die."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return READ(*arguments)


def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    """Each holds an end of the others' pipes, so that none would notice by itself."""
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, os, signal, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from fairseq_scaling.logs.reader import _follow_parent\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(2, multiprocessing.get_context('spawn'), _follow_parent)\n"
        "    print(*{pool.submit(os.getpid).result() for _ in range(20)}, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, program], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    left = [int(word) for word in done.stdout.split()]
    assert left
    for _ in range(200):
        left = [process for process in left if Path(f"/proc/{process}").exists()]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"still there after 20 s: {left}")
