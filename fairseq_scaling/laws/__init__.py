"""Scaling laws of downstream curves: forecast, verdict, advice, comparisons, and single laws. Knows curves, not logs.

>>> from fairseq_scaling import laws
>>> curve = laws.Curve("en-fr", "bleu", [1e9, 2e9, 4e9, 8e9, 16e9], [20.1, 23.9, 27.2, 30.4, 33.1])
>>> forecast = laws.forecast(curve)[0]          # what the tool stands behind
>>> forecast.predict([32e9, 64e9])              # values with 95 % intervals
>>> laws.diagnose(forecast).kind.value
'follows the law'
>>> laws.advise(forecast).action.value
'add data'
>>> fit = laws.fit(curve)                       # a single law, here the log-law of Isik et al.
"""

from __future__ import annotations

from .advice import Action, Advice, advise
from .compare import Alarm, MixtureComparison, alarm, compare_mixtures, difference_of_mixtures
from .curve import Curve
from .fitted import Fit
from .fitting import PAPER_BUDGETS, fit, fit_many
from .forecast import (
    FACTORS,
    LIKELY,
    SURE,
    Forecast,
    NoiseEstimate,
    Question,
    ShapeProbabilities,
    fitted_budgets,
    forecast,
)
from .forms.registry import LAWS, default_law, laws_for
from .law import Law
from .results import Estimate, Prediction
from .surfaces import SURFACES, fit_surface
from .verdict import Verdict, VerdictKind, diagnose
from .worth import LanguageWorth, worth_of_languages

__all__ = [
    "FACTORS",
    "LAWS",
    "LIKELY",
    "PAPER_BUDGETS",
    "SURE",
    "SURFACES",
    "Action",
    "Advice",
    "Alarm",
    "Curve",
    "Estimate",
    "Fit",
    "Forecast",
    "LanguageWorth",
    "Law",
    "MixtureComparison",
    "NoiseEstimate",
    "Prediction",
    "Question",
    "ShapeProbabilities",
    "Verdict",
    "VerdictKind",
    "advise",
    "alarm",
    "compare_mixtures",
    "default_law",
    "diagnose",
    "difference_of_mixtures",
    "fit",
    "fit_many",
    "fit_surface",
    "fitted_budgets",
    "forecast",
    "laws_for",
    "worth_of_languages",
]
