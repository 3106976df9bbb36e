"""Points from run records: what counts, and what is said of the runs that do not."""

from __future__ import annotations

import math

import pytest

from fairseq_scaling.logs import RunRecord
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.run_points import points_of_runs
from tests.report.example import run, study


def messages(*runs: RunRecord) -> str:
    return "\n".join(problem.message for problem in points_of_runs(runs).problems)


def test_a_run_gives_a_point_per_metric_with_its_origin() -> None:
    result = points_of_runs([run(500_000, 12.0, 2.5)])
    points = {point.metric: point for point in result.points}
    assert set(points) == {"bleu", "cross_entropy"}
    assert points["bleu"].origin == "logs/en:0.5,fr:0.5/dp500000/seed1.log:12"
    assert points["cross_entropy"].line == 9
    assert points["bleu"].details["brevity_penalty"] == 0.99
    assert result.problems == []


@pytest.mark.parametrize(("mixture", "alignment"), [("en:0.5,fr:0.5", 1.0), ("en", 0.7), ("fr", 0.8), ("de", 0.0)])
def test_the_alignment_is_the_papers(mixture: str, alignment: float) -> None:
    point = points_of_runs([run(500_000, 12.0, 2.5, mixture=mixture)]).points[0]
    assert point.alignment == pytest.approx(alignment)


def test_a_run_without_pretraining_size_is_listed_with_the_remedy() -> None:
    result = points_of_runs([run(None, 12.0, 2.5)])
    assert result.points == []
    assert "--mapping" in result.problems[0].message


def test_a_run_without_bleu_still_gives_its_cross_entropy() -> None:
    result = points_of_runs([run(500_000, None, 2.5)])
    assert [point.metric for point in result.points] == ["cross_entropy"]
    assert "no BLEU" in result.problems[0].message


def test_a_cut_training_log_gives_no_cross_entropy_but_its_score_stays() -> None:
    result = points_of_runs([run(500_000, 12.0, 2.5, finished=False)])
    assert [point.metric for point in result.points] == ["bleu"]
    assert "did not end" in result.problems[0].message


def test_a_diverged_run_is_listed() -> None:
    assert "diverged" in messages(run(500_000, 12.0, math.nan, cross_entropies={"test": math.nan}))


def test_a_run_whose_training_diverged_is_on_no_curve_whatever_was_scored() -> None:
    result = points_of_runs([run(500_000, 12.0, 2.5, diverged=True)])
    assert result.points == []
    assert "diverged" in result.problems[0].message


def test_cross_entropies_of_one_task_come_from_one_subset() -> None:
    runs = [
        run(250_000, 1.0, 3.0, cross_entropies={"test": 3.0, "valid": 2.9}),
        run(500_000, 1.0, 2.8, cross_entropies={"valid": 2.8}),
        run(1_000_000, 1.0, 2.6, cross_entropies={"test": 2.6, "valid": 2.5}),
    ]
    result = points_of_runs(runs)
    losses = [point for point in result.points if point.metric == "cross_entropy"]
    assert [point.value for point in losses] == [2.9, 2.8, 2.5]
    assert {point.details["subset"] for point in losses} == {"valid"}


def test_the_test_set_is_preferred_and_a_run_that_lacks_it_is_listed() -> None:
    runs = [
        run(250_000, 1.0, 3.0, cross_entropies={"test": 3.0}),
        run(500_000, 1.0, 2.8, cross_entropies={"valid": 2.8}),
        run(1_000_000, 1.0, 2.6, cross_entropies={"test": 2.6}),
    ]
    result = points_of_runs(runs)
    assert [point.value for point in result.points if point.metric == "cross_entropy"] == [3.0, 2.6]
    assert "on test is missing" in result.problems[0].message


def test_forgetting_is_joined_to_the_pretraining_loss_at_the_same_size() -> None:
    parent = RunRecord(
        "pretraining",
        "p1",
        1_000_000,
        mixture=Mixture.parse("en"),
        extra={"upstream_curve": [(500_000, "valid_en", 4.0)]},
    )
    child = run(
        500_000, 12.0, 2.5, cross_entropies={"test": 2.5, "upstream_en": 4.6}, extra={"run": {"pretrain_run_id": "p1"}}
    )
    result = points_of_runs([parent, child])
    (row,) = result.forgetting
    assert (row.subset, row.before, row.after) == ("en", 4.0, 4.6)
    assert (result.pretraining_runs, result.finetuning_runs) == (1, 1)


def test_a_whole_study_reads_without_a_complaint() -> None:
    result = points_of_runs(study())
    assert result.problems == []
    assert len(result.points) == 2 * len(study())
