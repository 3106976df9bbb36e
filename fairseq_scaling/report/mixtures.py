"""The mixtures of one task beside each other: which is ahead, and what a token of each of their languages is worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .. import laws
from ..errors import ScalingError, SettingError
from ..metrics import order
from ..mixture import Mixture
from ..problems import Problem
from ..quantities import PRETRAIN_TOKENS
from ..scores.bootstrap import PairedBootstrap
from .fitting import Fitted
from .points.sentences import compare_sentences
from .results import LanguageWorth, MixtureComparison, Untried

_MOST_PAIRS = 12


def rival_curves(fitted: Sequence[Fitted]) -> list[list[Fitted]]:
    """Return the curves that compete: of one task, D_f, model and corpus, on their first metric and test set.

    Where no languages are named, what is alike in all else is taken for one task.
    """
    groups: dict[tuple[object, ...], list[Fitted]] = defaultdict(list)
    for one in fitted:
        first = one.data.first
        if one.forecast is not None and first.mixture:
            key = (first.task, first.finetune_tokens, first.architecture, first.parameters, first.corpus)
            groups[key].append(one)
    found = []
    for members in groups.values():
        metric = min((member.data.metric for member in members), key=order)
        rivals = [member for member in members if member.data.metric == metric]
        # Of several test sets the first one decides: scores on two do not compare.
        test_set = min(member.data.first.test_set for member in rivals)
        found.append([member for member in rivals if member.data.first.test_set == test_set])
    return found


def compare_mixtures(groups: Sequence[Sequence[Fitted]]) -> tuple[list[MixtureComparison], list[Problem]]:
    """Compare the rivals of each group in pairs, at the largest D_p that both reached; return what was damaged, too."""
    found: list[MixtureComparison] = []
    problems: list[Problem] = []
    bootstraps: dict[str, PairedBootstrap] = {}
    for rivals in groups:
        for one, two in list(combinations(rivals, 2))[:_MOST_PAIRS]:
            assert one.forecast is not None
            assert two.forecast is not None
            at = min(one.forecast.largest, two.forecast.largest)
            compared = laws.compare_mixtures(one.forecast, two.forecast, at)
            bootstrap = bootstraps.setdefault(one.data.metric, PairedBootstrap(one.data.metric))
            sentences = compare_sentences(one.data, two.data, bootstrap, problems)
            about, x = one.data.about, one.data.quantity
            found.append(MixtureComparison(**vars(compared), metric=about, x=x, sentences=sentences))
    return found, problems


def worth_of_languages(groups: Sequence[Sequence[Fitted]], untried: Sequence[str]) -> list[LanguageWorth]:
    """Return what the languages of each group's mixtures are worth, with forecasts for the mixtures ``untried``.

    Where the curves do not tell it, the group is left out, or, if there are mixtures to forecast, says why.

    Raises:
        SettingError: there are mixtures to forecast, and no curve names its mixture.
    """
    wanted = [Mixture.parse(text) for text in untried]
    if wanted and not groups:
        raise SettingError(
            "--untried", untried[0], "no curve that was fitted names its mixture",
            "a table has a column mixture (en:0.5,fr:0.5)",
        )  # fmt: skip
    found = []
    for rivals in groups:
        members = [one for one in rivals if _is_plain(one)]
        names = tuple(one.data.name for one in rivals)
        try:
            found.append(_worth(members, names, wanted))
        except ScalingError as error:
            if wanted:
                about, x = rivals[0].data.about, rivals[0].data.quantity
                refused = tuple(Untried(str(mixture)) for mixture in wanted)
                found.append(LanguageWorth(names, about, x, untried=refused, problem=str(error)))
    return found


def _is_plain(one: Fitted) -> bool:
    """Return whether a curve is of new text from the start on: a repeated token, or one after others, has its own
    worth."""
    first = one.data.first
    repeats = any(point.unique_tokens for point in one.data.points)
    return one.data.quantity == PRETRAIN_TOKENS and not first.start and not repeats


def _worth(members: Sequence[Fitted], names: tuple[str, ...], wanted: Sequence[Mixture]) -> LanguageWorth:
    forecasts = [one.forecast for one in members if one.forecast is not None]
    made = laws.worth_of_languages(forecasts, [Mixture.parse(one.data.first.mixture).as_floats() for one in members])
    largest = min(forecast.largest for forecast in forecasts)
    ahead = [float(forecast.predict([largest], laws.Question.MIXTURE).value[0]) for forecast in forecasts]
    sign = -1.0 if members[0].data.lower_is_better else 1.0
    best = members[int(np.argmax(sign * np.array(ahead)))].data.name
    tokens = largest * np.array([1.0, *laws.FACTORS[:2]])
    forecast = []
    for mixture in wanted:
        shares = mixture.as_floats()
        try:
            values = made.predict(shares, tokens)
            chance = made.chance_ahead(shares, best, largest)
        except ScalingError as error:
            forecast.append(Untried(str(mixture), problem=str(error)))
        else:
            forecast.append(Untried(str(mixture), values, best, chance))
    about, x = members[0].data.about, members[0].data.quantity
    return LanguageWorth(names, about, x, made.best, made.worth, made.misfit, made.measured, tuple(forecast))
