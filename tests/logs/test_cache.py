"""Readings that are kept: unchanged files are not read again, and nothing else is ever believed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from fairseq_scaling.logs import Cache, cache, read_runs, reader
from fairseq_scaling.logs.packing import pack, unpack
from fairseq_scaling.logs.segments import Segment, read_file
from tests.logs.fuzzing import SAMPLES
from tests.logs.samples import GOLDEN, plugin_log, run_object

LOSSES = {100 * n: 6 - n / 20 for n in range(1, 60)}


def write_old(path: Path, text: str) -> Path:
    """Write a file that was last changed an hour ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - 3600,) * 2)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that fills with the names of the logs that are really read."""
    names: list[str] = []

    def spy(path: Path, name: str) -> object:
        names.append(path.name)
        return read_file(path, name)

    monkeypatch.setattr(reader, "read_file", spy)
    return names


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_comes_back_is_what_was_put_in(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(SAMPLES[name])
    reading = read_file(path, "log")
    back = unpack(json.loads(json.dumps(pack(reading))), "log")
    assert back == reading
    assert repr([s.config for s in back.segments]) == repr([s.config for s in reading.segments])
    for segment in back.segments:
        assert all(any(last is stats for stats in segment.stats.values()) for last in segment.last.values())


def test_settings_of_every_kind_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "log"
    settings = (
        "{'_name': None, 'model': {'betas': (0.9, (1,), [2.5, True]), 'odd': [{1: 'a', (2,): -0.0}]}, 'b': 1e999}"
    )
    path.write_text(f"2026-01-01 00:00:00 | INFO | fairseq_cli.train | {settings}\n")
    (segment,) = read_file(path, "log").segments
    assert segment.config["model.betas"] == (0.9, (1,), [2.5, True])
    (back,) = unpack(json.loads(json.dumps(pack(read_file(path, "log")))), "log").segments
    assert repr(back.config) == repr(segment.config)


def test_every_field_of_a_segment_is_kept() -> None:
    packed = pack(read_file(GOLDEN / "train-json-bleu.log", "log"))
    assert set(packed["segments"][0]) == {field.name for field in dataclasses.fields(Segment)}


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    write_old(tmp_path / "logs/a.log", plugin_log(run_object(), LOSSES))
    first, second = (read_runs(tmp_path / "logs", cache=Cache(tmp_path / "cache")) for _ in range(2))
    assert read == ["a.log"]
    assert second == first


def test_the_name_under_which_a_file_is_given_is_the_one_that_is_said(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_old(tmp_path / "logs/a.log", plugin_log(run_object(), LOSSES))
    monkeypatch.chdir(tmp_path)
    for given in (tmp_path / "logs", "logs"):
        (run,) = read_runs(given, cache=Cache(tmp_path / "cache")).runs
        assert run.origin["seed"].file == str(Path(given) / "a.log")
    assert read == ["a.log"]


@pytest.mark.parametrize("change", ["longer", "same size", "same size and time", "replaced"])
def test_a_changed_file_is_read_again(change: str, tmp_path: Path, read: list[str]) -> None:
    text = plugin_log(run_object(), LOSSES)
    path = write_old(tmp_path / "logs/a.log", text)
    read_runs(path, cache=Cache(tmp_path / "cache"))
    if change == "longer":
        write_old(path, plugin_log(run_object(), {**LOSSES, 9000: 1.5}))
    else:
        before = path.stat()
        changed = text.replace('"valid_loss": "3.05", "valid_ppl": "8.28"', '"valid_loss": "3.06", "valid_ppl": "8.34"')
        assert changed != text
        if change == "replaced":
            path.unlink()
        path.write_text(changed)
        if change != "same size":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (run,) = read_runs(path, cache=Cache(tmp_path / "cache")).runs
    assert read == ["a.log"] * 2
    assert run == read_runs(path).runs[0]


def test_a_file_that_may_still_grow_is_not_kept(tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "a.log"
    path.write_text(plugin_log(run_object(), LOSSES))
    for _ in range(2):
        read_runs(path, cache=Cache(tmp_path / "cache"))
    assert read == ["a.log"] * 2
    assert not (tmp_path / "cache").exists()


def test_a_file_that_grows_while_it_is_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_old(tmp_path / "a.log", plugin_log(run_object(), LOSSES))

    def grow(place: Path, name: str) -> object:
        reading = read_file(place, name)
        write_old(path, plugin_log(run_object(), {**LOSSES, 9000: 1.5}))
        return reading

    with monkeypatch.context() as patched:
        patched.setattr(reader, "read_file", grow)
        read_runs(path, cache=Cache(tmp_path / "cache"))
    (run,) = read_runs(path, cache=Cache(tmp_path / "cache")).runs
    assert run.extra["validations"][-1][0] == 9000


@pytest.mark.parametrize("damage", ["empty", "cut", "no JSON", "other number", "other fields", "other version"])
def test_a_damaged_or_foreign_cache_is_ignored(
    damage: str, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_old(tmp_path / "a.log", plugin_log(run_object(), LOSSES))
    first = read_runs(path, cache=Cache(tmp_path / "cache"))
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    assert b'"3.05"' in content
    if damage == "other version":
        monkeypatch.setattr(cache, "code_fingerprint", lambda *packages: "another")
    elif damage == "other fields":
        lines = [*content.split(b"\n")[1:-1], b"{}"]
        kept.write_bytes(b"\n".join([Cache()._digest(lines), *lines]))
    else:
        kept.write_bytes({
            "empty": b"", "cut": content[:-100], "no JSON": b"\x80\x04N.",
            "other number": content.replace(b'"3.05"', b'"2.05"'),
        }[damage])  # fmt: skip
    assert read_runs(path, cache=Cache(tmp_path / "cache")) == first
    assert read == ["a.log"] * 2
    assert read_runs(path, cache=Cache(tmp_path / "cache")) == first
    assert read == ["a.log"] * 2, "what was read is kept again"


def test_without_a_folder_that_can_be_written_files_are_read(tmp_path: Path, read: list[str]) -> None:
    path = write_old(tmp_path / "a.log", plugin_log(run_object(), LOSSES))
    (tmp_path / "taken").write_text("a file, so that no folder can be made here")
    first, second = (read_runs(path, cache=Cache(tmp_path / "taken/cache")) for _ in range(2))
    assert first == second == read_runs(path)
    assert read == ["a.log"] * 3


def test_the_folder_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache().folder == tmp_path / "xdg/fairseq_scaling/logs"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache().folder == tmp_path / ".cache/fairseq_scaling/logs"


def test_a_full_or_read_only_folder_is_used_as_far_as_it_goes(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (write_old(tmp_path / f"{name}.log", plugin_log(run_object(), LOSSES)) for name in "ab")
    read_runs(one, cache=Cache(tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_whole", refuse)
    for _ in range(2):
        read_runs([one, two], cache=Cache(tmp_path / "cache"))
    assert read == ["a.log", "b.log", "b.log"]


def study(folder: Path, runs: int) -> list[Path]:
    """Write runs as studies leave them, each in a folder of its own."""
    return [
        write_old(folder / f"run{number}/train.log", plugin_log(run_object(f"{number:012x}"), LOSSES))
        for number in range(runs)
    ]


def test_the_logs_of_a_study_are_kept_in_one_file(tmp_path: Path, read: list[str]) -> None:
    study(tmp_path / "study", 4)
    reading = read_runs(tmp_path / "study", cache=Cache(tmp_path / "cache"))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert read_runs(tmp_path / "study", cache=Cache(tmp_path / "cache")) == reading
    assert len(read) == len(reading.runs) == 4


def test_who_reads_a_part_keeps_the_rest_and_what_others_read_meanwhile(tmp_path: Path, read: list[str]) -> None:
    one, two, three = study(tmp_path / "study", 3)
    read_runs(one, cache=Cache(tmp_path / "cache"))
    slow = Cache(tmp_path / "cache")
    slow.reading(two, "two", lambda: read_file(two, "two"))
    read_runs(three, cache=Cache(tmp_path / "cache"))
    slow.tidy()
    read.clear()
    assert len(read_runs(tmp_path / "study", cache=Cache(tmp_path / "cache")).runs) == 3
    assert read == []


def test_logs_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    one, two, three = study(tmp_path / "study", 3)
    for path in (one, two):
        read_runs(path, cache=Cache(tmp_path / "cache"))
    shutil.rmtree(one.parent)
    read_runs(three, cache=Cache(tmp_path / "cache"))
    (kept,) = (tmp_path / "cache").iterdir()
    assert [str(path).encode() in kept.read_bytes() for path in (one, two, three)] == [False, True, True]


def test_who_is_stopped_has_kept_what_was_read_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_PAUSE", 0.0)
    study(tmp_path / "study", 4)
    names: list[str] = []

    def stop(path: Path, name: str) -> object:
        names.append(path.parent.name)
        if len(names) == 3:
            raise KeyboardInterrupt
        return read_file(path, name)

    monkeypatch.setattr(reader, "read_file", stop)
    with pytest.raises(KeyboardInterrupt):
        read_runs(tmp_path / "study", cache=Cache(tmp_path / "cache"))
    assert len(read_runs(tmp_path / "study", cache=Cache(tmp_path / "cache")).runs) == 4
    assert names == ["run0", "run1", "run2", "run2", "run3"]


def test_files_of_an_earlier_layout_are_left_to_be_forgotten(tmp_path: Path, read: list[str]) -> None:
    (path,) = study(tmp_path / "study", 1)
    read_runs(path, cache=Cache(tmp_path / "cache"))
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text('{"path": "/a/train.log", "size": 9000, "sha256": "00"}\n{"segments":[],"problems":[]}')
    assert len(read_runs(path, cache=Cache(tmp_path / "cache")).runs) == 1
    assert read == ["train.log"] * 2


def test_what_was_not_used_for_a_month_is_removed(tmp_path: Path) -> None:
    kept, forgotten = (study(tmp_path / name, 1)[0] for name in "ab")
    read_runs(forgotten, cache=Cache(tmp_path / "cache"))
    (entry,) = (tmp_path / "cache").iterdir()
    os.utime(entry, (time.time() - 31 * 86400,) * 2)
    read_runs(kept, cache=Cache(tmp_path / "cache"))
    assert not entry.exists()
    assert len(list((tmp_path / "cache").iterdir())) == 1
