"""``fit-scaling watch``: fits again when a file has changed, waits where there is nothing yet, ends with Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.cli import _watch
from fairseq_scaling.cli.fit_scaling import main
from tests.logs.samples import plugin_log, run_object, score_file

ROOT = Path(__file__).resolve().parents[2]
SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)


def write_run(folder: Path, step: int, bleu: float) -> None:
    """Write the log and the scores of a finished finetuning run."""
    run = run_object(f"{step:012x}", pretrain_tokens=SIZES[step], pretrain_tokens_by_language={"en": SIZES[step]})
    place = folder / f"run{step}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.log").write_text(plugin_log(run, {100: 5 - 0.3 * step, 200: 4 - 0.3 * step}))
    (place / "scores.json").write_text(score_file(run, bleu, "valid"))


def watch(monkeypatch: pytest.MonkeyPatch, looks: list[Callable[[], None]], *arguments: object) -> Result:
    """Watch; between two looks do what stands in ``looks``, and press Ctrl-C after the last."""
    left = list(looks)

    def sleep(seconds: float) -> None:
        assert seconds == 10
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(_watch.time, "sleep", sleep)
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def points(out: Path) -> list[float]:
    with (out / "points.csv").open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "bleu"]


def test_a_study_is_watched_from_before_its_first_run_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    seen: list[object] = []

    def first_runs() -> None:
        for step in range(3):
            write_run(logs, step, 10.0 + 3 * step)

    def nothing() -> None:
        seen.append(points(out))

    def last_run() -> None:
        nothing()
        write_run(logs, 3, 18.5)

    looks = [logs.mkdir, lambda: None, first_runs, nothing, last_run, nothing]
    result = watch(monkeypatch, looks, "watch", logs, "--out", out, "--no-report")
    assert result.exit_code == 0, result.output
    assert result.output.count(f"waiting for runs in {logs} ...\n") == 1, "it is missing, then empty: said once"
    assert seen == [[10, 13, 16], [10, 13, 16], [10, 13, 16, 18.5]]
    stamped = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d fitted (\d) of 2 curves$", result.output, re.M)
    assert stamped == ["2", "2"], "two fits, one for each change"


def test_a_log_that_grows_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(4):
        write_run(tmp_path / "logs", step, 10.0 + 3 * step)
    path = tmp_path / "logs/run3/train.log"
    whole = path.read_text()
    path.write_text(whole[: whole.index("done training") - 60])
    for file in (tmp_path / "logs").rglob("*.*"):
        os.utime(file, (time.time() - 3600,) * 2)

    def problems() -> str:
        document = json.loads((tmp_path / "out/fits.json").read_text())
        return " ".join(problem["message"] for problem in document["problems"])

    said: list[str] = []
    looks = [lambda: said.append(problems()) or path.write_text(whole), lambda: said.append(problems())]  # type: ignore[func-returns-value]
    result = watch(monkeypatch, looks, tmp_path / "logs", "--watch", "--out", tmp_path / "out", "--no-report")
    assert result.exit_code == 0, result.output
    assert ["did not finish" in text for text in said] == [True, False]


def test_results_inside_the_watched_folder_do_not_start_another_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(3):
        write_run(tmp_path, step, 10.0 + 3 * step)
    result = watch(monkeypatch, [lambda: None] * 3, "watch", tmp_path, "--out", tmp_path / "results")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "results/report.html").exists()
    assert result.output.count(" fitted 2 of 2 curves") == 1


def test_stopped_before_anything_was_fitted_it_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = watch(monkeypatch, [], "watch", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert f"waiting for runs in {tmp_path}/ ..." in result.output


def test_a_metric_that_no_run_has_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, 0, 10.0)
    result = watch(monkeypatch, [], "watch", tmp_path, "--metric", "chrf", "--out", tmp_path / "out")
    assert "waiting for runs in" in result.output
    assert "--metric = chrf" in result.output


def test_a_mapping_that_names_no_field_is_an_error_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["watch", str(tmp_path), "--mapping", "{no_such_field}/*.log"])
    assert result.exit_code == 2
    assert "no such field" in result.output


def test_a_path_of_the_name_watch_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for step in range(3):
        write_run(tmp_path / "watch", step, 10.0 + 3 * step)
    result = CliRunner().invoke(main, ["watch", "--no-report", "--out", "out"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert points(tmp_path / "out") == [10, 13, 16]


def test_watch_alone_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["watch"])
    assert result.exit_code == 2
    assert "fit-scaling watch logs/" in result.output


def test_ctrl_c_ends_the_command_with_0(tmp_path: Path) -> None:
    for step in range(3):
        write_run(tmp_path / "logs", step, 10.0 + 3 * step)
    command = [sys.executable, "-u", "-m", "fairseq_scaling.cli.fit_scaling", "watch", str(tmp_path / "logs")]
    process = subprocess.Popen(
        [*command, "--no-report", "--out", str(tmp_path / "out"), "--every", "0.05"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("wrote") and "predictions.csv" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    lines += process.stdout.readlines()
    assert process.wait(timeout=60) == 0, "".join(lines)
    assert "Traceback" not in "".join(lines)
