"""Forecasts: what must not change, edge cases, calibration, and agreement with an independent computation."""

import numpy as np
import pytest

from fairseq_scaling import laws
from fairseq_scaling.errors import DataError, SettingError

TOKENS = 1e6 * 2.0 ** np.arange(6)
RISE = [12.0, 14.1, 15.7, 17.4, 18.3, 19.6]


def curve(values=RISE, metric="bleu", tokens=None, **more):
    tokens = 1e6 * 2.0 ** np.arange(len(values)) if tokens is None else tokens
    return laws.Curve(more.pop("name", "c"), metric, tokens, values, **more)


def forecast(values=RISE, **more):
    return laws.forecast(curve(values, **more))[0]


def ends(made, factors=(1, 4)):
    predicted = made.predict(made.largest * np.array(factors))
    return np.r_[predicted.lower, predicted.value, predicted.upper]


# -- what must not change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_tokens_in_other_units_change_nothing(factor):
    np.testing.assert_allclose(ends(forecast()), ends(forecast(tokens=TOKENS * factor)), rtol=1e-6)


def test_a_mirrored_curve_has_the_mirrored_forecast():
    up = forecast(metric="m", lower_is_better=False)
    down = forecast([-value for value in RISE], metric="m", lower_is_better=True)
    np.testing.assert_allclose(up.predict(4 * TOKENS[-1]).value, -down.predict(4 * TOKENS[-1]).value, rtol=1e-9)
    assert up.gains[4.0].value == pytest.approx(down.gains[4.0].value)


def test_the_order_of_points_and_the_names_of_seeds_change_nothing():
    values = np.c_[RISE, np.array(RISE) + [0.4, -0.3, 0.2, 0.5, -0.1, 0.3]]
    tokens, seeds = np.repeat(TOKENS, 2), np.tile([1, 2], 6)
    order = np.random.default_rng(0).permutation(12)
    plain = forecast(values.ravel(), tokens=tokens, seeds=seeds)
    shuffled = forecast(values.ravel()[order], tokens=tokens[order], seeds=seeds[order])
    np.testing.assert_allclose(ends(plain), ends(shuffled), rtol=1e-9)


def test_values_in_other_units_scale_the_forecast():
    """A metric without a row: its noise is a share of its value, and nothing else knows its unit."""
    plain = forecast(metric="m", lower_is_better=False)
    scaled = forecast([100 * value for value in RISE], metric="m", lower_is_better=False)
    np.testing.assert_allclose(100 * ends(plain), ends(scaled), rtol=1e-6)
    assert vars(plain.shape) == pytest.approx(vars(scaled.shape))


def test_three_seeds_and_their_mean_with_its_own_noise_say_the_same():
    """Seeds that scatter by 0.5 exactly as stated, and their means with the noise of a mean of three."""
    apart = 0.5 * np.array([-1.0, 0.0, 1.0])
    split = forecast((np.array(RISE)[:, None] + apart * np.array([[1], [-1], [1], [1], [-1], [1]])).ravel(),
                     tokens=np.repeat(TOKENS, 3), attributes={"noise": 0.5})  # fmt: skip
    pooled = forecast(attributes={"noise": 0.5 / np.sqrt(3)})
    width = pooled.gains[4.0].upper - pooled.gains[4.0].lower
    np.testing.assert_allclose(ends(split), ends(pooled), atol=0.1 * width)
    assert split.gains[4.0].upper - split.gains[4.0].lower == pytest.approx(width, rel=0.15)  # scatter is evidence, too


def test_a_point_repeated_moves_no_median_and_widens_no_interval():
    known = {"attributes": {"noise": 0.4}}
    once = forecast(**known)
    twice = forecast(np.repeat(RISE, 2), tokens=np.repeat(TOKENS, 2), seeds=np.tile([1, 2], 6), **known)
    width = once.gains[4.0].upper - once.gains[4.0].lower
    assert twice.gains[4.0].value == pytest.approx(once.gains[4.0].value, abs=0.15 * width)
    assert twice.gains[4.0].upper - twice.gains[4.0].lower < width
    assert twice.reached.value == pytest.approx(once.reached.value, abs=0.2)


def test_another_metric_in_the_study_changes_nothing():
    loss = curve([3.0, 2.8, 2.62, 2.47, 2.35, 2.25], metric="cross_entropy")
    together = laws.forecast([curve(), loss])
    np.testing.assert_array_equal(ends(forecast()), ends(together[0]))
    np.testing.assert_array_equal(ends(laws.forecast(loss)[0]), ends(together[1]))


def test_the_same_call_gives_the_same_numbers_and_no_global_random_state_is_touched():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(ends(forecast()), ends(forecast()))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_held_out_points_are_not_looked_at():
    held_out = np.array([0, 0, 0, 0, 1, 1], bool)
    with_them = forecast(held_out=held_out)
    other = forecast([*RISE[:4], 50.0, 1.0], held_out=held_out)
    np.testing.assert_array_equal(ends(with_them), ends(other))
    assert with_them.largest == pytest.approx(TOKENS[3])


def test_a_baseline_moves_the_forecast_by_less_than_its_interval():
    without, beside = forecast(), forecast(baseline=10.0)
    gain = without.gains[4.0]
    assert gain.lower < beside.gains[4.0].value < gain.upper
    assert beside.above_baseline is not None
    assert beside.above_baseline.lower > 5


# -- consistency -------------------------------------------------------------------------------------------------------


def test_probabilities_of_shapes_sum_to_one_and_verdict_and_advice_read_them():
    for values in (RISE, RISE[::-1], [20, 20.1, 19.9, 20, 20.1, 20], [12, 14, 15.5, 14.9, 13.5, 12.2]):
        made = forecast(values)
        shape = made.shape
        assert shape.rises + shape.flat + shape.falls + shape.bends == pytest.approx(1)
        verdict, advice = laws.diagnose(made), laws.advise(made)
        if verdict.kind in (laws.VerdictKind.INVERSE, laws.VerdictKind.NON_MONOTONIC):
            assert shape.falls + shape.bends >= made.likely
        if advice.action is laws.Action.ADD_DATA:
            assert made.chance_worthwhile >= made.likely


@pytest.mark.parametrize(
    ("values", "kind", "action"),
    [
        (RISE, laws.VerdictKind.FOLLOWS, laws.Action.ADD_DATA),
        (RISE[::-1], laws.VerdictKind.INVERSE, laws.Action.CHANGE_DATA),
        ([20, 20.05, 19.95, 20, 20.05, 20], laws.VerdictKind.SATURATED, laws.Action.STOP),
        ([10, 16, 19, 20, 20.1, 20.1], laws.VerdictKind.SATURATED, laws.Action.STOP),
        ([12, 14, 15.5, 14.5, 12.5, 10.5], laws.VerdictKind.NON_MONOTONIC, laws.Action.CHANGE_DATA),
        ([12, 14, 16], laws.VerdictKind.TOO_FEW, laws.Action.RUN_MORE),
    ],
)
def test_plain_curves_get_the_plain_verdict_and_advice(values, kind, action):
    made = forecast(values)
    assert laws.diagnose(made).kind is kind
    assert laws.advise(made).action is action


def test_only_a_baseline_shows_that_pretraining_has_brought_nothing():
    flat = [20, 20.05, 19.95, 20, 20.05, 20]
    assert laws.advise(forecast(flat, baseline=19.9)).action is laws.Action.FINETUNING_SUFFICES
    assert laws.advise(forecast(flat, baseline=15.0)).action is laws.Action.STOP


def test_what_a_curve_is_called_and_what_stands_beside_it_change_no_number():
    """Files and labels name curves; the draws follow metric and setting, and equal settings are numbered."""
    settings = [{"mixture": "en:1"}, {"mixture": "de:1"}]
    pair = [curve(name=f"c{i}", attributes=attributes) for i, attributes in enumerate(settings)]
    renamed = [curve(name=f"file / c{i}", attributes=attributes) for i, attributes in enumerate(settings)]
    for one, other in zip(laws.forecast(pair), laws.forecast(renamed[::-1])[::-1], strict=True):
        np.testing.assert_array_equal(ends(one), ends(other))
    first, second = laws.forecast([curve(), curve()])
    assert not np.array_equal(first.draws([4e6]), second.draws([4e6]))


def test_lower_is_better_gains_are_positive_when_better():
    made = forecast([3.0, 2.8, 2.62, 2.47, 2.35, 2.25], metric="cross_entropy")
    assert made.gains[2.0].value > 0
    assert made.predict(2 * TOKENS[-1]).value < 2.25


def test_the_mixture_run_again_is_less_certain_than_the_run_continued():
    made = forecast()
    run, mixture = (made.predict([TOKENS[-1]], question) for question in laws.Question)
    assert mixture.upper - mixture.lower > run.upper - run.lower
    assert not made.shared_by_run.measured


def test_what_a_seed_does_to_the_baseline_as_well_cancels():
    """Three seeds, two BLEU apart from each other at all budgets and without pretraining, which gains three."""
    seeds, effects = np.repeat([1, 2, 3], len(RISE)), np.repeat([-2.0, 0.0, 2.0], len(RISE))
    points = {"tokens": np.tile(1e6 * 2.0 ** np.arange(len(RISE)), 3), "seeds": seeds}
    without, own = np.tile(RISE, 3)[-1] - 3 + np.array([-2.0, 0.0, 2.0]), [1, 2, 3]

    def gain(baseline_seeds):
        return forecast(
            np.tile(RISE, 3) + effects, baseline=without, baseline_seeds=baseline_seeds, **points
        ).above_baseline

    paired, others, unknown = gain(own), gain([4, 5, 6]), gain(None)
    assert paired.value == pytest.approx(3, abs=0.5)
    widths = [one.upper - one.lower for one in (paired, others, unknown)]
    assert widths[0] < 0.8 * widths[1]
    assert widths[1] == pytest.approx(widths[2], rel=0.1)


def test_as_many_baseline_seeds_as_baselines():
    with pytest.raises(DataError, match="one seed per value"):
        curve(baseline=[1.0, 2.0], baseline_seeds=[1])


def test_identical_curves_are_equal_and_worth_the_same():
    two = laws.forecast([curve(name="a"), curve(name="b")])
    compared = laws.compare_mixtures(*two, float(TOKENS[-1]))
    assert 0.3 < compared.probability < 0.7
    assert compared.difference.lower < 0 < compared.difference.upper
    assert compared.worth is not None
    assert compared.worth.lower < 1 < compared.worth.upper


def test_the_draws_of_a_difference_say_what_the_comparison_says():
    two = laws.forecast([curve(name="a"), curve(8 + 2.0 * np.log2(TOKENS / TOKENS[0]), name="b")])
    compared = laws.compare_mixtures(*two, float(TOKENS[-1]))
    drawn = laws.difference_of_mixtures(*two, [TOKENS[-1], 2 * TOKENS[-1]])
    assert drawn.shape[1] == 2
    assert np.mean(drawn[:, 0] > 0) == pytest.approx(compared.probability, abs=0.02)
    assert np.median(drawn[:, 0]) == pytest.approx(compared.difference.value, abs=0.1)


def test_twice_the_data_is_worth_two():
    """A curve that is another's with half the tokens: its data are worth twice those of the other."""
    tokens = 1e6 * 2.0 ** np.arange(8)
    one = curve(10 + 2.0 * np.log2(2 * tokens / 1e6), tokens=tokens, name="a", runs=np.arange(8) % 3)
    two = curve(10 + 2.0 * np.log2(tokens / 1e6), tokens=tokens, name="b", runs=np.arange(8) % 3)
    compared = laws.compare_mixtures(*laws.forecast([one, two]), 3.2e7)
    assert compared.worth is not None
    assert compared.worth.value == pytest.approx(2, rel=0.15)
    assert compared.better == "a"


def test_where_two_curves_cross_is_told_where_they_likely_do():
    doublings = np.arange(8)
    tokens = 1e6 * 2.0**doublings
    steep, flat = (
        curve(10 + 2 * doublings, tokens=tokens, name="a"),
        curve(15 + 0.5 * doublings, tokens=tokens, name="b"),
    )
    crossing = laws.compare_mixtures(*laws.forecast([steep, flat]), tokens[-1]).crossing
    assert crossing is not None
    assert crossing.lower < 1e6 * 2 ** (5 / 1.5) < crossing.upper
    assert crossing.value == pytest.approx(1e6 * 2 ** (5 / 1.5), rel=0.3)
    apart = curve(13 + 2 * doublings, tokens=tokens, name="b", runs=doublings % 3)
    assert laws.compare_mixtures(*laws.forecast([apart, steep]), tokens[-1]).crossing is None


def test_a_fall_beside_a_better_cross_entropy_raises_the_alarm():
    score = curve([12, 14, 15.5, 14.5, 12.5, 10.5])
    rising = curve(RISE)
    loss = curve([3.0, 2.8, 2.62, 2.47, 2.35, 2.25], metric="cross_entropy")
    assert laws.alarm(*laws.forecast([score, loss])).probability > 0.8
    assert laws.alarm(*laws.forecast([rising, loss])).probability < 0.05


# -- edge cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ([31.2, 31.22, 31.19, 31.21, 31.2, 31.2], {"baseline": 31.0}),
        ([0.4, 0.3, 0.5, 0.4, 12.1, 15.3], {}),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], {}),
        ([0.0, 0.0, 0.1, 0.9, 3.0, 6.0], {}),
        ([5.0, 5.0, 5.0], {}),
        ([1, 2, 3, 4, 5, 6], {}),
        ([99.0, 99.5, 99.7, 99.8, 99.9, 99.95], {}),
        ([1.5, 0.9, 1.3, 1.1, 0.7, 1.2], {}),
    ],
)
@pytest.mark.filterwarnings("error")
def test_no_forecast_explodes_or_collapses(values, more):
    made = forecast(values, **more)
    for gain in made.gains.values():
        assert gain.upper > gain.lower
        assert -100 <= gain.lower <= gain.value <= gain.upper <= 100
    predicted = made.predict(TOKENS[-1] * np.array([1, 2, 4, 10, 1e4]))
    assert np.all((predicted.lower >= 0) & (predicted.upper <= 100))
    laws.diagnose(made), laws.advise(made), repr(made)


@pytest.mark.filterwarnings("error")
def test_negative_scores_and_zeros_are_data():
    made = forecast([-0.4, -0.2, -0.05, 0.1, 0.2, 0.28], metric="comet")
    assert laws.diagnose(made).kind is laws.VerdictKind.FOLLOWS
    assert made.gains[2.0].lower > -0.1


def test_three_points_are_never_narrower_than_four():
    for noise in (0.0, 0.3, 1.0):
        jitter = noise * np.random.default_rng(5).standard_normal(6)
        values = np.array(RISE) + jitter
        three, four = forecast(values[:3]), forecast(values[:4])
        ratio = (three.gains[4.0].upper - three.gains[4.0].lower) / (four.gains[4.0].upper - four.gains[4.0].lower)
        assert ratio > 1


def test_too_few_budgets_and_impossible_settings_are_named():
    with pytest.raises(DataError, match="2 distinct budgets"):
        forecast([1.0, 2.0])
    with pytest.raises(SettingError, match="likely"):
        laws.forecast(curve(), likely=1.5)


def test_a_stated_noise_and_standard_errors_are_heard():
    quiet = forecast(attributes={"noise": 0.05})
    loud = forecast(attributes={"noise": 2.0})
    assert loud.noise.sd.value > 5 * quiet.noise.sd.value
    errors = forecast(metric="m", lower_is_better=False, stderr=np.full(6, 1.5))
    assert errors.noise.sd.value > forecast(metric="m", lower_is_better=False).noise.sd.value


def test_what_one_seed_does_at_all_budgets_widens_the_mixture_but_not_the_gain():
    """Seed 2 lies 2 BLEU above seed 1 everywhere, as in a finished study: the gain is known, the level is not."""
    noise = 0.2 * np.random.default_rng(1).standard_normal((6, 2))
    values = np.c_[RISE, np.array(RISE) + 2.0] + noise
    apart = forecast(values.ravel(), tokens=np.repeat(TOKENS, 2), seeds=np.tile([1, 2], 6))
    assert apart.shared_by_seed.sd.value > 0.7
    mixture = apart.predict([TOKENS[-1]], laws.Question.MIXTURE)
    assert mixture.upper[0] - mixture.lower[0] > 2.0
    gain = apart.gains[2.0]
    assert gain.upper - gain.lower < 2.5


def test_finetunings_of_one_checkpoint_that_are_alike_count_less_than_others():
    """The same six scores at every budget: the two finetunings of a checkpoint are alike, or any two are."""
    scores = np.array([-1.0, -0.9, -0.1, 0.1, 0.9, 1.0])

    def width(alike):
        g = np.random.default_rng(5)
        pairs = scores.reshape(3, 2)
        apart = [pairs[g.permutation(3)][:, g.permutation(2)].ravel() if alike else g.permutation(scores) for _ in RISE]
        values = (np.array(RISE)[:, None] + apart).ravel()
        runs, seeds = np.tile(np.repeat([1, 2, 3], 2), 6), np.tile([1, 2], 18)
        made = forecast(values, tokens=np.repeat(TOKENS, 6), runs=runs, seeds=seeds)
        return made.gained.upper - made.gained.lower

    assert width(alike=True) > 1.3 * width(alike=False)


def test_a_curve_that_has_gained_little_may_be_about_to_rise():
    """German for English-German in examples/findings: four budgets say 2.97 to 3.83, the fifth came to 6.28."""
    tokens = np.array([62445.0, 174915, 499905, 1399895])
    start = laws.forecast(curve([2.97, 3.37, 3.40, 3.83], tokens=tokens))[0]
    grown = laws.forecast(curve([2.97, 5.37, 7.40, 9.83], tokens=tokens))[0]
    upper = [one.gains[10.0].upper / max(one.gained.value, 0.1) for one in (start, grown)]
    assert upper[0] > 3 * upper[1]


# -- calibration and independent computation ---------------------------------------------------------------------------


def test_the_evidence_of_a_shape_is_that_of_the_multivariate_normal():
    """Level and gain integrated in closed form equal the density of the budgets under their joint normal."""
    from scipy.special import log_ndtr
    from scipy.stats import multivariate_normal

    from fairseq_scaling.laws.numerics.evidence import LEVEL_SPREAD, correlation, explain
    from fairseq_scaling.laws.numerics.noise import reduce_to_budgets
    from fairseq_scaling.laws.numerics.shapes import Family, sample_shapes
    from fairseq_scaling.laws.priors import NOISE_GRID, ROUGHNESS

    repeats = reduce_to_budgets(curve(metric="m", lower_is_better=False))
    shapes = sample_shapes()
    made = explain(repeats, shapes)
    width = float(np.ptp(repeats.z)) / 1.3
    # shapes of some weight: the others are not bounded by the metric's range
    sizes = [int(np.argmin(np.abs(NOISE_GRID - ratio))) for ratio in (-0.25, 0.0)]  # smaller: a nearly singular normal
    likely = made.log_weight[np.ix_([0, 3], sizes)].min((0, 1)) > made.log_weight.max() - 9
    rises = np.flatnonzero((shapes.family == Family.RISE) & likely)[:40:13]
    for rough in (0, 3):
        for size in sizes:
            sigma = repeats.sigmas[size]
            noise = repeats.covariance + ROUGHNESS.sizes[rough] ** 2 * correlation(repeats.z, repeats.z)
            logs, mine, weights = [], [], []
            for shape in rises:
                height = made.scaled.heights[shape]
                gain = (shapes.gain_scale[shape] * width) ** 2
                joint = sigma**2 * noise + LEVEL_SPREAD**2 + gain * np.outer(height, height)
                logs.append(multivariate_normal(np.full(6, repeats.values.mean()), joint).logpdf(repeats.values))
                m, c = made.moments(rough, size, shape)
                mine.append(made.log_weight[rough, size, shape] - np.log(2) - log_ndtr(m[1] / np.sqrt(c[2])))
                weights.append(_prior_weight(shapes, repeats, shape, m[1]))
            # up to the prior weight of each shape and a constant
            shift = np.array(mine) - np.array(logs) - np.array(weights)
            np.testing.assert_allclose(shift, shift[0], atol=1e-6)


def _prior_weight(shapes, repeats, shape, gain):
    """Return the logarithm of the weight of what is still to come, written apart from the code under test, up to a
    constant: 1 / (1 + (c / still_to_come)^2), what was gained counted together with the typical gain."""
    low, high = repeats.z[0], repeats.z[-1]
    width = (high - low) / 1.3
    start, end, far = shapes.heights(np.array([low, high, high + shapes.prior.horizon]), low, high)[shape]
    to_come = max((far - start) / (end - start) - 1, 0) * width * gain
    gained = np.hypot(gain, np.exp(shapes.prior.log_gain[0]) * width)
    return -np.log(1 + (to_come / gained / shapes.prior.still_to_come) ** 2)


def test_intervals_cover_curves_drawn_from_the_prior():
    """Simulation-based calibration (Talts et al. 2018) in small: ranks of the truth among the draws are uniform."""
    from fairseq_scaling.laws.numerics.shapes import Family, sample_shapes

    shapes = sample_shapes()
    rises = np.flatnonzero(shapes.family == Family.RISE)
    z, ranks = np.log10(TOKENS), []
    generator = np.random.default_rng(7)
    while len(ranks) < 60:
        shape = generator.choice(rises, 1)
        height = shapes.take(shape).heights(np.r_[z, z[-1] + 0.6], z[0], z[-1])[0]
        span = height[5] - height[0]
        if span < 0.05 or (height[6] - height[5]) > 3 * span:
            continue
        truth = 20 + 6 * (height - height[0]) / span
        made = forecast(truth[:6] + 0.5 * generator.standard_normal(6), name=str(len(ranks)))
        ranks.append(np.mean(made.draws([10 ** (z[-1] + 0.6)])[:, 0] < truth[6]))
    inside = np.mean((np.array(ranks) > 0.025) & (np.array(ranks) < 0.975))
    assert inside > 0.86  # 60 curves: 0.95 less three standard errors of 0.028
    assert 0.3 < np.mean(ranks) < 0.7  # 0.5 and five standard errors of 0.037


def test_a_seed_at_one_budget_alone_upsets_nothing():
    values = np.r_[np.repeat(RISE, 2) + np.tile([0.1, -0.1], 6), 12.0]
    made = forecast(values, tokens=np.r_[np.repeat(TOKENS, 2), TOKENS[0]], seeds=np.r_[np.tile([1, 2], 6), 3])
    assert made.gains[2.0].lower > 0
    assert made.predict([TOKENS[-1]]).value[0] == pytest.approx(RISE[-1], abs=0.3)
