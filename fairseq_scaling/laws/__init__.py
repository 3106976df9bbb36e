"""Scaling laws of downstream curves: fit, choose, judge, predict, advise. Knows curves, not logs; numpy and scipy only.

>>> from fairseq_scaling import laws
>>> curve = laws.Curve("en-fr", "bleu", [1e9, 2e9, 4e9, 8e9, 16e9], [20.1, 23.9, 27.2, 30.4, 33.1])
>>> fit = laws.fit(curve)                     # the log-law of Isik et al.
>>> choice = laws.choose(curve)               # the law with the least rolling-origin error, and its runners-up
>>> choice.predict([32e9, 64e9])              # values with 95 % intervals
>>> laws.diagnose(curve).kind
'follows the law'
>>> laws.advise(curve).sentence
"""

from __future__ import annotations

from .advice import advise, compare_mixtures, compare_pairs, tokens_for
from .choosing import choose, choose_many
from .comparing import compare_metrics
from .curve import Curve, Groups
from .diagnosis import diagnose
from .fitting import PAPER_BUDGETS, fit, fit_many
from .law import Law, Parameter
from .registry import LAWS, default_law, laws_for
from .results import (
    VERDICTS,
    Advice,
    Candidate,
    Choice,
    Estimate,
    Fit,
    HeldOutError,
    LeftOut,
    MetricComparison,
    MixtureComparison,
    Prediction,
    Verdict,
)
from .surfaces import SURFACES, Surface, SurfaceFit, fit_surface
from .two_stage import fit_two_stage

__all__ = [
    "LAWS",
    "PAPER_BUDGETS",
    "SURFACES",
    "VERDICTS",
    "Advice",
    "Candidate",
    "Choice",
    "Curve",
    "Estimate",
    "Fit",
    "Groups",
    "HeldOutError",
    "Law",
    "LeftOut",
    "MetricComparison",
    "MixtureComparison",
    "Parameter",
    "Prediction",
    "Surface",
    "SurfaceFit",
    "Verdict",
    "advise",
    "choose",
    "choose_many",
    "compare_metrics",
    "compare_mixtures",
    "compare_pairs",
    "default_law",
    "diagnose",
    "fit",
    "fit_many",
    "fit_surface",
    "fit_two_stage",
    "laws_for",
    "tokens_for",
]
