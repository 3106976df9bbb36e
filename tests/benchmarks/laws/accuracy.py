"""How near the fits come: the Chinchilla points, held-out ends of real curves, coverage."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fairseq_scaling import laws
from fairseq_scaling.laws.law import Scale
from fairseq_scaling.laws.numerics.engine import solve

from .curves import PAPER_LAWS, law_value, load_chinchilla, load_curves, synthetic_curve
from .reference import lbfgs_chinchilla

PUBLISHED_ERRORS = {"A": 124.5, "B": 1293.0, "E": 0.0257, "alpha": 0.0154, "beta": 0.0206}
BUDGETS, NOISES = (5, 8, 14), (0.005, 0.01, 0.02)


@dataclass(frozen=True)
class Chinchilla:
    """Objective, reference's best objective (NaN when not run) and standard errors relative to the published ones."""

    objective: float
    reference: float
    errors: dict[str, float]


def chinchilla(data: Path, draws: int = 4000, starts: int = 0) -> Chinchilla:
    """L(N, D) on the points of Hoffmann et al. as Besiroglu et al. (2024) extracted them."""
    size, tokens, loss = load_chinchilla(data)
    began = time.process_time()
    fit = laws.fit_surface(size, tokens, loss)
    took = time.process_time() - began
    print(
        f"{len(loss)} points, objective {fit.objective:.14f} in {took:.2f} s "
        f"(published .00101864, minimum .00101827401780)"
    )
    objective, reference = fit.objective, float("nan")
    if starts:
        began = time.process_time()
        found = lbfgs_chinchilla(size, tokens, loss, starts)
        reference = float(found.min())
        print(
            f"scipy L-BFGS-B from {starts} starts {reference:.14f} in {time.process_time() - began:.0f} s; "
            f"{np.mean(found < 1.001 * objective):.0%} of the starts end within 0.1 % of this project's objective"
        )
    began = time.process_time()
    fit = laws.fit_surface(size, tokens, loss, n_boot=draws)
    print(f"{draws} case bootstraps in {time.process_time() - began:.1f} s")
    errors = {}
    for name, estimate in fit.coefficients.items():
        published = PUBLISHED_ERRORS[name]
        errors[name] = estimate.se / published - 1
        print(
            f"  {name:<6} {estimate.value:10.5g}  standard error {estimate.se:9.4g}, published {published:9.4g} "
            f"({errors[name]:+.1%})"
        )
    return Chinchilla(objective, reference, errors)


def extrapolation(data: Path, first: int = 0) -> dict[str, dict[str, float]]:
    """Held-out RMSLE per domain: of the forecast's median and of every single law.

    With ``first`` that many points are fitted and all others held out, whatever the table says.
    """
    curves = load_curves(data)
    if first:
        curves = [(domain, holding_out(curve, first)) for domain, curve in curves]
    curves = [(domain, curve) for domain, curve in curves if curve.held_out.any() and laws.fitted_budgets(curve) >= 3]
    domains = np.array([domain for domain, _ in curves])
    rows: dict[str, np.ndarray] = {}
    for position, (_, curve) in enumerate(curves):
        errors = {"forecast": _rmsle(curve, laws.forecast(curve)[0].predict(curve.pretrain_tokens).value)}
        errors |= {law.name: _rmsle(curve, laws.fit(curve, law).values(curve.pretrain_tokens)) for law in
                   laws.laws_for(curve.metric)}  # fmt: skip
        for label, error in errors.items():
            rows.setdefault(label, np.full(len(curves), np.nan))[position] = error
    groups = {name: np.flatnonzero(domains == name) for name in sorted(set(domains))}
    print(f"{len(curves)} curves; mean RMSLE on held-out points")
    print(f"  {'':<20}" + "".join(f"{f'{name} ({len(members)})':>12}" for name, members in groups.items()))
    for label, found in rows.items():
        print(f"  {label:<20}" + "".join(f"{np.mean(found[members]):12.4f}" for members in groups.values()))
    return {
        name: {label: float(np.mean(errors[members])) for label, errors in rows.items()}
        for name, members in groups.items()
    }


def holding_out(curve: laws.Curve, first: int) -> laws.Curve:
    """Return the curve with all points but the ``first`` smallest held out."""
    return replace(curve, held_out=np.argsort(np.argsort(curve.pretrain_tokens)) >= first)


def _rmsle(curve: laws.Curve, predicted: np.ndarray) -> float:
    """Return the error of ``predicted`` [n] on the held-out points above 0; inf where nothing is predicted."""
    judged = curve.held_out & (curve.values > 0)
    with np.errstate(all="ignore"):
        error = np.log(predicted[judged] / curve.values[judged])
    return float(np.sqrt(np.mean(np.where(np.isfinite(error), error, np.inf) ** 2)))


def coverage(repeats: int = 1000, seeds: int = 1, between: float = 1.0, interval: str = "profile") -> list[float]:
    """Share of nominal 95 % intervals at four times the largest D_p that hold the truth.

    ``seeds`` and ``between``: as in :func:`synthetic_curve`.
    """
    print(f"{repeats} curves a cell, {interval} intervals; law, n, noise: coverage at 4x, median width")
    cells = []
    for law in PAPER_LAWS:
        for count in BUDGETS:
            for noise in NOISES:
                covered, width = coverage_of(law, count, noise, repeats, interval, seeds, between)
                cells.append(covered)
                print(f"  {law:<18} {count:3d} {noise:6.1%}  {covered:6.1%}  {width:6.1%}")
    return cells


def coverage_of(
    law: str,
    count: int,
    noise: float,
    repeats: int,
    interval: str = "profile",
    seeds: int = 1,
    between: float = 1.0,
) -> tuple[float, float]:
    """Return the coverage and the median relative width of intervals at four times the largest D_p.

    ``interval`` is one of the package's for the law that made the curves; ``forecast``: that of the forecast, which
    does not know the law; or ``residual``: the residual bootstrap, which the package does not offer.
    """
    generator = np.random.default_rng([count, int(1e4 * noise), len(law)])
    curves = [synthetic_curve(law, count, noise, generator, seeds=seeds, between=between) for _ in range(repeats)]
    target = np.array([4e11])
    truth = law_value(law, target)[0]
    if interval == "residual":
        lower, upper = np.array(
            [residual_interval(fit, target, number) for number, fit in enumerate(laws.fit_many(curves, law))]
        ).T
    else:
        if interval == "forecast":
            predictions = [laws.forecast(curve)[0].predict(target) for curve in curves]
        else:
            predictions = [fit.predict(target) for fit in laws.fit_many(curves, law, interval=interval)]
        lower = np.array([p.lower[0] for p in predictions])
        upper = np.array([p.upper[0] for p in predictions])
    return float(np.mean((lower <= truth) & (truth <= upper))), float(np.median((upper - lower) / truth))


def residual_interval(fit: laws.Fit, target: np.ndarray, seed: int, draws: int = 400) -> tuple[float, float]:
    """Return the 95 % interval at ``target`` [1] from refits to the law's values plus resampled residuals."""
    scale: Scale = fit.state.scale
    log_tokens = np.log(fit.curve.pretrain_tokens)
    residual = fit.residuals - fit.residuals.mean()
    drawn = np.random.default_rng([seed, 0x2E5]).choice(residual, (draws, residual.size))
    values = np.log(fit.curve.values) - fit.residuals + drawn
    one = Scale(*(np.atleast_1d(part) for part in (scale.middle, scale.half, scale.level)))
    weight, delta = np.ones_like(values), np.full(draws, fit.delta)
    theta = solve(fit.law, log_tokens[None], values, weight, delta, one, 1, tolerance=1e-6).theta
    with np.errstate(all="ignore"):
        predicted = np.exp(fit.law.evaluate(theta, scale.z(np.log(target))[None])[0][:, 0] + scale.level)
    low, high = np.quantile(predicted, [0.025, 0.975])
    return float(low), float(high)
