"""Overlap of a mixture with a task: small cases by hand, and what must hold for any text."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.data.corpus import Corpus, write_token_file
from fairseq_scaling.data.overlap import GRAMS, Overlap, Sides, measure_overlaps, sample
from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.mixture import Mixture
from tests.data.tiny import END, Sentences, write_corpus

# Pieces by name; ids from 4 on are pieces.
A, B, C, D, E, F, G, H = range(4, 12)
UNKNOWN = 3


def measure(
    folder: Path,
    mono: dict[str, Sentences],
    pair: tuple[Sentences, Sentences],
    mixture: str,
    sample_tokens: int | None = None,
    pieces: int = 20,
) -> Overlap:
    """Return the overlap of a mixture with the task en-fr, whose sides are ``pair``."""
    corpus = Corpus.open(write_corpus(folder, mono, {"en-fr": pair}, pieces))
    (overlap,) = measure_overlaps(corpus, [Mixture.parse(mixture)], [("en", "fr")], sample_tokens)
    return overlap


def test_overlaps_of_a_small_corpus_are_those_counted_by_hand(tmp_path: Path) -> None:
    overlap = measure(
        tmp_path, {"en": [[A, B, C], [A, D]]}, ([[A, B, C, D]], [[A, A, E, E, E]]), "en"
    )  # fmt: skip
    # Mixture: A 2/5, B, C, D 1/5 each. Source: 1/4 each: 1/4 + 3 * 1/5. Target: A 2/5, E 3/5: 2/5.
    assert overlap.unigram.source == pytest.approx(0.85)
    assert overlap.unigram.target == pytest.approx(0.4)
    # Known: AB BC AD, ABC. Source: AB BC CD, ABC BCD, ABCD. Target: AA AE EE EE.
    assert overlap.coverage[2] == (pytest.approx(2 / 3), 0)
    assert overlap.coverage[3] == (pytest.approx(1 / 2), 0)
    assert overlap.coverage[4] == (0, 0)
    assert (overlap.sample_tokens, overlap.task_tokens) == (7, (5, 6))


def test_every_occurrence_of_an_ngram_counts(tmp_path: Path) -> None:
    overlap = measure(tmp_path, {"en": [[A, B]]}, ([[A, B], [A, B], [A, B], [B, A]], [[A]]), "en")
    assert overlap.coverage[2].source == pytest.approx(3 / 4)
    # A side without n-grams has none that are covered.
    assert overlap.coverage[2].target == 0


def test_no_ngram_crosses_the_end_of_a_sentence_an_unknown_piece_or_a_tag(tmp_path: Path) -> None:
    tag = 4 + 8
    for number, between in enumerate(([END], [UNKNOWN], [tag])):
        text = [[A, *between, B, C]]
        overlap = measure(tmp_path / str(number), {"en": text}, ([[A, B], [B, C]], text), "en", pieces=8)
        assert overlap.coverage[2] == (pytest.approx(1 / 2), 1)
        assert overlap.unigram.target == pytest.approx(1)


def test_a_mixture_is_weighted_by_its_shares_whatever_text_there_is(tmp_path: Path) -> None:
    # en: A 1. fr: B 1/2, C 1/2, and six times the text.
    mono = {"en": [[A, A, A, A]], "fr": [[B, C]] * 10}
    overlap = measure(tmp_path, mono, ([[A]], [[B, B, B, C]]), "en:0.25,fr:0.75", 20)
    assert overlap.unigram.source == pytest.approx(0.25)
    assert overlap.unigram.target == pytest.approx(min(3 / 8, 3 / 4) + min(3 / 8, 1 / 4))


@pytest.mark.parametrize("mixture", ["en:0.5,fr:0.5", "en", "fr", "de", "en:0.3,fr:0.7", "en:0.2,de:0.8"])
def test_the_combined_unigrams_are_the_papers_score_where_languages_share_no_piece_and_texts_are_alike(
    tmp_path: Path, mixture: str
) -> None:
    english, french, german = [[A, B, B]] * 40, [[C, D, D, D]] * 40, [[E, F]] * 60
    overlap = measure(
        tmp_path, {"en": english, "fr": french, "de": german}, (english[:1], french[:1]), mixture, 100
    )  # fmt: skip
    assert overlap.unigram.combined == pytest.approx(Mixture.parse(mixture).alignment("en", "fr"))
    assert overlap.measures["alignment"] == Mixture.parse(mixture).alignment("en", "fr")


def test_the_measures_carry_every_side_and_the_papers_score(tmp_path: Path) -> None:
    overlap = measure(tmp_path, {"en": [[A, B, C, D, E]]}, ([[A, B, C, D, E]], [[F]]), "en")
    assert list(overlap.measures) == [
        "alignment",
        *(f"{kind}_{side}" for kind in ("unigram", "coverage_2", "coverage_3", "coverage_4")
          for side in ("source", "target", "combined")),
    ]  # fmt: skip
    assert overlap.measures["coverage_4_source"] == 1
    assert overlap.measures["coverage_4_combined"] == pytest.approx(0.7)
    assert Sides(1.0, 0.5).combined == pytest.approx(0.5 + 0.7 + 0.4)


texts = st.lists(st.lists(st.integers(A, H), min_size=1, max_size=6), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mono=texts, source=texts, target=texts)
def test_every_measure_lies_between_nothing_and_everything(
    tmp_path_factory: pytest.TempPathFactory, mono: Sentences, source: Sentences, target: Sentences
) -> None:
    overlap = measure(tmp_path_factory.mktemp("any"), {"en": mono}, (source, target), "en")
    for side in itertools.chain(overlap.unigram, *overlap.coverage.values()):
        assert 0 <= side <= 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=texts)
def test_the_same_text_is_covered_wholly_and_a_text_of_other_pieces_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, text: Sentences
) -> None:
    other = [[piece + len(range(A, H + 1)) for piece in sentence] for sentence in text]
    overlap = measure(tmp_path_factory.mktemp("same"), {"en": text}, (text, other), "en")
    assert overlap.unigram == (pytest.approx(1), 0)
    for n in GRAMS:
        has_any = any(len(sentence) >= n for sentence in text)
        assert overlap.coverage[n] == (float(has_any), 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=texts, other=texts, data=st.data())
def test_the_order_of_sentences_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, text: Sentences, other: Sentences, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(list(text)))
    one, two = (
        measure(tmp_path_factory.mktemp("order"), {"en": mono}, (other, other), "en") for mono in (text, shuffled)
    )
    assert two.unigram == pytest.approx(one.unigram)
    assert two.coverage == one.coverage


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=texts, more=texts, other=texts)
def test_more_text_never_covers_less(
    tmp_path_factory: pytest.TempPathFactory, text: Sentences, more: Sentences, other: Sentences
) -> None:
    small = measure(tmp_path_factory.mktemp("small"), {"en": text}, (other, other), "en")
    large = measure(tmp_path_factory.mktemp("large"), {"en": [*text, *more]}, (other, other), "en")
    for n in GRAMS:
        assert large.coverage[n].source >= small.coverage[n].source


def test_coverage_grows_with_the_sample(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    text = random.integers(4, 54, (4000, 9)).tolist()
    pair = (text[:300], random.integers(4, 54, (300, 9)).tolist())
    corpus = Corpus.open(write_corpus(tmp_path, {"en": text}, {"en-fr": pair}, pieces=50))
    covered = [
        measure_overlaps(corpus, [Mixture.parse("en")], [("en", "fr")], size)[0].coverage[2].target
        for size in (300, 3000, 30_000)
    ]
    assert covered == sorted(covered)
    # 300 tokens hold at most 240 of 2500 bigrams; each of 30,000 tokens' 24,000 bigrams misses one with 1 - 1/2500.
    assert covered[0] < 240 / 2500 * 1.3
    assert covered[2] > 0.99


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 31, 32, 60, 99, 100])
def test_a_sample_begins_and_ends_with_the_file_and_takes_nothing_twice(tmp_path: Path, tokens: int) -> None:
    file = write_token_file(tmp_path / "train", [np.arange(100)], np.uint16)
    taken = sample(file, tokens, stretch=8)
    kept = taken[taken >= 0]
    assert len(kept) == tokens
    assert (np.diff(kept) > 0).all()
    stretches = -(-tokens // 8)
    assert (taken == -1).sum() == stretches - 1
    assert kept[0] == 0
    if stretches > 1:
        assert kept[-1] == 99
        # Evenly spaced: what is left out between two stretches differs by one token at most.
        gaps = np.diff(kept)[np.flatnonzero(taken == -1) - np.arange(stretches - 1) - 1]
        assert gaps.max() - gaps.min() <= 1


def test_stretches_are_parted_so_that_no_ngram_is_made_up(tmp_path: Path) -> None:
    # 4100 tokens in which only the sample's seams could join H and A.
    text = [[A] * 2049, [H] * 2049]
    corpus = Corpus.open(write_corpus(tmp_path, {"en": text}, {"en-fr": ([[A, H], [H, A]], [[A, A]])}))
    for size in (1500, 3000, 4100):
        (overlap,) = measure_overlaps(corpus, [Mixture.parse("en")], [("en", "fr")], size)
        assert overlap.coverage[2] == (0, 1)


def test_all_mixtures_share_the_largest_sample_that_each_can_fill(tmp_path: Path) -> None:
    mono = {"en": [[A] * 9] * 10, "fr": [[B] * 9] * 4}
    corpus = Corpus.open(write_corpus(tmp_path, mono, {"en-fr": ([[A]], [[B]])}))
    mixtures = [Mixture.parse("en"), Mixture.parse("en:0.5,fr:0.5")]
    overlaps = measure_overlaps(corpus, mixtures, [("en", "fr"), ("fr", "en")])
    assert {overlap.sample_tokens for overlap in overlaps} == {80}
    assert [(dict(o.mixture), o.source_lang) for o in overlaps] == [
        ({"en": 1}, "en"), ({"en": 1}, "fr"),
        ({"en": Fraction(1, 2), "fr": Fraction(1, 2)}, "en"), ({"en": Fraction(1, 2), "fr": Fraction(1, 2)}, "fr"),
    ]  # fmt: skip
    assert overlaps[0].unigram == tuple(reversed(overlaps[1].unigram))
    with pytest.raises(SettingError, match=r"sample = 81: the text of en:0.5,fr:0.5 fills at most 80 tokens"):
        measure_overlaps(corpus, mixtures, [("en", "fr")], 81)
    with pytest.raises(SettingError, match="sample = 0"):
        measure_overlaps(corpus, mixtures, [("en", "fr")], 0)


def test_what_the_corpus_lacks_is_named_before_anything_is_read(tmp_path: Path) -> None:
    corpus = Corpus.open(write_corpus(tmp_path, {"en": [[A]]}, {"en-fr": ([[A]], [[UNKNOWN]])}))
    with pytest.raises(SettingError, match=r"language = de: .* in: en"):
        measure_overlaps(corpus, [Mixture.parse("en:0.5,de:0.5")], [("en", "fr")])
    with pytest.raises(SettingError, match=r"language pair = en-de: .* pairs: en-fr"):
        measure_overlaps(corpus, [Mixture.parse("en")], [("en", "de")])
    with pytest.raises(DataError, match=r"train\.fr\.bin: no piece in a sample of 2 tokens"):
        measure_overlaps(corpus, [Mixture.parse("en")], [("en", "fr")])
