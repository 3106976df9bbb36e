"""Generated languages have the grammar and the kinship that their module's docstring states."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice

import pytest

from fairseq_scaling.errors import SettingError
from preprocess.sources import Request
from preprocess.sources.generated import LANGUAGES, GeneratedSource


def _source(*languages: str, **options: int) -> GeneratedSource:
    usual = {"sentences": 100, "pairs": 100, "words": 300, "seed": 1, **options}
    return GeneratedSource(Request(languages, options={f"generated_{name}": size for name, size in usual.items()}))


SOURCE = _source(*LANGUAGES, sentences=400, pairs=400)


def words_of(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.removesuffix(".").split()]


def test_the_same_seed_gives_the_same_text_and_a_longer_one_begins_with_it() -> None:
    longer = _source("gc", "ga", sentences=900, pairs=500)
    assert list(longer.monolingual("gc"))[:400] == list(SOURCE.monolingual("gc"))
    assert list(longer.parallel("ga", "gc"))[:400] == list(SOURCE.parallel("ga", "gc"))
    other = _source("gc", sentences=400, words=300, seed=2)
    assert list(other.monolingual("gc")) != list(SOURCE.monolingual("gc"))
    # Of this very text: another checksum is another language, and results of older studies no longer compare.
    text = "\n".join(line for language in LANGUAGES for line in SOURCE.monolingual(language))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "a8dd12df43649665"


def test_word_order_is_that_of_the_table() -> None:
    """A clause without negation, place, article and adjective: its three words stand in the order of the language."""
    found = 0
    texts = {language: SOURCE.parallel(language, "ga" if language != "ga" else "gb") for language in LANGUAGES}
    sentences = {language: [left for left, _ in pairs] for language, pairs in texts.items()}
    for number, meaning in enumerate(islice(SOURCE.meanings("pairs"), 400)):
        phrases = [meaning.subject, meaning.object]
        if meaning.object is None or meaning.negated or meaning.place:
            continue
        if any(phrase is None or phrase.definite or phrase.adjective is not None for phrase in phrases):
            continue
        found += 1
        for language, described in LANGUAGES.items():
            words = sentences[language][number].removesuffix(".").split()
            grammar = SOURCE.grammar(language)
            stems = {
                "S": grammar.lexicon["noun"][meaning.subject.noun].stem,
                "O": grammar.lexicon["noun"][meaning.object.noun].stem,
                "V": grammar.lexicon["verb"][meaning.verb].stem,
            }
            assert len(words) == 3
            assert all(word.startswith(stems[role]) for word, role in zip(words, described.order, strict=True))
    assert found >= 5


def test_kinship_is_that_of_the_table() -> None:
    lexicons = {
        language: [word.stem for kind in SOURCE.grammar(language).lexicon.values() for word in kind]
        for language in LANGUAGES
    }
    assert all(len(set(stems)) == 300 for stems in lexicons.values())
    target = lexicons["gb"]
    same = {language: sum(map(str.__eq__, stems, target)) / 300 for language, stems in lexicons.items()}
    shared = {language: len(set(stems) & set(target)) / 300 for language, stems in lexicons.items()}
    # 300 draws of probability .8: five standard deviations are .115.
    assert same["gc"] == shared["gc"] == pytest.approx(0.8, abs=0.115)
    assert shared["ga"] == shared["gd"] == 0.0


def test_adjectives_agree_with_their_noun_and_words_of_one_topic_meet() -> None:
    grammar = SOURCE.grammar("gb")
    endings: dict[tuple[int, bool], Counter[str]] = {}
    topics = Counter[bool]()
    pairs = list(SOURCE.parallel("ga", "gb"))
    for meaning, (_, sentence) in zip(SOURCE.meanings("pairs"), pairs, strict=False):
        subject = meaning.subject
        topics[meaning.verb % 12 == subject.noun % 12] += 1
        if subject.adjective is not None:
            stem = grammar.lexicon["adjective"][subject.adjective].stem
            ending = next(word for word in sentence.removesuffix(".").split() if word.startswith(stem))[len(stem) :]
            gender = grammar.lexicon["noun"][subject.noun].gender
            endings.setdefault((gender, subject.plural), Counter())[ending] += 1
    assert len(endings) == 6
    # Another adjective of the sentence may begin with the same stem only by being the same word.
    assert len({counts.most_common(1)[0][0] for counts in endings.values()}) == 6
    # Both words from the topic: .7 * .7 = .49, else 1 in 12: about .53; five standard deviations of 400 are .125.
    assert topics[True] / topics.total() == pytest.approx(0.53, abs=0.125)


def test_words_follow_zipfs_law() -> None:
    """Of the nouns that are drawn from the whole lexicon the first is twice as frequent as the second."""
    source = _source("ga")
    counts = Counter(meaning.subject.noun for meaning in islice(source.meanings("counting"), 6000))
    ranked = [count for _, count in counts.most_common()]
    # The words of the 12 topics with rank 1 come first; rank 12 of a topic is a twelfth as frequent within it.
    assert set(sorted(counts, key=lambda noun: -counts[noun])[:8]) <= set(range(12))
    assert sum(ranked[:12]) > 4 * sum(ranked[60:72])


def test_unknown_languages_are_named() -> None:
    with pytest.raises(SettingError, match=r"^language = fr: the generated languages are ga, gb"):
        _source("ga", "fr")
    assert list(SOURCE.monolingual("fr")) == []
    assert list(SOURCE.parallel("ga", "fr")) == []
