"""Every law: its derivatives, its natural coefficients, and that exact data give the exact law back."""

import numpy as np
import pytest

from fairseq_scaling import laws
from fairseq_scaling.errors import SettingError
from fairseq_scaling.laws.law import Scale

ALL = list(laws.LAWS.values())
NATURAL = {
    "log_law": lambda d, a, alpha, beta: (a + alpha * np.log(d)) ** beta,
    "cross_entropy_law": lambda d, e, a, alpha: e + np.exp(a) / d**alpha,
    "linear_log": lambda d, a, b: a + b * np.log(d),
    "power_law": lambda d, a, alpha: np.exp(a) * d**alpha,
    "power_ceiling": lambda d, q, a, alpha: q - np.exp(a) / d**alpha,
    "logistic": lambda d, q, log_d, k: q / (1 + (np.exp(log_d) / d) ** k),
    "saturating": lambda d, e, i, log_d, a: e + i / (1 + (d / np.exp(log_d)) ** a),
    "bnsl1": lambda d, a, b, c0, c1, log_d, w: a + b * d**-c0 * (1 + (d / np.exp(log_d)) ** (1 / w)) ** (-c1 * w),
}
TRUTH = {
    "log_law": (-9.0, 0.75, 1.5),
    "cross_entropy_law": (1.2, np.log(150.0), 0.25),
    "linear_log": (-60.0, 4.0),
    "power_law": (-1.0, 0.2),
    "power_ceiling": (45.0, np.log(3000.0), 0.25),
    "logistic": (40.0, np.log(3e9), 0.6),
    "saturating": (0.5, 3.0, np.log(8e9), 0.9),
    "bnsl1": (0.4, 60.0, 0.15, 0.35, np.log(1e10), 0.3),
}


def _thetas(law, count, seed=0):
    generator = np.random.default_rng(seed)
    thetas = generator.uniform(np.maximum(law.lower, -1.5), np.minimum(law.upper, 2.5), (count, law.size))
    if law.linear_first:
        thetas[:, 0] = np.abs(thetas[:, 0]) + 1.0
    return thetas


@pytest.fixture(autouse=True)
def _mark_linear(monkeypatch):
    from fairseq_scaling.laws.numerics.separable import ValueLinearLaw

    for law in ALL:
        monkeypatch.setattr(law, "linear_first", isinstance(law, ValueLinearLaw), raising=False)


@pytest.mark.parametrize("law", ALL, ids=lambda law: law.name)
def test_derivatives_agree_with_finite_differences(law):
    z = np.linspace(-1, 1.4, 9)[None]
    step = 1e-6
    for theta in _thetas(law, 60):
        value, jacobian = law.evaluate(theta[None], z)
        shifted = [law.evaluate((theta + sign * step * e)[None], z)[0] for e in np.eye(law.size) for sign in (1, -1)]
        numeric = np.stack([(up - down) / (2 * step) for up, down in zip(shifted[::2], shifted[1::2], strict=True)], -1)
        real = np.isfinite(value) & np.isfinite(numeric).all(-1)
        np.testing.assert_allclose(jacobian[real], numeric[real], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("law", ALL, ids=lambda law: law.name)
def test_natural_coefficients_have_the_right_derivatives(law):
    scale = Scale(np.float64(2.1), np.float64(1.3), np.float64(0.4))
    step = 1e-6
    for theta in _thetas(law, 60, 1):
        slopes = law.natural(theta, scale)[1]
        if not np.isfinite(slopes).all():
            continue
        columns = [
            (law.natural(theta + step * e, scale)[0] - law.natural(theta - step * e, scale)[0]) / (2 * step)
            for e in np.eye(law.size)
        ]
        np.testing.assert_allclose(slopes, np.stack(columns, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NATURAL)
def test_the_formula_in_natural_coefficients_is_the_model(name):
    law = laws.LAWS[name]
    tokens = np.geomspace(1e9, 1e11, 9)
    log_tokens = np.log(tokens)
    scale = Scale((log_tokens[0] + log_tokens[-1]) / 2, np.ptp(log_tokens) / 2, np.float64(3.0))
    compared = 0
    for theta in _thetas(law, 40, 2):
        coefficients = law.natural(theta, scale)[0]
        with np.errstate(all="ignore"):
            expected = NATURAL[name](tokens, *coefficients)
            value = np.exp(law.evaluate(theta[None], scale.z(log_tokens)[None])[0][0] + scale.level)
        if not np.isfinite(coefficients).all() or not (np.isfinite(value) & np.isfinite(expected)).all():
            continue
        compared += 1
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert compared >= 10


def test_m4_solves_its_implicit_equation():
    law = laws.LAWS["m4"]
    tokens = np.geomspace(1e9, 1e11, 9)
    scale = Scale(np.log(1e10), np.log(10.0), np.float64(0.0))
    for theta in ((0.3, 1.2, 0.4, 0.5, -2.0), (0.1, 2.0, 2.5, -1.0, -0.7), (0.2, 1.0, 1.0, 0.3, 1.5)):
        theta = np.array(theta)
        low, high, alpha, log_beta, c = law.natural(theta, scale)[0]
        value = np.exp(law.evaluate(theta[None], scale.z(np.log(tokens))[None])[0][0])
        left = np.log((value - low) / (high - value) ** alpha)
        np.testing.assert_allclose(left, log_beta + c * np.log(tokens), rtol=1e-7)


@pytest.mark.parametrize("name", NATURAL)
def test_exact_points_give_the_exact_law_back(name):
    tokens = np.geomspace(1e9, 1e11, 14)
    metric = "cross_entropy" if name in ("cross_entropy_law", "saturating", "bnsl1") else "bleu"
    curve = laws.Curve("exact", metric, tokens, NATURAL[name](tokens, *TRUTH[name]))
    fit = laws.fit(curve, name)
    # Six parameters of a broken law trade off even in exact points; its values do not.
    if name != "bnsl1":
        found = [estimate.value for estimate in fit.coefficients.values()]
        np.testing.assert_allclose(found, TRUTH[name], rtol=1e-3)
    beyond = np.array([4e11])
    np.testing.assert_allclose(fit.predict(beyond).value, NATURAL[name](beyond, *TRUTH[name]), rtol=3e-3)


def test_the_log_law_with_s_zero_is_the_power_law():
    law, power = laws.LAWS["log_law"], laws.LAWS["power_law"]
    z = np.linspace(-1, 2, 7)[None]
    value = law.evaluate(np.array([[3.0, 0.4, 0.0]]), z)[0]
    np.testing.assert_allclose(value, power.evaluate(np.array([[3.0, 0.4]]), z)[0], rtol=1e-12)


def test_texts_are_there_for_every_law():
    for law in ALL:
        assert law.formula
        assert law.source
        assert law.title
        assert len(law.parameters) == law.size == len(law.lower) == len(law.upper)


def test_laws_for_a_metric_start_with_the_papers_law():
    assert laws.laws_for("bleu")[0].name == "log_law"
    assert laws.laws_for("cross_entropy")[0].name == "cross_entropy_law"
    assert laws.default_law("valid_loss").name == "cross_entropy_law"


# -- a plain function as a law -----------------------------------------------------------------------------------------


def test_a_plain_function_gives_what_the_same_law_of_the_package_gives():
    tokens = np.repeat(1e6 * 2.0 ** np.arange(7), 2)
    values = 5 + 2.5 * np.log(tokens / 1e6) + np.tile([0.3, -0.2, 0.1, -0.4, 0.2, 0.1, -0.1], 2)
    curve = laws.Curve("c", "bleu", tokens, values)

    def mine(tokens, a=1.0, b=1.0):
        return a + b * np.log(tokens)

    own, known = laws.fit(curve, mine), laws.fit(curve, "linear_log")
    assert (own.law.name, own.law.formula) == ("mine", "mine(D, a, b)")
    assert own.objective == pytest.approx(known.objective, rel=1e-6)
    for name in ("a", "b"):
        assert own.coefficients[name].value == pytest.approx(known.coefficients[name].value, rel=1e-4)
        assert own.coefficients[name].se == pytest.approx(known.coefficients[name].se, rel=1e-3)
    ahead = np.array([1.28e8, 1e9])
    for part in ("value", "lower", "upper"):
        expected = getattr(known.predict(ahead), part)
        np.testing.assert_allclose(getattr(own.predict(ahead), part), expected, rtol=1e-3)


def test_a_plain_function_with_an_exponent_is_found_from_far_defaults():
    tokens = 1e9 * 2.0 ** np.arange(8)
    curve = laws.Curve("c", "cross_entropy", tokens, 1.7 + 2.0 * (tokens / 1e9) ** -0.4)

    def floor(tokens, e=1.0, a=1.0, alpha=0.1):
        return e + a * (tokens / 1e9) ** -alpha

    fit = laws.fit(curve, floor)
    for name, true in {"e": 1.7, "a": 2.0, "alpha": 0.4}.items():
        assert fit.coefficients[name].value == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize(
    ("function", "message"),
    [(lambda tokens: tokens, "no parameters"), (lambda tokens, a: a * tokens, "'a' has no number as default")],
)
def test_a_function_without_parameters_or_defaults_is_refused(function, message):
    curve = laws.Curve("c", "bleu", [1e6, 2e6, 4e6], [1.0, 2.0, 3.0])
    with pytest.raises(SettingError, match=message):
        laws.fit(curve, function)
