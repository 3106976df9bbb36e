"""Locks of a study, on file systems that know none, too."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.lock import alone, is_running, locked


def test_a_study_runs_while_its_lock_is_held(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert not is_running(folder)
    with locked(folder):
        assert is_running(folder)
        with pytest.raises(DataError, match=f"running already .process {os.getpid()}"), locked(folder):
            pass
    assert not is_running(folder)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_taken_for_a_running_study(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = StudyFolder(tmp_path)
    message = rf"lock: cannot be locked \({os.strerror(code)}\): its file system knows no locks\n"
    with pytest.raises(DataError, match=message), locked(folder):
        pass
    with pytest.raises(DataError, match=message):
        is_running(folder)
    with pytest.raises(DataError, match=message), alone(tmp_path / "job.lock"):
        pass
