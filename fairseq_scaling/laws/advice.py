"""What to do next: a reading of the forecast's probabilities, in the terms of Isik et al."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .forecast import Forecast
from .results import Estimate
from .verdict import FEWEST_BUDGETS, chance_worse

WELL_ALIGNED = 0.9
"""Of the paper's alignment score, in which balanced source and target make 1."""


class Action(Enum):
    """What to do next."""

    ADD_DATA = "add data"
    STOP = "stop"
    FINETUNING_SUFFICES = "finetuning data suffices"
    CHANGE_DATA = "change the data"
    RUN_MORE = "run more points"


@dataclass(frozen=True)
class Advice:
    """What to do next.

    Attributes:
        probability: of what the action rests on: that a doubling is worthwhile (add data), that it is not (stop,
            finetuning data suffices), that more of this data makes the score worse (change the data); for run more
            points, that a doubling is worthwhile, which the points leave open.
        gain: that of a doubling.
        next_budget: the D_p whose score would tell most (tokens).
        settled: whether the action ends pretraining, and is sure.
    """

    action: Action
    probability: float
    gain: Estimate
    next_budget: float
    settled: bool


def advise(forecast: Forecast) -> Advice:
    """Return what to do next with this mixture."""
    gain, pays = forecast.gains[2.0], forecast.chance_worthwhile
    budgets = forecast.state.repeats.z.size
    action, probability = Action.RUN_MORE, pays
    worse = chance_worse(forecast)
    if budgets >= FEWEST_BUDGETS:
        if worse >= forecast.likely:
            action, probability = Action.CHANGE_DATA, worse
            if float(forecast.curve.attributes.get("alignment") or 0.0) >= WELL_ALIGNED:
                # The paper's advice, other data, is for mixtures that are not aligned.
                action = Action.RUN_MORE
        elif pays >= forecast.likely:
            action = Action.ADD_DATA
            if _hopeless(forecast):
                action = Action.CHANGE_DATA
        elif 1 - pays >= forecast.likely:
            action, probability = (Action.FINETUNING_SUFFICES if _adds_nothing(forecast) else Action.STOP), 1 - pays
    ends = action in (Action.STOP, Action.FINETUNING_SUFFICES, Action.CHANGE_DATA)
    return Advice(action, probability, gain, forecast.next_budget, ends and probability >= forecast.sure)


def _adds_nothing(forecast: Forecast) -> bool:
    """Return whether pretraining has brought nothing: flat, and not above the score without it, which must be known."""
    above = forecast.above_baseline
    return above is not None and above.value < forecast.margin and forecast.shape.flat >= 0.5


def _hopeless(forecast: Forecast) -> bool:
    """Return whether even ten times the data likely leaves the score below that without pretraining."""
    above = forecast.above_baseline
    return above is not None and above.upper < 0 and forecast.gains[10.0].upper < -above.value
