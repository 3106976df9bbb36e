"""A point: one measured value of one metric at one pretraining size, from a log or from a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ...errors import ScalingError
from ...mixture import Mixture
from ...problems import place
from ...quantities import PRETRAIN_TOKENS, Quantity, format_tokens
from ...scores.score_file import Score


@dataclass(frozen=True)
class Point:
    """One value of one metric.

    Attributes:
        metric: name as in ``metrics.METRICS``, or any other one.
        pretrain_tokens: the value on the x axis, in units of ``quantity``: D_p in tokens unless the user chose another
            one. 0 is a baseline (no pretraining); nan is unknown, and ``start`` names the model that was finetuned.
        value: the score, or the cross-entropy in nats per target token.
        quantity: what stands on the x axis.
        curve: the name that a table gave; None for a run.
        stderr: standard error of the value in points of the metric, where it is known.
        score_lower, score_upper: the bootstrap interval over the test sentences (95 %), where a score file has it.
        scale: the value of a perfect score where it is not that of the metric's row (see ``Metric.at_scale``).
        test_set: name of the test set; empty where it is unknown.
        finetune_tokens: D_f in tokens.
        finetune_tokens_read: tokens that the finetuning read, where these are fewer than its set holds; else None.
        unique_tokens: of D_p, each text counted once, where text was repeated.
        fixed: what a curve over another quantity than D_p keeps fixed: ``D_p=3B``.
        corpus: fingerprint of the corpus.
        apart: what tells the curve of a run from others of the same name.
        exact: the x value as it was consumed, where ``pretrain_tokens`` is the size that it counts as.
        details: what a metric says besides its value (brevity penalty, n-gram precisions, signature, subset).
        settings: flat settings of the finetuning, as text.
        score: what the log or the score file says; None for a point of a table, and for cross-entropy.
    """

    metric: str
    pretrain_tokens: float
    value: float
    curve: str | None = None
    held_out: bool = False
    seed: int | None = None
    pretrain_seed: int | None = None
    lower_is_better: bool = False
    mixture: str = ""
    source_lang: str = ""
    target_lang: str = ""
    finetune_tokens: int | None = None
    finetune_tokens_read: int | None = None
    architecture: str = ""
    parameters: int | None = None
    unique_tokens: int | None = None
    corpus: str = ""
    test_set: str = ""
    stderr: float | None = None
    score_lower: float | None = None
    score_upper: float | None = None
    scale: float | None = None
    quantity: Quantity = PRETRAIN_TOKENS
    fixed: str = ""
    apart: str = ""
    exact: float | None = None
    alignment: float | None = None
    run_id: str = ""
    start: str = ""
    file: str = ""
    line: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    score: Score | None = field(default=None, repr=False)

    @property
    def consumed(self) -> float:
        """The x value exactly as it was read."""
        return self.pretrain_tokens if self.exact is None else self.exact

    @property
    def task(self) -> str:
        """The translation task as ``en-fr``; empty where it is unknown."""
        return f"{self.source_lang}-{self.target_lang}" if self.source_lang and self.target_lang else ""

    @property
    def is_placed(self) -> bool:
        """Whether the x value is known, without which a point is on no curve."""
        return not math.isnan(self.pretrain_tokens)

    @property
    def origin(self) -> str:
        return place(self.file, self.line)


def curve_name(point: Point) -> str:
    """Return the name of the curve a point belongs to: the table's, or one made of everything a curve fixes.

    It depends on the point alone, so a curve keeps its name whatever else is read beside it, unless that would bear the
    same name: then ``apart`` is added (see ``comparable``).
    """
    return run_curve_name(point) if point.curve is None else point.curve


def run_curve_name(point: Point) -> str:
    """Return the name made of everything a curve fixes, whatever a table calls it."""
    mixture = mixture_label(point.mixture) if point.pretrain_tokens else point.quantity.none
    parts = [point.task or "unknown task", *_mixture_parts(point, mixture)]
    if point.finetune_tokens is not None:
        parts.append(f"D_f={format_tokens(point.finetune_tokens)}")
    if point.architecture:
        parts.append(point.architecture)
    if point.start and point.is_placed:
        parts.append(f"from {point.start}")
    if point.apart:
        parts.append(point.apart)
    return " / ".join(parts)


def fixed_pretraining(tokens: float) -> str:
    """Return how a curve over another quantity is called by its D_p: ``D_p=3B``, or ``no pretraining``."""
    symbol = PRETRAIN_TOKENS.symbol
    return f"{symbol}={PRETRAIN_TOKENS.format(tokens, 3)}" if tokens else PRETRAIN_TOKENS.none


def _mixture_parts(point: Point, mixture: str) -> list[str]:
    """Return mixture and fixed D_p; without pretraining there is no mixture to name."""
    if not point.fixed:
        return [mixture]
    return [mixture, point.fixed] if point.mixture else [point.fixed]


@lru_cache(maxsize=4096)
def mixture_label(mixture: str) -> str:
    """Return a mixture for people: ``en:0.5,fr:0.5`` -> ``50 en + 50 fr``, ``fr:1`` -> ``fr only``."""
    if not mixture:
        return "unknown mixture"
    try:
        shares = Mixture.parse(mixture).as_floats()
    except ScalingError:
        return mixture
    if len(shares) == 1:
        return f"{next(iter(shares))} only"
    return " + ".join(f"{100 * share:.3g} {language}" for language, share in shares.items())
