"""Subsets of a data set: fairseq's users give validation and test sets any name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

TEST, VALID, OTHER = "test", "valid", "other"

_TEST = re.compile(r"test|tst", re.IGNORECASE)
_VALID = re.compile(r"valid|dev|val(?![a-z])", re.IGNORECASE)


def subset_kind(subset: str, validated: Collection[str] = ()) -> str:
    """Return ``test``, ``valid``, or ``other`` for the upstream text on which this plug-in measures forgetting.

    The name decides; where it says neither, a set on which the training was validated (``--valid-subset``) is a
    validation set and any other one, which fairseq-generate or fairseq-validate was given, a test set.
    """
    if subset.startswith("upstream_"):
        return OTHER
    if _TEST.search(subset):
        return TEST
    return VALID if _VALID.search(subset) or subset in validated else TEST


def preferred(kinds: Iterable[tuple[str, str]]) -> str | None:
    """Return the subset that stands for a run: the test set, else the validation set; None where there are several.

    Args:
        kinds: (subset, its kind). A set that is called ``test`` or ``valid`` goes before others of its kind.
    """
    pairs = list(kinds)
    for kind in (TEST, VALID):
        names = [subset for subset, other in pairs if other == kind]
        if kind in names:
            return kind
        if names:
            return names[0] if len(names) == 1 else None
    return None
