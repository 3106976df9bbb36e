import numpy as np
import pytest

from fairseq_scaling import laws
from fairseq_scaling.errors import DataError, SettingError
from tests.benchmarks.laws.curves import law_value, synthetic_curve

TOKENS = np.geomspace(1e9, 6.4e10, 7)
RISING = law_value("log_law", TOKENS)


def _curve(values=RISING, tokens=TOKENS, **more):
    return laws.Curve("c", more.pop("metric", "bleu"), tokens, values, **more)


def test_held_out_points_never_touch_the_fit():
    held_out = TOKENS > 2e10
    clean = laws.fit(_curve(held_out=held_out))
    wild = laws.fit(_curve(np.where(held_out, 1.0, RISING), held_out=held_out))
    assert wild.objective == clean.objective
    assert wild.coefficients == clean.coefficients
    assert clean.held_out.n == held_out.sum()
    assert clean.held_out.rmsle < 1e-6 < wild.held_out.rmsle


def test_held_out_error_is_the_rmsle_of_the_predictions():
    held_out = TOKENS > 2e10
    values = RISING * np.where(held_out, [1, 1, 1, 1, 1, 1.1, 0.9], 1)
    fit = laws.fit(_curve(values, held_out=held_out))
    predicted = fit.predict(TOKENS[held_out]).value
    expected = np.sqrt(np.mean((np.log(predicted) - np.log(values[held_out])) ** 2))
    assert fit.held_out.rmsle == pytest.approx(expected)
    assert fit.held_out.relative == pytest.approx(np.mean(np.abs(predicted / values[held_out] - 1)))


def test_the_papers_protocol_fits_the_four_smallest_budgets():
    tokens = np.repeat(TOKENS, 2)
    fit = laws.fit(_curve(np.repeat(RISING, 2), tokens), protocol="paper")
    assert fit.used.tolist() == (tokens <= TOKENS[3]).tolist()
    assert fit.judged.tolist() == (tokens > TOKENS[3]).tolist()
    assert fit.degrees_of_freedom == 1
    assert not fit.identified


def test_points_without_a_logarithm_are_left_out_and_listed():
    fit = laws.fit(_curve([0.0, *RISING[1:5], -1.0, np.nan], np.r_[TOKENS[:6], TOKENS[6]]))
    assert [point.index for point in fit.left_out] == [0, 5, 6]
    assert "not above 0" in fit.left_out[0].reason
    assert "missing" in fit.left_out[2].reason
    assert fit.used.sum() == 4


def test_points_without_pretraining_are_a_baseline_not_a_point():
    fit = laws.fit(_curve([5.0, *RISING], np.r_[0.0, TOKENS]))
    assert fit.used.tolist() == [False] + [True] * 7
    assert "baseline" in fit.left_out[0].reason


def test_no_usable_point_is_an_error_that_says_why():
    with pytest.raises(DataError, match=r"no point to fit.*\n.*not above 0"):
        laws.fit(_curve([0.0, 0.0], [1e9, 2e9]))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("law", "nothing"), ("protocol", "some"), ("interval", "bayes"), ("level", 95), ("delta", 0.0)],
)
def test_impossible_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=setting):
        laws.fit(_curve(), **{setting: value})


def test_default_deltas_are_those_of_the_paper():
    assert laws.fit(_curve()).delta == 0.1
    assert laws.fit(_curve(3 - RISING / 50, metric="cross_entropy")).delta == 1e-3


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_too_few_budgets_are_fitted_and_called_not_identified(count):
    fit = laws.fit(_curve(RISING[:count], TOKENS[:count]))
    assert not fit.identified
    assert any("budgets" in reason for reason in fit.reasons)
    assert np.all(np.isfinite(fit.predict(TOKENS[:count]).value))
    if count <= 3:
        assert np.isnan(fit.predict([1e11]).lower).all()


def test_a_power_law_is_called_the_edge_of_the_log_law():
    fit = laws.fit(_curve(2 * TOKENS**0.1))
    assert not fit.identified
    assert "power law" in " ".join(fit.reasons)


def test_a_flat_cross_entropy_is_at_its_bound():
    fit = laws.fit(_curve(np.linspace(2.0, 2.1, 7), metric="cross_entropy"))
    assert not fit.identified
    assert "no decrease" in " ".join(fit.reasons)


def test_seeds_are_repeated_measurements_not_more_budgets():
    generator = np.random.default_rng(0)
    values = RISING * np.exp(0.02 * generator.standard_normal(7))
    once = laws.fit(_curve(values))
    thrice = laws.fit(_curve(np.repeat(values, 3), np.repeat(TOKENS, 3), seeds=np.tile([1, 2, 3], 7)))
    assert thrice.degrees_of_freedom == once.degrees_of_freedom
    at = np.array([2.5e11])
    np.testing.assert_allclose(thrice.predict(at).lower, once.predict(at).lower, rtol=1e-6)
    np.testing.assert_allclose(thrice.predict(at).upper, once.predict(at).upper, rtol=1e-6)


def test_a_weight_counts_like_so_many_copies():
    values = RISING * np.exp(0.03 * np.sin(np.arange(7)))
    weights = np.array([1, 2, 1, 3, 1, 1, 2.0])
    weighted = laws.fit(_curve(values, weights=weights))
    copied = laws.fit(_curve(np.repeat(values, weights.astype(int)), np.repeat(TOKENS, weights.astype(int))))
    assert weighted.objective == pytest.approx(copied.objective, rel=1e-9)
    np.testing.assert_allclose(weighted.predict([3e11]).value, copied.predict([3e11]).value, rtol=1e-7)


def test_fit_many_gives_what_single_fits_give_in_order():
    curves = [synthetic_curve("log_law", n, 0.01, np.random.default_rng(n)) for n in (5, 9, 7)]
    curves.append(synthetic_curve("cross_entropy_law", 6, 0.01, np.random.default_rng(1)))
    together = laws.fit_many(curves)
    assert [fit.law.name for fit in together] == ["log_law"] * 3 + ["cross_entropy_law"]
    for curve, fit in zip(curves, together, strict=True):
        assert fit.objective == pytest.approx(laws.fit(curve).objective, rel=1e-8)


def test_repr_speaks_of_what_is_not_identified():
    text = repr(laws.fit(_curve(RISING[:4], TOKENS[:4])))
    assert "log A" in text
    assert "not identified" in text
    assert "Huber delta 0.1" in text


def test_elasticity_is_the_slope_on_logarithmic_axes():
    fit = laws.fit(_curve(3 * TOKENS**0.12), "power_law")
    np.testing.assert_allclose(fit.elasticity([1e10, 1e12]), 0.12, rtol=1e-6)


def test_plot_draws_points_law_and_band():
    import matplotlib

    matplotlib.use("Agg")
    axes = laws.fit(_curve(RISING * [1, 1.01, 0.99, 1.01, 1, 0.99, 1], baseline=10.0)).plot()
    assert axes.get_xscale() == "log"
    assert len(axes.lines) == 4
    assert len(axes.collections) == 1
