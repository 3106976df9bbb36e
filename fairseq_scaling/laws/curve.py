"""A curve: one metric over pretraining tokens, for one mixture, task, finetuning size and architecture."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics
from ..errors import DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of one metric over pretraining tokens, sorted by ``pretrain_tokens``.

    Attributes:
        name: what the curve is called in tables and files.
        metric: a name in ``metrics.METRICS`` (``bleu``, ``chrf``, ``cross_entropy`` ...) or any other one.
        pretrain_tokens: D_p of every point, in tokens [n]. Several points may share one D_p (seeds, repeats).
        values: the measured values [n], scores in their own points, cross-entropy in nats per target token.
        held_out: points that must never enter a fit, only judge it [n].
        seeds: seed of every point [n], numbers or names, None or below 0 where it is not known; or None.
        weights: case weights [n], default all 1.
        stderr: known standard error of every value [n], in points of the metric, NaN where it is not known; or None.
        runs: the pretraining run of every point [n], numbers or names; or None where all come from one run.
        baseline: value(s) without pretraining; never part of a fit.
        baseline_seeds: finetuning seed of every value of ``baseline``; or None where they are not known.
        lower_is_better: direction of the metric; None takes it from the metric's name.
        attributes: anything else that tells the curve from others (mixture, alignment, source_lang, target_lang,
            finetune_tokens, architecture, signature). ``noise``, when there, is the known standard deviation of one
            measurement in points of the metric; ``scale`` is the value of a perfect score where it is not that of
            the metric's row in ``metrics.METRICS`` (100 for an accuracy in percent).

    Raises:
        DataError: arrays of different lengths, a negative or missing D_p, an unknown direction.
    """

    name: str
    metric: str
    pretrain_tokens: FloatArray
    values: FloatArray
    held_out: NDArray[np.bool_] = None  # type: ignore[assignment]
    seeds: NDArray[Any] | None = None
    weights: FloatArray | None = None
    baseline: float | FloatArray | None = None
    lower_is_better: bool | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    stderr: FloatArray | None = None
    runs: NDArray[Any] | None = None
    baseline_seeds: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        tokens = np.atleast_1d(np.asarray(self.pretrain_tokens, float))
        order = np.argsort(tokens, kind="stable")
        size = tokens.size

        def column(label: str, given: ArrayLike | None, kind: Any, default: Any = None) -> Any:
            if given is None:
                return default
            array = np.atleast_1d(np.asarray(given, kind))
            if array.shape != (size,):
                raise DataError(
                    f"curve {self.name!r}: {label} has shape {array.shape}, pretrain_tokens {tokens.shape}\n"
                    f"  give one value of {label} per point"
                )
            return array[order]

        values = column("values", self.values, float)
        held_out = column("held_out", self.held_out, bool, np.zeros(size, bool))
        weights = column("weights", self.weights, float)
        stderr = column("stderr", self.stderr, float)
        if stderr is not None and not np.all(np.isnan(stderr) | ((stderr >= 0) & np.isfinite(stderr))):
            raise DataError(f"curve {self.name!r}: stderr must be finite and at least 0, got {stderr.tolist()}")
        if tokens.ndim != 1 or not np.all(np.isfinite(tokens)) or np.any(tokens < 0):
            listed = tokens.tolist()
            raise DataError(f"curve {self.name!r}: pretrain_tokens must be finite and at least 0, got {listed}")
        if weights is not None and not (np.all(np.isfinite(weights)) and np.all(weights >= 0)):
            raise DataError(f"curve {self.name!r}: weights must be finite and at least 0, got {weights.tolist()}")
        direction = self.lower_is_better
        if direction is None:
            if not metrics.has_direction(self.metric):
                raise DataError(
                    f"curve {self.name!r}: is a lower {self.metric} better?\n"
                    f"  set lower_is_better; it is known only for {', '.join(metrics.METRICS)}"
                )
            direction = metrics.describe(self.metric).lower_is_better
        fixed = {
            "pretrain_tokens": tokens[order],
            "values": values,
            "held_out": held_out,
            "seeds": column("seeds", self.seeds, None),
            "weights": weights,
            "stderr": stderr,
            "runs": column("runs", self.runs, None),
            "lower_is_better": bool(direction),
            "attributes": dict(self.attributes),
        }
        if self.baseline_seeds is not None:
            fixed["baseline_seeds"] = np.atleast_1d(np.asarray(self.baseline_seeds))
            if (given := fixed["baseline_seeds"].size) != self.baseline_runs:
                raise DataError(
                    f"curve {self.name!r}: {given} baseline_seeds, {self.baseline_runs} values of baseline\n"
                    "  give one seed per value"
                )
        if self.baseline is not None:
            fixed["baseline"] = np.asarray(self.baseline, float) if np.ndim(self.baseline) else float(self.baseline)
        for key, value in fixed.items():
            object.__setattr__(self, key, value)

    def __len__(self) -> int:
        return int(self.pretrain_tokens.size)

    def __repr__(self) -> str:
        return (
            f"Curve({self.name!r}, {self.metric}, {len(self)} points at {self.groups().size} budgets, "
            f"{int(self.held_out.sum())} held out)"
        )

    @property
    def case_weights(self) -> FloatArray:
        """Weights of the points [n], 1 where none were given."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @property
    def about(self) -> metrics.Metric:
        """What is known of the metric: range, noise of one run, title; at the scale of ``attributes``."""
        return metrics.describe(self.metric, self.lower_is_better, self.attributes.get("scale"))

    @property
    def ceiling(self) -> float:
        """The largest value the metric can take, inf where there is none."""
        return self.about.upper

    @property
    def baseline_value(self) -> float | None:
        """Mean of the baseline, or None."""
        if self.baseline is None or np.size(self.baseline) == 0:
            return None
        return float(np.mean(self.baseline))

    @property
    def baseline_runs(self) -> int:
        """Number of values of the baseline."""
        return 0 if self.baseline is None else np.size(self.baseline)

    def groups(self, mask: ArrayLike | None = None) -> Groups:
        """Return the distinct budgets: points with the same D_p are repeated measurements of one value.

        Args:
            mask: the points to use [n]; by default all points with D_p > 0 and a finite value.
        """
        usable = np.isfinite(self.values) & (self.pretrain_tokens > 0)
        if mask is not None:
            usable &= np.asarray(mask, bool)
        tokens, inverse = np.unique(self.pretrain_tokens[usable], return_inverse=True)
        counts = np.bincount(inverse, minlength=tokens.size)
        weights = self.case_weights[usable]
        values = self.values[usable]
        totals = np.asarray(np.bincount(inverse, weights, tokens.size), float)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(
                totals > 0,
                np.bincount(inverse, weights * values, tokens.size) / totals,
                np.bincount(inverse, values, tokens.size) / np.maximum(counts, 1),
            )
            squares = np.bincount(inverse, (values - means[inverse]) ** 2, tokens.size)
            spread = np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)
        index = np.full(len(self), -1)
        index[usable] = inverse
        held_out = np.bincount(inverse, self.held_out[usable], tokens.size) > 0
        return Groups(tokens, means, spread, counts, totals, held_out, index)

    def seed_noise(self) -> tuple[float, int]:
        """Return the standard deviation of one measurement, pooled over repeated points, and its degrees of freedom.

        (nan, 0) where no budget was measured twice. In points of the metric.
        """
        groups = self.groups()
        freedom = int(np.sum(groups.counts - 1))
        if freedom == 0:
            return float("nan"), 0
        repeated = groups.counts > 1
        total = np.sum(groups.spread[repeated] ** 2 * (groups.counts[repeated] - 1))
        return float(np.sqrt(total / freedom)), freedom

    def noise_between_budgets(self) -> tuple[float, int]:
        """Return the standard deviation of one measurement when budgets are compared, and its degrees of freedom.

        A seed gives all budgets the same order of finetuning data, so part of what it does is the same at every budget.
        Where every budget has the same seeds that part cancels: what is left is the residual of a layout of budgets and
        seeds (randomised blocks, Fisher 1935). Otherwise this is ``seed_noise``.
        """
        groups = self.groups()
        usable = groups.index >= 0
        if self.seeds is None or not usable.any() or not all(map(_known, self.seeds[usable])):
            return self.seed_noise()
        budget, values = groups.index[usable], self.values[usable]
        names, seed = np.unique(self.seeds[usable].astype(str), return_inverse=True)
        cells = np.zeros((groups.size, names.size))
        np.add.at(cells, (budget, seed), 1)
        freedom = values.size - groups.size - names.size + 1
        if names.size < 2 or freedom < 2 or cells.min() == 0 or np.any(cells != cells[0]):
            return self.seed_noise()
        of_budget = np.bincount(budget, values) / np.bincount(budget)
        of_seed = np.bincount(seed, values) / np.bincount(seed)
        residual = values - of_budget[budget] - of_seed[seed] + values.mean()
        return float(np.sqrt(np.sum(residual**2) / freedom)), freedom


@dataclass(frozen=True)
class Groups:
    """The distinct budgets of a curve; all arrays [g] but ``index``."""

    pretrain_tokens: FloatArray
    """D_p in tokens, ascending."""
    values: FloatArray
    """Weighted mean of the measurements."""
    spread: FloatArray
    """Standard deviation between the measurements of a budget; NaN where there is one only."""
    counts: NDArray[np.int_]
    """Number of measurements."""
    weights: FloatArray
    """Sum of the case weights."""
    held_out: NDArray[np.bool_]
    """Whether any measurement of the budget is held out."""
    index: NDArray[np.int_]
    """Group of every point of the curve [n]; -1 for points that were left out."""

    @property
    def size(self) -> int:
        return int(self.pretrain_tokens.size)


def _known(seed: Any) -> bool:
    return seed is not None and seed == seed and not (isinstance(seed, Real) and seed < 0)
