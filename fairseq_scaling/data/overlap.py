"""How much of a task's text a mixture holds: overlap measured on the corpus, before anything is trained.

The paper's alignment score (``Mixture.alignment``) is computed from the shares of the languages alone. The measures
here are computed from the text: from SentencePiece pieces and sequences of two, three and four of them. They are this
project's, not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError, SettingError
from ..mixture import Mixture, alignment_score
from ..quantities import format_tokens
from . import hashing
from .corpus import Corpus, TokenFile

GRAMS = (2, 3, 4)
SAMPLE_TOKENS = 1_000_000
"""Default size of a mixture's sample, and the most that is read of one side of a task."""
STRETCH_TOKENS = 1024
_BREAK = -1

Tokens = npt.NDArray[np.int64]


class Sides(NamedTuple):
    """One measure of a mixture against the source and the target side of a task, each in [0, 1]."""

    source: float
    target: float

    @property
    def combined(self) -> float:
        """Both in the paper's formula, ``s t + 0.7 s + 0.8 t``, with what was measured instead of the shares; 0 to 2.5.

        Of the unigrams this is the paper's score itself where the languages share no piece and each language's text is
        distributed as the task's. Shared pieces and like domains raise it above, unlike domains push it below.
        """
        return alignment_score(self.source, self.target)


@dataclass(frozen=True)
class Overlap:
    """What a sample of a mixture has in common with the training pairs of a task.

    Attributes:
        mixture, source_lang, target_lang: what was compared.
        unigram: intersection of the two distributions of pieces, the sum of min(p, q): 1 for equal ones.
        coverage: n -> share of the n-grams of the task (every occurrence counts) that occur in the mixture's sample.
        sample_tokens: tokens of the mixture's sample; coverage grows with it, so it is part of what coverage means.
        task_tokens: tokens read of the source and of the target side.
    """

    mixture: Mixture
    source_lang: str
    target_lang: str
    unigram: Sides
    coverage: dict[int, Sides]
    sample_tokens: int
    task_tokens: tuple[int, int]

    @property
    def measures(self) -> dict[str, float]:
        """All numbers by name: ``alignment`` (the paper's), ``unigram_source``, ``coverage_3_combined`` and so on."""
        named = {"unigram": self.unigram, **{f"coverage_{n}": sides for n, sides in self.coverage.items()}}
        return {"alignment": self.mixture.alignment(self.source_lang, self.target_lang)} | {
            f"{name}_{side}": getattr(sides, side)
            for name, sides in named.items()
            for side in ("source", "target", "combined")
        }


def measure_overlaps(
    corpus: Corpus,
    mixtures: Sequence[Mixture],
    tasks: Sequence[tuple[str, str]],
    sample_tokens: int | None = None,
) -> list[Overlap]:
    """Return the overlap of every mixture with every task (source, target), in this order.

    The mixture's sample holds ``sample_tokens`` tokens, of each language its share (rounded down); of each side of the
    task's training pairs ``SAMPLE_TOKENS`` are read, or all there are. Tokens are counted as budgets are, ends of
    sentences included. Only SentencePiece pieces are compared: ends of sentences, unknown pieces, tags and sentinels
    belong to no n-gram and part those beside them. Memory and time depend on the sample alone, not on the corpus.

    Args:
        sample_tokens: by default ``SAMPLE_TOKENS``, or what all of the mixtures can fill where that is less.

    Raises:
        SettingError: the corpus lacks a language or pair, or a mixture cannot fill the sample.
        DataError: a text holds no pieces.
    """
    streams = {language: corpus.mono(language) for mixture in mixtures for language in mixture}
    pairs = {(source, target): corpus.pair(source, target, "train") for source, target in tasks}
    sample_tokens = _sample_size(mixtures, streams, sample_tokens)
    pieces = corpus.is_text()
    sides = {
        task: tuple(_Text(file, min(SAMPLE_TOKENS, file.tokens), pieces) for file in files)
        for task, files in pairs.items()
    }
    overlaps = []
    for mixture in mixtures:
        mixed = _Mixed(mixture, [_Text(streams[name], int(mixture[name] * sample_tokens), pieces) for name in mixture])
        for (source_lang, target_lang), texts in sides.items():
            unigram = Sides(*(_intersection(mixed.unigrams, text.unigrams) for text in texts))
            coverage = {n: Sides(*(_coverage(text.grams[n], mixed.grams[n]) for text in texts)) for n in GRAMS}
            read = (texts[0].tokens, texts[1].tokens)
            overlaps.append(Overlap(mixture, source_lang, target_lang, unigram, coverage, sample_tokens, read))
    return overlaps


def sample(file: TokenFile, tokens: int, stretch: int = STRETCH_TOKENS) -> Tokens:
    """Return ``tokens`` tokens of a file: stretches of about ``stretch``, evenly spaced from its start to its end.

    The first stretch begins the file, the last one ends it, none overlap, and all tokens together are the whole file.
    Nothing is drawn at random. -1, which is no token, separates two stretches: shape [tokens + stretches - 1].
    """
    count = max(1, -(-tokens // stretch))
    number = np.arange(count + 1, dtype=np.int64)
    ends = number * tokens // count
    skipped = number * (file.tokens - tokens) // max(1, count - 1)
    parts: list[Tokens] = []
    for begin, end, ahead in zip(ends, ends[1:], skipped, strict=False):
        parts += [np.array([_BREAK]), file.stream[begin + ahead : end + ahead].astype(np.int64)]
    return np.concatenate(parts[1:])


def largest_sample(mixture: Mixture, streams: dict[str, TokenFile]) -> int:
    """Return the largest sample in tokens that the languages of a mixture can fill, each with its share."""
    return min(int(streams[language].tokens / share) for language, share in mixture.items())


class _Text:
    """Unigrams and n-grams of a sample: ``unigrams`` [vocabulary] sums to one, ``grams`` maps n to (keys, counts)."""

    def __init__(self, file: TokenFile, tokens: int, pieces: npt.NDArray[np.bool_]) -> None:
        self.tokens = tokens
        text = sample(file, tokens)
        is_piece = pieces[text] & (text != _BREAK)
        counts = np.bincount(text[is_piece], minlength=len(pieces))
        if not counts.any():
            remedy = "look into the text, or take a larger sample"
            raise DataError(f"{file.path_prefix}.bin: no piece in a sample of {tokens} tokens\n  {remedy}")
        self.unigrams: npt.NDArray[np.float64] = counts / counts.sum()
        self.grams = {n: np.unique(keys, return_counts=True) for n, keys in _gram_keys(text, is_piece).items()}


class _Mixed:
    """The texts of a mixture as one: ``unigrams`` [vocabulary] weighted by the shares, ``grams`` n -> keys, sorted."""

    def __init__(self, mixture: Mixture, texts: Sequence[_Text]) -> None:
        shares = [float(share) for share in mixture.values()]
        self.unigrams = np.average([text.unigrams for text in texts], axis=0, weights=shares)
        self.grams = {n: np.unique(np.concatenate([text.grams[n][0] for text in texts])) for n in GRAMS}


def _gram_keys(tokens: Tokens, is_piece: npt.NDArray[np.bool_]) -> dict[int, hashing.UInt64Array]:
    """Return n -> a 64-bit key for every n-gram of pieces alone; two different n-grams share one by chance only."""
    values = tokens.astype(np.uint64)  # -1 becomes a huge number, which no valid n-gram holds
    keys, valid = hashing.mix(values), is_piece
    found = {}
    for n in range(2, max(GRAMS) + 1):
        keys = hashing.mix(keys[:-1] + values[n - 1 :])
        valid = valid[:-1] & is_piece[n - 1 :]
        found[n] = keys[valid]
    return {n: found[n] for n in GRAMS}


def _intersection(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return min(1.0, float(np.minimum(one, other).sum()))  # rounding may leave the sum a little above


def _coverage(grams: tuple[hashing.UInt64Array, npt.NDArray[np.int64]], known: hashing.UInt64Array) -> float:
    """Return the share of the occurrences whose key is among ``known`` (sorted); 0 where there are none."""
    keys, counts = grams
    covered = counts[np.isin(keys, known, assume_unique=True)].sum()
    return float(covered / max(1, counts.sum()))


def _sample_size(mixtures: Sequence[Mixture], streams: dict[str, TokenFile], wanted: int | None) -> int:
    """Return the size of the sample, the same for all mixtures: coverages of other sizes would not compare."""
    smallest = min(mixtures, key=lambda mixture: largest_sample(mixture, streams))
    largest = largest_sample(smallest, streams)
    if wanted is None:
        return min(SAMPLE_TOKENS, largest)
    if not 0 < wanted <= largest:
        raise SettingError(
            "sample", format_tokens(wanted), f"the text of {smallest} fills at most {largest} tokens",
            "give a smaller number; all mixtures are measured with one size",
        )  # fmt: skip
    return wanted
