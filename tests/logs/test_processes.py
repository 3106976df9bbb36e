"""Many files are read by several processes, to the same result."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.logs import Cache, read_runs, reader

GOLDEN = Path(__file__).parent / "golden"


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


def test_a_process_that_is_killed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MANY", 2)
    monkeypatch.setattr(reader, "_read", _die)
    with pytest.raises(DataError, match="killed from outside"):
        read_runs(GOLDEN, processes=2)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
