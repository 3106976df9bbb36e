"""Finished studies: their largest budget forecast from the others, and what their pretraining runs share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from fairseq_scaling import laws
from fairseq_scaling.laws.numerics import noise
from fairseq_scaling.laws.priors import NOISE
from fairseq_scaling.report.loading import load

from .forecasts import interval_score

REACHES = (0.2, 0.4, 0.8, 1.2, 2.0, 3.0, 6.0)


def studies(tables: Sequence[Path], hold_out: int = 1) -> None:
    """Finished studies (their points.csv): the largest budgets forecast from the others, and the drift of their runs.

    Points of the metric; ``above`` counts the means that lie above the interval. The drift is judged by the restricted
    likelihood of the repeats, summed over curves, against no drift, in nats.
    """
    studied = [list(load(str(table))) for table in tables]
    rows: dict[str, list[tuple[bool, bool, float, float, float]]] = defaultdict(list)
    for curves in studied:
        seen = []
        for curve in curves:
            budgets = np.unique(curve.pretrain_tokens[curve.pretrain_tokens > 0])
            if budgets.size - hold_out >= 3:
                seen.append((replace(curve, held_out=curve.pretrain_tokens >= budgets[-hold_out]), budgets[-hold_out:]))
        for (curve, held), one in zip(seen, laws.forecast([curve for curve, _ in seen]), strict=True):
            truth = np.array([curve.values[curve.pretrain_tokens == tokens].mean() for tokens in held])
            made = one.predict(held)
            score = interval_score(truth, made.lower, made.upper)
            inside = (made.lower <= truth) & (truth <= made.upper)
            above = truth > made.upper
            error = truth - made.value
            rows[curve.metric] += zip(inside, above, error, made.upper - made.lower, score, strict=True)
    for metric, found in rows.items():
        inside, above, error, width, score = np.array(found, float).T
        print(
            f"{metric:14s} covered {inside.sum():.0f} of {len(found)} (above {above.sum():.0f}), error "
            f"{error.mean():+.3f}, median width {np.median(width):.2f}, interval score {score.mean():.2f}",
            flush=True,
        )
    for metric in rows:
        of_metric = [curve for curves in studied for curve in curves if curve.metric == metric]
        repeated = [curve for curve in of_metric if curve.runs is not None and np.unique(curve.runs).size > 1]
        none = sum(_evidence(curve, (0.0,), 1.0) for curve in repeated)
        told = {reach: sum(_evidence(curve, NOISE.drift, reach) for curve in repeated) - none for reach in REACHES}
        said = ", ".join(f"{reach:g}: {gained:+.1f}" for reach, gained in told.items())
        print(f"{metric:14s} drift by its reach in decades, {len(repeated)} curves: {said}", flush=True)


def _evidence(curve: laws.Curve, drift: tuple[float, ...], reach: float) -> float:
    """Return the log likelihood of a curve's repeats with these shares of drift, over the prior of all else."""
    with patch.object(noise, "NOISE", replace(NOISE, drift=drift, reach=reach)):
        told = noise.reduce_to_budgets(curve)
        prior = noise.shared_prior() + noise.noise_weights(told.spread)[:, None, None]
    return float(np.logaddexp.reduce((told.log_likelihood + prior).ravel()))
