"""What the laws advise: more data, other data, enough data, or more measurements."""

from __future__ import annotations

from collections.abc import Sequence

from .curve import Curve
from .results import Advice, Choice, Estimate, Fit, MixtureComparison, Verdict

GAIN_FACTORS = (2.0, 4.0, 10.0)


def advise(
    curve: Curve,
    fit: Fit | Choice | None = None,
    verdict: Verdict | None = None,
    *,
    worthwhile: float | None = None,
    factors: Sequence[float] = GAIN_FACTORS,
) -> Advice:
    """Return the paper's advice for a curve.

    Args:
        fit, verdict: made when None.
        worthwhile: the smallest gain from doubling the data that is worth its cost, in points of the metric; by default
            1 % of the value reached.
    """
    raise NotImplementedError


def tokens_for(fit: Fit | Choice, score: float, level: float | None = None) -> Estimate:
    """Return the D_p (tokens) at which the law reaches ``score``, with an interval; NaN or inf where it never does."""
    raise NotImplementedError


def compare_mixtures(
    first: Fit | Choice, second: Fit | Choice, pretrain_tokens: float, *, size: int = 4000, seed: int = 0
) -> MixtureComparison:
    """Return which of two curves is ahead at ``pretrain_tokens``, with what probability, and where their laws cross."""
    raise NotImplementedError
