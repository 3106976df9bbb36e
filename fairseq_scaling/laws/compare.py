"""Curves beside each other: which mixture is ahead, what its data is worth, and whether metrics tell the same story."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .curve import FloatArray
from .forecast import FACTORS, Forecast
from .results import Estimate, estimate_from_draws, first_reached
from .verdict import chance_worse


@dataclass(frozen=True)
class MixtureComparison:
    """Two mixtures on one metric, run again.

    Attributes:
        names: of the curves.
        pretrain_tokens: D_p at which they are compared (tokens).
        probability: that the first is ahead there.
        equal: probability that they differ by less than ``margin`` points.
        difference: first less second, in points, positive when the first is better.
        crossing: D_p where they cross last, from the smallest budget to ten times the largest; None where it is not
            likely that they cross there.
        worth: how many times as much data of the second gives what the first gives there; None where it is not known
            within a factor of 1,000.
        paired: whether both have the same finetuning seeds, whose effect cancels.
    """

    names: tuple[str, str]
    pretrain_tokens: float
    probability: float
    equal: float
    margin: float
    difference: Estimate
    crossing: Estimate | None
    worth: Estimate | None
    paired: bool

    @property
    def better(self) -> str:
        """The curve that is more probably ahead."""
        return self.names[0] if self.probability >= 0.5 else self.names[1]


def difference_of_mixtures(first: Forecast, second: Forecast, pretrain_tokens: ArrayLike) -> FloatArray:
    """Return draws [d, n] of the first less the second at ``pretrain_tokens`` (tokens, [n]), both run again.

    In points of the metric, positive where the first is better. What a finetuning seed does to both cancels.
    """
    one, two, shift = _oriented(first, second, np.ravel(pretrain_tokens))
    return one - two - shift[:, None]


def compare_mixtures(first: Forecast, second: Forecast, pretrain_tokens: float) -> MixtureComparison:
    """Return which of two curves is ahead at ``pretrain_tokens``, with what probability, and what its data is worth."""
    low = min(10 ** first.state.repeats.z[0], 10 ** second.state.repeats.z[0])
    high = max(first.largest, second.largest)
    grid = np.geomspace(low / 30, 30 * high, 90)
    at = np.r_[pretrain_tokens, grid]
    one, two, shift = _oriented(first, second, at)
    difference = one - two - shift[:, None]
    forecast = (grid >= low) & (grid <= FACTORS[-1] * high)
    crossings = _last_crossings(difference[:, 1:][:, forecast], grid[forecast])
    crosses = np.mean(np.isfinite(crossings)) >= first.likely
    # The draws wiggle; what is asked here is where the second's curve gets to what the first has.
    reached = first_reached(two[:, 1:], one[:, 0] - shift, grid) / pretrain_tokens
    worth = estimate_from_draws(reached, first.level, "times the data", method="nearest")
    known = np.isfinite(worth.value) and np.mean((reached > grid[0] / pretrain_tokens) & np.isfinite(reached)) > 0.5
    margin = max(first.margin, second.margin) / 2
    return MixtureComparison(
        (first.curve.name, second.curve.name),
        float(pretrain_tokens),
        float(np.mean(difference[:, 0] > 0)),
        float(np.mean(np.abs(difference[:, 0]) < margin)),
        margin,
        estimate_from_draws(difference[:, 0], first.level),
        estimate_from_draws(crossings[np.isfinite(crossings)], first.level, "tokens") if crosses else None,
        worth if known else None,
        first.state.repeats.seeds.keys() == second.state.repeats.seeds.keys(),
    )


@dataclass(frozen=True)
class Alarm:
    """Whether cross-entropy misleads: it improves over the second half of the budgets while the score gets worse.

    ``probability`` of both; ``change`` is that of the score over the second half, in points, positive when better.
    """

    name: str
    metric: str
    probability: float
    change: Estimate


def alarm(score: Forecast, cross_entropy: Forecast) -> Alarm:
    """Return the alarm of a score beside the cross-entropy of the same runs (finding 2 of Isik et al.)."""
    falls = chance_worse(score)
    improves = float(np.mean(cross_entropy.late_change > 0))
    change = estimate_from_draws(score.late_change, score.level)
    return Alarm(score.curve.name, score.curve.metric, falls * improves, change)


def _oriented(first: Forecast, second: Forecast, tokens: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return draws of both curves at ``tokens`` [d, n], up is better, and what runs and seeds add to the first [d]."""
    sign = first.state.repeats.sign
    return sign * first.draws(tokens), sign * second.draws(tokens), _difference_of_effects(first, second)


def _difference_of_effects(first: Forecast, second: Forecast) -> FloatArray:
    """Return what runs and seeds at hand add to the first less what they add to the second, in points, oriented [d].

    A finetuning seed that both have does the same to both. Pretraining runs of two mixtures are different runs.
    """
    one, two = first.state, second.state
    names = one.repeats.seeds.keys() | two.repeats.seeds.keys()
    shares = {name: one.repeats.seeds.get(name, 0.0) - two.repeats.seeds.get(name, 0.0) for name in names}
    shares = {name: share for name, share in shares.items() if abs(share) > 1e-9}
    seeds = one.seed_offset(shares, one.seed_spread)
    return (one.run_offset + seeds) * one.repeats.unit - two.run_offset * two.repeats.unit


def _last_crossings(difference: FloatArray, grid: FloatArray) -> FloatArray:
    """Return where every draw [d, n] changes sign last; NaN where it does not."""
    change = np.sign(difference[:, 1:]) * np.sign(difference[:, :-1]) < 0
    last = change.shape[1] - 1 - np.argmax(change[:, ::-1], 1)
    return np.where(change.any(1), np.sqrt(grid[last] * grid[last + 1]), np.nan)
