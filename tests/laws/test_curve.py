import numpy as np
import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.laws import Curve


def test_points_are_sorted_by_pretrain_tokens_with_everything_that_belongs_to_them():
    curve = Curve(
        "c", "bleu", [4e9, 1e9, 2e9], [30, 10, 20], [True, False, False], seeds=[3, 1, 2], weights=[0.3, 0.1, 0.2]
    )
    assert curve.pretrain_tokens.tolist() == [1e9, 2e9, 4e9]
    assert curve.values.tolist() == [10, 20, 30]
    assert curve.held_out.tolist() == [False, False, True]
    assert curve.seeds.tolist() == [1, 2, 3]
    assert curve.weights.tolist() == [0.1, 0.2, 0.3]


def test_seeds_of_one_budget_form_one_group():
    curve = Curve("c", "bleu", [1e9, 1e9, 2e9, 0, 4e9], [10, 12, 20, 5, np.nan], seeds=[1, 2, 1, 1, 1])
    groups = curve.groups()
    assert groups.pretrain_tokens.tolist() == [1e9, 2e9]
    assert groups.values.tolist() == [11, 20]
    assert groups.counts.tolist() == [2, 1]
    assert groups.spread[0] == pytest.approx(np.std([10, 12], ddof=1))
    assert groups.index.tolist() == [-1, 0, 0, 1, -1]


def test_seed_noise_is_the_pooled_standard_deviation():
    curve = Curve("c", "bleu", [1e9] * 3 + [2e9] * 2, [1, 2, 3, 10, 14])
    noise, freedom = curve.seed_noise()
    assert freedom == 3
    assert noise == pytest.approx(np.sqrt((2 * np.var([1, 2, 3], ddof=1) + np.var([10, 14], ddof=1)) / 3))


def test_direction_comes_from_the_metric_and_must_be_given_for_unknown_ones():
    assert Curve("c", "ter", [1], [1]).lower_is_better
    assert not Curve("c", "chrf", [1], [1]).lower_is_better
    with pytest.raises(DataError, match="set lower_is_better"):
        Curve("c", "speed", [1], [1])


@pytest.mark.parametrize("field", ["values", "held_out", "seeds", "weights"])
def test_a_column_of_another_length_is_named(field):
    columns = {"values": [1.0, 2.0], field: [1.0]}
    with pytest.raises(DataError, match=field):
        Curve("c", "bleu", [1e9, 2e9], **columns)


def test_negative_tokens_and_weights_are_refused():
    with pytest.raises(DataError, match="pretrain_tokens"):
        Curve("c", "bleu", [-1, 1], [1, 2])
    with pytest.raises(DataError, match="weights"):
        Curve("c", "bleu", [1, 2], [1, 2], weights=[1, -1])


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_what_a_seed_does_at_every_budget_is_no_noise_between_budgets(shift):
    """Against least squares on dummies for budgets and seeds; a shift of all values of a seed changes nothing."""
    generator = np.random.default_rng(3)
    tokens, seeds = np.repeat([1e9, 2e9, 4e9, 8e9], 3), np.tile([1, 2, 3], 4)
    values = 20 + generator.standard_normal(12)
    curve = Curve("c", "bleu", tokens, values + shift * (seeds == 2), seeds=seeds)
    dummies = np.hstack([tokens[:, None] == np.unique(tokens), seeds[:, None] == np.unique(seeds)]).astype(float)
    residual = values - dummies @ np.linalg.lstsq(dummies, values, rcond=None)[0]
    noise, freedom = curve.noise_between_budgets()
    assert freedom == 12 - 4 - 3 + 1
    assert noise == pytest.approx(np.sqrt(np.sum(residual**2) / freedom))


def test_seeds_may_have_names_and_where_one_is_unknown_repeats_are_plain():
    tokens = np.repeat([1e9, 2e9, 4e9, 8e9], 2)
    values = np.array([10.0, 11.0, 12.0, 13.5, 14.0, 15.0, 15.2, 16.0])
    numbers, names, unknown, negative = (
        Curve("c", "bleu", tokens, values, seeds=seeds * 4) for seeds in ([1, 2], ["one", "two"], [1, None], [1, -1])
    )
    assert names.noise_between_budgets() == numbers.noise_between_budgets() != numbers.seed_noise()
    assert unknown.noise_between_budgets() == negative.noise_between_budgets() == numbers.seed_noise()


@pytest.mark.parametrize("left_out", [0, 5])
def test_seeds_that_are_not_those_of_every_budget_are_plain_repeats(left_out):
    tokens, seeds = np.repeat([1e9, 2e9, 4e9], 2), np.array([1, 2, 1, 2, 1, 2])
    values = np.array([10.0, 11.0, 12.0, 13.5, 14.0, 15.0])
    kept = np.arange(6) != left_out
    curve = Curve("c", "bleu", tokens[kept], values[kept], seeds=seeds[kept])
    assert curve.noise_between_budgets() == curve.seed_noise()
    without = Curve("c", "bleu", tokens, values)
    assert without.noise_between_budgets() == without.seed_noise()


def test_standard_errors_follow_their_points():
    curve = Curve("c", "bleu", [2e6, 1e6, 4e6], [2, 1, 4], stderr=[0.2, np.nan, 0.4])
    assert np.array_equal(curve.stderr, [np.nan, 0.2, 0.4], equal_nan=True)
    assert Curve("c", "bleu", [1e6], [1]).stderr is None
    with pytest.raises(DataError, match="stderr must be finite and at least 0"):
        Curve("c", "bleu", [1e6], [1], stderr=[-0.1])
