"""What a forecast assumes before it sees a curve: every number, what it means and where it comes from.

Set by hand from the ranges that the forms in ``forms/`` take on published curves; what was compared before a number was
chosen, and what it gave, is in docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ShapePrior:
    """Prior over shapes (``numerics/shapes.py``). D is taken relative to the curve's own budgets, in decades."""

    rise: float = 0.79
    """Probability that a curve only improves,"""
    flat: float = 0.05
    """that it is flat,"""
    fall: float = 0.06
    """that it only gets worse,"""
    bend: float = 0.10
    """that it improves and then, from a place within the budgets on, gets worse. Finding 2 of Isik et al.; in Lourie et
    al. (2025) more curves do. It was 0.18 when that place could lie two decades beyond the budgets, which left less
    than half of it for bends that budgets show."""
    before: float = 3.0
    """The middle of the rise lies at most so many decades before the smallest budget,"""
    after: float = 2.0
    """and at most so many decades after the largest."""
    log_steepness: tuple[float, float] = (-0.2, 1.0)
    """Mean and standard deviation of log a: the exponent before the middle of the rise."""
    log_ratio: tuple[float, float] = (0.15, 1.2)
    """Scale of log(alpha / a), above and below 0 (half-normal each): the approach to the end is as steep as the start
    (the logistic) or slower (power laws with small alpha)."""
    log_drop: tuple[float, float] = (0.35, 0.7)
    """Mean and standard deviation of the logarithm of what a bend takes off the slope in log D, as a share of the mean
    slope of its rise up to there. To fall as fast as it rose, a curve that has levelled off needs 1, and one that
    would rise on needs 2; the median lies between."""
    onset: float = 4.0
    """Steepness of the change: a bend sets in within a factor of about two of the data."""
    horizon: float = 2.0
    """Decades beyond the largest budget at which a shape must be within the metric's range, and up to which what is
    still to come counts. Nobody asks for more, and at endless data even the log-law leaves the range."""
    log_gain: tuple[float, float] = (-1.0, 1.0)
    """Mean and standard deviation of the logarithm of the scale of the gain over 1.3 decades, as a share of the level;
    the gain itself is half-normal with that scale."""
    still_to_come: float = 4.0
    """A shape that gains c times what it has gained over the observed range, counted to 1.3 decades, until the horizon
    weighs 1 / (1 + (c / still_to_come)^2). What a curve has gained counts together with the typical gain (that of
    ``log_gain``; root of the sum of squares): one that has gained little may not have begun to rise."""


@dataclass(frozen=True)
class NoisePrior:
    """Prior over the sizes of what is random."""

    spread: float = 0.45
    """Scale, in decades, of Student's t (4 degrees of freedom) for the noise of one run around the metric's row in
    ``metrics.METRICS``, or around the median of given standard errors;"""
    known_spread: float = 0.1
    """the same, of a normal distribution, where the user states the noise (``--noise``)."""
    between_curves: float = 0.15
    """Scale, in decades, of Student's t (3 degrees of freedom) for the noise of one curve around that of its metric in
    the study."""
    run: float = 1.6
    """Median of the standard deviation that a pretraining run shares over all its budgets, in units of the metric's
    noise in the table. No public data was found for it; with one pretraining run it is all that a forecast knows."""
    seed: float = 0.8
    """The same for a finetuning seed. At a constant learning rate the seeds of the quickstart differed by 0.8 to 2.0
    BLEU at all ten points; a rate that falls to 0 makes them differ by a third of that."""
    shared_spread: float = 0.7
    """Standard deviation of the logarithm of both."""
    drift: tuple[float, ...] = (0.0, 0.5, 0.9)
    """Shares of the variance of the noise, equally likely, that are the drift of a pretraining run: how far it is ahead
    or behind at some budgets only, in all its finetunings there. One run does not show it."""
    reach: float = 0.6
    """Decades over which the drift is alike (Ornstein-Uhlenbeck in log D). Of 0.2 to 6 decades 0.4 and 0.8 were the
    likeliest for the runs of ``examples/`` (docs/statistics.md)."""


@dataclass(frozen=True)
class RoughnessPrior:
    """Prior over what a smooth shape leaves out: a correlated discrepancy (Matern 3/2 in log D)."""

    reach: float = 1.0
    """Decades over which it is alike."""
    sizes: tuple[float, ...] = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    """Its standard deviation in units of the noise of one run,"""
    weights: tuple[float, ...] = (0.50, 0.15, 0.12, 0.10, 0.06, 0.04, 0.03)
    """and their prior probabilities;"""
    largest: float = 0.4
    """sizes above this share of the level become improbable (half-normal). Without it a first point that lies apart
    made intervals of accuracy wider than its range."""


SHAPE, NOISE, ROUGHNESS = ShapePrior(), NoisePrior(), RoughnessPrior()

LOSS_SHAPE = ShapePrior(rise=0.90, flat=0.05, fall=0.03, bend=0.02)
"""For losses, which rarely get worse with more pretraining. Chosen after a look at a third of the development curves
that are losses: the interval score of image curves went from 0.28 to 0.21, the others changed by a tenth at most."""

COUNTS = {"rise": 1024, "flat": 1, "fall": 128, "bend": 640}
"""Shapes sampled of each family."""

NOISE_GRID = np.r_[-2.25:-1.0:0.25, -1.0:0.8:0.125, 1.0, 1.25]
"""Sizes of the noise of one run that are weighed: log10 of the ratio to the metric's own. Near it steps are fine: with
six budgets and three seeds the noise is known to a tenth of a decade."""

SHARED_GRID = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
"""Sizes of a shared effect that are weighed, in units of the noise of one run."""
