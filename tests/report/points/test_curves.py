"""Curves from points: what belongs together, baselines, doubles, contradictions."""

from __future__ import annotations

import math

import pytest

from fairseq_scaling.logs import RunRecord
from fairseq_scaling.report.fitting import to_curve
from fairseq_scaling.report.points import Point, curve_name, mixture_label
from fairseq_scaling.report.points.curves import CurvePoints, collect
from fairseq_scaling.report.run_points import points_of_runs
from tests.report.example import SIZES, run, study


def row(tokens: float, value: float, curve: str = "c", metric: str = "bleu", **more: object) -> Point:
    return Point(metric, tokens, value, curve, file="t.csv", **more)  # type: ignore[arg-type]


def test_runs_are_grouped_by_mixture_task_finetuning_size_architecture_and_metric() -> None:
    collection = collect(points_of_runs(study()).points)
    assert [(curve.first.mixture, curve.metric, len(curve.points)) for curve in collection.curves] == [
        ("en:0.5,fr:0.5", "bleu", 12),
        ("en:0.5,fr:0.5", "cross_entropy", 12),
        ("en:1", "bleu", 12),
        ("en:1", "cross_entropy", 12),
    ]
    assert collection.problems == []


def test_all_mixtures_share_the_baseline_of_their_task_and_it_is_no_point_of_theirs() -> None:
    for curve in collect(points_of_runs(study()).points).curves:
        assert len(curve.baselines) == 2
        assert sorted({point.pretrain_tokens for point in curve.points}) == list(SIZES)


def test_another_finetuning_size_is_another_curve_with_another_baseline() -> None:
    runs = [run(tokens, 5.0, None) for tokens in SIZES] + [run(0, 1.0, None)]
    runs += [run(tokens, 9.0, None, finetune_tokens=2_000_000) for tokens in SIZES] + [
        run(0, 8.0, None, finetune_tokens=2_000_000)
    ]
    curves = collect(points_of_runs(runs).points).curves
    assert [(curve.first.finetune_tokens, [point.value for point in curve.baselines]) for curve in curves] == [
        (200_000, [1.0]),
        (2_000_000, [8.0]),
    ]


def test_points_are_ordered_by_size_whatever_the_order_of_the_rows() -> None:
    (curve,) = collect([row(4e6, 3.0), row(1e6, 1.0), row(2e6, 2.0)]).curves
    assert [point.value for point in curve.points] == [1.0, 2.0, 3.0]


def test_a_row_with_no_pretraining_is_the_baseline_of_the_curve_of_its_name() -> None:
    first, second = collect([row(0, 0.5), row(1e6, 1.0), row(1e6, 2.0, curve="d")]).curves
    assert [point.value for point in first.baselines] == [0.5]
    assert second.baselines == []


def test_a_curve_of_baselines_alone_serves_all_curves_of_its_metric() -> None:
    curves = collect([row(0, 0.5, curve="none"), row(1e6, 1.0, curve="a"), row(1e6, 2.0, curve="b")]).curves
    assert [[point.value for point in curve.baselines] for curve in curves] == [[0.5], [0.5]]


def test_a_baseline_without_a_curve_is_listed() -> None:
    collection = collect([row(0, 0.5, curve="none", metric="chrf"), row(1e6, 1.0)])
    assert "without a curve" in collection.problems[0].message


def test_the_same_point_from_two_files_counts_once() -> None:
    twice = [row(1e6, 1.0, seed=1), Point("bleu", 1e6, 1.0, "c", seed=1, file="copy.csv"), row(2e6, 2.0, seed=1)]
    (curve,) = collect(twice).curves
    assert len(curve.points) == 2
    assert curve.left_out[0][1] == "the same point as t.csv"


@pytest.mark.parametrize(("metric", "values"), [("bleu", [0.0, 2.0]), ("comet", [-0.8, -0.1, 0.0, 0.4])])
def test_values_of_zero_and_below_are_part_of_the_curve(metric: str, values: list[float]) -> None:
    (curve,) = collect([row(1e6 * 2**i, value, metric=metric) for i, value in enumerate(values)]).curves
    assert [point.value for point in curve.points] == values
    assert curve.left_out == []


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("bleu", 112.0, "BLEU cannot be above 100"), ("bleu", -1.0, "BLEU cannot be below 0"),
        ("ter", -3.0, "TER cannot be below 0"), ("cross_entropy", -0.1, "cross-entropy cannot be below 0"),
        ("perplexity", 0.5, "perplexity cannot be below 1"), ("accuracy", 45.0, "accuracy cannot be above 1"),
    ],
)  # fmt: skip
def test_a_value_that_its_metric_cannot_take_is_named_and_left_out(metric: str, value: float, said: str) -> None:
    good = 1.5 if metric == "perplexity" else 0.5
    lower = metric not in ("bleu", "accuracy")
    collection = collect(
        row(1e6 * (i + 1), v, metric=metric, lower_is_better=lower) for i, v in enumerate([good, value])
    )
    (curve,) = collection.curves
    assert [point.value for point in curve.points] == [good]
    assert said in curve.left_out[0][1]


def test_an_accuracy_in_per_cent_is_told_how_to_say_so() -> None:
    (curve,) = collect([row(1e6, 45.0, metric="accuracy")]).curves
    assert "--scale accuracy=100" in curve.left_out[0][1]
    (curve,) = collect([row(1e6, 45.0, metric="accuracy", scale=100.0)]).curves
    assert (len(curve.points), curve.about.upper) == (1, 100.0)


def test_the_order_in_which_a_mixture_is_written_makes_no_curve_of_its_own() -> None:
    runs = [
        run(tokens, 5.0, None, mixture=mixture) for tokens in SIZES for mixture in ("en:0.5,fr:0.5", "fr:0.5,en:0.5")
    ]
    curves = collect(points_of_runs(runs).points).curves
    assert [curve.name for curve in curves] == ["en-fr / 50 en + 50 fr / D_f=200k / t5_tiny"]


def test_every_test_set_of_a_metric_has_its_own_curve_and_names_tell_only_where_there_are_several() -> None:
    points = [
        row(tokens, value, test_set=name)
        for tokens in (0, 1e6, 2e6)
        for name, value in (("newstest2014", 10.0), ("newstest2015", 20.0))
    ]
    points += [
        row(tokens, 2.0, metric="cross_entropy", lower_is_better=True, test_set="valid") for tokens in (1e6, 2e6)
    ]
    curves = collect(points).curves
    assert [(curve.name, curve.metric, curve.first.test_set) for curve in curves] == [
        ("c", "cross_entropy", "valid"),
        ("c / newstest2014", "bleu", "newstest2014"),
        ("c / newstest2015", "bleu", "newstest2015"),
    ]
    assert [[point.value for point in curve.baselines] for curve in curves[1:]] == [[10.0], [20.0]]


def test_a_point_without_a_test_set_is_on_that_of_the_others() -> None:
    (curve,) = collect([row(1e6, 1.0, test_set="newstest2014"), row(2e6, 2.0)]).curves
    assert [point.test_set for point in curve.points] == ["newstest2014"] * 2


def test_noise_and_standard_errors_reach_the_curve() -> None:
    (curve,) = collect([row(1e6, 1.0, stderr=0.2), row(2e6, 2.0)], noise={"bleu": 0.3}).curves
    made = to_curve(curve)
    assert made.attributes["noise"] == 0.3
    assert made.stderr is not None
    assert made.stderr[0] == 0.2
    assert math.isnan(made.stderr[1])


def test_one_name_for_two_mixtures_gives_two_curves() -> None:
    curves = collect([row(1e6, 1.0, mixture="en:1"), row(1e6, 2.0, mixture="fr:1"), row(0, 0.1)]).curves
    assert sorted(curve.name for curve in curves) == ["c / en only", "c / fr only"]


def test_blank_cells_take_the_curves_own_mixture() -> None:
    (curve,) = collect([row(1e6, 1.0, mixture="en:1"), row(2e6, 2.0)]).curves
    assert curve.name == "c"
    assert curve.attributes()["mixture"] == "en:1"


def test_scores_of_different_signatures_are_warned_about() -> None:
    points = [row(1e6, 1.0, details={"signature": "tok:13a"}), row(2e6, 2.0, details={"signature": "tok:char"})]
    assert "signatures do not compare" in collect(points).problems[0].message


def test_the_same_seed_twice_is_said_and_taken_as_repeats() -> None:
    collection = collect([row(1e6, 1.0, seed=3), row(1e6, 1.1, seed=3)])
    assert len(collection.curves[0].points) == 2
    assert "taken as repeats" in collection.problems[0].message


@pytest.mark.parametrize(
    ("mixture", "label"),
    [
        ("en:0.5,fr:0.5", "50 en + 50 fr"),
        ("fr:1", "fr only"),
        ("en:0.3,fr:0.7", "30 en + 70 fr"),
        ("", "unknown mixture"),
    ],
)
def test_mixtures_have_names_for_people(mixture: str, label: str) -> None:
    assert mixture_label(mixture) == label


def test_a_runs_curve_name_depends_on_the_run_alone() -> None:
    point = points_of_runs([run(1_000_000, 1.0, None)]).points[0]
    assert curve_name(point) == "en-fr / 50 en + 50 fr / D_f=200k / t5_tiny"


BASE = "en-fr / 50 en + 50 fr / D_f=200k / t5_tiny"


def described(tokens: int, bleu: float, parameters: int | None = 2_100_000, **said: object) -> RunRecord:
    """A run with a SCALING_RUN object, as the tasks write it; equal objects are one run."""
    run_id = f"{tokens}-{parameters}-{sorted(said.items())!r}"
    return run(tokens, bleu, None, parameters=parameters, run_id=run_id, file=f"{run_id}.log", extra={"run": said})


def curves_of(*runs: RunRecord) -> list[CurvePoints]:
    return collect(points_of_runs(runs).points).curves


def test_two_model_sizes_of_one_architecture_are_two_curves_with_a_baseline_each() -> None:
    runs = [described(tokens, size / 100, size) for size in (1000, 2000) for tokens in (0, *SIZES[:3])]
    small, large = curves_of(*runs)
    assert (small.name, large.name) == (f"{BASE} / 1k parameters", f"{BASE} / 2k parameters")
    assert [[p.value for p in curve.points] for curve in (small, large)] == [[10.0] * 3, [20.0] * 3]
    assert [[p.value for p in curve.baselines] for curve in (small, large)] == [[10.0], [20.0]]


def test_model_sizes_that_look_alike_when_shortened_are_written_out() -> None:
    names = [curve.name for curve in curves_of(described(250_000, 1.0, 1_648_256), described(250_000, 1.0, 1_648_257))]
    assert names == [f"{BASE} / 1,648,256 parameters", f"{BASE} / 1,648,257 parameters"]


def test_two_corpora_are_two_curves_with_a_baseline_each() -> None:
    runs = [described(tokens, 1.0, corpus=corpus) for corpus in ("aaa", "bbb") for tokens in (0, *SIZES[:3])]
    first, second = curves_of(*runs)
    assert (first.name, second.name) == (f"{BASE} / corpus aaa", f"{BASE} / corpus bbb")
    for curve, corpus in ((first, "aaa"), (second, "bbb")):
        assert {point.corpus for point in [*curve.points, *curve.baselines]} == {corpus}
        assert (len(curve.points), len(curve.baselines)) == (3, 1)


def test_a_run_that_does_not_say_its_size_or_corpus_stands_beside_the_others() -> None:
    silent = described(1_000_000, 3.0, None)
    (curve,) = curves_of(described(0, 0.5, corpus="aaa"), described(500_000, 1.0, corpus="aaa"), silent)
    assert (curve.name, len(curve.points), len(curve.baselines)) == (BASE, 2, 1)
    assert curve.points[1].corpus == "aaa"


def test_finetuning_settings_that_differ_within_a_curve_are_named_once() -> None:
    def lines(*rates: float) -> list[str]:
        runs = []
        for tokens, rate in zip(SIZES, rates, strict=False):
            settings = {"lr": [rate], "max_update": 400, "optimizer": {"lr": [rate], "_name": "adam"}}
            runs.append(run(tokens, 1.0, 2.0, extra={"run": {"hyperparameters": settings}}))
        return [problem.message for problem in collect(points_of_runs(runs).points).problems]

    assert lines(0.03, 0.03, 0.03) == []
    (message,) = lines(0.03, 0.03, 0.01)
    assert message == (
        f"curve {BASE}: its runs were finetuned with different settings, so they may not compare: "
        "lr 0.03 (2 runs), 0.01 (1 run)"
    )


def test_a_setting_deep_inside_that_differs_is_named_with_its_part() -> None:
    runs = [
        described(tokens, 1.0, hyperparameters={"model": {"dropout": dropout}, "lr": [0.1]})
        for tokens, dropout in ((250_000, 0.1), (500_000, 0.0))
    ]
    (problem,) = collect(points_of_runs(runs).points).problems
    assert "model.dropout 0.1 (1 run), 0.0 (1 run)" in problem.message


def test_pretraining_seeds_are_repeats_and_no_cause_for_a_warning() -> None:
    runs = [described(tokens, 5.0, pretrain_seed=seed) for tokens in SIZES[:3] for seed in (1, 2)]
    collection = collect(points_of_runs(runs).points)
    (curve,) = collection.curves
    assert [point.pretrain_seed for point in curve.points] == [1, 2] * 3
    assert (curve.left_out, collection.problems) == ([], [])


def test_one_budget_reached_by_two_pretraining_seeds_is_one_size() -> None:
    runs = [described(tokens, 5.0, pretrain_seed=seed) for tokens, seed in ((299_934, 1), (299_920, 2), (600_000, 1))]
    (curve,) = curves_of(*runs)
    assert [point.pretrain_tokens for point in curve.points] == [299_927, 299_927, 600_000]
    assert [point.consumed for point in curve.points] == [299_934, 299_920, 600_000]


def test_a_table_without_run_names_repeats_the_run_it_was_made_from() -> None:
    (point,) = points_of_runs([described(250_000, 5.0, pretrain_seed=2)]).points
    copy = row(250_000, 5.0, curve=curve_name(point), seed=1)
    (curve,) = collect([point, copy]).curves
    assert (len(curve.points), len(curve.left_out)) == (1, 1)


def test_a_baseline_as_the_plug_in_writes_it_serves_all_mixtures_of_its_setting() -> None:
    said = {"corpus": "aaa", "pretrain_seed": None, "mixture": {}, "hyperparameters": {"lr": [0.03]}}
    baseline = described(0, 0.5, **said)
    assert baseline.mixture is None
    others = [described(0, 9.0, **{**said, "corpus": "bbb"}), described(0, 9.0, 3_000_000, **said)]
    runs = [
        run(tokens, 2.0, None, mixture=mixture, extra={"run": {**said, "pretrain_seed": 1}})
        for tokens in SIZES
        for mixture in ("en:0.5,fr:0.5", "de")
    ]
    collection = collect(points_of_runs([baseline, *others, *runs]).points)
    assert [[point.value for point in curve.baselines] for curve in collection.curves] == [[0.5], [0.5]]
    assert [curve.name for curve in collection.curves] == [BASE, "en-fr / de only / D_f=200k / t5_tiny"]
    assert len(collection.problems) == 2
    assert all("no pretraining" in problem.message for problem in collection.problems)
