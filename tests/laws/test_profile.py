"""Profile intervals, held against closed forms and against a constrained optimiser of another make."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, least_squares
from scipy.special import stdtrit

from fairseq_scaling import laws
from fairseq_scaling.laws.numerics.predicting import trace
from tests.benchmarks.laws.curves import synthetic_curve

RANDOM = np.random.default_rng
BENDING_UP = laws.Curve(
    "quickstart",
    "bleu",
    np.repeat([0.25e6, 0.5e6, 1e6, 2e6, 4e6], 2),
    [3.67, 6.29, 3.89, 5.5, 4.51, 5.44, 5.13, 8.04, 7.6, 8.63],
    seeds=np.tile([1, 2], 5),
)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_a_law_that_is_linear_has_the_intervals_of_the_delta_method(level):
    curve = synthetic_curve("log_law", 6, 0.03, RANDOM(2))
    one, other = (laws.fit(curve, "power_law", interval=kind, level=level) for kind in ("profile", "delta"))
    at = np.geomspace(1e8, 1e13, 30)
    for name in ("value", "lower", "upper"):
        np.testing.assert_allclose(getattr(one.predict(at), name), getattr(other.predict(at), name), rtol=5e-3)
    np.testing.assert_allclose(one.predict(4e11).upper, other.predict(4e11).upper, rtol=1e-6)


AHEAD = 40.0
"""Four times the largest D_p, in the middle of the range."""


def _floor(value, theta, x):
    return np.log(np.maximum(value + theta[0] * (x ** -theta[1] - AHEAD ** -theta[1]), 1e-9))


def _ceiling(value, theta, x):
    return np.log(np.maximum(value - theta[0] * (x ** -theta[1] - AHEAD ** -theta[1]), 1e-9))


def _logistic(value, theta, x):
    return np.log(value) - np.log((theta[0] + x ** -theta[1]) / (theta[0] + AHEAD ** -theta[1]))


def _log_law(value, theta, x):
    bracket = np.log(np.maximum(1 + theta[1] * np.log(np.r_[x, AHEAD]), 1e-9))
    return np.log(value) + theta[0] * (bracket[:-1] - bracket[-1])


@pytest.mark.parametrize("noise", [0.005, 0.02])
@pytest.mark.parametrize(
    ("law", "formula", "start"),
    [
        ("cross_entropy_law", _floor, (30.0, 0.6)),
        ("power_ceiling", _ceiling, (10.0, 0.4)),
        ("logistic", _logistic, (1.0, 0.8)),
        ("log_law", _log_law, (1.5, 0.1)),
    ],
)
def test_the_ends_lie_where_constrained_least_squares_say(law, formula, start, noise):
    """With the law's value four times ahead fixed, the other two parameters are fitted by scipy, value after value.

    Huber's delta is large, so that the fit is one of least squares.
    """
    x = np.geomspace(0.1, 10, 6)
    values = formula(30.0, start, x) + noise * RANDOM(7).standard_normal(6)
    curve = laws.Curve("c", "points", 1e10 * x, np.exp(values), lower_is_better=law == "cross_entropy_law")
    fit = laws.fit(curve, law, delta=10.0)
    limit = fit.sigma**2 * (3 + stdtrit(3, 0.975) ** 2)  # three degrees of freedom: the least sum is 3 s^2

    def excess(log_value):
        bounds = ([0.0, 0.0], [np.inf, np.inf])
        residual = least_squares(lambda theta: values - formula(np.exp(log_value), theta, x), start, bounds=bounds)
        return 2 * residual.cost - limit

    predicted = fit.predict(4e11)
    centre, lower, upper = np.log([predicted.value, predicted.lower, predicted.upper])
    for end in (lower, upper):
        found = brentq(excess, centre, centre + 1.5 * (end - centre), xtol=1e-3 * abs(end - centre))
        assert end - centre == pytest.approx(found - centre, rel=0.02)


shapes = st.tuples(st.integers(5, 8), st.integers(0, 10**6), st.floats(0.2, 2.0), st.floats(0.002, 0.06))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(shapes, st.sampled_from(["log_law", "power_ceiling", "logistic", "saturating", "m4"]))
def test_intervals_hold_the_value_grow_with_the_level_and_end_with_the_metric(shape, law):
    count, seed, bend, noise = shape
    generator = np.random.default_rng(seed)
    tokens = np.geomspace(1e8, 1e10, count)
    clean = 30 * np.linspace(0.1, 1, count) ** bend
    curve = laws.Curve("c", "bleu", tokens, clean * np.exp(noise * generator.standard_normal(count)))
    fit = laws.fit(curve, law)
    at = 1e10 * np.array([0.1, 1.0, 2.0, 4.0, 10.0])
    made = [fit.predict(at, level) for level in (0.5, 0.8, 0.95, 0.99)]
    if np.isnan(made[0].lower).all():  # as many parameters as budgets
        return
    for narrow, wide in zip(made, made[1:], strict=False):
        assert np.all(wide.lower <= narrow.lower * (1 + 1e-9))
        assert np.all(wide.upper >= narrow.upper * (1 - 1e-9))
    for predicted in made:
        assert np.all(predicted.lower <= predicted.value)
        assert np.all(predicted.value <= predicted.upper)
        assert np.all(predicted.upper <= np.maximum(100.0, predicted.value))


@pytest.mark.parametrize("law", ["logistic", "power_ceiling"])
def test_the_ends_of_a_law_that_cannot_fall_do_not_fall(law):
    predicted = laws.fit(BENDING_UP, law).predict(4e6 * np.array([1.0, 2.0, 4.0, 10.0]))
    assert np.all(np.diff(predicted.lower) > -0.01 * predicted.lower[1:])
    assert np.all(np.diff(predicted.upper) > 0)


def test_a_curve_at_the_edge_of_its_law_keeps_a_useful_interval():
    """The logistic law ends as a power law here; the delta method takes its ceiling for free to go anywhere."""
    upper = {kind: laws.fit(BENDING_UP, "logistic", interval=kind).predict(16e6).upper for kind in ("profile", "delta")}
    assert upper["profile"] < 30 < 60 < upper["delta"]


def test_many_predictions_at_once_are_those_of_each_alone():
    fit = laws.fit(BENDING_UP, "log_law")
    at = np.geomspace(0.2e6, 40e6, 40)
    whole, alone = fit.predict(at), [fit.predict(one) for one in at[::7]]
    for name in ("lower", "upper"):
        each = np.array([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(whole, name)[::7], each, rtol=0.03)


def test_an_absolute_loss_has_an_interval_around_its_own_fit():
    curve = synthetic_curve("cross_entropy_law", 8, 0.02, np.random.default_rng(4))
    predicted = laws.fit(curve, delta=1e-5).predict([1e9, 1e10, 4e11])
    assert np.all((predicted.lower < predicted.value) & (predicted.value < predicted.upper))


def test_points_on_the_law_have_no_width():
    tokens = np.geomspace(1e9, 1e11, 6)
    predicted = laws.fit(laws.Curve("c", "bleu", tokens, tokens**0.1), "power_law").predict(4e11)
    assert predicted.lower == pytest.approx(predicted.upper, rel=1e-6)


@pytest.mark.parametrize("law", ["log_law", "logistic", "power_law"])
def test_profiles_that_are_traced_together_are_those_of_each_fit(law):
    shorter = replace(BENDING_UP, held_out=BENDING_UP.pretrain_tokens >= 3e6)
    curves = [BENDING_UP, shorter, BENDING_UP]
    places = [curve.pretrain_tokens.max() * np.array([1.0, 2.0, 4.0]) for curve in curves]
    alone = [fit.predict(at) for fit, at in zip(laws.fit_many(curves, law), places, strict=True)]
    together = laws.fit_many(curves, law)
    trace(together, places)
    for fit, at, one in zip(together, places, alone, strict=True):
        assert fit.state.tables
        np.testing.assert_allclose(fit.predict(at).lower, one.lower, rtol=1e-9)
        np.testing.assert_allclose(fit.predict(at).upper, one.upper, rtol=1e-9)
