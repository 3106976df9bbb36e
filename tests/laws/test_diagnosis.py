import json

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from fairseq_scaling import laws
from fairseq_scaling.laws.isotonic import isotonic, shape_test
from tests.benchmarks.laws.curves import simulated_curve

TOKENS = np.geomspace(1e9, 3.2e10, 6)


def _verdict(values, metric="bleu", noise=0.5, **more):
    return laws.diagnose(laws.Curve("c", metric, TOKENS[: len(values)], values, **more), noise=noise)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("follows the law", [20.1, 23.9, 27.2, 30.4, 33.1, 35.5]),
        ("saturated", [30.1, 30.2, 29.9, 30.1, 30.0, 30.2]),
        ("saturated", [15, 22, 26, 27.9, 28, 28]),
        ("non-monotonic", [28, 30, 26, 31, 27, 25]),
        ("non-monotonic", [22, 26, 29, 27, 24, 22]),
        ("inverse", [33, 32, 30.5, 29, 27, 25]),
        ("breakthrough", [1, 1.1, 1.2, 1.3, 15, 22]),
        ("too few points", [20, 22, 24]),
    ],
)
def test_kinds_of_curves(kind, values):
    assert _verdict(values).kind == kind


def test_a_trend_that_the_noise_could_hide_is_trendless():
    assert _verdict([10, 12, 9, 11.5, 10, 11], noise=2.0).kind == "trendless"


def test_jumps_around_a_clear_rise_are_noisy():
    assert _verdict([10, 19, 15, 26, 21, 35], noise=1.0).kind == "noisy"


def test_direction_follows_the_metric():
    falling = [2.5, 2.2, 2.0, 1.85, 1.75, 1.7]
    assert _verdict(falling, "cross_entropy", 0.01).kind == "follows the law"
    assert _verdict(falling[::-1], "cross_entropy", 0.01).kind == "inverse"


def test_the_verdict_names_the_points_responsible():
    verdict = _verdict([20, 22, 24, 15, 28, 30])
    assert verdict.kind == "non-monotonic"
    assert 3 in verdict.points
    assert verdict.p_value < 0.01


def test_monotone_curves_are_rejected_no_more_often_than_promised():
    generator = np.random.default_rng(0)
    clean = np.linspace(20, 23, 6)
    rejected = [_verdict(clean + generator.standard_normal(6), noise=1.0).p_value < 0.05 for _ in range(120)]
    assert np.mean(rejected) <= 0.09


def test_seeds_give_the_noise_and_its_uncertainty():
    values = np.array([28, 30, 26, 31, 27, 25.0])
    either = 4 * np.tile([1, -1], 3)
    loud = np.r_[values - either, values + either]
    curve = laws.Curve("c", "bleu", np.tile(TOKENS, 2), loud, seeds=np.repeat([1, 2], 6))
    verdict = laws.diagnose(curve)
    assert verdict.evidence["noise_source"] == "seeds"
    assert verdict.evidence["noise"] == pytest.approx(np.sqrt(6 * 2 * 4**2 / 5))  # 6 x 2 values, 5 degrees of freedom
    assert verdict.kind != "non-monotonic"


def test_an_assumed_noise_is_said_to_be_assumed():
    assert "assumed" in _verdict([20, 22, 24, 26], noise=None).sentence


def test_pretraining_that_stays_below_the_baseline_is_said_so():
    verdict = _verdict([5, 7, 9, 10.5, 12, 13], baseline=20.0)
    assert "worse than without pretraining" in verdict.sentence
    assert verdict.evidence["gain_over_baseline"] == pytest.approx(-7)


def test_aligned_and_misaligned_curves_are_told_apart():
    generator = np.random.default_rng(4)
    aligned = [laws.diagnose(simulated_curve("follows the law", generator)).p_value for _ in range(25)]
    other = [
        laws.diagnose(simulated_curve(k, generator)).p_value for k in ("inverse", "non-monotonic") for _ in range(15)
    ]
    wins = np.array(aligned)[:, None] > np.array(other)[None]
    assert wins.mean() >= 0.95


def test_a_verdict_is_plain_json():
    json.dumps(_verdict([28, 30, 26, 31, 27, 25]).to_dict(), allow_nan=False)


def test_isotonic_regression_agrees_with_scipy():
    generator = np.random.default_rng(1)
    weights = generator.uniform(0.5, 3, 9)
    values = generator.standard_normal((20, 9)).cumsum(1)
    for row, fitted in zip(values, isotonic(values, weights), strict=True):
        np.testing.assert_allclose(fitted, isotonic_regression(row, weights=weights).x, atol=1e-10)


def test_a_flat_curve_shows_no_trend_about_as_often_as_it_should():
    generator = np.random.default_rng(2)
    found = [shape_test(generator.standard_normal(6), np.ones(6), 1.0, np.inf, s).up < 0.05 for s in range(200)]
    assert 0.01 <= np.mean(found) <= 0.1


def test_a_seed_that_is_better_at_every_budget_hides_no_trend():
    """BLEU of the quickstart, run of 25 November 2026: one seed was ahead at all ten budgets of both mixtures."""
    values = [3.666, 6.294, 3.894, 5.496, 4.514, 5.443, 5.135, 8.039, 7.598, 8.628]
    tokens, seeds = np.repeat([2.5e5, 5e5, 1e6, 2e6, 4e6], 2), np.tile([1, 2], 5)
    paired = laws.diagnose(laws.Curve("c", "bleu", tokens, values, seeds=seeds))
    plain = laws.diagnose(laws.Curve("c", "bleu", tokens, values))
    assert paired.evidence["noise"] < 0.6 * plain.evidence["noise"]
    assert (plain.kind, paired.kind) == ("noisy", "follows the law")


def test_removing_what_seeds_share_makes_no_trends_up():
    """Flat curves with and without an effect of the seed: a trend or a contradiction is seen no more often than 5 %."""
    generator = np.random.default_rng(0)
    tokens, seeds = np.repeat(TOKENS, 3), np.tile([1, 2, 3], 6)
    found = 0
    for number in range(200):
        shared = 3.0 * (number % 2) * generator.standard_normal(3)
        values = 30 + np.tile(shared, 6) + generator.standard_normal(18)
        verdict = laws.diagnose(laws.Curve("c", "bleu", tokens, values, seeds=seeds))
        found += verdict.evidence["p_trend_up"] < 0.05
    assert found < 0.05 * 200 + 3 * np.sqrt(200 * 0.05 * 0.95)
