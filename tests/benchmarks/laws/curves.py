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
