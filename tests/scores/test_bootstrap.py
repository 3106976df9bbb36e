"""Intervals and differences against sacrebleu's own bootstrap."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from fairseq_scaling.errors import DataError
from fairseq_scaling.scores.bootstrap import Difference, PairedBootstrap, pack, resampled_scores, unpack
from fairseq_scaling.scores.score_file import Score, parse_scores, score_object
from fairseq_scaling.scores.scoring import score_translations

WORDS = "the a cat dog house of on in sleeps runs near green old and with by river every day".split()  # noqa: SIM905
SACREBLEU = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


def sentences(count: int) -> list[str]:
    draw = random.Random(1)
    return [" ".join(draw.choice(WORDS) for _ in range(draw.randint(5, 15))) + "." for _ in range(count)]


def worsen(texts: list[str], share: float, seed: int) -> list[str]:
    """Return the sentences with this share of the words replaced."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) if draw.random() < share else word for word in text.split()) for text in texts]


REFERENCES = sentences(120)
GOOD, BAD = worsen(REFERENCES, 0.2, 2), worsen(REFERENCES, 0.3, 3)


@pytest.fixture(scope="module")
def scored() -> dict[str, dict[str, Score]]:
    """Return system -> metric -> score, as they are read from a score file."""
    found = {}
    for name, hypotheses in (("good", GOOD), ("bad", BAD)):
        scores = score_translations(hypotheses, [REFERENCES])
        content = score_object(scores, "test", [REFERENCES], ["ref.txt"])
        found[name], messages = parse_scores(json.loads(json.dumps(content)))
        assert not messages
    return found


def compare_scores(metric: str, first: Score, second: Score) -> Difference | None:
    return PairedBootstrap(metric).compare([first], [second])


@pytest.mark.parametrize("metric", SACREBLEU)
def test_the_interval_is_as_wide_as_sacrebleus(scored: dict[str, dict[str, Score]], metric: str) -> None:
    expected = SACREBLEU[metric]().corpus_score(GOOD, [REFERENCES], n_bootstrap=1000)
    score = scored["good"][metric]
    assert score.value == expected.score
    assert score.interval is not None
    # sacrebleu sums in single precision (24 bits), the scores are below 100: 100 * 2^-24 * a few operations
    assert (score.interval.upper - score.interval.lower) / 2 == pytest.approx(expected._ci, abs=1e-4)
    assert score.interval.lower < score.value < score.interval.upper


@pytest.mark.parametrize("metric", SACREBLEU)
def test_the_paired_test_is_sacrebleus(scored: dict[str, dict[str, Score]], metric: str) -> None:
    _, results = PairedTest(
        [("good", GOOD), ("bad", BAD)], {metric: SACREBLEU[metric]()}, [REFERENCES], test_type="bs", n_samples=1000
    )()
    name = next(name for name in results if name != "System")
    found = compare_scores(metric, scored["good"][metric], scored["bad"][metric])
    assert found is not None
    assert found.value == pytest.approx(results[name][1].score - results[name][0].score, abs=1e-9)
    # a resample on the border may fall to either side of it in single precision
    assert found.p_value == pytest.approx(results[name][1].p_value, abs=2 / 1001)
    assert found.sentences == 120


@pytest.mark.parametrize("metric", SACREBLEU)
def test_exchanging_the_systems_changes_the_sign_alone(scored: dict[str, dict[str, Score]], metric: str) -> None:
    there = compare_scores(metric, scored["good"][metric], scored["bad"][metric])
    back = compare_scores(metric, scored["bad"][metric], scored["good"][metric])
    assert there is not None
    assert back is not None
    assert there.value == -back.value
    assert there.p_value == back.p_value
    assert (there.interval.lower, there.interval.upper) == pytest.approx((-back.interval.upper, -back.interval.lower))


def test_the_score_of_a_system_with_several_runs_is_their_mean(scored: dict[str, dict[str, Score]]) -> None:
    good, bad = scored["good"]["bleu"], scored["bad"]["bleu"]
    found = PairedBootstrap("bleu").compare([good, bad], [good])
    assert found is not None
    assert found.value == pytest.approx((good.value - bad.value) / 2)
    whole = compare_scores("bleu", bad, good)
    assert whole is not None
    assert found.interval[:2] == pytest.approx([bound / 2 for bound in whole.interval[:2]])


def test_a_system_does_not_differ_from_itself(scored: dict[str, dict[str, Score]]) -> None:
    same = compare_scores("bleu", scored["good"]["bleu"], scored["good"]["bleu"])
    assert same is not None
    assert (same.value, same.interval.lower, same.interval.upper) == (0, 0, 0)


def test_a_clear_difference_is_told_from_noise(scored: dict[str, dict[str, Score]]) -> None:
    clear = compare_scores("bleu", scored["bad"]["bleu"], scored["good"]["bleu"])
    assert clear is not None
    assert clear.interval.lower > 0
    assert clear.p_value < 0.05


def test_scores_of_other_test_sets_or_signatures_do_not_compare(scored: dict[str, dict[str, Score]]) -> None:
    good = scored["good"]["bleu"]
    others = (
        Score(1.0, good.signature, {"reference_sha256": "another"}, statistics=good.statistics),
        Score(1.0, "another", good.details, statistics=good.statistics),
        Score(1.0, good.signature, good.details),
        Score(1.0, good.signature, {}, statistics=good.statistics),
    )
    assert [compare_scores("bleu", good, other) for other in others] == [None] * 4


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter", "rouge_l"])
def test_packed_statistics_give_the_score_again(metric: str) -> None:
    pytest.importorskip("rouge_score")
    score = score_translations(GOOD, [REFERENCES], [metric])[metric]
    assert score.statistics is not None
    statistics = unpack(json.loads(json.dumps(score.statistics)))
    assert len(statistics) == len(GOOD)
    assert np.isfinite(statistics).all()
    resampled = resampled_scores(metric, statistics, 20)
    assert abs(resampled.mean() - score.value) < 5


def test_statistics_of_several_references_may_be_fractions() -> None:
    score = score_translations(GOOD, [REFERENCES, BAD], ["ter"])["ter"]
    assert score.statistics is not None
    assert (unpack(score.statistics).sum(0)[0], score.value) == (
        score.details["edits"],
        sacrebleu.corpus_ter(GOOD, [REFERENCES, BAD]).score,
    )


def test_the_statistics_of_a_test_set_are_small() -> None:
    scores = score_translations(GOOD, [REFERENCES])
    size = sum(len(json.dumps(score.statistics)) for score in scores.values())
    assert size < 60 * len(GOOD)  # about 22 kB for 1,000 sentences of news


def test_the_same_sentences_are_drawn_whatever_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.array([[float(number)] for number in range(30)])
    whole = resampled_scores("comet", statistics, 100)
    monkeypatch.setattr("fairseq_scaling.scores.bootstrap.CELLS", 70)
    assert (resampled_scores("comet", statistics, 100) == whole).all()


@pytest.mark.parametrize("damage", [{"data": "???"}, {"type": "<i2"}, {"columns": 7}, {"stride": None}])
def test_damaged_statistics_are_named(damage: dict[str, object]) -> None:
    packed = pack("bleu", np.ones((5, 10)))
    with pytest.raises(DataError, match="statistics of the sentences are damaged"):
        unpack(packed | damage)


def test_another_number_of_sentences_is_another_test_set() -> None:
    packed = [pack("comet", np.ones((size, 1))) for size in (5, 6)]
    one, two = (Score(1.0, "comet", {"reference_sha256": "x"}, statistics=each) for each in packed)
    with pytest.raises(DataError, match="two test sets"):
        compare_scores("comet", one, two)
