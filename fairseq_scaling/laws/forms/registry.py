"""The laws by name, and which of them a metric's curve may follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ... import metrics
from ...errors import SettingError
from ..curve import Curve
from ..law import Law
from .bnsl import Bnsl1
from .log_law import LogLaw
from .power import CrossEntropyLaw, LinearLog, PowerCeiling, PowerLaw
from .sigmoid import M4, Logistic, Saturating

LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.name: law
        for law in (
            LogLaw(),
            CrossEntropyLaw(),
            LinearLog(),
            PowerLaw(),
            PowerCeiling(),
            Logistic(),
            Saturating(),
            M4(),
            Bnsl1(),
        )
    }
)
"""Name -> law, in the order in which they are tried."""

_FOR_SCORES = ("log_law", "linear_log", "power_law", "power_ceiling", "logistic", "saturating", "m4", "bnsl1")
_FOR_LOSSES = ("cross_entropy_law", "power_law", "saturating", "m4", "bnsl1")
_FOR_FALLING_SCORES = ("log_law", "cross_entropy_law", "linear_log", "power_law", "saturating", "m4", "bnsl1")


def is_loss(metric: str) -> bool:
    """Return whether a metric is a loss (cross-entropy, perplexity, error), not a score."""
    return metrics.describe(metric).is_loss


def default_law(curve: Curve | str) -> Law:
    """Return the paper's law for a metric: ``cross_entropy_law`` for losses, ``log_law`` for scores."""
    return LAWS["cross_entropy_law" if is_loss(curve if isinstance(curve, str) else curve.metric) else "log_law"]


def laws_for(curve: Curve | str) -> tuple[Law, ...]:
    """Return the candidate laws of a curve (or of a metric's name), the paper's law first."""
    if is_loss(curve if isinstance(curve, str) else curve.metric):
        names: Sequence[str] = _FOR_LOSSES
    elif not isinstance(curve, str) and curve.lower_is_better:
        names = _FOR_FALLING_SCORES
    else:
        names = _FOR_SCORES
    return tuple(LAWS[name] for name in names)


def get_law(law: Law | str) -> Law:
    """Return a law by name (or itself).

    Raises:
        SettingError: no such law.
    """
    if isinstance(law, Law):
        return law
    if law not in LAWS:
        raise SettingError("law", law, "unknown", f"choose one of {', '.join(LAWS)}")
    return LAWS[law]
