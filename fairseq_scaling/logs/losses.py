"""Losses of the log (base 2, three decimals) -> cross-entropy in nats per target token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .config import component, setting
from .printed import Printed, parse_printed
from .record import LN2
from .segments import Stats

# criterions whose loss is the plain negative log-likelihood per token, in base 2
_PLAIN = ("cross_entropy", "masked_lm", "adaptive_loss")
_DECIMALS = 3
_SIX_DIGITS = 20  # no rounding before {:g}, which keeps six digits


def cross_entropy(stats: Stats, config: Mapping[str, Any]) -> Printed | None:
    """Return the cross-entropy of a record in nats with the half width of its rounding; None where it is unknown.

    ``nll_loss`` is it. ``loss`` is it only where it is known to hold no label smoothing: by the criterion of the
    configuration, or because the perplexity printed beside it is ``2 ** loss``.
    """
    if "target_tokens" in stats.fields:
        # this plug-in's own column, in nats and with six digits
        printed = stats.number("cross_entropy", _SIX_DIGITS)
        if printed is not None:
            return printed
    printed = stats.number("nll_loss", _DECIMALS)
    if printed is None and stats.fields.get("nll_loss") is None:
        loss = stats.number("loss", _DECIMALS)
        if loss is not None and (not math.isfinite(loss.value) or _is_plain(loss, stats, config)):
            printed = loss
    if printed is None:
        return None
    if math.isfinite(printed.value) and not 0 <= printed.value < 1e6:
        return None
    return Printed(printed.value * LN2, printed.half_width * LN2)


def is_diverged(stats: Stats) -> bool:
    """Return whether a loss of the record is nan or inf."""
    losses = (parse_printed(stats.fields.get(key)) for key in ("loss", "nll_loss"))
    return any(loss is not None and not math.isfinite(loss.value) for loss in losses)


def _is_plain(loss: Printed, stats: Stats, config: Mapping[str, Any]) -> bool:
    if config:
        criterion, smoothing = component(config, "criterion"), setting(config, "label_smoothing", "criterion")
        if criterion == "label_smoothed_cross_entropy":
            return smoothing == 0
        if criterion is not None:
            return criterion in _PLAIN
    return _is_perplexity_of(loss, stats) is True


def is_consistent(stats: Stats) -> bool | None:
    """Return whether the perplexity of the record is that of its loss; None where that can not be told.

    Of a healthy log all are or, with a criterion of its own, none; one that differs from its neighbours was damaged.
    """
    loss = stats.number("nll_loss", _DECIMALS) or stats.number("loss", _DECIMALS)
    return _is_perplexity_of(loss, stats) if loss is not None else None


def _is_perplexity_of(loss: Printed, stats: Stats) -> bool | None:
    perplexity = stats.number("ppl", 2)
    if perplexity is None or not 0 <= loss.value < 60:
        return None
    low, high = 2 ** (loss.value - loss.half_width), 2 ** (loss.value + loss.half_width)
    return low - perplexity.half_width <= perplexity.value <= high + perplexity.half_width
