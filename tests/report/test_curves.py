"""Curves from points: what belongs together, baselines, doubles, contradictions."""

from __future__ import annotations

import pytest

from fairseq_scaling.report.curves import collect
from fairseq_scaling.report.points import Point, curve_name, mixture_label
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


def test_a_value_without_a_logarithm_is_left_out_with_the_reason() -> None:
    (curve,) = collect([row(1e6, 0.0), row(2e6, 2.0)]).curves
    assert [point.value for point in curve.points] == [2.0]
    assert "not above zero" in curve.left_out[0][1]


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
