import json

import numpy as np
import pytest

from fairseq_scaling import laws

TOKENS = np.geomspace(1e9, 3.2e10, 6)
RISING = np.array([20.1, 23.9, 27.2, 30.4, 33.1, 35.5])


def _curve(values, metric="bleu", name="c", **more):
    return laws.Curve(name, metric, TOKENS[: len(values)], values, **more)


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("add data", RISING),
        ("finetuning data suffices", [30.1, 30.2, 29.9, 30.1, 30.0, 30.2]),
        ("stop", [15, 22, 26, 27.9, 28, 28]),
        ("change the data", [28, 30, 26, 31, 27, 25]),
        ("change the data", [33, 32, 30.5, 29, 27, 25]),
        ("run more points", [20, 22, 24]),
    ],
)
def test_the_papers_advice(action, values):
    advice = laws.advise(_curve(values))
    assert advice.action == action
    assert advice.reason in advice.sentence


def test_an_advice_to_stop_is_settled_where_no_gain_that_is_worth_it_is_left_open():
    curve = _curve([20, 22.2, 23.9, 26.1, 28.0, 29.9])
    for worthwhile, action, settled in ((1.0, "add data", False), (2.3, "stop", False), (9.0, "stop", True)):
        advice = laws.advise(curve, worthwhile=worthwhile)
        doubling = advice.gains[2.0]
        assert (advice.action, advice.settled) == (action, settled), str(doubling)
        assert settled == (doubling.upper < worthwhile)
    assert laws.advise(_curve([30.1, 30.2, 29.9, 30.1, 30.0, 30.2])).settled
    assert not laws.advise(_curve([20, 22, 24])).settled


def test_gains_are_those_of_the_law_and_grow_with_the_data():
    fit = laws.fit(_curve(RISING))
    advice = laws.advise(fit.curve, fit)
    value = fit.predict(TOKENS[-1] * np.array([1, 2, 4, 10])).value
    assert [gain.value for gain in advice.gains.values()] == pytest.approx(value[1:] - value[0])
    for gain in advice.gains.values():
        assert gain.lower < gain.value < gain.upper


def test_gains_of_a_loss_are_positive_when_it_falls():
    advice = laws.advise(_curve([2.5, 2.2, 2.0, 1.85, 1.75, 1.68], "cross_entropy"))
    assert advice.gains[2.0].value > 0


def test_data_that_never_catches_up_with_no_pretraining_is_to_be_changed():
    advice = laws.advise(_curve([5, 5.6, 6.2, 6.8, 7.4, 8], baseline=30.0))
    assert advice.action == "change the data"
    assert "no pretraining" in advice.sentence


def test_an_affordable_further_run_is_named():
    assert TOKENS[0] <= laws.advise(_curve(RISING * [1, 1.01, 0.99, 1, 1.01, 1])).next_budget <= 2 * TOKENS[-1] * 1.001


def test_tokens_for_a_score_invert_the_law():
    fit = laws.fit(_curve(RISING * [1, 1.005, 0.995, 1, 1.005, 1]))
    wanted = fit.predict([1e11]).value[0]
    tokens = laws.tokens_for(fit, wanted)
    assert tokens.value == pytest.approx(1e11, rel=1e-3)
    assert tokens.lower < 1e11 < tokens.upper
    assert laws.tokens_for(fit, 5.0).value == TOKENS[0]


def test_a_score_above_the_ceiling_is_never_reached():
    values = 30 - 3000 / TOKENS**0.3
    fit = laws.fit(_curve(values), "power_ceiling")
    assert laws.tokens_for(fit, 31.0).value == np.inf


def test_mixtures_are_compared_with_a_probability_and_a_crossing():
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.1, -0.1])
    steep = laws.fit(_curve(4.0 * np.log(TOKENS / 1e8) + noise, name="steep"), "linear_log")
    early = laws.fit(_curve(2.0 * np.log(TOKENS / 1e8) + 10 - noise, name="early"), "linear_log")
    late = laws.compare_mixtures(steep, early, 1e11)
    assert late.better == "steep"
    assert late.probability > 0.95
    # 4 x = 2 x + 10 at x = 5.
    assert late.crossing.value == pytest.approx(1e8 * np.exp(5), rel=0.1)
    soon = laws.compare_mixtures(early, steep, 2e9)
    assert soon.better == "early"


def test_pairs_are_compared_alike_whatever_else_is_compared():
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.1, -0.1])
    factors = (2.0, 2.2, 3.0)
    fits = [laws.fit(_curve(b * np.log(TOKENS / 1e8) + noise, name=str(b)), "linear_log") for b in factors]
    # The last one reaches farther: the laws of the first two cross, where they do, within their own reach.
    longer = laws.Curve("longer", "bleu", 100 * TOKENS, 3.0 * np.log(TOKENS / 1e8) + noise)
    fits[2] = laws.fit(longer, "linear_log")
    together = laws.compare_pairs(fits, [(0, 1, 1e10), (0, 2, 2e10), (1, 2, 2e10)])
    alone = [laws.compare_mixtures(fits[i], fits[j], at) for i, j, at in [(0, 1, 1e10), (0, 2, 2e10), (1, 2, 2e10)]]
    for one, other in zip(together, alone, strict=True):
        assert one.names == other.names
        assert one.better == other.better
        assert one.probability == pytest.approx(other.probability, abs=0.03)
        assert one.difference.value == pytest.approx(other.difference.value)


@pytest.mark.parametrize(("baseline", "action"), [([22.0, 22.2], "stop"), ([30.0, 30.1], "finetuning data suffices")])
def test_a_flat_curve_above_the_baseline_does_not_say_that_pretraining_adds_nothing(baseline, action):
    values = np.r_[30.1, 30.2, 29.9, 30.1, 30.0, 30.2, 30.0, 29.9, 30.2, 30.2, 29.9, 30.1]
    curve = laws.Curve("c", "bleu", np.tile(TOKENS, 2), values, seeds=np.repeat([1, 2], 6), baseline=baseline)
    advice = laws.advise(curve)
    assert advice.action == action
    assert ("the first 1B tokens bring what pretraining brings" in advice.sentence) == (action == "stop")


def test_cross_entropy_that_improves_while_bleu_does_not_is_loud():
    loss = _curve([2.5, 2.2, 2.0, 1.85, 1.75, 1.7], "cross_entropy")
    comparison = laws.compare_metrics([_curve([28, 30, 26, 31, 27, 25]), loss])
    assert comparison.kind == "misleading"
    assert comparison.loud
    assert "CROSS-ENTROPY IMPROVES WHILE BLEU DOES NOT" in comparison.sentence


def test_metrics_that_agree_show_the_exponential_relation():
    losses = np.array([2.5, 2.2, 2.0, 1.85, 1.75, 1.7])
    comparison = laws.compare_metrics([_curve(np.exp(5 - 0.8 * losses)), _curve(losses, "cross_entropy")])
    assert comparison.kind == "agree"
    assert comparison.relation["k"] == pytest.approx(0.8)
    assert comparison.relation["holds"]


def test_a_single_metric_can_not_be_compared():
    assert laws.compare_metrics([_curve(RISING)]).kind == "unclear"


def test_everything_is_plain_json():
    fit = laws.fit(_curve(RISING))
    loss = _curve([2.5, 2.2, 2.0, 1.85, 1.75, 1.7], "cross_entropy")
    for made in (
        laws.advise(fit.curve, fit),
        laws.compare_mixtures(fit, fit, 1e11),
        laws.compare_metrics([fit.curve, loss]),
    ):
        json.dumps(made.to_dict(), allow_nan=False)
