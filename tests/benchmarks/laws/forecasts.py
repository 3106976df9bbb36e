"""How good forecasts, verdicts and advice are on simulated curves (``real.py``: on real ones).

Each part prints its figures; the parts are the keys of ``PARTS``. Noise is in points of BLEU, budgets double from one
to the next unless a part says otherwise, and a method never sees the truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from fairseq_scaling import laws
from fairseq_scaling.errors import DataError

FACTORS = (2.0, 4.0, 10.0)
Generator = np.random.Generator


# -- simulated truths --------------------------------------------------------------------------------------------------


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _normed(form: Callable[[np.ndarray], np.ndarray], width: float, low: float, gain: float) -> Callable:
    """Return the form moved and scaled to start at ``low`` and to gain ``gain`` over ``width`` decades."""
    start, end = form(np.array(0.0)), form(np.array(width))
    return lambda x: low + gain * (form(x) - start) / (end - start)


def _log_law(g: Generator, width: float) -> Callable:
    offset, power = g.uniform(0.2, 2.0), g.uniform(0.4, 2.0)
    return lambda x: (offset + x) ** power


def _logistic(g: Generator, width: float) -> Callable:
    middle, steepness = g.uniform(0.2, 0.9) * width, g.uniform(1.5, 4)
    return lambda x: _sigmoid(steepness * (x - middle))


def _ceiling(g: Generator, width: float) -> Callable:
    exponent = g.uniform(0.2, 0.8)
    return lambda x: -(10 ** (-exponent * x))


def _plateau(g: Generator, width: float) -> Callable:
    exponent = g.uniform(1.5, 3.0)
    return lambda x: -(10 ** (-exponent * x))


def _linear(g: Generator, width: float) -> Callable:
    return lambda x: x


def _late(g: Generator, width: float) -> Callable:
    middle, steepness = g.uniform(0.8, 1.2) * width, g.uniform(2, 4)
    return lambda x: _sigmoid(steepness * (x - middle))


def _power(g: Generator, width: float) -> Callable:
    exponent = g.uniform(0.05, 0.2)
    return lambda x: 10 ** (exponent * x)


def _double(g: Generator, width: float) -> Callable:
    first, second, share = g.uniform(0.1, 0.4) * width, g.uniform(0.7, 1.0) * width, g.uniform(0.3, 0.7)
    return lambda x: (1 - share) * _sigmoid(4 * (x - first)) + share * _sigmoid(4 * (x - second))


TRUTHS = {
    "log-law": _log_law,
    "logistic": _logistic,
    "power law with ceiling": _ceiling,
    "plateau": _plateau,
    "linear in log D": _linear,
    "S-curve that begins": _late,
    "power law": _power,
    "two S-curves": _double,
}


def bleu(
    clean: np.ndarray,
    g: Generator,
    noise: float,
    seeds: int,
    *,
    name: str = "curve",
    tokens: np.ndarray | None = None,
    runs: int = 1,
    run_effect: float = 0.0,
    run_drift: float = 0.0,
    seed_effects: Sequence[float] | None = None,
    **curve: object,
) -> laws.Curve:
    """Return measurements of BLEU [budgets x runs x seeds] of a curve, with effects of runs and seeds.

    ``run_drift``: of every run, an Ornstein-Uhlenbeck process in log D with a reach of one decade.
    """
    budgets = len(clean)
    tokens = 1e6 * 2.0 ** np.arange(budgets) if tokens is None else tokens
    shared = run_effect * g.standard_normal((1, runs, 1))
    if run_drift:
        z = np.log10(tokens)
        alike = np.linalg.cholesky(np.exp(-np.abs(z[:, None] - z[None])))
        shared = shared + run_drift * (alike @ g.standard_normal((budgets, runs)))[:, :, None]
    own = np.zeros(seeds) if seed_effects is None else np.asarray(seed_effects)
    values = clean[:, None, None] + shared + own + noise * g.standard_normal((budgets, runs, seeds))
    at = np.broadcast_to(tokens[:, None, None], values.shape)
    of_run = np.broadcast_to(np.arange(runs)[None, :, None], values.shape)
    of_seed = np.broadcast_to(np.arange(seeds)[None, None], values.shape)
    metric = str(curve.pop("metric", "bleu"))
    return laws.Curve(
        name,
        metric,
        at.ravel(),
        values.ravel(),
        seeds=of_seed.ravel(),
        runs=of_run.ravel(),
        **curve,  # type: ignore
    )


def interval_score(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the score of Gneiting and Raftery (2007) at 95 %: width plus 40 times the distance outside."""
    return upper - lower + 40 * (np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0))


def simulated(repeats: int) -> None:
    """Eight truths, 5 to 12 budgets, 1 to 3 seeds, noise .3 to 1: values of the curve at 2, 4 and 10 times."""
    rows = []
    for number, (kind, make) in enumerate(TRUTHS.items()):
        for budgets in (5, 6, 8, 12):
            for seeds in (1, 2, 3):
                for noise in (0.3, 0.5, 1.0):
                    for repeat in range(repeats):
                        g = np.random.default_rng([number, budgets, seeds, int(10 * noise), repeat])
                        width = (budgets - 1) * np.log10(2) if budgets < 9 else g.uniform(2, 2.6)
                        gain = g.uniform(4, 14)
                        form = _normed(make(g, width), width, g.uniform(5, 25), gain)
                        x = np.linspace(0, width, budgets)
                        curve = bleu(form(x), g, noise, seeds, tokens=1e6 * 10**x)
                        made = laws.forecast(curve)[0].predict(1e6 * 10**width * np.array(FACTORS), laws.Question.RUN)
                        truth = np.minimum(form(width + np.log10(FACTORS)), 100)
                        score = interval_score(truth, made.lower, made.upper)
                        inside = (made.lower <= truth) & (truth <= made.upper)
                        rows.append([(kind, i, inside[i], made.value[i] - truth[i], score[i]) for i in range(3)])
    flat = [row for group in rows for row in group]
    for i, factor in enumerate(FACTORS):
        for kind in ("all", *TRUTHS):
            of = [row[2:] for row in flat if row[1] == i and kind in ("all", row[0])]
            inside, error, score = (np.array(column, float) for column in zip(*of, strict=True))
            print(
                f"{factor:4g} times  {kind:24s} covered {inside.mean():.3f}  RMSE {np.sqrt(np.mean(error**2)):.2f}  "
                f"interval score {score.mean():.2f}  n {len(of)}",
                flush=True,
            )


# -- what runs share ---------------------------------------------------------------------------------------------------


def shared(repeats: int) -> None:
    """Coverage of the mixture's mean at the largest D_p: 6 budgets, 2 seeds, noise .3, effects of seed or run."""
    cases = [("none", 0, 0, 1), ("finetuning seed, SD 1", 1, 0, 1)]
    cases += [(f"pretraining run, SD {sd}, runs: {runs}", 0, sd, runs) for sd in (0.5, 1) for runs in (1, 2, 3)]
    for label, seed_sd, run_sd, runs in cases:
        inside = []
        for repeat in range(repeats):
            g = np.random.default_rng([11, repeat])
            clean = 15 + g.uniform(4, 10) * np.linspace(0, 1, 6) ** g.uniform(0.6, 1.1)
            curve = bleu(clean, g, 0.3, 2, runs=runs, run_effect=run_sd, seed_effects=seed_sd * g.standard_normal(2))
            made = laws.forecast(curve)[0].predict([curve.pretrain_tokens.max()], laws.Question.MIXTURE)
            inside.append(made.lower[0] <= clean[-1] <= made.upper[0])
        print(f"shared effect of {label:32s} covered {np.mean(inside):.3f}", flush=True)
    for sd in (0.5, 0.9):
        for runs in (1, 2):
            told = []
            for repeat in range(repeats):
                g = np.random.default_rng([12, repeat])
                clean = 15 + g.uniform(4, 10) * np.linspace(0, 1, 6) ** g.uniform(0.6, 1.1)
                two = [bleu(clean, g, 0.3, 2, runs=runs, run_effect=sd, name=name) for name in "ab"]
                study = laws.forecast(two)
                ahead = laws.compare_mixtures(*study, float(two[0].pretrain_tokens.max())).probability
                told.append(not 0.05 < ahead < 0.95)
            print(f"identical mixtures, run effect SD {sd}, {runs} run(s): told apart {np.mean(told):.3f}", flush=True)
    for sd in (0.5, 1.0):
        for runs in (2, 3):
            inside, told, harms = [], [], []
            for repeat in range(repeats):
                g = np.random.default_rng([13, runs, int(10 * sd), repeat])
                clean = 15 + g.uniform(4, 10) * np.linspace(0, 1, 5) ** g.uniform(0.6, 1.1)
                three = [
                    bleu(y, g, 0.5, 2, runs=runs, run_drift=sd, name=name)
                    for name, y in (("a", clean), ("b", clean), ("flat", np.full(5, 15.0)))
                ]
                study = laws.forecast(three)
                largest = float(three[0].pretrain_tokens.max())
                made = study[0].predict([largest], laws.Question.MIXTURE)
                inside.append(made.lower[0] <= clean[-1] <= made.upper[0])
                told.append(not 0.05 < laws.compare_mixtures(*study[:2], largest).probability < 0.95)
                harms.append(laws.advise(study[2]).action is laws.Action.CHANGE_DATA)
            print(
                f"drift of {runs} runs, SD {sd}: covered {np.mean(inside):.3f}, identical mixtures told apart "
                f"{np.mean(told):.3f}, flat: change the data {np.mean(harms):.3f}",
                flush=True,
            )


# -- verdicts and advice -----------------------------------------------------------------------------------------------


def advice(repeats: int) -> None:
    """How often the advice is right: add data on rises, change the data on flat curves."""
    for budgets in (5, 6, 8):
        for seeds in (2, 3):
            said = []
            for repeat in range(repeats):
                g = np.random.default_rng([21, budgets, seeds, repeat])
                clean = g.uniform(12, 25) + g.uniform(5, 12) * np.linspace(0, 1, budgets) ** g.uniform(0.6, 1.1)
                said.append(laws.advise(laws.forecast(bleu(clean, g, 1.0, seeds))[0]).action)
            print(
                f"rises by 5 to 12, noise 1, {budgets} budgets, {seeds} seeds: add data "
                f"{np.mean([a is laws.Action.ADD_DATA for a in said]):.2f}, change the data "
                f"{np.mean([a is laws.Action.CHANGE_DATA for a in said]):.3f}",
                flush=True,
            )
    for label, seeds, noise, between in (
        ("one seed, noise 1", 1, 1.0, 0.0),
        ("two seeds, noise .5, pretraining noise .5 at every budget", 2, 0.5, 0.5),
        ("three seeds, noise .5", 3, 0.5, 0.0),
    ):
        said = []
        for repeat in range(repeats):
            g = np.random.default_rng([22, seeds, repeat])
            clean = g.uniform(15, 30) + between * g.standard_normal(6)
            said.append(laws.advise(laws.forecast(bleu(clean, g, noise, seeds))[0]).action)
        shares = ", ".join(f"{action.value} {np.mean([a is action for a in said]):.3f}" for action in laws.Action)
        print(f"flat, {label}: {shares}", flush=True)


def _bend(budgets: int, rise: float, fall: float, peak: int) -> np.ndarray:
    up, down = np.linspace(0, rise, peak + 1), np.linspace(rise, rise - fall, budgets - peak)
    return np.r_[up, down[1:]]


def alarms(repeats: int) -> None:
    """BLEU +3, then a fall, while cross-entropy improves: 6 budgets, 3 seeds, noise .5."""

    def rate(shape: Callable[[Generator], np.ndarray], key: int) -> tuple[float, float]:
        made = []
        for repeat in range(repeats):
            g = np.random.default_rng([31, key, repeat])
            score = bleu(g.uniform(15, 25) + shape(g), g, 0.5, 3)
            loss = bleu(np.geomspace(3.0, 2.4, 6), g, 0.02, 3, metric="cross_entropy")
            study = laws.forecast([score, loss])
            made.append((laws.alarm(*study).probability, laws.diagnose(study[0]).kind))
        return (
            float(np.mean([p >= laws.LIKELY for p, _ in made])),
            float(np.mean([p >= 0.5 for p, _ in made])),
        )

    for fall in (1.0, 1.5, 2.0):
        for peak in (2, 3):
            likely, half = rate(lambda g, fall=fall, peak=peak: _bend(6, 3.0, fall, peak), 1)
            print(f"+3, then -{fall} from budget {peak + 1}: alarm {likely:.3f}, over .5 {half:.3f}", flush=True)
    for label, shape in {
        "rises by 2 to 5": lambda g: g.uniform(2, 5) * np.linspace(0, 1, 6) ** g.uniform(0.6, 1.1),
        "plateaus after a rise of 3": lambda g: 3 * np.minimum(np.arange(6) / g.integers(1, 4), 1),
        "saturates by 2 to 5": lambda g: g.uniform(2, 5) * (1 - 10 ** (-g.uniform(1.5, 3) * np.linspace(0, 1.5, 6))),
        "flat": lambda g: np.zeros(6),
    }.items():
        likely, half = rate(shape, 2)
        print(f"{label}: alarm {likely:.3f}, over .5 {half:.3f}", flush=True)


def separation(repeats: int) -> None:
    """Aligned against misaligned curves that move by 1 to 1.5 BLEU: AUROC of the probability that a curve gets worse.

    Beside it a likelihood ratio that knows both families, the noise and the sizes: its limit.
    """
    scores, known, truth = [], [], []
    budgets, seeds, noise = 6, 3, 0.5
    x = np.linspace(0, 1, budgets)
    powers, peaks, moves = np.linspace(0.6, 1.1, 6), np.linspace(0.3, 0.6, 7), np.linspace(1.0, 1.5, 5)
    rises = np.array([move * x**power for power in powers for move in moves])
    arches = np.array([-((x - peak) ** 2) for peak in peaks])
    arches = np.array([move * (arch - arch.min()) / np.ptp(arch) for arch in arches for move in moves])
    for repeat in range(repeats):
        for bent in (0, 1):
            g = np.random.default_rng([41, bent, repeat])
            if bent:
                clean = -((x - g.uniform(0.3, 0.6)) ** 2)
            else:
                clean = x ** g.uniform(0.6, 1.1)
            clean = 20 + g.uniform(1.0, 1.5) * (clean - clean.min()) / np.ptp(clean)
            curve = bleu(clean, g, noise, seeds)
            shape = laws.forecast(curve)[0].shape
            scores.append(shape.falls + shape.bends - shape.rises)
            means = curve.groups().values

            def fit(shapes: np.ndarray, means: np.ndarray = means) -> float:
                left = means - shapes
                left = left - left.mean(1, keepdims=True)
                return float(np.log(np.mean(np.exp(-0.5 * np.sum(left**2, 1) * seeds / noise**2))))

            known.append(fit(arches) - fit(rises))
            truth.append(bent)
    for label, score in (("forecast", scores), ("a test that knows both kinds", known)):
        print(f"AUROC, moves of 1 to 1.5 BLEU, {label}: {_auroc(np.array(score), np.array(truth)):.3f}", flush=True)


def _auroc(score: np.ndarray, truth: np.ndarray) -> float:
    above = score[truth == 1][:, None] - score[truth == 0][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


# -- the worth of languages --------------------------------------------------------------------------------------------


def worth(repeats: int) -> None:
    """Coverage of languages' worths and of an untried mixture, 3 languages, 3 to 6 mixtures, 7 budgets, noise .3."""
    for count in (3, 4, 6):
        told, held, widths = [], [], []
        for repeat in range(repeats):
            g = np.random.default_rng([51, count, repeat])
            worths = g.uniform(0.1, 1.0, 3)
            shares = np.r_[np.eye(3) * 0.6 + 0.4 / 3, g.dirichlet(np.ones(3), max(count - 3, 1))][:count]
            low, gain = g.uniform(8, 15), g.uniform(14, 24)
            clean = [low + gain * _sigmoid((np.arange(7) + np.log2(speed) - 2) / 1.7) for speed in shares @ worths]
            study = laws.forecast([bleu(y, g, 0.3, 3, name=f"mixture {i}") for i, y in enumerate(clean)])
            try:
                found = laws.worth_of_languages(study, [dict(zip("abc", row, strict=True)) for row in shares])
            except DataError:
                continue
            best = list(found.worth).index(found.best)
            ratios = [(worths[i] / worths[best], one) for i, one in enumerate(found.worth.values()) if i != best]
            told += [one.lower <= ratio <= one.upper for ratio, one in ratios]
            new = g.dirichlet(np.ones(3))
            truth = low + gain * _sigmoid((7 + np.log2(new @ worths) - 2) / 1.7)
            made = found.predict(dict(zip("abc", new, strict=True)), 1e6 * 2.0**7)
            held.append(made.lower <= truth <= made.upper)
            widths.append(made.upper - made.lower)
        print(
            f"{count} mixtures: worths covered {np.mean(told):.3f}, an untried mixture at twice the data covered "
            f"{np.mean(held):.3f}, median width {np.median(widths):.1f} BLEU, studies {len(held)}",
            flush=True,
        )


# -- speed -----------------------------------------------------------------------------------------------------------


def speed(repeats: int) -> None:
    """Seconds of processor time for one curve, and for many with verdict, advice and all single laws (one thread)."""
    g = np.random.default_rng(0)
    curves = [
        bleu(10 + g.uniform(4, 14) * np.linspace(0, 1, 6) ** 0.8, g, 0.5, 1, name=f"curve {i}")
        for i in range(max(repeats, 20))
    ]
    laws.forecast(curves[0])
    began = time.process_time()
    for curve in curves[:20]:
        laws.advise(laws.forecast(curve)[0])
    print(f"one curve: {(time.process_time() - began) / 20 * 1000:.0f} ms")
    began = time.process_time()
    for forecast in laws.forecast(curves):
        laws.diagnose(forecast), laws.advise(forecast), forecast.predict(curves[0].pretrain_tokens)
    for law in laws.laws_for("bleu"):
        laws.fit_many(curves, law)
    print(f"{len(curves)} curves with forecast, verdict, advice and every law: {time.process_time() - began:.1f} s")


PARTS: dict[str, Callable[[int], None]] = {
    "simulated": simulated,
    "shared": shared,
    "advice": advice,
    "alarms": alarms,
    "separation": separation,
    "worth": worth,
    "speed": speed,
}


def forecasts(parts: Sequence[str], repeats: int = 50) -> None:
    """Simulated curves: coverage, interval scores, shared effects, advice, alarms, worth of languages, speed."""
    for part in parts:
        print(f"== {part}: {(PARTS[part].__doc__ or '').splitlines()[0]}", flush=True)
        PARTS[part](repeats)
