"""Generated languages with known grammar, lexicon and kinship, for studies whose answer is known beforehand.

**Meaning.** A sentence is drawn as a meaning, which no language owns: a clause of subject, verb, often an object and a
place, each a noun with number, definiteness and sometimes an adjective; the verb has a tense and may be negated. Each
sentence has one of 12 topics. 70 % of its nouns, verbs and adjectives come from the topic, the rest from the whole
lexicon; both follow Zipf's law with exponent 1. So words predict each other, and more text teaches more.

**Language.** Each language says the same meaning with its own word forms (two or three syllables of its own letters),
its own word order and its own endings: nouns have one of three genders that their form does not show; articles and
adjectives agree with the noun in gender and number, the verb with its subject in number. Sentence ``i`` of a pair says
the same in both languages. Monolingual texts of two languages never say the same on purpose.

**Kinship**, built in (``LANGUAGES``), for the task ga-gb:

======== ==============================================================================================
``ga``   the source: subject verb object, adjective before noun
``gb``   the target: subject object verb, adjective behind noun, other letters; no word in common with ga
``gc``   a sister of gb: its order, endings, and 80 % of its words with the same meaning; the others are its own
``gd``   unrelated: own letters, words and endings, verb first
======== ==============================================================================================

What comes out of them for ga-gb: examples/control.

The text depends on the seed, the number of words and the language alone: the same on every machine, a longer text
begins with the shorter one. Only ``random.Random.random`` is used, whose values Python guarantees.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, TypeVar

from fairseq_scaling.errors import SettingError

from .base import Request, Source

TOPICS = 12
_FROM_TOPIC = 0.7
_GENDERS = 3
_TENSES = 3
_PLACES = 8  # adpositions
_SHARES = {"noun": 0.6, "verb": 0.2, "adjective": 0.2}  # of the lexicon
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Language:
    """How a language is built.

    Attributes:
        order: order of subject (S), object (O) and verb (V).
        noun_last: adjective, article and adposition stand before the noun, else behind it.
        consonants, vowels: of its own syllables; two languages without a common consonant share no word.
        parent: the language from which word forms are taken; the own ones follow ``consonants`` and ``vowels``.
        cognates: share of the words that are the parent's with the same meaning; its endings are the parent's too.
    """

    order: str
    noun_last: bool
    consonants: str
    vowels: str
    parent: str | None = None
    cognates: float = 0.0


LANGUAGES = {
    "ga": Language("SVO", True, "ptkmns", "aiu"),
    "gb": Language("SOV", False, "bdgvrz", "eoy"),
    "gc": Language("SOV", False, "ćđģłř", "ëöÿ", parent="gb", cognates=0.8),
    "gd": Language("VSO", True, "fhwxqj", "âîû"),
}


class Phrase(NamedTuple):
    """A noun with what belongs to it; words are numbers, the same in every language."""

    noun: int
    plural: bool
    definite: bool
    adjective: int | None


class Meaning(NamedTuple):
    """What a sentence says."""

    subject: Phrase
    verb: int
    tense: int
    negated: bool
    object: Phrase | None
    place: tuple[int, Phrase] | None


class GeneratedSource(Source):
    """Text of the languages of ``LANGUAGES`` (SettingError for any other one); needs no network."""

    name = "generated"

    def __init__(self, request: Request) -> None:
        if unknown := [language for language in request.all_languages if language not in LANGUAGES]:
            raise SettingError("language", unknown[0], f"the generated languages are {', '.join(LANGUAGES)}")
        self._sentences, self._pairs, self._words, self._seed = (
            request.options[f"generated_{name}"] for name in ("sentences", "pairs", "words", "seed")
        )
        self._sizes = {kind: round(share * self._words) for kind, share in _SHARES.items()}
        self._grammars: dict[str, Grammar] = {}
        for language in request.all_languages:
            self.grammar(language)

    def monolingual(self, language: str) -> Iterator[str]:
        if language in LANGUAGES:
            grammar = self.grammar(language)
            for meaning in itertools.islice(self.meanings(f"text in {language}"), self._sentences):
                yield grammar.sentence(meaning)

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        if source in LANGUAGES and target in LANGUAGES:
            left, right = self.grammar(source), self.grammar(target)
            for meaning in itertools.islice(self.meanings("pairs"), self._pairs):
                yield left.sentence(meaning), right.sentence(meaning)

    def meanings(self, purpose: str) -> Iterator[Meaning]:
        """Yield meanings without end; another purpose gives others."""
        random = Random(f"{self._seed} {purpose}").random
        lexicon = {kind: _Zipf(size) for kind, size in self._sizes.items()}

        def phrase(topic: int) -> Phrase:
            adjective = lexicon["adjective"].draw(random, topic) if random() < 0.4 else None
            return Phrase(lexicon["noun"].draw(random, topic), random() < 0.3, random() < 0.6, adjective)

        while True:
            topic = int(random() * TOPICS)
            yield Meaning(
                subject=phrase(topic),
                verb=lexicon["verb"].draw(random, topic),
                tense=int(random() * _TENSES),
                negated=random() < 0.15,
                object=phrase(topic) if random() < 0.75 else None,
                place=(int(random() * _PLACES), phrase(topic)) if random() < 0.35 else None,
            )

    def describe(self) -> dict[str, Any]:
        return {
            "source": self.name,
            "languages": sorted(self._grammars),
            "sentences": self._sentences,
            "pairs": self._pairs,
            "words": self._words,
            "seed": self._seed,
        }

    def grammar(self, name: str) -> Grammar:
        """Return the grammar of one of ``LANGUAGES``."""
        if name not in self._grammars:
            language = LANGUAGES[name]
            parent = self.grammar(language.parent) if language.parent else None
            self._grammars[name] = Grammar(language, self._sizes, Random(f"{self._seed} grammar of {name}"), parent)
        return self._grammars[name]


class Word(NamedTuple):
    """The stem of a word, and the gender of a noun."""

    stem: str
    gender: int


class Grammar:
    """Lexicon and endings of one language.

    Args:
        language: how it is built.
        sizes: number of words of each kind.
        random: where every choice comes from.
        parent: the grammar of ``language.parent``.
    """

    def __init__(
        self, language: Language, sizes: dict[str, int], random: Random, parent: Grammar | None = None
    ) -> None:
        self._language = language
        draw = random.random
        syllables = [consonant + vowel for consonant in language.consonants for vowel in language.vowels]
        # Two syllables for the most frequent nouns, three for all other words; all forms differ.
        short = _shuffled([a + b for a in syllables for b in syllables], draw)
        long = _shuffled([a + b + c for a in syllables for b in syllables for c in syllables], draw)
        forms = iter([*short[_PLACES + 8 :], *long])
        self.lexicon: dict[str, list[Word]] = {}
        for kind, size in sizes.items():
            own = [Word(next(forms), int(draw() * _GENDERS)) for _ in range(size)]
            if parent is not None:
                pairs = zip(own, parent.lexicon[kind], strict=True)
                own = [cognate if draw() < language.cognates else word for word, cognate in pairs]
            self.lexicon[kind] = own
        # Articles, adpositions and the negation are short words that no stem is; endings are single letters or two.
        self._functions = short[: _PLACES + 8]
        vowels, consonants = language.vowels, language.consonants
        self._endings = _shuffled([vowel + end for vowel in vowels for end in ("", *consonants)], draw)
        if parent is not None:
            self._functions, self._endings = parent._functions, parent._endings

    def sentence(self, meaning: Meaning) -> str:
        """Return what a meaning is called in this language: words between single spaces, ended by a full stop."""
        verb = [self._verb(meaning)]
        if meaning.negated:
            verb.insert(0, self._functions[_PLACES + 6])
        parts = {
            "S": self._phrase(meaning.subject),
            "V": verb,
            "O": self._phrase(meaning.object) if meaning.object else [],
        }
        words = [word for role in self._language.order for word in parts[role]]
        if meaning.place is not None:
            number, phrase = meaning.place
            place = self._around(self._phrase(phrase), [self._functions[number]])
            words = place + words if self._language.order.endswith("V") else words + place
        return " ".join(words) + "."

    def _phrase(self, phrase: Phrase) -> list[str]:
        stem, gender = self.lexicon["noun"][phrase.noun]
        noun = stem + (self._endings[gender] if phrase.plural else "")
        before = [self._functions[_PLACES + gender]] if phrase.definite else []
        if phrase.adjective is not None:
            agreement = self._endings[3 + 2 * gender + phrase.plural]
            before.append(self.lexicon["adjective"][phrase.adjective].stem + agreement)
        return self._around([noun], before)

    def _verb(self, meaning: Meaning) -> str:
        agreement = self._endings[9 + 2 * meaning.tense + meaning.subject.plural]
        return self.lexicon["verb"][meaning.verb].stem + agreement

    def _around(self, phrase: list[str], before: list[str]) -> list[str]:
        return before + phrase if self._language.noun_last else phrase + before[::-1]


class _Zipf:
    """Draws word numbers; number 0 is the most frequent, and number ``n`` belongs to the topic ``n % TOPICS``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._weights = list(itertools.accumulate(1 / (1 + rank) for rank in range(size)))

    def draw(self, random: Callable[[], float], topic: int) -> int:
        if random() < _FROM_TOPIC:
            return self._rank(random, (self._size - topic - 1) // TOPICS + 1) * TOPICS + topic
        return self._rank(random, self._size)

    def _rank(self, random: Callable[[], float], size: int) -> int:
        return bisect.bisect_left(self._weights, random() * self._weights[size - 1], hi=size - 1)


def _shuffled(items: Sequence[_Item], random: Callable[[], float]) -> list[_Item]:
    """Return the items in random order. ``Random.shuffle`` may change with Python's version; sorting does not."""
    return [item for _, item in sorted(((random(), item) for item in items), key=lambda entry: entry[0])]
