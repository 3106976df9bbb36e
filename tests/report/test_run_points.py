"""Points from run records: what counts, and what is said of the runs that do not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fairseq_scaling.logs import RunRecord, Score, Scored
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.points.curves import CurveProblem, collect
from fairseq_scaling.report.run_points import Choice, RunProblem, points_of_runs
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
    curve = collect(points_of_runs([run(500_000, 12.0, 2.5, mixture=mixture)]).points).curves[0]
    assert curve.first.alignment == pytest.approx(alignment)


def test_a_run_without_pretraining_size_is_listed_with_the_remedy() -> None:
    result = points_of_runs([run(None, 12.0, 2.5)])
    assert result.points == []
    assert "--mapping" in result.problems[0].message


def test_a_run_without_bleu_still_gives_its_cross_entropy() -> None:
    result = points_of_runs([run(500_000, None, 2.5)])
    assert [point.metric for point in result.points] == ["cross_entropy"]
    assert result.problems == []


def test_a_cut_training_log_gives_no_cross_entropy_but_its_score_stays() -> None:
    result = points_of_runs([run(500_000, 12.0, 2.5, finished=False)])
    assert [point.metric for point in result.points] == ["bleu"]
    assert [problem.kind for problem in result.problems] == [RunProblem.UNFINISHED]
    used = points_of_runs([run(500_000, 12.0, 2.5, finished=False)], Choice(unfinished=True))
    assert [point.metric for point in used.points] == ["bleu", "cross_entropy"]
    assert [problem.kind for problem in used.problems] == [RunProblem.USED_UNFINISHED]


def test_a_diverged_run_is_listed() -> None:
    assert "cross_entropy is nan" in messages(run(500_000, 12.0, math.nan, cross_entropies={"test": math.nan}))


def test_a_run_whose_training_diverged_is_on_no_curve_whatever_was_scored() -> None:
    result = points_of_runs([run(500_000, 12.0, 2.5, diverged=True)])
    assert result.points == []
    assert "diverged" in result.problems[0].message


def test_cross_entropies_of_one_task_come_from_one_subset() -> None:
    runs = [
        run(250_000, None, 3.0, cross_entropies={"test": 3.0, "valid": 2.9}),
        run(500_000, None, 2.8, cross_entropies={"valid": 2.8}),
        run(1_000_000, None, 2.6, cross_entropies={"valid": 2.5}),
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
    (problem,) = result.problems
    assert problem.kind is RunProblem.OTHER_SUBSET
    assert problem.fields == {"metric": "cross_entropy", "subset": "valid", "chosen": "test"}


def test_cross_entropy_is_of_the_kind_of_subset_of_the_scores_or_left_out_and_said() -> None:
    runs = [run(size, 1.0, 3.0, cross_entropies={"valid": 3.0}) for size in (250_000, 500_000)]
    result = points_of_runs(runs)
    assert {point.metric for point in result.points} == {"bleu"}
    assert [problem.kind for problem in result.problems] == [RunProblem.OTHER_KIND] * 2
    chosen = points_of_runs(runs, Choice({"cross_entropy": "valid"}))
    assert sum(point.metric == "cross_entropy" for point in chosen.points) == 2
    assert chosen.problems == []


def test_one_metric_of_one_curve_is_of_one_subset_and_the_option_chooses_it() -> None:
    def scored(size: int, *subsets: str) -> RunRecord:
        found = {subset: {"bleu": Score(float(len(subset)), "s", {"subset": subset})} for subset in subsets}
        return run(size, None, None, extra={"scores_by_subset": found})

    runs = [scored(250_000, "tst-COMMON_st"), scored(500_000, "tst-COMMON_st", "dev_st"), scored(10**6, "dev_st")]
    result = points_of_runs(runs)
    assert [point.details["subset"] for point in result.points] == ["tst-COMMON_st"] * 2
    assert [problem.kind for problem in result.problems] == [RunProblem.OTHER_SUBSET]
    assert [p.details["subset"] for p in points_of_runs(runs, Choice({"": "dev_st"})).points] == ["dev_st"] * 2
    sets = (["newstest2014", "newstest2015"], ["newstest2014"], ["newstest2014"])
    rare = points_of_runs([scored(10**6 * i, *names) for i, names in enumerate(sets, 1)])
    assert [point.details["subset"] for point in rare.points] == ["newstest2014"] * 3
    assert rare.problems[0].fields["others"] == "newstest2015"
    assert points_of_runs(runs, Choice({"bleu": "test"})).problems[0].kind is RunProblem.NOT_THERE


def test_every_test_set_gives_a_curve_with_its_own_cross_entropy() -> None:
    def scored(size: int) -> RunRecord:
        found = {name: {"bleu": Score(size / 1e5, "s", {"subset": name})} for name in ("newstest2014", "newstest2015")}
        losses = {"newstest2014": 3.0, "newstest2015": 2.0, "valid": 1.0}
        return run(size, None, None, cross_entropies=losses, extra={"scores_by_subset": found})

    result = points_of_runs([scored(size) for size in (0, 250_000, 500_000)])
    assert result.problems == []
    base = "en-fr / 50 en + 50 fr / D_f=200k / t5_tiny"
    curves = collect(result.points).curves
    assert [(curve.name, curve.metric, curve.first.test_set) for curve in curves] == [
        (f"{base} / {name}", metric, name)
        for name in ("newstest2014", "newstest2015")
        for metric in ("bleu", "cross_entropy")
    ]
    assert {(len(curve.points), len(curve.baselines)) for curve in curves} == {(2, 1)}


def described(tokens: int, **said: object) -> RunRecord:
    return run(tokens, 5.0, None, extra={"run": said})


def test_a_curve_whose_runs_did_not_read_their_finetuning_set_is_marked() -> None:
    sizes = (250_000, 500_000)
    short = [described(size, finetune_tokens_used=199_990, finetune_tokens_read=12_000) for size in sizes]
    (problem,) = collect(points_of_runs(short).points).problems
    assert problem.kind is CurveProblem.UNREAD
    assert "D_f of 200k tokens was not read: at most 12k tokens were" in problem.message
    assert "2 of its 2 runs" in problem.message
    whole = [described(size, finetune_tokens_used=199_990, finetune_tokens_read=600_000) for size in sizes]
    silent = [described(size) for size in sizes]
    for runs in (whole, silent):
        assert collect(points_of_runs(runs).points).problems == []


def test_cross_entropy_is_of_the_checkpoint_that_was_scored() -> None:
    fields: dict[str, Any] = {"cross_entropies": {"test": 3.0}}
    best = run(250_000, 1.0, 3.0, **fields, scored=Scored("checkpoint_best.pt", 50, False),
               scored_cross_entropies={"test": 2.0})  # fmt: skip
    other = run(500_000, 1.0, 3.0, **fields, scored=Scored("checkpoint_best.pt", 50, False))
    unknown = run(10**6, 1.0, 3.0, **fields, scored=Scored("", None, None))
    result = points_of_runs([best, other, unknown])
    assert [point.value for point in result.points if point.metric == "cross_entropy"] == [2.0]
    assert [problem.kind for problem in result.problems] == [RunProblem.NO_LOSS_AT, RunProblem.UNKNOWN_CHECKPOINT]


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
