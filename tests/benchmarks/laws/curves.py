"""The curves that are measured: read from tables, or made by formula."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from fairseq_scaling import laws

PAPER_LAWS = ("log_law", "cross_entropy_law")


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
    """Return (domain, curve) of an extrapolation benchmark: columns domain, curve, seen_examples, loss, held_out.

    A column ``metric`` says what ``loss`` holds where it is no loss: ``bleu``, for curves of translation systems. Lines
    that begin with # are remarks.
    """
    points: dict[tuple[str, str, str], list[tuple[float, float, bool]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            key = (row["domain"], row["curve"], row.get("metric") or "loss")
            points.setdefault(key, []).append((float(row["seen_examples"]), float(row["loss"]), row["held_out"] == "1"))
    curves = []
    for (domain, name, metric), rows in points.items():
        tokens, values, held_out = (np.array(column) for column in zip(*rows, strict=True))
        falls = True if metric == "loss" else None
        curves.append((domain, laws.Curve(name, metric, tokens, values, held_out, lower_is_better=falls)))
    return curves


def load_table(path: Path) -> list[tuple[str, laws.Curve]]:
    """Return (group, curve) of a table as ``fit-scaling`` reads it, or of an extrapolation benchmark.

    The group is the text before `` | `` in a curve's name, or the domain.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    if "domain" in rows[0]:
        return load_curves(path)
    points: dict[tuple[str, str, bool], list[tuple[float, float, bool]]] = {}
    for row in rows:
        key = (row["curve"], row["metric"], row["lower_is_better"] == "1")
        points.setdefault(key, []).append((float(row["pretrain_tokens"]), float(row["value"]), row["held_out"] == "1"))
    curves = []
    for (name, metric, falls), of_curve in points.items():
        tokens, values, held_out = (np.array(column) for column in zip(*of_curve, strict=True))
        curves.append((name.split(" | ")[0], laws.Curve(name, metric, tokens, values, held_out, lower_is_better=falls)))
    return curves


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


def synthetic_curve(
    law: str,
    count: int,
    noise: float,
    generator: np.random.Generator,
    name: str = "curve",
    seeds: int = 1,
    between: float = 1.0,
) -> laws.Curve:
    """Return a curve of ``count`` budgets over two decades around a law of the paper, with log-normal noise.

    ``noise`` is that of one measurement. Where every budget has several ``seeds``, what they share, the noise of its
    pretraining, has ``between`` times the variance.
    """
    tokens = np.geomspace(1e9, 1e11, count)
    metric = "bleu" if law == "log_law" else "cross_entropy"
    error = noise * generator.standard_normal((count, seeds))
    if seeds > 1:
        error += noise * np.sqrt(between) * generator.standard_normal((count, 1))
    values = law_value(law, tokens)[:, None] * np.exp(error)
    names = np.tile(np.arange(1, seeds + 1), count) if seeds > 1 else None
    return laws.Curve(name, metric, np.repeat(tokens, seeds), values.ravel(), seeds=names)


def law_value(law: str, tokens: np.ndarray) -> np.ndarray:
    """Return a law with coefficients of the size the paper reports."""
    if law == "log_law":
        return (-9.0 + 0.75 * np.log(tokens)) ** 1.5
    return 1.2 + 150.0 / tokens**0.25


def simulated_curve(
    kind: str,
    generator: np.random.Generator,
    noise: float = 1.0,
    count: int = 6,
    seeds: int = 1,
    moves: tuple[float, float] | None = None,
) -> laws.Curve:
    """Return a BLEU curve of a kind, with ``noise`` BLEU on every run.

    ``noisy`` curves rise, but every budget lies 4 to 6 BLEU off the rise, up and down by turns; ``trendless`` ones are
    flat at a score of four to eight times the noise; ``too few points`` are the first three of a rise. ``moves``
    shrinks the curve to so many BLEU, from least to most, between its lowest and its highest point.
    """
    tokens = np.geomspace(1e9, 1e9 * 2 ** (count - 1), count)
    x = np.linspace(0, 1, count)
    turns = np.where(np.arange(count) % 2 == 0, 1, -1)
    base = generator.uniform(20, 30)
    if kind in ("follows the law", "too few points"):
        clean = base + generator.uniform(6, 14) * x ** generator.uniform(0.6, 1.1)
    elif kind == "saturated":
        clean = base + 0 * x
    elif kind == "inverse":
        clean = base - generator.uniform(6, 12) * x
    elif kind == "non-monotonic":
        wave = generator.choice([-1, 1]) * turns if generator.random() < 0.5 else None
        if wave is None:
            peak = generator.uniform(0.3, 0.6)
            clean = base - generator.uniform(20, 40) * (x - peak) ** 2
        else:
            clean = base + generator.uniform(2.5, 4) * wave + generator.uniform(-2, 2) * x
    elif kind == "noisy":
        clean = base + generator.uniform(22, 30) * x + generator.uniform(4, 6) * generator.choice([-1, 1]) * turns
    elif kind == "trendless":
        clean = noise * generator.uniform(4, 8) + 0 * x
    elif kind == "breakthrough":
        leap = int(generator.integers(3, count - 1))
        clean = generator.uniform(5, 8) + generator.uniform(12, 20) * (np.arange(count) >= leap)
    else:
        raise ValueError(f"no curves of kind {kind!r}; choose one of {', '.join(laws.VERDICTS)}")
    if moves is not None:
        clean = clean.mean() + (clean - clean.mean()) * generator.uniform(*moves) / np.ptp(clean)
    if kind == "too few points":
        tokens, clean, count = tokens[:3], clean[:3], 3
    values = np.repeat(clean, seeds) + noise * generator.standard_normal(count * seeds)
    return laws.Curve(kind, "bleu", np.repeat(tokens, seeds), np.maximum(values, 0.1), attributes={"noise": noise})
