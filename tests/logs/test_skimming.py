"""Runs of records that are not parsed: what is read is the same as if every line were."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from fairseq_scaling.logs import files, read_runs, segments, skimming
from fairseq_scaling.logs.files import read_blocks, read_lines
from fairseq_scaling.logs.lines import parse_line
from fairseq_scaling.logs.segments import FileReading, read_file
from tests.logs.fuzzing import KINDS, SAMPLES, mutate
from tests.logs.samples import GOLDEN, plugin_log, run_object

STAMP = "2026-11-22 10:35:26 | INFO | train_inner | "
NEVER = 10**9
CASES = 12  # of each kind


def record(updates: object, **fields: object) -> dict[str, object]:
    loss = {"epoch": 1, "update": 0.08, "loss": "5.8", "ppl": "55.72", "wps": "inf", "lr": "5e-05", "clip": "0"}
    return {**loss, "num_updates": str(updates), "wall": "1", **fields}


def as_json(updates: object, **fields: object) -> str:
    return STAMP + json.dumps(record(updates, **fields))


def as_simple(updates: object, **fields: object) -> str:
    pairs = {key: value for key, value in record(updates, **fields).items() if key not in ("epoch", "update")}
    return f"{STAMP}epoch 001:      2 / 25 " + ", ".join(f"{key}={value}" for key, value in pairs.items())


def read(path: Path, seen: int, monkeypatch: pytest.MonkeyPatch) -> FileReading:
    """Read a file, making a pattern of the line that comes after ``seen`` others."""
    monkeypatch.setattr(skimming, "_SEEN", seen)
    return read_file(path, "log")


def parsed_lines(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that fills with the lines that are parsed from now on."""
    lines: list[bytes] = []

    def spy(raw: bytes, complete: bool) -> object:
        lines.append(raw)
        return parse_line(raw, complete)

    monkeypatch.setattr(segments, "parse_line", spy)
    return lines


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_logs_are_read_as_if_every_line_were_parsed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    monkeypatch.setattr(skimming, "_PIECE", 1)
    for case in range(len(SAMPLES) if kind == "whole" else CASES):
        draw = random.Random(f"skimming {kind} {case}")
        monkeypatch.setattr(files, "BLOCK", draw.choice([1 << 20, 5000, 700]))
        damaged = (
            sorted(SAMPLES.items())[case % len(SAMPLES)][1]
            if kind == "whole"
            else next(iter(mutate(draw, kind).files.values()))
        )
        path.write_bytes(damaged)
        skimmed, parsed = read(path, 1, monkeypatch), read(path, NEVER, monkeypatch)
        assert skimmed == parsed, case


@pytest.mark.parametrize("write", [as_json, as_simple])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_of_many_records_few_are_parsed_and_the_last_counts(
    write: object, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.log"
    path.write_bytes("".join(write(updates) + end for updates in range(100, 100_000, 100)).encode())  # type: ignore[operator]
    lines = parsed_lines(monkeypatch)
    (segment,) = read_file(path, "log").segments
    assert len(lines) < 200
    assert segment.last["train_inner"].updates == 99_900
    assert segment.last["train_inner"].origin.line == 999


def test_line_numbers_are_exact_behind_runs_of_records(tmp_path: Path) -> None:
    lines = plugin_log(run_object(), {100: 4.0}, end=False).splitlines()
    places = {}
    for number in range(1, 40):
        lines += [as_json(100 * number + step) for step in range(1, 99)]
        lines.append(f'{STAMP}{{"epoch": 1, "num_updates": "9')
        places[number] = len(lines)
        if number % 3 == 0:
            lines += ["", "chatter", "\r".join(["10 %", "20 %"])]
        valid = {"epoch": 1, "valid_loss": "4", "valid_ppl": "16", "valid_num_updates": str(100 * number + 99)}
        lines.append(STAMP.replace("train_inner", "valid") + json.dumps(valid))
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + "\n")
    reading = read_runs(path)
    damaged = [problem.line for problem in reading.problems if "is cut or damaged" in problem.message]
    assert damaged == [places[number] for number in (1, 2, 3)]
    (segment,) = read_file(path, "log").segments
    for (tag, updates), stats in segment.stats.items():
        line = path.read_bytes().split(b"\n")[stats.origin.line - 1].decode()
        assert (f'"valid_num_updates": "{updates}"' if tag == "valid" else f'"{stats.updates}"') in line


@pytest.mark.parametrize("damage", ['"update": 00.5', '"update": .5', '"update": 0..5', '"update": 5 7', '"update": '])
def test_a_number_that_is_none_is_found_among_thousands(damage: str, tmp_path: Path) -> None:
    lines = [as_json(updates) for updates in range(1, 3000)]
    lines[2000] = lines[2000].replace('"update": 0.08', damage)
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + "\n")
    assert [problem.line for problem in read_file(path, "log").problems] == [2001]


@pytest.mark.parametrize("write", [as_json, as_simple])
def test_updates_that_go_back_among_thousands_are_noticed(write: object, tmp_path: Path) -> None:
    lines = [write(updates) for updates in range(1, 3000)]  # type: ignore[operator]
    lines[2000] = write(7)  # type: ignore[operator]
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + "\n")
    (segment,) = read_file(path, "log").segments
    assert "the updates go back" in segment.mixed
    assert "line 2001" in segment.mixed


def test_records_that_stand_there_twice_are_skimmed_unless_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [as_json(updates // 2, loss=f"{updates // 2:g}") for updates in range(3000)]
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + "\n")
    seen = parsed_lines(monkeypatch)
    (segment,) = read_file(path, "log").segments
    assert not segment.mixed
    assert len(seen) < 200
    lines[2001], lines[2101] = lines[2001].replace("55.72", "57"), lines[2101].replace("55.72", "6.1")
    path.write_text("\n".join(lines) + "\n")
    (segment,) = read_file(path, "log").segments
    assert "stands there twice with different values" in segment.mixed


@pytest.mark.parametrize(
    "line",
    [
        as_json(5, loss=5),
        as_json("1.23457e+06"),
        as_json(5, note="two words"),
        as_json(5, note='a"b'),
        as_json(5, other_num_updates="7"),
        as_simple("1e+06"),
        as_json(5)[len(STAMP) :],
        "[2026-11-22 10:36:10,128][train_inner][INFO] - " + as_json(5)[len(STAMP) :],
        "| " + as_simple(5)[len(STAMP) :],
        as_json(5) + " ",
        as_json(5)[:-1],
    ],
)
def test_a_pattern_matches_the_line_it_is_made_of_or_there_is_none(line: str) -> None:
    template = skimming._template(line.encode())
    parsed = parse_line(line.encode(), True)
    if template is None:
        assert any(mark in line for mark in ("two words", "\\", "other_num_updates", "} ")) or line[-1] != "}"
        return
    match = skimming._compiled(template).fullmatch(line.encode() + b"\n")
    assert match is not None
    assert parsed is not None
    assert (parsed.kind, parsed.tag, parsed.value["num_updates"]) == ("stats", "train_inner", match[1].decode())


def test_blocks_hold_the_lines_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (GOLDEN / "train-json-smoothed.log").read_bytes() + b"no end"
    path = tmp_path / "log"
    path.write_bytes(content)
    monkeypatch.setattr(files, "BLOCK", 3000)
    blocks = list(read_blocks(path))
    assert b"".join(blocks) == content
    assert len(blocks) > 5
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert [raw.number for raw in read_lines(path)] == list(range(1, content.count(b"\n") + 2))


def test_a_gigantic_line_is_named_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "log"
    path.write_text(plugin_log(run_object(), {100: 4.0}) + "x\n" * 1000 + "a" * (3 << 20))
    number = path.read_bytes().count(b"\n") + 1
    assert read_file(path, "log").problems[0].message.startswith(f"line {number} is longer than 1 MiB")
    with pytest.raises(files.Unreadable, match=f"line {number} is longer"):
        list(read_lines(path))


@pytest.mark.parametrize("write", [as_json, as_simple])
@pytest.mark.parametrize(("again", "reason"), [(1500, "go back"), (1999, "twice with different values")])
def test_a_run_of_records_is_held_against_the_one_before_it(
    write: object, again: int, reason: str, tmp_path: Path
) -> None:
    lines = [write(updates) for updates in range(1, 2000)] + ["chatter"]  # type: ignore[operator]
    lines += [write(again, loss="5.1"), "chatter", write(again, loss="5.2"), "chatter"]  # type: ignore[operator]
    lines += [write(again + more, loss="5.3") for more in range(1000)]  # type: ignore[operator]
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + "\n")
    (segment,) = read_file(path, "log").segments
    assert reason in segment.mixed
    assert segment.last["train_inner"].origin.line == len(lines)


@pytest.mark.parametrize("piece", [slice(0, 30), slice(-30, None), slice(40, -1), slice(0, 0)])
def test_a_piece_of_a_line_is_found_where_it_stands_though_others_begin_or_end_like_it(
    piece: slice, tmp_path: Path
) -> None:
    lines = [as_json(updates) for updates in range(1, 3000)]
    for place in (500, 501, 1700):
        lines[place] = lines[place][piece]
    valid = {"epoch": 1, "valid_loss": "4", "valid_ppl": "16", "valid_num_updates": "2999"}
    lines += [STAMP.replace("train_inner", "valid") + json.dumps(valid), as_json(3000), as_json(3001)[:50]]
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines))
    (segment,) = read_file(path, "log").segments
    assert segment.last["valid"].origin.line == 3000
    assert (segment.last["train_inner"].updates, segment.last["train_inner"].origin.line) == (3000, 3001)
