"""Is the minimum global? Every law's objective against the best of many L-BFGS-B starts, curve after curve.

With ``out`` what L-BFGS-B reached is a line of a file: a run that was stopped goes on where it was, and after a change
of the solver the same command compares anew in a minute.
"""

from __future__ import annotations

import csv
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from fairseq_scaling.laws.forms.registry import LAWS, laws_for
from fairseq_scaling.laws.numerics.engine import solve

from .curves import PAPER_LAWS, load_curves, random_problem
from .reference import lbfgs_from_many_starts

TOLERANCE = 1e-6
"""Relative difference that counts as higher or lower."""

_ROUNDING = 1e-14
"""Objectives below are sums of rounding errors: the law passes through all points."""

_SHARE_OF_OTHERS = 10
"""A law that is not of the paper gets one random curve for so many of the paper's."""


@dataclass(frozen=True)
class Reference:
    """What L-BFGS-B reached on one curve: the best of the starts, the share of them that come within 0.1 % of it, and
    processor seconds."""

    law: str
    curve: str
    starts: int
    best: float
    near: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """The reference, and the objective and processor seconds here."""

    reference: Reference
    objective: float
    seconds: float

    @property
    def excess(self) -> float:
        """How far the objective lies above the reference, as a share of it; 0 where both are rounding errors."""
        best = self.reference.best
        return (self.objective - best) / best if max(self.objective, best) > _ROUNDING else 0.0


Problem = tuple[str, str, np.ndarray, np.ndarray, float]
"""Law, name of the curve, log D, log values, delta."""


def optimum(
    data: Path | None = None,
    curves: int = 20,
    starts: int = 500,
    laws: Sequence[str] = tuple(LAWS),
    out: Path | None = None,
) -> dict[str, list[Result]]:
    """Objectives against scipy's L-BFGS-B from many random starts in the same box, on given and random curves.

    Returns the results of every one of ``laws``. ``curves`` random ones are made for each law of the paper, a tenth
    for the others.
    """
    before = read_references(out) if out is not None and out.exists() else []
    known = {(one.law, one.curve, one.starts): one for one in before}
    results: dict[str, list[Result]] = {}
    for problem in _problems(data, curves):
        law, curve, log_tokens, log_values, delta = problem
        if law not in laws:
            continue
        reference = known.get((law, curve, starts))
        if reference is None:
            reference = _reference(problem, starts)
            if out is not None:
                _append(out, reference)
        began = time.process_time()
        weight = np.ones((1, log_tokens.size))
        ours = float(solve(LAWS[law], log_tokens[None], log_values[None], weight, np.array([delta])).objective[0])
        results.setdefault(law, []).append(Result(reference, ours, time.process_time() - began))
    for law, found in results.items():
        worst = max(found, key=lambda one: one.excess)
        print(
            f"{law:<18} {len(found):5d} curves, objective {worst.excess:+.1e} at worst ({worst.reference.curve}) "
            f"relative to the best of {starts} L-BFGS-B starts; "
            f"lower on {sum(one.excess < -TOLERANCE for one in found)}, "
            f"higher on {sum(one.excess > TOLERANCE for one in found)}; "
            f"{np.mean([one.reference.near for one in found]):.0%} of the starts end within 0.1 % of the best; "
            f"{1e3 * np.mean([one.seconds for one in found]):.1f} ms against "
            f"{np.mean([one.reference.seconds for one in found]):.2f} s a curve"
        )
    return results


def _reference(problem: Problem, starts: int) -> Reference:
    law, curve, log_tokens, log_values, delta = problem
    seed = zlib.crc32(f"{law} {curve}".encode())
    began = time.process_time()
    found = lbfgs_from_many_starts(law, log_tokens, log_values, delta, starts, seed)
    best = float(found.min())
    near = float(np.mean(found <= 1.001 * best + _ROUNDING))
    return Reference(law, curve, starts, best, near, time.process_time() - began)


def _problems(data: Path | None, curves: int) -> Iterator[Problem]:
    """Yield the given curves under all laws that may describe them, then random ones."""
    for domain, curve in load_curves(data) if data is not None else ():
        used = ~curve.held_out
        log_tokens, log_values = np.log(curve.pretrain_tokens[used]), np.log(curve.values[used])
        for law in dict.fromkeys((*PAPER_LAWS, *(law.name for law in laws_for(curve)))):
            yield law, f"{domain} {curve.name}", log_tokens, log_values, _delta(law)
    for seed in range(curves):
        for law in LAWS if seed % _SHARE_OF_OTHERS == 0 else PAPER_LAWS:
            family = law if law in PAPER_LAWS else PAPER_LAWS[seed // _SHARE_OF_OTHERS % 2]
            log_tokens, log_values, _ = random_problem(family, seed)
            if log_tokens.size > LAWS[law].size:
                yield law, f"random {seed}", log_tokens, log_values, _delta(law)


def _delta(law: str) -> float:
    """Return the paper's threshold; the small one makes the hardest problems."""
    return 1e-3 if law == "cross_entropy_law" else 0.1


def read_references(path: Path) -> list[Reference]:
    """Return what a run wrote to its ``out``."""
    with open(path, newline="") as file:
        return [
            Reference(
                row["law"], row["curve"], int(row["starts"]), *(float(row[key]) for key in ("best", "near", "seconds"))
            )
            for row in csv.DictReader(file)
        ]


def _append(path: Path, reference: Reference) -> None:
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Reference)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(reference))
