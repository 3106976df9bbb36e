"""The forecast against a sampler that shares no code with it: Metropolis, from the formulas of docs/statistics.md.

The forecast integrates level and gain exactly over a fixed sample of shapes and grids of noise. The sampler walks
through shape, family, level, gain, noise and roughness at once, in a thousand chains. Only the numbers of the prior
come from the package.
"""

import numpy as np
import pytest
from scipy.special import ndtr

from fairseq_scaling import laws
from fairseq_scaling.laws.priors import NOISE, NOISE_GRID, ROUGHNESS, SHAPE, SHARED_GRID

CHAINS, STEPS, BURN_IN, EVERY = 1000, 2100, 700, 35
FAMILIES = np.array([SHAPE.rise, SHAPE.flat, SHAPE.fall, SHAPE.bend])
RISE, FLAT, FALL, BEND = range(4)


def s_curve(z, place, a, ratio):
    """1 - (1 + (D / d)^a)^(-alpha / a) with alpha = ratio a."""
    return 1 - (1 + 10 ** (a * np.minimum(z - place, 60 / a))) ** -ratio


class Model:
    """The posterior of one curve up to a constant. A state is family [c], u [c, 6] (standard normal in the prior),
    level, log of the gain, sizes of noise, roughness and the seeds' effect (places on grids), and half the difference
    of two seeds (standard normal in the prior)."""

    def __init__(self, tokens, values, noise, upper, seeds=1):
        self.z = np.log10(tokens)
        self.unit = values.mean()
        self.seen = (values / self.unit).reshape(len(tokens), seeds)
        self.y, self.seeds = self.seen.mean(1), seeds
        self.low, self.high = self.z[0], self.z[-1]
        self.width = (self.high - self.low) / 1.3
        self.sigma = noise / self.unit * 10**NOISE_GRID
        self.upper = upper / self.unit
        steps = np.gradient(NOISE_GRID)
        study = steps * (1 + (NOISE_GRID / NOISE.spread) ** 2 / 4) ** -2.5
        around = steps[:, None] * (1 + ((NOISE_GRID[:, None] - NOISE_GRID) / NOISE.between_curves) ** 2 / 3) ** -2.0
        self.noise_prior = np.log(around / around.sum(0) @ (study / study.sum()))
        sizes = np.array(ROUGHNESS.sizes)
        rough = np.array(ROUGHNESS.weights) * np.exp(-0.5 * (np.outer(self.sigma, sizes) / ROUGHNESS.largest) ** 2)
        self.rough_prior = np.log(np.maximum(rough / rough.sum(1, keepdims=True), 1e-300))
        ratio = np.maximum(SHARED_GRID, 0.2) * 10 ** NOISE_GRID[:, None] / NOISE.seed
        shared = np.exp(-0.5 * (np.log(ratio) / NOISE.shared_spread) ** 2)
        self.shared_prior = shared / shared.sum(1, keepdims=True)
        self.kernels = [np.eye(self.z.size) / seeds + r**2 * self.kernel(self.z, self.z) for r in sizes]
        self.inverses = np.array([np.linalg.inv(kernel) for kernel in self.kernels])
        self.determinants = np.array([np.linalg.slogdet(kernel)[1] for kernel in self.kernels])
        # the weight of what is still to come is normalised within a family
        u = np.random.default_rng(3).standard_normal((100_000, 6))
        typical = np.full(len(u), np.exp(SHAPE.log_gain[0]) * self.width)
        of = [np.exp(self.shape(np.full(len(u), kind), u, typical, self.z)[1]).mean() for kind in range(4)]
        self.family_prior = np.log(FAMILIES / of)

    @staticmethod
    def kernel(one, other):
        distance = np.sqrt(3) * np.abs(one[:, None] - other) / ROUGHNESS.reach
        return (1 + distance) * np.exp(-distance)

    def raw(self, family, u, z):
        """Heights before scaling [c, n]."""
        place = self.low - SHAPE.before + ndtr(u[:, :1]) * (self.high - self.low + SHAPE.before + SHAPE.after)
        a = np.exp(SHAPE.log_steepness[0] + SHAPE.log_steepness[1] * u[:, 1:2])
        below, above = SHAPE.log_ratio
        ratio = np.exp(np.where(u[:, 2:3] < 0, -below, -above) * u[:, 2:3])
        made = s_curve(z, place, a, ratio)
        drop = np.exp(SHAPE.log_drop[0] + SHAPE.log_drop[1] * u[:, 3:4])
        bend = self.low + ndtr(u[:, 4:5]) * (self.high - self.low)
        before = s_curve(bend, place, a, ratio) - s_curve(self.low, place, a, ratio)
        slope = before / np.maximum(bend - self.low, 0.1)
        k = np.log(10) * SHAPE.onset
        fallen = drop * slope * np.logaddexp(0, k * (z - bend)) / k
        family = family[:, None]
        return np.select([family == RISE, family == FLAT, family == FALL], [made, 0 * made, -made], made - fallen)

    def shape(self, family, u, gain, z):
        """Return scaled heights at z [c, n], the logarithm of the weight [c], and the height at the horizon [c]."""
        inside = np.linspace(self.low, self.high, 17)
        made = self.raw(family, u, np.r_[inside, self.high + SHAPE.horizon, z])
        start = made[:, :1]
        span = np.where(family == BEND, made[:, :17].max(1) - start[:, 0], np.abs(made[:, 16] - start[:, 0]))
        usable = (span > 1e-5) | (family == FLAT)
        made = (made - start) / np.where(span > 1e-5, span, 1.0)[:, None]
        made = made - made[:, :17].mean(1, keepdims=True)
        end = made[:, 17] - made[:, 0]
        ahead = np.maximum(np.where(family == FALL, -end, end) - 1, 0) * self.width / SHAPE.still_to_come
        ahead = ahead * gain / np.hypot(gain, np.exp(SHAPE.log_gain[0]) * self.width)
        below = np.where(family == BEND, np.maximum(-end, 0) * self.width / (2 * SHAPE.still_to_come), 0.0)
        with np.errstate(divide="ignore"):
            weight = np.where(usable, -np.log1p(ahead**2) - np.log1p(below**2), -np.inf)
        return made[:, 18:], weight, made[:, 17]

    def log_posterior(self, state):
        family, u, level, log_gain, size, rough, shared, difference = state
        gain = np.where(family == FLAT, 0.0, np.exp(log_gain))
        heights, weight, end = self.shape(family, u, gain, self.z)
        made = weight + self.family_prior[family] - 0.5 * (u**2).sum(1)
        reached = level + gain * end
        made = np.where((reached < 0) | (reached > self.upper), -np.inf, made)
        made = made - 0.5 * ((level - self.y.mean()) / 3) ** 2
        scale = np.exp(SHAPE.log_gain[0] + SHAPE.log_gain[1] * u[:, 5]) * self.width
        made = made - 0.5 * (np.exp(log_gain) / scale) ** 2 - np.log(scale) + log_gain
        sigma = self.sigma[size]
        made = made + self.noise_prior[size] + self.rough_prior[size, rough]
        left = self.y - level[:, None] - gain[:, None] * heights
        made = made - 0.5 * np.einsum("ci,cij,cj->c", left, self.inverses[rough], left) / sigma**2
        made = made - 0.5 * self.determinants[rough] - self.z.size * np.log(sigma)
        if self.seeds == 2:
            half = (self.seen[:, 0] - self.seen[:, 1]) / 2
            apart = half - (SHARED_GRID[shared] * sigma * difference / np.sqrt(2))[:, None]
            made = made - (apart**2).sum(1) / sigma**2 - self.z.size * np.log(sigma)
            made = made + np.log(self.shared_prior[size, shared]) - 0.5 * difference**2
        return made

    def walk(self, at, seed=0):
        """Return draws of the curve at z = ``at`` [kept, chains, n], in points."""
        g = np.random.default_rng(seed)
        count = CHAINS
        state = [
            np.zeros(count, int), g.standard_normal((count, 6)), np.full(count, self.y.mean()),
            np.log(np.full(count, np.ptp(self.y) + 0.01)), np.full(count, np.argmin(np.abs(NOISE_GRID))),
            g.integers(0, 3, count), g.integers(1, len(SHARED_GRID), count), np.zeros(count),
        ]  # fmt: skip
        now, kept = np.maximum(self.log_posterior(state), -1e9), []
        for step in range(STEPS):
            new = [part.copy() for part in state]
            kind = step % 6
            if kind in (0, 1):  # level and gain, by steps of several sizes
                far = 10 ** g.uniform(-1.5, 0.5, count) * self.sigma[state[4]]
                new[2] = state[2] + far * g.standard_normal(count)
                new[3] = state[3] + 10 ** g.uniform(-2, 0.3, count) * g.standard_normal(count)
            elif kind == 2:  # some coordinates of the shape from their prior: its ratio is in the posterior
                new[1] = np.where(g.random((count, 6)) < 0.4, g.standard_normal((count, 6)), state[1])
            elif kind == 3:  # a small step
                new[1] = state[1] + 10 ** g.uniform(-1.5, 0, (count, 1)) * g.standard_normal((count, 6))
            elif kind == 4:  # another family with the same coordinates, or with new ones of the second curve
                new[0] = g.integers(0, 4, count)
                new[1] = np.where((g.random((count, 1)) < 0.5) & np.isin(np.arange(6), [3, 4]),
                                  g.standard_normal((count, 6)), state[1])  # fmt: skip
            else:
                new[4] = state[4] + g.integers(-2, 3, count)
                new[5] = np.where(g.random(count) < 0.5, g.integers(0, len(ROUGHNESS.sizes), count), state[5])
                new[6] = np.where(g.random(count) < 0.5, g.integers(0, len(SHARED_GRID), count), state[6])
                new[7] = state[7] + 10 ** g.uniform(-1.5, 0.5, count) * g.standard_normal(count)
            valid = (new[4] >= 0) & (new[4] < len(NOISE_GRID))
            new[4] = np.clip(new[4], 0, len(NOISE_GRID) - 1)
            then = np.where(valid, self.log_posterior(new), -np.inf)
            # what came from the prior is proposed by its density
            proposal = 0.5 * (new[1] ** 2).sum(1) - 0.5 * (state[1] ** 2).sum(1) if kind in (2, 4) else 0.0
            take = np.log(g.random(count)) < then - now + proposal
            state = [np.where(take.reshape(-1, *[1] * (part.ndim - 1)), other, part)
                     for part, other in zip(state, new, strict=True)]  # fmt: skip
            now = np.where(take, then, now)
            if step >= BURN_IN and step % EVERY == 0:
                kept.append(self.curve(state, at, g))
        return np.clip(np.array(kept), 0, self.upper) * self.unit

    def curve(self, state, at, g):
        """Return the curve at z = ``at`` [c, n], its discrepancy drawn given the budgets."""
        family, u, level, log_gain, size, rough, *_ = state
        gain = np.where(family == FLAT, 0.0, np.exp(log_gain))
        heights = self.shape(family, u, np.ones(len(u)), np.r_[self.z, at])[0]
        made = level[:, None] + gain[:, None] * heights
        left, ahead = self.y - made[:, : self.z.size], made[:, self.z.size :].copy()
        across, among = self.kernel(at, self.z), self.kernel(at, at)
        for i, size_of in enumerate(ROUGHNESS.sizes):
            of = rough == i
            if size_of and of.any():
                pull = size_of**2 * across @ self.inverses[i]
                rest = size_of**2 * (among - pull @ across.T)
                wiggle = g.multivariate_normal(np.zeros(at.size), rest, of.sum(), method="eigh")
                ahead[of] += left[of] @ pull.T + self.sigma[size[of], None] * wiggle
        return ahead


CASES = {
    "a rise": ([12.0, 14.1, 15.7, 17.4, 18.3, 19.6], 1),
    "a bend": ([12.0, 14.0, 15.5, 14.9, 13.5, 12.2], 1),
    "two seeds": ([15.2, 15.9, 17.9, 17.1, 18.2, 18.9, 20.6, 20.3, 20.4, 21.5], 2),
}


@pytest.mark.parametrize("case", CASES)
def test_the_forecast_agrees_with_a_sampler(case):
    """Within four standard errors of both, and 0.05 (tails 0.1) standard deviations for the fixed sample of shapes."""
    values, seeds = np.array(CASES[case][0]), CASES[case][1]
    tokens = 1e6 * 2.0 ** np.arange(len(values) // seeds)
    at = tokens[-1] * np.array([1.0, 2.0, 4.0])
    curve = laws.Curve("c", "bleu", np.repeat(tokens, seeds), values, seeds=np.tile(np.arange(seeds), len(tokens)))
    mine = laws.forecast(curve)[0].draws(at)
    theirs = Model(tokens, values, 0.5, 100.0, seeds).walk(np.log10(at))
    parts = theirs.reshape(len(theirs), 10, -1, at.size).swapaxes(0, 1).reshape(10, -1, at.size)
    sd = theirs.std((0, 1))
    for label, of, own, sample in (
        ("mean", lambda x: x.mean(0), 1.0, 0.05),
        ("2.5 %", lambda x: np.quantile(x, 0.025, 0), 2.7, 0.1),
        ("50 %", lambda x: np.quantile(x, 0.5, 0), 1.25, 0.05),
        ("97.5 %", lambda x: np.quantile(x, 0.975, 0), 2.7, 0.1),
    ):
        each = np.array([of(part) for part in parts])
        error = np.hypot(each.std(0, ddof=1) / np.sqrt(10), own * sd / np.sqrt(len(mine)))
        off = np.abs(of(mine) - each.mean(0))
        assert np.all(off < 4 * error + sample * sd), f"{label}: off by {off / sd} standard deviations"
