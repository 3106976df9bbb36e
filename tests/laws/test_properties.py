"""What must hold for any curve."""

import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling import laws

curves = st.builds(
    lambda count, seed, bend, noise: (count, seed, bend, noise),
    st.integers(5, 9),
    st.integers(0, 10**6),
    st.floats(0.3, 2.5),
    st.floats(0.001, 0.03),
)
names = st.sampled_from(["log_law", "cross_entropy_law", "power_ceiling", "linear_log", "power_law"])
relaxed = settings(max_examples=15, deadline=None, derandomize=True)


def _make(shape, law):
    count, seed, bend, noise = shape
    generator = np.random.default_rng(seed)
    tokens = np.sort(np.exp(generator.uniform(np.log(1e8), np.log(1e11), count)))
    z = np.log(tokens / tokens[0]) / np.log(tokens[-1] / tokens[0])
    clean = 30 * (0.3 + z) ** (0.3 * bend) if law != "cross_entropy_law" else 1.5 + np.exp(-bend * z)
    return tokens, clean * np.exp(noise * generator.standard_normal(count))


@relaxed
@given(curves, names, st.floats(1e-4, 1e4))
def test_tokens_in_other_units_give_the_same_fit(shape, law, factor):
    tokens, values = _make(shape, law)
    one = laws.fit(laws.Curve("c", "bleu", tokens, values), law)
    two = laws.fit(laws.Curve("c", "bleu", tokens * factor, values), law)
    np.testing.assert_allclose(two.objective, one.objective, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(two.predict(tokens * factor * 2).value, one.predict(tokens * 2).value, rtol=1e-3)


@relaxed
@given(curves, names, st.floats(1e-3, 1e3))
def test_values_in_other_units_scale_the_prediction(shape, law, factor):
    tokens, values = _make(shape, law)
    one = laws.fit(laws.Curve("c", "x", tokens, values, lower_is_better=False), law)
    two = laws.fit(laws.Curve("c", "x", tokens, values * factor, lower_is_better=False), law)
    np.testing.assert_allclose(two.predict(tokens).value, factor * one.predict(tokens).value, rtol=1e-4)


@relaxed
@given(curves, names, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(shape, law, random):
    tokens, values = _make(shape, law)
    order = list(range(len(tokens)))
    random.shuffle(order)
    one = laws.fit(laws.Curve("c", "bleu", tokens, values), law)
    two = laws.fit(laws.Curve("c", "bleu", tokens[order], values[order]), law)
    assert one.objective == two.objective


@relaxed
@given(curves)
def test_a_fitted_cross_entropy_law_never_rises(shape):
    tokens, values = _make(shape, "cross_entropy_law")
    fit = laws.fit(laws.Curve("c", "cross_entropy", tokens, values))
    assert np.all(np.diff(fit.predict(np.geomspace(tokens[0], 100 * tokens[-1], 50)).value) <= 1e-9)


@relaxed
@given(curves, names)
def test_intervals_hold_their_prediction(shape, law):
    tokens, values = _make(shape, law)
    predicted = laws.fit(laws.Curve("c", "bleu", tokens, values), law).predict(np.r_[tokens, 4 * tokens[-1]])
    real = np.isfinite(predicted.lower)
    assert np.all(predicted.lower[real] <= predicted.value[real] * (1 + 1e-9))
    assert np.all(predicted.value[real] <= predicted.upper[real] * (1 + 1e-9))


def test_importing_laws_loads_neither_scipy_nor_torch_nor_matplotlib():
    code = (
        "import sys, fairseq_scaling.laws; "
        "print([m for m in ('scipy', 'torch', 'fairseq', 'matplotlib') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
