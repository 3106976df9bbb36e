"""Numbers and settings in words, the same on the terminal, in tables and in prose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics import CROSS_ENTROPY, Metric, describe
from ..quantities import format_tokens

NONE = "\u2013"
MINUS = "\u2212"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits; a dash where there is none."""
    if value is None:
        return NONE
    return f"{value:.{digits}g}".replace("-", MINUS)


def score(value: float | None, metric: Metric) -> str:
    """Return a value of a metric with the decimals worth printing."""
    return NONE if value is None else _decimals(value, metric, "")


def signed(value: float | None, metric: Metric) -> str:
    """Return a change of a metric with its sign; none where it rounds to zero."""
    return NONE if value is None else _decimals(value, metric, "+")


def _decimals(value: float, metric: Metric, sign: str) -> str:
    # Adding zero turns the minus zero that rounding may leave into zero.
    rounded = round(value, metric.decimals) + 0.0
    return f"{rounded:{sign if rounded else ''}.{metric.decimals}f}".replace("-", MINUS)


def interval(estimate: Mapping[str, Any] | None, write: Any = number, unknown: str = "interval not determined") -> str:
    """Return ``value [lower, upper]``; ``write`` turns one number into text."""
    if estimate is None or estimate.get("value") is None:
        return NONE
    if estimate.get("lower") is None and estimate.get("upper") is None:
        return f"{write(estimate['value'])} ({unknown})" if unknown else write(estimate["value"])
    bounds = [
        write(bound).removeprefix("+") if bound is not None else "\u221e"
        for bound in (estimate["lower"], estimate["upper"])
    ]
    if estimate["lower"] is None:
        bounds[0] = MINUS + bounds[0]
    return f"{write(estimate['value'])} [{bounds[0]}, {bounds[1]}]"


def tokens(value: float | None) -> str:
    """Return a number of tokens with three digits: a run consumes a little less than its budget, 299934 -> ``300k``."""
    return NONE if value is None else format_tokens(float(f"{value:.3g}"))


def percent(value: float | None) -> str:
    """Return an error such as an RMSLE in per cent."""
    if value is None:
        return NONE
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.2g} %"


def metric_of(curve: Mapping[str, Any]) -> Metric:
    return describe(curve["metric"], curve["lower_is_better"])


def metric_title(curve: Mapping[str, Any]) -> str:
    return metric_of(curve).title


def condition(setting: Mapping[str, Any]) -> str:
    """Return what a curve shares with its rivals: ``en-fr, D_f 200k, t5_tiny``; empty where nothing is known."""
    parts = [setting["task"]]
    if setting["finetune_tokens"] is not None:
        parts.append(f"finetuned on {format_tokens(setting['finetune_tokens'])} tokens")
    parts += [setting["architecture"], setting["apart"]]
    return ", ".join(part for part in parts if part)


def short_name(curve: Mapping[str, Any]) -> str:
    """Return the mixture where it is known, else the curve's name."""
    return str(curve["setting"]["mixture_label"] if curve["setting"]["mixture"] else curve["name"])


def is_score(curve: Mapping[str, Any]) -> bool:
    return bool(curve["metric"] != CROSS_ENTROPY)


def display_names(curves: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return curve name -> the shortest label that tells the document's curves apart.

    A table's names stay; of a run's curve the mixture is shown, and task, D_f, architecture and what else tells it
    apart only where they differ.
    """
    parts = {curve["name"]: _parts(curve) for curve in curves}
    varies = [len({entry[i] for entry in parts.values()}) > 1 for i in range(5)]
    labels = {}
    for curve in curves:
        name = curve["name"]
        shown = [part for i, part in enumerate(parts[name]) if part and (i == 0 or varies[i])]
        labels[name] = ", ".join(shown) if curve["setting"]["mixture"] else name
    return labels if len(set(labels.values())) == len(labels) else {name: name for name in labels}


def _parts(curve: Mapping[str, Any]) -> tuple[str, ...]:
    setting = curve["setting"]
    finetune = "" if setting["finetune_tokens"] is None else f"D_f {format_tokens(setting['finetune_tokens'])}"
    return str(setting["mixture_label"]), setting["task"], finetune, setting["architecture"], setting["apart"]
