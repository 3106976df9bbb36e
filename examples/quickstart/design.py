"""Which design decides? Simulated quickstarts of the same price, and how often their forecasts are sure: see search.md.

    python examples/quickstart/design.py      (four minutes)

True are the parabolas in log D_p through the means of the second run (BLEU). Each pretraining seed shifts its whole
curve, and each run has its own noise.
"""

from __future__ import annotations

import numpy as np

from fairseq_scaling import laws

BUDGETS = np.array([0.0625, 0.125, 0.25, 0.5, 1, 2, 4]) * 1e6
BOTH = [4.49, 4.79, 5.83, 5.81, 6.88, 8.42, 9.88]
GERMAN = [4.08, 4.86, 5.23, 5.84, 6.27, 7.19, 8.76]
DESIGNS = {  # budgets, pretraining seeds
    "7 budgets, 2 seeds": (BUDGETS, 2),
    "5 budgets, 3 seeds": (np.array([0.0625, 0.175, 0.5, 1.4, 4]) * 1e6, 3),
    "6 budgets, 3 seeds": (np.array([0.0625, 0.14, 0.33, 0.76, 1.74, 4]) * 1e6, 3),
}
NOISE = ((0.35, 0.25), (0.25, 0.4))  # standard deviations in BLEU: of a run, of a pretraining seed
STUDIES = 16


def main() -> None:
    generator = np.random.default_rng(0)
    print("| noise of a run, of a seed | design | gain at 4 times above 0: en + fr, de | ahead with 0.95 |")
    print("|---|---|---|---|")
    for noise, shared in NOISE:
        for name, (budgets, seeds) in DESIGNS.items():
            above, ahead = [], []
            for _ in range(STUDIES):
                curves = [
                    simulated(f"curve {place}", means, budgets, seeds, noise, shared, generator)
                    for place, means in enumerate((BOTH, GERMAN))
                ]
                both, german = laws.forecast(curves)
                above.append([forecast.gains[4].lower > 0 for forecast in (both, german)])
                ahead.append(np.mean(laws.difference_of_mixtures(both, german, budgets[-1]) > 0) > 0.95)
            gains = ", ".join(f"{share:.0%}" for share in np.mean(above, 0))
            print(f"| {noise}, {shared} | {name} | {gains} | {np.mean(ahead):.0%} |", flush=True)


def simulated(
    name: str, means: list[float], budgets: np.ndarray, seeds: int, noise: float, shared: float,
    generator: np.random.Generator,
) -> laws.Curve:  # fmt: skip
    truth = np.polyval(np.polyfit(np.log(BUDGETS), means, 2), np.log(budgets))
    values = truth + generator.normal(0, shared, (seeds, 1)) + generator.normal(0, noise, (seeds, budgets.size))
    runs = np.repeat(np.arange(seeds), budgets.size)
    return laws.Curve(name, "bleu", np.tile(budgets, seeds), values.ravel(), seeds=np.ones(runs.size, int), runs=runs)


if __name__ == "__main__":
    main()
