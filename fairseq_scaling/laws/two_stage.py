"""Two stages: cross-entropy from pretraining tokens, then the score from cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from .composite import Composite, CompositeLaw
from .curve import Curve, FloatArray
from .fitting import default_delta, select_points
from .fitting import fit as fit_law
from .inference import held_out_error
from .law import Law
from .results import Estimate, Fit, Prediction
from .solver import huber
from .statistics import t_quantile

_DRAWS = 4000


class TwoStageLaw(CompositeLaw):
    """score = c exp(-k L(D_p)), L the law of the cross-entropy."""

    name = "two_stage"
    title = "two stages through cross-entropy"
    formula = "c * exp(-k * L(D))"
    latex = r"c \cdot e^{-k L(D_p)}"
    source = (
        "Chen et al., Scaling Laws for Predicting Downstream Performance in LLMs (2024); second stage: Gordon et al., "
        "Data and Parameter Scaling Laws for Neural Machine Translation (EMNLP 2021)"
    )


TWO_STAGE = TwoStageLaw()


def fit_two_stage(score: Curve, loss: Curve, law: Law | str | None = None, *, level: float = 0.95) -> Fit:
    """Fit cross-entropy over D_p, the logarithm of the score over cross-entropy, and return both as one Fit.

    Args:
        score, loss: curves of the same runs; the second stage uses the budgets that both have and neither holds out.
        law: of the first stage; None takes the cross-entropy law.
        level: coverage of the intervals.

    Raises:
        DataError: fewer than three budgets with a score above 0 and a cross-entropy.
    """
    first = fit_law(loss, law, level=level)
    used, judged, left_out = select_points(score)
    ours, theirs = score.groups(used), loss.groups(select_points(loss)[0])
    _, at, there = np.intersect1d(ours.pretrain_tokens, theirs.pretrain_tokens, return_indices=True)
    if at.size < 3:
        raise DataError(
            f"curve {score.name!r}: {at.size} budgets have both {score.metric} and {loss.metric}; two stages need 3\n"
            "  give both metrics at the same pretrain_tokens"
        )
    y, x, weight = np.log(ours.values[at]), theirs.values[there], ours.weights[at]
    design = np.column_stack([np.ones(at.size), -x])
    root = np.sqrt(weight)
    link = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    freedom = at.size - 2
    variance = float(np.sum(weight * (y - design @ link) ** 2) / freedom)
    covariance = np.asarray(variance * np.linalg.pinv(design.T @ (weight[:, None] * design)), float)
    state = TwoStageState(first, link, covariance, freedom)
    residuals = np.full(len(score), np.nan)
    positive = (score.pretrain_tokens > 0) & np.isfinite(score.values) & (score.values > 0)
    residuals[positive] = np.log(score.values[positive]) - state.log_value(score.pretrain_tokens[positive])
    reach = t_quantile(1 - (1 - level) / 2, freedom) * np.sqrt(np.diag(covariance))
    coefficients = {
        name: Estimate(float(value), float(value - r), float(value + r), float(np.sqrt(covariance[i, i])))
        for i, (name, value, r) in enumerate(zip(("log c", "k"), link, reach, strict=True))
    }
    delta = default_delta(score)
    reasons = []
    if not coefficients["k"].lower > 0:
        reasons.append("k is not above 0 beyond doubt: the score need not rise when cross-entropy falls")
    return Fit(
        curve=score,
        law=TWO_STAGE,
        coefficients=coefficients | {f"{name} of {loss.metric}": e for name, e in first.coefficients.items()},
        objective=float(np.sum(score.case_weights[used] * huber(residuals[used], delta))),
        delta=delta,
        protocol="all",
        interval="profile",
        level=level,
        used=used,
        judged=judged,
        left_out=left_out,
        residuals=residuals,
        degrees_of_freedom=freedom,
        sigma=float(np.sqrt(variance)),
        condition_number=float(np.linalg.cond(design)),
        identified=not reasons and first.identified,
        reasons=(*reasons, *first.reasons),
        notes=first.notes,
        held_out=held_out_error(score, residuals, judged),
        iterations=first.iterations,
        converged=first.converged,
        state=state,
    )


@dataclass(frozen=True)
class TwoStageState(Composite):
    """The first stage's fit, (log c, k), their covariance [2, 2] and its degrees of freedom."""

    loss: Fit
    link: FloatArray
    covariance: FloatArray
    freedom: float

    def log_value(self, tokens: FloatArray) -> FloatArray:
        return self.link[0] - self.link[1] * self.loss.values(tokens)

    def predict(self, tokens: FloatArray, level: float) -> Prediction:
        value = np.exp(self.log_value(tokens))
        tail = (1 - level) / 2
        drawn = self.draws(tokens, _DRAWS, 0)
        lower, upper = np.quantile(drawn, [tail, 1 - tail], axis=0)
        return Prediction(tokens, value, np.minimum(lower, value), np.maximum(upper, value), level)

    def draws(self, tokens: FloatArray, size: int, seed: int) -> FloatArray:
        generator = np.random.default_rng([seed, 0x257A])
        losses = self.loss.draws(tokens, size, seed)
        values, vectors = np.linalg.eigh(self.covariance)
        spread = generator.standard_normal((size, 2)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        spread *= np.sqrt(self.freedom / generator.chisquare(self.freedom, size))[:, None]
        link = (self.link + spread).reshape(size, 2, *([1] * tokens.ndim))
        with np.errstate(over="ignore"):
            return np.exp(link[:, 0] - link[:, 1] * losses)

    def describe(self) -> dict[str, Any]:
        return {"link": self.link.tolist(), "loss": self.loss.to_dict()}
