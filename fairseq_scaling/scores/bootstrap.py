"""Bootstrap over the sentences of a test set: the interval of a score, and the difference between two systems.

Both draw sentences as sacrebleu's own bootstrap does, with its seed, so that they give its numbers (Koehn, 2004). They
need only the statistics that a metric counts in each sentence, which score files hold: a report compares systems
without their translations.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .score_file import Interval, Score

N_BOOTSTRAP = 1000
LEVEL = 0.95
SEED = 12345
"""sacrebleu's default (SACREBLEU_SEED)"""
CELLS = 2_000_000  # of the matrix of resamples that is held at a time: 16 MB
# Columns that lie so far apart are similar: their difference is stored, which compresses to half the size.
_STRIDE = {"bleu": 1, "chrf": 3, "ter": 1}
Statistics = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How much better or worse a second system scored on the same test set.

    Attributes:
        value: score of the second minus score of the first, in points of the metric.
        interval: of the difference.
        p_value: of sacrebleu's paired bootstrap test: how often resamples differ so much where the systems are equal.
        sentences: of the test set.
    """

    value: float
    interval: Interval
    p_value: float
    sentences: int


def resampled_scores(metric: str, statistics: Statistics, n_bootstrap: int = N_BOOTSTRAP) -> NDArray[np.float64]:
    """Return the score of each resample: [n_bootstrap].

    Args:
        metric: one of ``scoring.METRICS``.
        statistics: [sentences, columns] what the metric counts in each sentence.
        n_bootstrap: the number of resamples.
    """
    score = score_function(metric)
    size = len(statistics)
    return np.concatenate([score(drawn @ statistics, size) for drawn in _draws(size, n_bootstrap)])


def interval(scores: NDArray[np.float64]) -> Interval:
    """Return the interval of the resampled scores, with the ends that sacrebleu takes: the 25th of 1,000 from below."""
    ordered = np.sort(scores)
    cut = int(len(ordered) * (1 - LEVEL) / 2 + 1e-9)
    return Interval(float(ordered[cut]), float(ordered[-cut - 1]), LEVEL, len(ordered))


class PairedBootstrap:
    """sacrebleu's paired bootstrap of systems on one test set; the resamples of a run are scored once for all pairs.

    Args:
        metric: one of ``scoring.METRICS``.
        n_bootstrap: the number of resamples.
    """

    def __init__(self, metric: str, n_bootstrap: int = N_BOOTSTRAP) -> None:
        self.metric, self.n_bootstrap = metric, n_bootstrap
        self._runs: dict[int, _Run] = {}

    def compare(self, first: Sequence[Score], second: Sequence[Score]) -> Difference | None:
        """Return by how much the second system differs from the first; exchanging them changes the sign alone.

        None where it cannot be told: the scores have other signatures or references, or hold no statistics of
        sentences.

        Args:
            first, second: a score for each run of a system, at least one; the system's score is their mean.

        Raises:
            DataError: the statistics are damaged, or of another number of sentences: that is another test set.
        """
        scores = [*first, *second]
        made = {(score.signature, score.details.get("reference_sha256")) for score in scores}
        if len(made) > 1 or made.pop()[1] is None or any(score.statistics is None for score in scores):
            return None
        runs = [self._run(score) for score in scores]
        sizes = {run.sentences for run in runs}
        if len(sizes) > 1:
            one, two = sorted(sizes)[:2]
            raise DataError(f"{self.metric}: {one} sentences and {two} do not compare: these are two test sets")
        ours, theirs = runs[: len(first)], runs[len(first) :]
        value = _mean([run.value for run in theirs]) - _mean([run.value for run in ours])
        resampled = _mean([run.resampled for run in theirs]) - _mean([run.resampled for run in ours])
        # sacrebleu.significance: the distances of the resamples, moved to a mean of 0, against the one that was found
        distances = np.abs(resampled) - np.abs(resampled).mean()
        p_value = (np.count_nonzero(distances > abs(value)) + 1) / (self.n_bootstrap + 1)
        return Difference(float(value), interval(resampled), float(p_value), sizes.pop())

    def _run(self, score: Score) -> _Run:
        if id(score) not in self._runs:
            assert score.statistics is not None
            statistics = unpack(score.statistics)
            value = score_function(self.metric)(statistics.sum(0)[None], len(statistics))[0]
            resampled = resampled_scores(self.metric, statistics, self.n_bootstrap)
            self._runs[id(score)] = _Run(score, float(value), resampled, len(statistics))
        return self._runs[id(score)]


class _Run(NamedTuple):
    score: Score  # held, so that no other one gets its id
    value: float
    resampled: NDArray[np.float64]
    sentences: int


def _mean(parts: Sequence[Any]) -> Any:
    return sum(parts) / len(parts)


def score_function(metric: str) -> Callable[[NDArray[np.float64], int], NDArray[np.float64]]:
    """Return the function of a metric: (sums of statistics [n, columns], sentences) -> scores [n]."""
    if metric not in ("bleu", "chrf", "ter"):  # the mean of the sentences' scores
        return lambda sums, sentences: sums[:, 0] / sentences
    from sacrebleu.metrics import BLEU, CHRF, TER

    scorer: Any = {"bleu": BLEU, "chrf": CHRF, "ter": TER}[metric]()
    return lambda sums, sentences: np.array([scorer._compute_score_from_stats(row.tolist()).score for row in sums])


def pack(metric: str, statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as JSON: BLEU, chrF and TER of 1,000 sentences take about 22 kB together."""
    whole = bool((statistics == np.rint(statistics)).all())
    stored = statistics.T.astype("<i4" if whole else "<f8")
    stride = _STRIDE.get(metric, 0)
    if whole and stride:
        stored[stride:] = stored[stride:] - stored[:-stride]
    data = base64.b64encode(zlib.compress(stored.tobytes(), 9)).decode()
    return {"columns": len(stored), "type": stored.dtype.str, "stride": stride if whole else 0, "data": data}


def unpack(packed: Mapping[str, Any]) -> Statistics:
    """Return the statistics that ``pack`` packed: [sentences, columns] (DataError where they are damaged)."""
    try:
        content = zlib.decompress(base64.b64decode(packed["data"], validate=True))
        if packed["type"] not in ("<i4", "<f8"):
            raise ValueError(packed["type"])
        stored = np.frombuffer(content, packed["type"]).reshape(int(packed["columns"]), -1).astype(np.float64)
        stride = int(packed["stride"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        remedy = "write the score file again with score-translations"
        raise DataError(f"the statistics of the sentences are damaged ({error})\n  {remedy}") from None
    if stride:
        for column in range(stride, len(stored)):
            stored[column] += stored[column - stride]
    return stored.T


def _draws(sentences: int, n_bootstrap: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each resample holds each sentence: [some resamples, sentences]."""
    generator = np.random.default_rng(SEED)
    rows = max(1, min(n_bootstrap, CELLS // sentences))
    for start in range(0, n_bootstrap, rows):
        count = min(rows, n_bootstrap - start)
        drawn = generator.choice(sentences, size=(count, sentences), replace=True)
        drawn += np.arange(count)[:, None] * sentences
        yield np.bincount(drawn.ravel(), minlength=count * sentences).reshape(count, sentences).astype(np.float64)
