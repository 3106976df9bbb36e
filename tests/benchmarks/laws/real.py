"""Forecasts of the held-out ends of real curves, with the stated priors or with priors learned from other sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from fairseq_scaling import laws
from fairseq_scaling.laws.numerics.shapes import Family
from fairseq_scaling.laws.priors import ROUGHNESS, SHAPE

from .curves import load_table
from .forecasts import interval_score

CAP = 10.0
"""The most that one point counts, in units of the curve's mean."""

_KEPT = 1000  # draws of a curve that are weighed anew
_HELD_OUT = 12  # budgets of a curve from which a prior is learned, at most
_LEAST = -10.0  # of the logarithm of a density: a point that a forecast misses entirely


def real(tables: Sequence[Path], every: int = 1, leave_out: bool = False) -> dict[str, np.ndarray]:
    """Held-out ends of real curves: interval score, error and coverage, in shares of the curve's mean, by group.

    ``every``: only each so many-th curve. ``leave_out``: beside it what a prior gives that was learned from all other
    groups: family shares, weights of the roughness, moments of the gain and of the steepness.
    """
    curves = [(domain, curve) for path in tables for domain, curve in load_table(path)[::every]]
    ends = [_End.of(domain, curve) for domain, curve in curves
            if curve.held_out.any() and laws.fitted_budgets(curve) >= 3]  # fmt: skip
    groups: dict[str, list[_End]] = defaultdict(list)
    for end in ends:
        groups[end.source].append(end)
    found = {}
    for source, members in groups.items():
        for metric in sorted({end.metric for end in members}):
            of = [end for end in members if end.metric == metric]
            found[f"{source} ({metric})"] = _print(f"{source} ({metric})", of, np.zeros(_SIZE))
        if leave_out and len(groups) > 1:
            learned = learn([others for name, others in groups.items() if name != source])
            found[f"{source}, left out"] = _print("  prior of the other sources", members, learned)
            print("    " + describe(learned), flush=True)
    return found


def _print(label: str, ends: Sequence[_End], change: np.ndarray) -> np.ndarray:
    rows = np.mean([end.scores(change) for end in ends], 0)
    print(
        f"{label:48s} interval score {rows[0]:.4f}  error {rows[1]:.4f}  covered {rows[2]:.3f}  curves {len(ends)}",
        flush=True,
    )
    return rows


# -- a prior learned from curves: the draws of a forecast weighed by the ratio of the priors ---------------------------

_FAMILIES, _ROUGH = len(Family), len(ROUGHNESS.sizes)
_SIZE = _FAMILIES + _ROUGH + 4
"""Logarithms of the ratios of family shares and of roughness weights; shift and log scale of the normal coordinates of
steepness and of gain."""


@dataclass(frozen=True)
class _End:
    """Draws of one forecast at its held-out budgets, in shares of the curve's mean.

    ``values`` [d, h]: of scores; ``truth`` [h]; ``log_density`` [d, h]: of the truth; the rest [d]: what the draws'
    prior depends on.
    """

    source: str
    metric: str
    values: np.ndarray
    truth: np.ndarray
    log_density: np.ndarray
    family: np.ndarray
    rough: np.ndarray
    steepness: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, source: str, curve: laws.Curve) -> _End:
        held_out = np.unique(curve.pretrain_tokens[curve.held_out])
        truth = np.array([curve.values[curve.held_out & (curve.pretrain_tokens == d)].mean() for d in held_out])
        unit = float(abs(curve.values[~curve.held_out].mean()))
        made = laws.forecast(curve)[0]
        state = made.state
        values, latent = made.draws(held_out, laws.Question.RUN) / unit, made.draws(held_out) / unit
        size = np.abs(latent) if state.repeats.relative else 1.0
        spread = (state.sigma * state.repeats.unit / unit / np.sqrt(state.repeats.typical))[:, None] * size
        spread = np.maximum(spread, 1e-9)
        density = -0.5 * ((truth / unit - latent) / spread) ** 2 - np.log(spread)
        chosen = np.unique(np.linspace(0, held_out.size - 1, _HELD_OUT).round().astype(int))
        normal = state.explained.shapes.normal[state.shape]
        return cls(
            source, curve.metric, values, truth / unit, density[:_KEPT, chosen], state.family, state.rough,
            normal[:, 1], normal[:, 5],
        )  # fmt: skip

    def log_weights(self, change: np.ndarray) -> np.ndarray:
        """Return the logarithm of the ratio of the changed prior to the stated one [d], up to a constant."""
        families, rough, rest = np.split(change, [_FAMILIES, _FAMILIES + _ROUGH])
        logs = families[self.family] + rough[self.rough]
        for at, (shift, scale) in ((self.steepness, rest[:2]), (self.gain, rest[2:])):
            logs = logs - 0.5 * ((at - shift) / np.exp(scale)) ** 2 + 0.5 * at**2 - scale
        return logs

    def log_score(self, change: np.ndarray) -> float:
        """Return the mean log density of the held-out values under a changed prior."""
        logs = self.log_weights(change)[:_KEPT]
        weight = np.exp(logs - logs.max())
        density = (weight / weight.sum()) @ np.exp(np.maximum(self.log_density, -700.0))
        return float(np.mean(np.log(density + np.exp(_LEAST))))

    def scores(self, change: np.ndarray) -> tuple[float, float, float]:
        """Return interval score, absolute error and coverage under a changed prior."""
        logs = self.log_weights(change)
        weight = np.exp(logs - logs.max())
        order = np.argsort(self.values, 0)
        ladder = np.cumsum(weight[order], 0)
        lower, value, upper = (
            np.take_along_axis(
                np.take_along_axis(self.values, order, 0), np.argmax(ladder >= share * ladder[-1], 0)[None], 0
            )[0]
            for share in (0.025, 0.5, 0.975)
        )
        score = np.minimum(interval_score(self.truth, lower, upper), CAP).mean()
        error = np.minimum(np.abs(value - self.truth), CAP).mean()
        return float(score), float(error), float(np.mean((lower <= self.truth) & (self.truth <= upper)))


def learn(groups: Sequence[Sequence[_End]]) -> np.ndarray:
    """Return the change of the prior with the largest log density of held-out values, every group counting alike.

    A normal prior of standard deviation 1 on every change keeps what the curves do not tell where it is.
    """

    def loss(change: np.ndarray) -> float:
        told = sum(np.mean([end.log_score(change) for end in group]) * np.sqrt(len(group)) for group in groups)
        return float(0.5 * change @ change - told)

    return np.asarray(minimize(loss, np.zeros(_SIZE), method="L-BFGS-B", options={"maxiter": 40}).x)


def describe(change: np.ndarray) -> str:
    """Return the learned prior in the numbers of ``priors.py``."""
    families, rough, rest = np.split(change, [_FAMILIES, _FAMILIES + _ROUGH])
    shares = np.array([SHAPE.rise, SHAPE.flat, SHAPE.fall, SHAPE.bend]) * np.exp(families)
    weights = np.array(ROUGHNESS.weights) * np.exp(rough)
    names = [kind.name.lower() for kind in Family]
    parts = [f"{name} {share:.2f}" for name, share in zip(names, shares / shares.sum(), strict=True)]
    parts.append("roughness " + " ".join(f"{weight:.2f}" for weight in weights / weights.sum()))
    for name, stated, (shift, scale) in (
        ("log_steepness", SHAPE.log_steepness, rest[:2]),
        ("log_gain", SHAPE.log_gain, rest[2:]),
    ):
        parts.append(f"{name} ({stated[0] + stated[1] * shift:.2f}, {stated[1] * np.exp(scale):.2f})")
    return ", ".join(parts)
