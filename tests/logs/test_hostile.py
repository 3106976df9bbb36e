"""Damaged logs: no traceback, no invented number, nothing of one run in another.

``SCALING_FUZZ_CASES`` sets the number of cases (default 240; ``make test-torture`` may set 10000).
"""

from __future__ import annotations

import gzip
import math
import os
import random
import re
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.logs import Reading, RunRecord, read_runs
from fairseq_scaling.logs.generation import read_generation
from tests.logs.samples import FAIRSEQ_0_6, FAIRSEQ_0_9, FAIRSEQ_0_9_JSON, GOLDEN, plugin_log, run_object, score_file

CASES = int(os.environ.get("SCALING_FUZZ_CASES", "240"))
_NUMBER = re.compile(rb"\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")


def samples() -> dict[str, bytes]:
    """Return name -> content of one log of every kind, each of another run."""
    found = {
        path.name: path.read_bytes() for path in sorted(GOLDEN.rglob("*")) if path.suffix in (".log", ".txt", ".json")
    }
    for name, text in (("0.9", FAIRSEQ_0_9), ("0.6", FAIRSEQ_0_6), ("0.9 json", FAIRSEQ_0_9_JSON)):
        found[name] = text.replace("checkpoints", f"checkpoints-{name.replace(' ', '-')}").encode()
    for seed, run_id in enumerate(("aaaaaaaaaaaa", "bbbbbbbbbbbb")):
        losses = {100 * n: round(6 + seed / 7 - n / 3, 3) for n in range(1, 9)}
        run = run_object(run_id, seed=seed)
        found[f"plugin {seed}"] = plugin_log(run, losses, f"checkpoints-plugin-{seed}").encode()
        found[f"scores {seed}"] = score_file(run, 12.25 + seed).encode()
    return found


SAMPLES = samples()
# mutations that keep every line or cut it: whatever is read afterwards must have been there before
KEEPING = ("cut", "cut then other", "concatenate", "interleave", "drop lines", "restart", "utf-16", "crlf")
PACKED = ("gzip", "cut gzip")
# mutations that make other bytes: whatever is read must stand in the file as it is now
CHANGING = ("flip", "insert", "delete", "swap digits", "shuffle", "latin-1", "nul")


def mutate(kind: str, draw: random.Random) -> tuple[bytes, bytes]:
    """Return a damaged file, and the text (decoded, unpacked) in which every number read from it must stand."""
    one, two = (SAMPLES[draw.choice(sorted(SAMPLES))] for _ in range(2))
    place = draw.randrange(len(one) + 1)
    if kind == "cut":
        return one[:place], one
    if kind == "cut then other":
        return one[:place] + two, one + b"\n" + two
    if kind == "concatenate":
        return one + two, one + b"\n" + two
    if kind == "interleave":
        return _interleave(one, two, draw), one + b"\n" + two
    if kind == "drop lines":
        return b"".join(line for line in one.splitlines(True) if draw.random() > 0.2), one
    if kind == "restart":
        return one[:place] + b"\n" + one, one
    if kind == "utf-16":
        return one.decode().encode(draw.choice(["utf-16", "utf-16-le", "utf-16-be"])), one
    if kind == "crlf":
        return one.replace(b"\n", draw.choice([b"\r\n", b"\r"])), one
    if kind == "gzip":
        return gzip.compress(one, 1), one
    if kind == "cut gzip":
        packed = gzip.compress(one, 1)
        return packed[: draw.randrange(len(packed))], one
    changed = _change(kind, one, place, draw)
    return changed, changed


def _interleave(one: bytes, two: bytes, draw: random.Random) -> bytes:
    sides, out = [one.splitlines(True)[::-1], two.splitlines(True)[::-1]], []
    while sides[0] or sides[1]:
        side = sides[draw.random() < 0.5]
        out += [side.pop() for _ in range(draw.randint(1, 8)) if side]
    return b"".join(out)


def _change(kind: str, content: bytes, place: int, draw: random.Random) -> bytes:
    out = bytearray(content)
    if kind == "flip":
        for _ in range(draw.randint(1, 50)):
            out[draw.randrange(len(out))] = draw.randrange(256)
    elif kind == "insert":
        junk = [b"NaN", b"{" * 5000, b"[" * 100_000, b'{"epoch": 1, ', b"\x00", b"\xff\xfe", b"1e999", b"| ", b"\n"]
        out[place:place] = draw.choice(junk)
    elif kind == "delete":
        del out[place : place + draw.randint(1, 3000)]
    elif kind == "swap digits":
        return re.sub(
            rb"\d", lambda digit: digit[0] if draw.random() > 0.01 else draw.choice([b"", b"-", b"e", b"."]), content
        )
    elif kind == "shuffle":
        lines = content.splitlines(True)
        draw.shuffle(lines)
        return b"".join(lines)
    elif kind == "latin-1":
        return content.decode().replace("e", "é").encode("latin-1", "replace")
    elif kind == "nul":
        out[place:place] = bytes(draw.randint(1, 300))
    return bytes(out)


def numbers_of(run: RunRecord) -> set[float]:
    """Return the finite numbers that a record reports, in the unit in which fairseq prints them."""
    found: set[float] = set()
    for name in ("pretrain_tokens", "finetune_tokens", "seed", "parameters", "updates"):
        value = getattr(run, name)
        if value is not None:
            found.add(float(value))
    for score in run.scores.values():
        found.add(score.value)
    for updates, _, _ in run.extra["validations"]:
        if updates is not None:
            found.add(float(updates))
    return found


def losses_of(run: RunRecord) -> set[float]:
    return {value for _, _, value in run.extra["validations"] if math.isfinite(value)}


def check_no_invention(reading: Reading, text: bytes) -> None:
    there = {float(number.replace(b",", b"")) for number in _NUMBER.findall(text.replace(b"\x00", b""))}
    # a number of the file stands there in nats (SCALING_SCORES) or in base 2
    in_nats = there | {number * math.log(2) for number in there}
    for run in reading.runs:
        assert numbers_of(run) <= there, numbers_of(run) - there
        for loss in losses_of(run):
            assert any(math.isclose(loss, number, rel_tol=1e-12) for number in in_nats), loss


@pytest.mark.parametrize("kind", [*KEEPING, *PACKED, *CHANGING])
def test_damaged_logs_give_no_traceback_and_no_invented_number(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    for case in range(max(1, CASES // len(KEEPING + PACKED + CHANGING))):
        damaged, text = mutate(kind, random.Random(f"{kind} {case}"))
        path.write_bytes(damaged)
        reading = read_runs(path)
        check_no_invention(reading, text)
        # nothing vanishes without a word
        assert reading.runs or reading.problems, (kind, case)


DISTINCT = ("train-json-smoothed.log", "train-json-bleu.log", "train-simple-smoothed.log")


def identity(run: RunRecord) -> object:
    return run.extra["config"].get("checkpoint.save_dir") if "config" in run.extra else None


def truth() -> dict[object, set[tuple[int | None, str, float]]]:
    """Return folder of checkpoints -> the validations of its run, read from the whole log."""
    found: dict[object, set[tuple[int | None, str, float]]] = {}
    for name in DISTINCT:
        (run,) = read_runs(GOLDEN / name).runs
        found[identity(run)] = set(run.extra["validations"])
    return found


@pytest.mark.parametrize("kind", ["cut then other", "interleave"])
def test_no_run_gets_losses_of_another(kind: str, tmp_path: Path) -> None:
    known, path = truth(), tmp_path / "log"
    for case in range(CASES // 12):
        draw = random.Random(f"attribution {kind} {case}")
        one, two = (SAMPLES[name] for name in draw.sample(DISTINCT, 2))
        cut = one[: draw.randrange(len(one))]
        path.write_bytes(cut + two if kind == "cut then other" else _interleave(cut, two, draw))
        for run in read_runs(path).runs:
            if identity(run) is not None:
                assert set(run.extra["validations"]) <= known[identity(run)], case


def test_a_damaged_record_is_listed_with_its_line(tmp_path: Path) -> None:
    lines = plugin_log(run_object(), {100: 4.0, 200: 3.5}).splitlines(True)
    at = next(number for number, line in enumerate(lines) if '"valid_num_updates": "200"' in line)
    lines[at] = lines[at][:90] + "\n"
    path = tmp_path / "train.log"
    path.write_text("".join(lines))
    reading = read_runs(path)
    assert any(problem.line == at + 1 and "damaged" in problem.message for problem in reading.problems)
    assert reading.runs[0].extra["validations"] == [(100, "valid", pytest.approx(4 * math.log(2)))]


@pytest.mark.parametrize("length", range(1, 60, 3))
def test_the_last_number_of_a_cut_line_is_not_believed(tmp_path: Path, length: int) -> None:
    whole = "| epoch 001 | valid on 'valid' subset | loss 6.438 | nll_loss 5.233 | ppl 37.61 | num_updates 1100"
    path = tmp_path / "train.log"
    path.write_text(whole[:-length])
    assert all(run.cross_entropy is None for run in read_runs(path).runs)


def test_two_records_in_one_line_are_not_merged(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    stamp = "2026-01-01 00:00:01 | INFO | valid | "
    record = "epoch 001 | valid on 'valid' subset | loss 6.4 | nll_loss 5.2 | ppl 36.76 | num_updates 1"
    path.write_text(f"{stamp}{record[:-16]}{stamp}{record}00\n")
    (run,) = read_runs(path).runs
    assert run.extra["validations"] == [(100, "valid", pytest.approx(5.2 * math.log(2)))]


def test_a_record_patched_from_two_is_recognised_by_its_perplexity(tmp_path: Path) -> None:
    log = plugin_log(run_object(), {100: 4.0, 200: 3.5, 300: 3.25}).replace(
        '"valid_loss": "3.25"', '"valid_loss": "3.75"'
    )
    path = tmp_path / "train.log"
    path.write_text(log)
    reading = read_runs(path)
    assert [updates for updates, _, _ in reading.runs[0].extra["validations"]] == [100, 200]
    assert any("perplexity" in problem.message for problem in reading.problems)


def test_a_folder_that_holds_itself_and_odd_files_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train log é.log").write_text(plugin_log(run_object(), {100: 4.0}))
    (tmp_path / "run" / "loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.log").write_text("")
    reading = read_runs([tmp_path, tmp_path / "run"])
    assert len(reading.runs) == 1
    assert {Path(problem.file).name for problem in reading.problems} >= {"broken", "pipe"}


def test_a_gigantic_line_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"a" * (17 << 20))
    assert "longer than 16 MiB" in read_runs(path).problems[0].message


@pytest.mark.parametrize("kind", ["cut", "delete", "flip", "cut then other", "interleave"])
def test_damaged_output_of_generate_is_whole_or_refused(kind: str, tmp_path: Path) -> None:
    name = "generate-sacrebleu-detok.txt"
    expected = read_generation(GOLDEN / name).hypotheses
    content, path = SAMPLES[name], tmp_path / "gen.txt"
    refused = 0
    for case in range(CASES // 12):
        draw = random.Random(f"generate {kind} {case}")
        place = draw.randrange(len(content))
        if kind == "cut":
            damaged = content[:place]
        elif kind == "cut then other":
            damaged = content[:place] + content
        elif kind == "interleave":
            damaged = _interleave(content, SAMPLES["generate.log"], draw)
        else:
            damaged = _change(kind, content, place, draw)
        path.write_bytes(damaged)
        try:
            found = read_generation(path).hypotheses
        except DataError:
            refused += 1
            continue
        if kind in ("cut", "interleave"):
            assert found == expected
    assert refused or kind in ("flip", "interleave")
