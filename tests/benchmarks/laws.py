"""What the fitting engine reaches: one command per figure, each printing a small table.

    python -m tests.benchmarks.laws chinchilla tests/laws/data/chinchilla.csv
    python -m tests.benchmarks.laws extrapolation CURVES.csv
    python -m tests.benchmarks.laws optimum [CURVES.csv] [--curves 20] [--starts 500]
    python -m tests.benchmarks.laws speed
    python -m tests.benchmarks.laws coverage [--repeats 1000]
    python -m tests.benchmarks.laws verdicts [--repeats 200]

CURVES.csv has the columns domain, curve, seen_examples, loss, held_out.
Times are those of one process; set OMP_NUM_THREADS=1 to compare.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fairseq_scaling import laws
from fairseq_scaling.laws.bootstrap import refit
from fairseq_scaling.laws.engine import solve
from fairseq_scaling.laws.registry import LAWS
from fairseq_scaling.laws.solver import huber

PUBLISHED_ERRORS = {"A": 124.5, "B": 1293.0, "E": 0.0257, "alpha": 0.0154, "beta": 0.0206}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, needs in (("chinchilla", True), ("extrapolation", True), ("optimum", False)):
        sub = commands.add_parser(name)
        sub.add_argument("data", type=Path, nargs=None if needs else "?")
        if name == "optimum":
            sub.add_argument("--curves", type=int, default=20)
            sub.add_argument("--starts", type=int, default=500)
        if name == "chinchilla":
            sub.add_argument("--draws", type=int, default=4000)
    commands.add_parser("speed")
    commands.add_parser("coverage").add_argument("--repeats", type=int, default=1000)
    commands.add_parser("verdicts").add_argument("--repeats", type=int, default=200)
    chosen = vars(parser.parse_args(arguments))
    run: dict[str, Callable[..., None]] = {
        "chinchilla": chinchilla,
        "extrapolation": extrapolation,
        "optimum": optimum,
        "speed": speed,
        "coverage": coverage,
        "verdicts": verdicts,
    }
    run[chosen.pop("command")](**chosen)


def load_chinchilla(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, tokens and losses of the 240 points that Besiroglu et al. keep (five highest losses
    dropped)."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    size = np.array([float(row["Model Size"]) for row in rows])
    compute = np.array([float(row["Training FLOP"]) for row in rows])
    loss = np.array([float(row["loss"]) for row in rows])
    keep = np.argsort(np.argsort(-loss)) >= 5
    return size[keep], (compute / (6 * size))[keep], loss[keep]


def load_curves(path: Path) -> list[tuple[str, laws.Curve]]:
    """Return (domain, curve) of the extrapolation benchmark of Alabdulmohsin et al. (2022)."""
    points: dict[tuple[str, str], list[tuple[float, float, bool]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["domain"], row["curve"])
            points.setdefault(key, []).append((float(row["seen_examples"]), float(row["loss"]), row["held_out"] == "1"))
    curves = []
    for (domain, name), rows in points.items():
        tokens, values, held_out = (np.array(column) for column in zip(*rows, strict=True))
        curves.append((domain, laws.Curve(name, "loss", tokens, values, held_out, lower_is_better=True)))
    return curves


def chinchilla(data: Path, draws: int = 4000) -> None:
    """L(N, D) on the points of Hoffmann et al. as Besiroglu et al. (2024) extracted them."""
    size, tokens, loss = load_chinchilla(data)
    began = time.process_time()
    fit = laws.fit_surface(size, tokens, loss)
    took = time.process_time() - began
    print(
        f"{len(loss)} points, objective {fit.objective:.14f} in {took:.2f} s "
        f"(published .00101864, minimum .00101827401780)"
    )
    began = time.process_time()
    fit = laws.fit_surface(size, tokens, loss, n_boot=draws)
    print(f"{draws} case bootstraps in {time.process_time() - began:.1f} s")
    for name, estimate in fit.coefficients.items():
        published = PUBLISHED_ERRORS[name]
        print(
            f"  {name:<6} {estimate.value:10.5g}  standard error {estimate.se:9.4g}, published {published:9.4g} "
            f"({estimate.se / published - 1:+.1%})"
        )


def extrapolation(data: Path) -> None:
    """Held-out RMSLE per law, of the automatic choice and of the single law with the least rolling-origin error."""
    curves = load_curves(data)
    domains = np.array([domain for domain, _ in curves])
    began = time.process_time()
    choices = laws.choose_many([curve for _, curve in curves])
    took = time.process_time() - began
    rows: dict[str, list[float]] = {"average (the choice)": [], "least rolling-origin error": []}
    for choice in choices:
        rows["average (the choice)"].append(_rmsle(choice.fit))
        rows["least rolling-origin error"].append(_rmsle(choice.candidates[1].fit))
        for name, fit in choice.fits.items():
            if name != "average":
                rows.setdefault(name, []).append(_rmsle(fit))
    names = sorted(set(domains))
    print(f"{len(curves)} curves in {took:.1f} s; mean RMSLE on held-out points")
    print(f"  {'':<28}" + "".join(f"{name:>10}" for name in names))
    for label, errors in rows.items():
        print(f"  {label:<28}" + "".join(f"{np.mean(np.array(errors)[domains == name]):10.4f}" for name in names))


def _rmsle(fit: laws.Fit) -> float:
    return fit.held_out.rmsle if fit.held_out is not None else float("nan")


def optimum(data: Path | None = None, curves: int = 20, starts: int = 500) -> None:
    """Objectives against scipy's L-BFGS-B from many random starts in the same box, on synthetic (and given) curves."""
    for law_name in ("log_law", "cross_entropy_law"):
        law = LAWS[law_name]
        problems = [random_problem(law_name, seed) for seed in range(curves)]
        if data is not None and law_name == "cross_entropy_law":
            given = [curve for _, curve in load_curves(data)][:: max(1, 82 // curves)]
            problems += [(np.log(c.pretrain_tokens[~c.held_out]), np.log(c.values[~c.held_out]), 1e-3) for c in given]
        ours_time = theirs_time = 0.0
        worst, beaten, missed = -np.inf, 0, 0
        for number, (log_tokens, log_values, delta) in enumerate(problems):
            began = time.process_time()
            weight = np.ones((1, log_tokens.size))
            ours = float(solve(law, log_tokens[None], log_values[None], weight, np.array([delta])).objective[0])
            ours_time += time.process_time() - began
            began = time.process_time()
            theirs = lbfgs_from_many_starts(law_name, log_tokens, log_values, delta, starts, number)
            theirs_time += time.process_time() - began
            worst = max(worst, (ours - theirs.min()) / max(theirs.min(), 1e-15))
            beaten += ours < theirs.min() * (1 - 1e-6)
            missed += ours > theirs.min() * (1 + 1e-6) + 1e-14
        count = len(problems)
        print(
            f"{law_name}: {count} curves, worst objective {worst:+.1e} "
            f"relative to the best of {starts} L-BFGS-B starts; "
            f"lower on {beaten}, higher on {missed}; "
            f"{1e3 * ours_time / count:.1f} ms against {theirs_time / count:.1f} s a curve"
        )


def random_problem(law: str, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return log D, log values and delta of a random curve: 5 to 14 budgets over 1 to 2.5 decades, 0.2 to 5 % noise."""
    generator = np.random.default_rng([seed, 0xC0])
    count = int(generator.integers(5, 15))
    low = generator.uniform(np.log(1e6), np.log(1e10))
    log_tokens = np.sort(low + generator.uniform(1, 2.5) * np.log(10) * np.r_[0, generator.uniform(0, 1, count - 2), 1])
    z = (log_tokens - log_tokens[0]) / np.ptp(log_tokens)
    if law == "log_law":
        clean = generator.uniform(0.2, 3) * np.log(generator.uniform(0.05, 3) + z) + np.log(30)
    else:
        clean = np.log(generator.uniform(0, 2) + generator.uniform(0.3, 3) * np.exp(-generator.uniform(0.3, 4) * z))
    noise = np.exp(generator.uniform(np.log(0.002), np.log(0.05)))
    return log_tokens, clean + noise * generator.standard_normal(count), 0.1 if law == "log_law" else 1e-3


def lbfgs_from_many_starts(
    law: str, log_tokens: np.ndarray, log_values: np.ndarray, delta: float, starts: int, seed: int
) -> np.ndarray:
    """Return the objectives scipy's L-BFGS-B reaches from random starts, in the paper's own parameters.

    log-law: (log A, alpha, beta) through log A + alpha log D at both ends; cross-entropy law: log-sum-exp of (log
    E, log A, alpha). Analytic gradients, summed loss, tight tolerances: everything that helps the reference.
    """
    from scipy.optimize import minimize

    generator = np.random.default_rng([seed, 0x1BF])
    middle = log_tokens.mean()
    level = log_values.mean()
    x, y = log_tokens - middle, log_values - level

    def log_law(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inner = p[0] + p[1] * x
        inner = np.maximum(inner, 1e-12)
        log_inner = np.log(inner)
        return p[2] * log_inner - level, np.stack([p[2] / inner, p[2] * x / inner, log_inner], -1)

    def cross_entropy(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = np.stack([p[0] + 0 * x, p[1] - p[2] * x])
        top = parts.max(0)
        total = top + np.log(np.exp(parts - top).sum(0))
        share = np.exp(parts - total)
        return total, np.stack([share[0], share[1], -share[1] * x], -1)

    model = log_law if law == "log_law" else cross_entropy

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = model(p)
        residual = y - value
        return float(huber(residual, delta).sum()), -np.clip(residual, -delta, delta) @ slopes

    reached = []
    for _ in range(starts):
        if law == "log_law":
            start = np.array(
                [np.exp(generator.uniform(-1, 5)), np.exp(generator.uniform(-4, 3)), generator.uniform(0.05, 3)]
            )
            bounds = [(1e-6, None), (1e-9, None), (None, None)]
        else:
            start = np.array([generator.uniform(-4, 1), generator.uniform(-4, 1), np.exp(generator.uniform(-4, 1))])
            bounds = [(-60.0, None), (-60.0, None), (0.0, None)]
        with np.errstate(all="ignore"):
            found = minimize(
                loss,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-12},
            )
        if np.isfinite(found.fun) and (law != "log_law" or np.all(found.x[0] + found.x[1] * x > 1e-9)):
            reached.append(found.fun)
    return np.array(reached)


def speed() -> None:
    """Times of one fit, of bootstrap refits and of many curves with everything."""
    for name in ("log_law", "cross_entropy_law"):
        _speed_of(name)
    curve = synthetic_curve("log_law", 8, 0.01, np.random.default_rng(0))
    took = _best_time(lambda: laws.choose(curve), 3)
    print(f"choose (all laws, rolling origin, intervals), 8 points: {took:.0f} ms")
    generator = np.random.default_rng(1)
    many = [synthetic_curve("log_law", int(generator.integers(5, 12)), 0.01, generator) for _ in range(1000)]
    print(f"choose on 1000 curves {_best_time(lambda: laws.choose_many(many), 1) / 1e3:.1f} s")


def _speed_of(name: str) -> None:
    law = LAWS[name]
    curve = synthetic_curve(name, 8, 0.01, np.random.default_rng(0))
    log_tokens, log_values = np.log(curve.pretrain_tokens), np.log(curve.values)
    weight, delta = np.ones((1, 8)), 0.1 if name == "log_law" else 1e-3
    took = _best_time(lambda: solve(law, log_tokens[None], log_values[None], weight, np.array([delta])))
    print(f"{name}: global minimum of 8 points {took:.1f} ms")
    print(f"{name}: fit with intervals {_best_time(lambda: laws.fit(curve)):.1f} ms")
    fit = laws.fit(curve)
    state = fit.state
    arguments = (law, state.scale, state.theta, log_tokens, log_values, weight[0], delta, fit.sigma, state.freedom)
    for kind in ("parametric", "case"):
        print(f"{name}: 1000 {kind} bootstrap refits {_best_time(partial(refit, *arguments, kind, 1000, 0), 9):.0f} ms")
    began = time.process_time()
    lbfgs_from_many_starts(name, log_tokens, log_values, delta, 50, 0)
    print(f"{name}: scipy L-BFGS-B from 500 starts {10 * (time.process_time() - began):.1f} s (50 of them timed)")


def _best_time(run: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return 1e3 * min(times)


def synthetic_curve(
    law: str, count: int, noise: float, generator: np.random.Generator, name: str = "curve"
) -> laws.Curve:
    """Return a curve of ``count`` budgets over two decades around a law of the paper, with log-normal noise."""
    tokens = np.geomspace(1e9, 1e11, count)
    values = law_value(law, tokens) * np.exp(noise * generator.standard_normal(count))
    return laws.Curve(name, "bleu" if law == "log_law" else "cross_entropy", tokens, values)


def law_value(law: str, tokens: np.ndarray) -> np.ndarray:
    """Return a law with coefficients of the size the paper reports."""
    if law == "log_law":
        return (-9.0 + 0.75 * np.log(tokens)) ** 1.5
    return 1.2 + 150.0 / tokens**0.25


def coverage(repeats: int = 1000) -> None:
    """Share of nominal 95 % intervals at four times the largest D_p that hold the truth."""
    print(f"{repeats} curves a cell; law, n, noise: coverage at 4x, median width")
    for law in ("log_law", "cross_entropy_law"):
        for count in (5, 8, 14):
            for noise in (0.005, 0.01, 0.02):
                covered, width = coverage_of(law, count, noise, repeats)
                print(f"  {law:<18} {count:3d} {noise:6.1%}  {covered:6.1%}  {width:6.1%}")


def coverage_of(law: str, count: int, noise: float, repeats: int, interval: str = "delta") -> tuple[float, float]:
    """Return the coverage and the median relative width of intervals at four times the largest D_p."""
    generator = np.random.default_rng([count, int(1e4 * noise), len(law)])
    curves = [synthetic_curve(law, count, noise, generator) for _ in range(repeats)]
    target = np.array([4e11])
    truth = law_value(law, target)[0]
    predictions = [fit.predict(target) for fit in laws.fit_many(curves, law, interval=interval)]
    lower = np.array([p.lower[0] for p in predictions])
    upper = np.array([p.upper[0] for p in predictions])
    return float(np.mean((lower <= truth) & (truth <= upper))), float(np.median((upper - lower) / truth))


def simulated_curve(
    kind: str, generator: np.random.Generator, noise: float = 1.0, count: int = 6, seeds: int = 1
) -> laws.Curve:
    """Return a BLEU curve of a kind, with ``noise`` BLEU on every run."""
    tokens = np.geomspace(1e9, 1e9 * 2 ** (count - 1), count)
    x = np.linspace(0, 1, count)
    base = generator.uniform(20, 30)
    if kind == "follows the law":
        clean = base + generator.uniform(6, 14) * x ** generator.uniform(0.6, 1.1)
    elif kind == "saturated":
        clean = base + 0 * x
    elif kind == "inverse":
        clean = base - generator.uniform(6, 12) * x
    elif kind == "non-monotonic":
        wave = (
            generator.choice([-1, 1]) * np.where(np.arange(count) % 2 == 0, 1, -1) if generator.random() < 0.5 else None
        )
        if wave is None:
            peak = generator.uniform(0.3, 0.6)
            clean = base - generator.uniform(20, 40) * (x - peak) ** 2
        else:
            clean = base + generator.uniform(2.5, 4) * wave + generator.uniform(-2, 2) * x
    else:
        leap = int(generator.integers(3, count - 1))
        clean = generator.uniform(5, 8) + generator.uniform(12, 20) * (np.arange(count) >= leap)
    values = np.repeat(clean, seeds) + noise * generator.standard_normal(count * seeds)
    return laws.Curve(kind, "bleu", np.repeat(tokens, seeds), np.maximum(values, 0.1), attributes={"noise": noise})


def verdicts(repeats: int = 200) -> None:
    """Confusion matrix of simulated curves, and AUROC of the p-value: aligned (rising) against misaligned ones."""
    kinds = ("follows the law", "saturated", "inverse", "non-monotonic", "breakthrough")
    for noise, seeds in ((1.0, 1), (0.3, 1), (1.0, 3)):
        print(f"6 budgets, {noise} BLEU of noise, {seeds} seed(s): rows are the truth")
        print(" " * 18 + "".join(f"{name:>17}" for name in laws.VERDICTS[:-1]))
        scores: dict[str, list[float]] = {}
        for number, kind in enumerate(kinds):
            generator = np.random.default_rng([number, seeds, int(10 * noise)])
            found = [laws.diagnose(simulated_curve(kind, generator, noise, 6, seeds)) for _ in range(repeats)]
            scores[kind] = [verdict.p_value for verdict in found]
            counts = [sum(verdict.kind == name for verdict in found) / repeats for name in laws.VERDICTS[:-1]]
            print(f"{kind:<18}" + "".join(f"{share:17.0%}" for share in counts))
        aligned, other = np.array(scores["follows the law"]), np.array(scores["inverse"] + scores["non-monotonic"])
        wins = (aligned[:, None] > other[None]) + 0.5 * (aligned[:, None] == other[None])
        print(f"AUROC, aligned against misaligned: {wins.mean():.3f}")


if __name__ == "__main__":
    main()
