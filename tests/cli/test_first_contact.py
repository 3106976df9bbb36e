"""Stock logs that fit-scaling has never seen: what it says of them, and how they come onto a curve."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from fairseq_scaling.cli.fit_scaling import main
from fairseq_scaling.report.run_points import RunProblem
from tests.logs.stock import generate, train

SIZES = [10**6 * 2**step for step in range(5)]


def fit_scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def study(folder: Path, losses: Any, path: str = "", subset: str = "valid", tested: str = "test") -> Path:
    """Write five runs, each in a folder of its own; ``losses`` gives those of a run by its number."""
    for step in range(len(SIZES)):
        place = folder / "logs" / f"run{step}"
        place.mkdir(parents=True)
        (place / "train.log").write_text(train(*losses(step), save_dir=f"checkpoints{step}", subset=subset))
        checkpoint = f"checkpoints{step}/{path}" if path else ""
        (place / "generate.txt").write_text(generate(20 + 2 * step, tested, checkpoint))
    return folder / "logs"


def mapping(folder: Path) -> Path:
    rows = "".join(f"run{step}/*,{size}\n" for step, size in enumerate(SIZES))
    (folder / "map.csv").write_text(f"path,pretrain_tokens\n{rows}")
    return folder / "map.csv"


def fitted(folder: Path, *options: object) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """Return metric -> values by size, and the problems of fits.json."""
    result = fit_scaling(
        folder / "logs", "--mapping", mapping(folder), "--no-report", "--out", folder / "out", *options
    )
    assert result.exit_code in (0, 3), result.output
    points: dict[str, list[float]] = {}
    with (folder / "out/points.csv").open(newline="") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda row: float(row["pretrain_tokens"])):
            points.setdefault(row["metric"], []).append(round(float(row["value"]) / 0.6931471805599453, 6))
    return points, json.loads((folder / "out/fits.json").read_text())["problems"]


def kinds(problems: list[dict[str, Any]]) -> list[str]:
    return [problem["kind"] for problem in problems]


def test_the_first_screen_says_what_was_read_what_is_missing_and_the_next_step(tmp_path: Path) -> None:
    for number in range(61):
        (tmp_path / f"run{number}.log").write_text(train(5, 4, save_dir=f"c{number}"))
        (tmp_path / f"run{number}.txt").write_text(generate(20, path=f"c{number}/checkpoint_last.pt"))
    result = fit_scaling(tmp_path)
    assert result.exit_code == 2
    lines = [line.strip() for line in result.output.splitlines()]
    assert len(lines) < 17
    logs = shlex.quote(str(tmp_path))
    assert lines[:5] == [
        "Found:   61 runs in 122 files",
        "Missing: pretrain_tokens: the logs do not say on how many tokens each model was pretrained",
        f"Next:    fit-scaling {logs} --write-mapping mapping.csv",
        "then fill in the column pretrain_tokens of mapping.csv (0: no pretraining)",
        f"then fit-scaling {logs} --mapping mapping.csv",
    ]
    assert f"read {tmp_path}: 122 files, 61 runs" in lines
    assert "training    finished (61)" in lines
    assert "scores      bleu of test (61)" in lines
    assert "languages   de-en (61)" in lines
    assert "subsets     test (61), valid (61)" in lines
    assert sum("lacks pretrain_tokens: 61 runs" in line for line in lines) == 1


def test_a_mapping_that_was_written_and_filled_in_fits(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0 - step / 10))
    table = tmp_path / "new.csv"
    result = fit_scaling(logs, "--write-mapping", table)
    assert result.exit_code == 0
    assert f"wrote {table}: 5 rows" in result.output
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"run{step}/*" for step in range(5)]
    assert {(row["source_lang"], row["target_lang"], row["seed"], row["pretrain_tokens"]) for row in rows} == {
        ("de", "en", "1", "")
    }
    for row, size in zip(rows, SIZES, strict=True):
        row["pretrain_tokens"] = str(size)
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    result = fit_scaling(logs, "--mapping", table, "--no-report", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out/fits.json").read_text())
    assert [len(curve["points"]) for curve in document["curves"] if curve["points"]] == [5]
    refused = fit_scaling(logs, "--write-mapping", table)
    assert refused.exit_code == 2
    assert "is there already" in refused.output


def test_a_written_mapping_has_a_row_for_each_run_of_one_folder_and_joins_by_the_column_run(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a", "b"):
        (tmp_path / "logs" / f"{name}.log").write_text(train(5, 4))
        (tmp_path / "logs" / f"{name}.txt").write_text(generate(20))
    table = tmp_path / "map.csv"
    table.write_text("path,run\na.*,a\nb.*,b\n")
    again = tmp_path / "again.csv"
    assert fit_scaling(tmp_path / "logs", "--mapping", table, "--write-mapping", again).exit_code == 0
    with again.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["run"], row["path"]) for row in rows] == [("a", "a.log|a.txt"), ("b", "b.log|b.txt")]


def test_nothing_to_fit_of_a_mapping_that_is_not_filled_in_names_its_column(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0))
    table = tmp_path / "new.csv"
    fit_scaling(logs, "--write-mapping", table)
    result = fit_scaling(logs, "--mapping", table)
    assert result.exit_code == 2
    assert f"Next:    fill in the column pretrain_tokens of {table}: 5 runs without it" in result.output


def test_scores_and_losses_of_subsets_of_any_name_are_used(tmp_path: Path) -> None:
    study(tmp_path, lambda step: (5.0, 4.0 - step / 10), "checkpoint_last.pt", "dev_st", "tst-COMMON_st")
    points, problems = fitted(tmp_path)
    assert set(points) == {"bleu"}
    assert kinds(problems).count("other_kind") == 1
    assert next(problem for problem in problems if problem["kind"] == "other_kind")["count"] == 5
    points, problems = fitted(tmp_path, "--subset", "cross_entropy=dev_st")
    assert points["cross_entropy"] == [4.0, 3.9, 3.8, 3.7, 3.6]
    assert RunProblem.OTHER_KIND.name.lower() not in kinds(problems)


def test_the_loss_of_a_point_is_that_of_the_checkpoint_that_was_scored(tmp_path: Path) -> None:
    """The best losses fall with more pretraining, the last ones rise."""
    study(tmp_path, lambda step: (4.0 - 0.2 * step, 4.5 + 0.5 * step), "checkpoint_best.pt", tested="valid")
    points, _ = fitted(tmp_path)
    assert points["cross_entropy"] == [4.0, 3.8, 3.6, 3.4, 3.2]


def test_where_no_file_says_which_checkpoint_was_scored_its_loss_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    study(tmp_path, lambda step: (4.0 - 0.2 * step, 4.5 + 0.5 * step), tested="valid")
    points, problems = fitted(tmp_path)
    assert set(points) == {"bleu"}
    assert "unknown_checkpoint" in kinds(problems)


def test_a_score_of_another_subset_is_on_no_curve(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0), "checkpoint_last.pt")
    (logs / "run2/generate.txt").write_text(generate(99, "valid", "checkpoints2/checkpoint_last.pt"))
    points, problems = fitted(tmp_path)
    assert len(points["bleu"]) == 4
    assert "other_subset" in kinds(problems)


def test_runs_that_never_ended_count_on_request(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0 - step / 10), "checkpoint_last.pt", tested="valid")
    for log in logs.rglob("train.log"):
        log.write_text(log.read_text().rpartition("2020")[0])
    points, problems = fitted(tmp_path)
    assert set(points) == {"bleu"}
    assert "unfinished" in kinds(problems)
    points, problems = fitted(tmp_path, "--unfinished")
    assert points["cross_entropy"] == [4.0, 3.9, 3.8, 3.7, 3.6]
    assert "used_unfinished" in kinds(problems)
    assert "unfinished" not in kinds(problems)


def test_off_a_terminal_paths_are_in_one_piece(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 90) / ("b" * 90)
    folder.mkdir(parents=True)
    study(folder, lambda step: (5.0, 4.0), "checkpoint_last.pt")
    (folder / "logs/run0/notes.txt").write_text("no log\n")
    result = fit_scaling(folder / "logs", "--mapping", mapping(folder), "--no-report", "--out", folder / "out")
    assert f"{folder}/logs/run0: " in result.output
    assert f"{folder}/out/points.csv\n" in result.output


def test_a_subset_is_chosen_once_for_a_metric(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0))
    for options in (["--subset", "a", "--subset", "b"], ["--subset", "bleu="]):
        result = fit_scaling(logs, *options)
        assert result.exit_code == 2
        assert "--subset" in result.output


def test_logs_are_over_pretraining_tokens_alone(tmp_path: Path) -> None:
    logs = study(tmp_path, lambda step: (5.0, 4.0))
    result = fit_scaling(logs, "--mapping", mapping(tmp_path), "--x", "updates")
    assert result.exit_code == 2
    assert "--x = updates: of logs the curves are over pretraining tokens" in result.output
