"""Runs of published models, whose D_p nobody knows: scores beside the baseline, and no law."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from fairseq_scaling.cli.fit_scaling import EXIT_NOTHING_FITTED, main
from fairseq_scaling.logs import RunRecord
from fairseq_scaling.report.render.files import report_to_json
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.render.tables import all_tables
from fairseq_scaling.report.render.terminal import print_report
from fairseq_scaling.report.render.wording import headline
from fairseq_scaling.report.results import Report
from fairseq_scaling.report.run_points import points_of_runs
from tests.logs.samples import plugin_log, run_object, score_file
from tests.report.example import report_of, run, study


def published(bleu: float, seed: int = 1, name: str = "mt5-small", content: str = "abc", **changes: Any) -> RunRecord:
    """Return a run that says of itself that its start's pretraining is unknown."""
    said = {"pretrain_tokens": None, "start": name, "pretrain_run_id": content}
    fields = {"run_id": f"{content}-{seed}", "extra": {"run": said}, "file": f"{content}/{seed}.log", **changes}
    return run(None, bleu, 2.0, seed=seed, **fields)


RUNS = [run(0, 2.0, 3.4, seed=1), run(0, 2.5, 3.5, seed=2), published(20.0), published(21.0, 2)]


def rows(report: Report) -> list[list[str]]:
    return all_tables(report)["unplaced"].rows


def printed(report: Report) -> str:
    text = StringIO()
    print_report(report, Console(file=text, width=200))
    return text.getvalue()


def test_means_of_models_without_d_p_stand_below_the_baseline_of_their_setting() -> None:
    other = [run(0, 3.0, 3.3, finetune_tokens=400_000), published(25.0, content="abd", finetune_tokens=400_000)]
    report = report_of([*RUNS, published(23.0, name="mt5-base", content="xyz"), *other])
    assert rows(report) == [
        ["en-fr", "200k", "no pretraining", "2", "2.25 ± 0.35", "3.450 ± 0.071"],
        ["", "", "mt5-small (abc)", "2", "20.50 ± 0.71", "2.000 ± 0.000"],
        ["", "", "mt5-base", "1", "23.00", "2.000"],
        ["en-fr", "400k", "no pretraining", "1", "3.00", "3.300"],
        ["", "", "mt5-small (abd)", "1", "25.00", "2.000"],
    ]
    assert (
        json.loads(json.dumps(report_to_json(report), allow_nan=False))["unplaced"][0]["points"][0]["pretrain_tokens"]
        is None
    )


def test_two_models_of_one_name_are_told_apart_and_one_model_keeps_its_name() -> None:
    assert [row[2] for row in rows(report_of(RUNS))] == ["no pretraining", "mt5-small"]
    twins = report_of([published(20.0), published(30.0, content="xyz")])
    assert [row[2:5] for row in rows(twins)] == [["mt5-small (abc)", "1", "20.00"], ["mt5-small (xyz)", "1", "30.00"]]


def test_a_study_of_such_models_alone_says_that_d_p_is_unknown_and_that_there_is_no_law() -> None:
    report = report_of(RUNS)
    assert report.curves == ()
    assert headline(report) == "No forecast: how much text the models were pretrained on is unknown"
    assert "No forecast" in printed(report)
    for text in (printed(report), render_page(report, [])):
        assert "D_p is unknown" in text
        assert "no law over D_p is fitted" in text.replace("\n", " ")
        assert "without a curve to compare it with" not in text
    assert "D_p is unknown: the run is on no curve: 2 runs" in " ".join(printed(report).split())


def test_curves_beside_such_models_are_what_they_are_without_them() -> None:
    alone, beside = report_of(study()), report_of([*study(), *RUNS[2:]])
    assert report_to_json(beside)["curves"] == report_to_json(alone)["curves"]
    assert headline(beside) == headline(alone)
    assert [row[2:5] for row in rows(beside)] == [
        ["no pretraining", "2", "2.10 ± 0.14"],
        ["mt5-small", "2", "20.50 ± 0.71"],
    ]
    assert "unplaced" not in all_tables(alone)


def test_what_diverged_or_says_nothing_of_its_start_is_listed_and_not_shown() -> None:
    result = points_of_runs([published(20.0, diverged=True), run(None, 21.0, 2.0)])
    assert result.points == []
    messages = "\n".join(problem.message for problem in result.problems)
    assert "run abc-1: its training diverged" in messages
    assert "run abc-1: D_p is unknown: the run is on no curve; it started from mt5-small" in messages


@pytest.mark.parametrize("baseline", [True, False])
def test_logs_in_which_every_d_p_is_unknown_give_a_report_and_the_exit_code_of_nothing_fitted(
    tmp_path: Path, baseline: bool
) -> None:
    said: dict[str, Any] = {"mixture": {}, "alignment": None, "corpus": "c0ffee"}
    runs = {"b": run_object("b" * 12, **said, pretrain_tokens=0)} if baseline else {}
    runs["a"] = run_object("a" * 12, **said, pretrain_tokens=None, start="mt5-small", pretrain_run_id="abc")
    for name, described in runs.items():
        (tmp_path / f"{name}.log").write_text(plugin_log(described, {10: 4.0}))
        (tmp_path / f"{name}.json").write_text(score_file(described, 5.0 if name == "b" else 20.0, "valid"))
    out = tmp_path / "out"
    result = CliRunner().invoke(main, [str(tmp_path), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == EXIT_NOTHING_FITTED, result.output
    assert "Models whose pretraining is unknown" in result.output
    assert result.output.count("no pretraining") == baseline
    assert "mt5-small" in (out / "report.html").read_text("utf-8")
    groups = json.loads((out / "fits.json").read_text("utf-8"))["unplaced"]
    assert {group["metric"]: group["points"][0]["value"] for group in groups}["bleu"] == 20.0
    mapping = tmp_path / "map.csv"
    mapping.write_text("path,pretrain_tokens,mixture\na.log,1000000,en:1\n")
    placed = CliRunner().invoke(main, [str(tmp_path), "--mapping", str(mapping), "--out", str(out)])
    assert "Models whose pretraining is unknown" not in placed.output, placed.output
    curves = json.loads((out / "fits.json").read_text("utf-8"))["curves"]
    assert [curve["largest_pretrain_tokens"] for curve in curves] == [10**6] * 2
