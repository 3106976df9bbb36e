"""Points of runs over another quantity than pretraining tokens."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence
from dataclasses import replace
from typing import Any

from ...problems import ProblemKind
from ...quantities import FINETUNE_TOKENS, PARAMETERS, PRETRAIN_TOKENS, UPDATES, Quantity
from .point import Point, fixed_pretraining


class AxisProblem(ProblemKind):
    """Why a run is on no curve."""

    UNKNOWN = "the runs do not say their {quantity}, so they are on no curve over it"


def over(quantity: Quantity, points: Iterable[Point], problems: MutableSequence[Any]) -> list[Point]:
    """Return the points of runs with ``quantity`` on the x axis; what was there is fixed along a curve.

    Args:
        quantity: one that runs say: pretraining tokens, finetuning tokens, parameters or updates.
        points: of runs, over pretraining tokens.
        problems: is given one for each run that does not say it.
    """
    if quantity.name == PRETRAIN_TOKENS.name:
        return list(points)
    moved = []
    for point in points:
        amount = _amount(quantity, point)
        if amount is None:
            problem = AxisProblem.UNKNOWN.at(point.file, run=point.run_id, quantity=quantity.title)
            if problem not in problems:
                problems.append(problem)
            continue
        moved.append(
            replace(
                point,
                quantity=quantity,
                pretrain_tokens=float(amount),
                fixed=fixed_pretraining(point.pretrain_tokens) if point.is_placed else point.start,
                finetune_tokens=None if quantity is FINETUNE_TOKENS else point.finetune_tokens,
                parameters=None if quantity is PARAMETERS else point.parameters,
            )
        )
    return moved


def _amount(quantity: Quantity, point: Point) -> float | None:
    amounts = {FINETUNE_TOKENS: point.finetune_tokens, PARAMETERS: point.parameters, UPDATES: point.updates}
    return amounts.get(quantity)
