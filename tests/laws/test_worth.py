"""What a token of each language is worth, on studies whose worths are known."""

import numpy as np
import pytest

from fairseq_scaling import laws
from fairseq_scaling.errors import DataError
from tests.laws.worths import MIXTURES, TOKENS, WORTHS, truth


def study(mixtures=MIXTURES, noise=0.2, seed=0):
    generator = np.random.default_rng(seed)
    curves = []
    for number, mixture in enumerate(mixtures):
        values = truth(TOKENS, mixture)[:, None] + noise * generator.standard_normal((TOKENS.size, 3))
        tokens, seeds = np.repeat(TOKENS, 3), np.tile([1, 2, 3], TOKENS.size)
        # three pretraining runs: with one, its effect is a guess that widens everything
        curves.append(laws.Curve(f"mixture {number}", "bleu", tokens, values.ravel(), seeds=seeds, runs=seeds))
    return laws.forecast(curves)


@pytest.fixture(scope="module")
def found():
    return laws.worth_of_languages(study(), MIXTURES)


def test_the_worth_of_every_language_is_found(found):
    assert found.best == "fr"
    for language, worth in WORTHS.items():
        estimate = found.worth[language]
        assert estimate.lower <= worth / WORTHS["fr"] <= estimate.upper
        assert estimate.value == pytest.approx(worth / WORTHS["fr"], rel=0.5)
    order = sorted(found.worth, key=lambda language: found.worth[language].value)
    assert order == ["de", "en", "fr"]
    assert found.measured


@pytest.mark.parametrize("mixture", [{"de": 0.3, "fr": 0.7}, {"de": 0.1, "en": 0.8, "fr": 0.1}])
def test_an_untried_mixture_is_forecast_with_an_interval_that_holds_its_truth(found, mixture):
    tokens = np.array([4e9, 64e9])
    made = found.predict(mixture, tokens)
    assert np.all((made.lower <= truth(tokens, mixture)) & (truth(tokens, mixture) <= made.upper))
    assert np.all(made.upper - made.lower < 10)
    np.testing.assert_allclose(made.value, truth(tokens, mixture), atol=2.5)


def test_a_tried_mixture_has_the_forecast_of_its_own_curve(found):
    own = study()[1].predict(TOKENS[-2:], laws.Question.MIXTURE)
    np.testing.assert_allclose(found.predict(MIXTURES[1], TOKENS[-2:]).value, own.value, atol=0.5)


def test_which_mixture_is_ahead_is_told_for_untried_ones(found):
    assert found.chance_ahead({"fr": 0.95, "en": 0.05}, "mixture 3", 64e9) > 0.95
    assert found.chance_ahead({"de": 0.9, "en": 0.1}, "mixture 0", 64e9) < 0.05
    assert found.chance_ahead({"fr": 1.0}, "mixture 0", 64e9) == 0.5
    with pytest.raises(DataError, match="none of the mixtures"):
        found.chance_ahead({"fr": 1.0}, "another", 64e9)


def test_without_spare_mixtures_the_interval_is_wider_and_the_misfit_is_said_to_be_assumed(found):
    fewer = laws.worth_of_languages(study(MIXTURES[:3]), MIXTURES[:3])
    assert not fewer.measured
    untried = {"de": 0.25, "en": 0.25, "fr": 0.5}
    wide, narrow = fewer.predict(untried, 64e9), found.predict(untried, 64e9)
    assert wide.upper - wide.lower > narrow.upper - narrow.lower


def test_the_order_of_the_mixtures_changes_nothing_that_matters(found):
    reverse = laws.worth_of_languages(list(study())[::-1], MIXTURES[::-1])
    assert reverse.reference == found.reference
    for language, estimate in found.worth.items():
        assert reverse.worth[language].value == pytest.approx(estimate.value, rel=0.15)


@pytest.mark.parametrize(
    ("mixtures", "message"),
    [
        (MIXTURES[:2], "2 mixtures"),
        (({"fr": 1.0}, {"en": 0.5, "fr": 0.5}, {"en": 0.5, "de": 0.25, "es": 0.25}), "do not tell 4 languages apart"),
    ],
)
def test_too_few_mixtures_are_refused(mixtures, message):
    forecasts = study(MIXTURES[: len(mixtures)])
    with pytest.raises(DataError, match=message):
        laws.worth_of_languages(forecasts, mixtures)


def test_a_language_that_was_never_tried_and_shares_that_do_not_sum_to_one_are_refused(found):
    with pytest.raises(DataError, match="'ja': no mixture"):
        found.predict({"ja": 0.5, "fr": 0.5}, 1e9)
    with pytest.raises(DataError, match="sum to 1"):
        found.predict({"fr": 0.5}, 1e9)


def test_a_curve_that_does_not_rise_has_no_speed():
    flat = laws.Curve("flat", "bleu", TOKENS, [20.0, 20.1, 19.9, 20.0, 20.1, 19.9, 20.0])
    with pytest.raises(DataError, match="'flat' does not surely get better"):
        laws.worth_of_languages([*study(MIXTURES[:2]), *laws.forecast(flat)], MIXTURES[:3])
