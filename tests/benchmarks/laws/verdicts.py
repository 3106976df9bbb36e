"""How often the verdict is right, on simulated curves whose kind is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fairseq_scaling import laws

from .curves import load_curves, simulated_curve

KINDS = ("follows the law", "saturated", "inverse", "non-monotonic", "breakthrough", "noisy", "trendless",
         "too few points")  # fmt: skip
"""Rows of the confusion matrix; a kind's place is part of its seed."""

SETTINGS = ((1.0, 1), (0.3, 1), (1.0, 3))
"""BLEU of noise on every run, and seeds a budget."""


MISALIGNED = ("inverse", "non-monotonic")

SMALL_MOVES = (1.0, 1.5)
"""BLEU between the lowest and the highest point of the misaligned curves of the harder question."""


def verdicts(data: Path | None = None, repeats: int = 200) -> list[tuple[float, float]]:
    """Print the confusion matrices of simulated curves, and the verdicts on given ones (CURVES.csv).

    Returns for every setting the AUROC of the p-value, aligned (rising) curves against misaligned ones, and the same
    against misaligned ones that move by little more than the noise.
    """
    found = []
    for noise, seeds in SETTINGS:
        print(f"6 budgets, {noise} BLEU of noise, {seeds} seed(s), {repeats} curves a row: rows are the truth")
        matrix, p_values = confusion(KINDS, repeats, noise, seeds)
        _print(KINDS, matrix)
        small_matrix, small = confusion(MISALIGNED, repeats, noise, seeds, SMALL_MOVES)
        low, high = SMALL_MOVES
        print(f"misaligned curves that move by {low} to {high} BLEU only:")
        _print(MISALIGNED, small_matrix)
        aligned = p_values["follows the law"]
        areas = tuple(_area(aligned, np.concatenate([each[kind] for kind in MISALIGNED])) for each in (p_values, small))
        found.append((areas[0], areas[1]))
        print(f"AUROC, aligned against misaligned: {areas[0]:.3f}; against those of small moves {areas[1]:.3f}")
    if data is not None:
        print(f"curves of {data.name}:")
        for domain, curve in load_curves(data):
            verdict = laws.diagnose(curve)
            print(f"  {domain} {curve.name:<40} {verdict.kind:<16} p = {verdict.p_value:.2g}")
    return found


def confusion(
    kinds: Sequence[str], repeats: int, noise: float, seeds: int, moves: tuple[float, float] | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return shares [kind, verdict], verdicts in the order of ``laws.VERDICTS``, and the p-values of every kind."""
    rows, p_values = [], {}
    for kind in kinds:
        generator = np.random.default_rng([KINDS.index(kind), seeds, int(10 * noise)])
        found = [laws.diagnose(simulated_curve(kind, generator, noise, 6, seeds, moves)) for _ in range(repeats)]
        p_values[kind] = np.array([verdict.p_value for verdict in found])
        rows.append([sum(verdict.kind == name for verdict in found) / repeats for name in laws.VERDICTS])
    return np.array(rows), p_values


def _print(kinds: Sequence[str], matrix: np.ndarray) -> None:
    print(" " * 18 + "".join(f"{name:>17}" for name in laws.VERDICTS))
    for kind, counts in zip(kinds, matrix, strict=True):
        print(f"{kind:<18}" + "".join(f"{share:17.0%}" for share in counts))


def _area(larger: np.ndarray, smaller: np.ndarray) -> float:
    """Return how often a value of ``larger`` is above one of ``smaller``, ties counted half."""
    wins = (larger[:, None] > smaller[None]) + 0.5 * (larger[:, None] == smaller[None])
    return float(wins.mean())
