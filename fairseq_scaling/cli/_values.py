"""Values of options of ``fit-scaling`` that are written NAME=VALUE; a malformed one raises SettingError."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import SettingError
from ..metrics import METRICS, metric_name

_EXAMPLES = {
    "--columns": "--columns pretrain_tokens=tokens,bleu=score",
    "--noise": "--noise bleu=0.3",
    "--scale": "--scale accuracy=100",
    "--better": "--better latency=lower",
}


def columns(texts: Sequence[str]) -> dict[str, str]:
    """Return role -> column of ``--columns``."""
    # A comma separates only before ``name=``: columns may have commas in their names.
    return dict(_pairs("--columns", [part for text in texts for part in re.split(r",(?=\s*[^,=]+=)", text)]))


def scales(texts: Sequence[str]) -> dict[str, float]:
    """Return metric -> value of a perfect score of ``--scale``."""
    found = {metric_name(name): value for name, value in numbers("--scale", texts).items()}
    for name in found:
        if name in METRICS and METRICS[name].scale is None:
            raise SettingError("--scale", name, "has no perfect score")
    return found


def directions(texts: Sequence[str]) -> dict[str, bool]:
    """Return metric -> whether lower is better of ``--better``."""
    for name, said in (pairs := _pairs("--better", texts)):
        if said not in ("lower", "higher"):
            raise SettingError("--better", f"{name}={said}", "says no direction", "write lower or higher")
    return {metric_name(name): said == "lower" for name, said in pairs}


def numbers(flag: str, texts: Sequence[str]) -> dict[str, float]:
    """Return name -> number above zero."""
    found = {}
    for name, value in _pairs(flag, texts):
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = float("nan")
        if not 0 < found[name] < float("inf"):
            raise SettingError(flag, f"{name}={value}", "is not a number above zero", f"write {_EXAMPLES[flag]}")
    return found


def subsets(texts: Sequence[str]) -> dict[str, str]:
    """Return metric -> subset of ``test``, ``bleu=newstest2014`` ...; the empty metric stands for all others."""
    chosen: dict[str, str] = {}
    for text in texts:
        metric, _, subset = text.rpartition("=")
        metric = metric_name(metric) if metric.strip() else ""
        if not subset.strip():
            raise SettingError("--subset", text, "names no subset", "write for example test or bleu=newstest2014")
        if chosen.setdefault(metric, subset.strip()) != subset.strip():
            raise SettingError("--subset", text, f"another one than {chosen[metric]}", "give one subset for a metric")
    return chosen


def target(text: str) -> tuple[str, float]:
    """Return (metric or nothing, score) of a target such as ``bleu=25`` or ``25``."""
    metric, _, number = text.rpartition("=")
    try:
        return metric.strip(), float(number)
    except ValueError:
        raise SettingError("--target-score", text, "not a number", "write for example 25 or bleu=25") from None


def law(text: str) -> str:
    """Return the name of a law, or ``auto``."""
    from ..laws import LAWS  # numpy, which no --help may wait for

    if text not in ("auto", *LAWS):
        raise SettingError("--law", text, "there is no such law", f"choose from auto, {', '.join(LAWS)}")
    return text


def _pairs(flag: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise SettingError(flag, text, "is not NAME=VALUE", f"write for example {_EXAMPLES[flag]}")
        pairs.append((name, value))
    return pairs
