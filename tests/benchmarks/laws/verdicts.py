"""How often the verdict is right, on simulated curves whose kind is known."""

from __future__ import annotations

import numpy as np

from fairseq_scaling import laws

from .curves import simulated_curve

KINDS = ("follows the law", "saturated", "inverse", "non-monotonic", "breakthrough", "noisy", "trendless",
         "too few points")  # fmt: skip
"""Rows of the confusion matrix; a kind's place is part of its seed."""

SETTINGS = ((1.0, 1), (0.3, 1), (1.0, 3))
"""BLEU of noise on every run, and seeds a budget."""


def verdicts(repeats: int = 200) -> list[float]:
    """Print the confusion matrices of simulated curves; return the AUROC of the p-value, aligned (rising) curves
    against misaligned ones, of every setting."""
    found = []
    for noise, seeds in SETTINGS:
        print(f"6 budgets, {noise} BLEU of noise, {seeds} seed(s), {repeats} curves a row: rows are the truth")
        matrix, p_values = confusion(repeats, noise, seeds)
        print(" " * 18 + "".join(f"{name:>17}" for name in laws.VERDICTS))
        for kind, counts in zip(KINDS, matrix, strict=True):
            print(f"{kind:<18}" + "".join(f"{share:17.0%}" for share in counts))
        aligned, other = p_values["follows the law"], np.r_[p_values["inverse"], p_values["non-monotonic"]]
        wins = (aligned[:, None] > other[None]) + 0.5 * (aligned[:, None] == other[None])
        found.append(float(wins.mean()))
        print(f"AUROC, aligned against misaligned: {found[-1]:.3f}")
    return found


def confusion(repeats: int, noise: float, seeds: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return shares [kind, verdict], verdicts in the order of ``laws.VERDICTS``, and the p-values of every kind."""
    rows, p_values = [], {}
    for number, kind in enumerate(KINDS):
        generator = np.random.default_rng([number, seeds, int(10 * noise)])
        found = [laws.diagnose(simulated_curve(kind, generator, noise, 6, seeds)) for _ in range(repeats)]
        p_values[kind] = np.array([verdict.p_value for verdict in found])
        rows.append([sum(verdict.kind == name for verdict in found) / repeats for name in laws.VERDICTS])
    return np.array(rows), p_values
