"""Mixtures of three languages whose worths, and so whose curves, are known."""

import numpy as np

TOKENS = 1e9 * 2.0 ** np.arange(7)
WORTHS = {"de": 0.2, "en": 0.5, "fr": 1.0}
MIXTURES = (
    {"fr": 1.0},
    {"en": 0.5, "fr": 0.5},
    {"de": 0.5, "fr": 0.5},
    {"de": 0.5, "en": 0.5},
    {"de": 0.2, "en": 0.3, "fr": 0.5},
)


def speed(mixture):
    return sum(share * WORTHS[language] for language, share in mixture.items())


def truth(tokens, mixture):
    """Return BLEU that grows by 3 points with each doubling of the effective tokens, less and less beyond 20e9."""
    x = np.log2(np.asarray(tokens) * speed(mixture) / 1e9)
    return 10 + 22 / (1 + np.exp(-(x - 2.5) / 1.7))
