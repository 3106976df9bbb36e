"""Times of one fit, of bootstrap refits and of many curves with everything, in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fairseq_scaling import laws
from fairseq_scaling.laws.forms.registry import LAWS
from fairseq_scaling.laws.law import Scale
from fairseq_scaling.laws.numerics.bootstrap import refit
from fairseq_scaling.laws.numerics.engine import solve

from .curves import PAPER_LAWS, synthetic_curve
from .reference import PaperLoss, reached

_TIMED = 50
"""Starts and refits of the reference that are really run; the rest is multiplied."""


@dataclass(frozen=True)
class Speed:
    """Milliseconds of this project and, for the same law, of scipy's L-BFGS-B; the share of its warm-started refits
    that end more than 1 % above the minimum."""

    fit: float
    refits: float
    reference_fit: float
    reference_refits: float
    reference_missed: float


def speed(curves: int = 1000) -> tuple[dict[str, Speed], float]:
    """Return the times of both laws of the paper, and seconds for many curves with all single laws and intervals."""
    times = {name: _speed_of(name) for name in PAPER_LAWS}
    generator = np.random.default_rng(1)
    many = [synthetic_curve("log_law", int(generator.integers(5, 12)), 0.01, generator) for _ in range(curves)]
    seconds = _best_time(lambda: _everything(many), 1) / 1e3
    print(f"all single laws with intervals at 2x, 4x, 10x, {curves} curves of 5 to 11 points: {seconds:.1f} s")
    return times, seconds


def _everything(curves: list[laws.Curve]) -> None:
    for law in laws.laws_for(curves[0].metric):
        for fit in laws.fit_many(curves, law):
            fit.predict(fit.curve.pretrain_tokens[-1] * np.array([2.0, 4.0, 10.0]))


def _speed_of(name: str) -> Speed:
    law = LAWS[name]
    curve = synthetic_curve(name, 8, 0.01, np.random.default_rng(0))
    log_tokens, log_values = np.log(curve.pretrain_tokens), np.log(curve.values)
    weight, delta = np.ones((1, 8)), 0.1 if name == "log_law" else 1e-3
    took = _best_time(lambda: solve(law, log_tokens[None], log_values[None], weight, np.array([delta])))
    print(f"{name}: global minimum of 8 points {took:.1f} ms")
    whole = _best_time(lambda: laws.fit(curve).predict(4e11))
    print(f"{name}: fit with an interval at 4x {whole:.1f} ms")
    fit = laws.fit(curve)
    state = fit.state
    arguments = (law, state.scale, state.theta, log_tokens, log_values, weight[0], delta, fit.sigma, state.freedom)
    refits = 0.0
    for kind in ("parametric", "case"):
        took = _best_time(partial(refit, *arguments, kind, 1000, 0), 9)
        refits = max(refits, took)
        print(f"{name}: 1000 {kind} bootstrap refits {took:.0f} ms")
    began = time.process_time()
    loss = PaperLoss(name, log_tokens, log_values, delta)
    for start in loss.starts(_TIMED, np.random.default_rng(0)):
        reached(loss, start)
    reference = 1e3 * 500 / _TIMED * (time.process_time() - began)
    print(f"{name}: scipy L-BFGS-B from 500 starts {reference / 1e3:.1f} s ({_TIMED} of them timed)")
    warm, missed = _warm_refits(fit, delta)
    print(
        f"{name}: scipy L-BFGS-B, 1000 warm-started refits {warm / 1e3:.1f} s ({_TIMED} of them timed), "
        f"{missed:.0%} end more than 1 % above the minimum"
    )
    return Speed(whole, refits, reference, warm, missed)


def _warm_refits(fit: laws.Fit, delta: float) -> tuple[float, float]:
    """Return milliseconds for 1000 parametric refits by L-BFGS-B from the fit's own coefficients, and how often it
    misses."""
    log_tokens, scale = np.log(fit.curve.pretrain_tokens), fit.state.scale
    noise = np.random.default_rng(0).standard_normal((_TIMED, log_tokens.size))
    values = np.log(fit.curve.values) - fit.residuals + fit.sigma * noise
    one = Scale(*(np.atleast_1d(part) for part in (scale.middle, scale.half, scale.level)))
    best = solve(fit.law, log_tokens[None], values, np.ones_like(values), np.full(_TIMED, delta), one).objective
    began = time.process_time()
    found = []
    for row in values:
        loss = PaperLoss(fit.law.name, log_tokens, row, delta)
        found.append(reached(loss, loss.of_fit(fit)))
    took = 1e3 * 1000 / _TIMED * (time.process_time() - began)
    return took, float(np.mean(np.array(found) > 1.01 * best))


def _best_time(run: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return 1e3 * min(times)
