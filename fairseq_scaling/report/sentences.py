"""The engine's sentences as a report says them: short labels for curves, printed names for metrics, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .metrics import CROSS_ENTROPY, KNOWN_METRICS, describe
from .wording import display_names

MISLEADING = "Cross-entropy improves while the score does not"
SCORE_ONLY = "The score improves while cross-entropy does not"
_METRIC = re.compile(rf"\b({'|'.join(KNOWN_METRICS)})\b")


def say(sentence: str, labels: Mapping[str, str], subject: str = "") -> str:
    """Return a sentence of the engine for a reader.

    Args:
        sentence: as the engine wrote it, with full names of curves and stored names of metrics.
        labels: curve name -> label (``wording.display_names``).
        subject: a curve's name that need not stand in front of the sentence, because it stands there already.
    """
    sentence = sentence.removeprefix(f"{subject}: ") if subject else sentence
    names = sorted(labels, key=len, reverse=True)
    pieces = re.split("(" + "|".join(re.escape(name) for name in names) + ")", sentence) if names else [sentence]
    said = [labels[p] if p in labels else _METRIC.sub(lambda m: describe(m[1]).title, p) for p in pieces]
    text = "".join(said)
    keeps = (*labels.values(), *(describe(metric).title for metric in KNOWN_METRICS if metric != CROSS_ENTROPY))
    return text if text.startswith(keeps) else text[:1].upper() + text[1:]


def loud_findings(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (curve's label, sentence) of the findings across metrics that must not be missed."""
    labels = display_names(document["curves"])
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in document["metric_comparisons"]:
        if entry["loud"]:
            heading = MISLEADING if entry["kind"] == "misleading" else SCORE_ONLY
            # The heading shouts already.
            quiet = re.sub(r"CROSS-ENTROPY IMPROVES WHILE [^.]*\. *", "", entry["sentence"])
            label = labels.get(entry["name"], entry["name"])
            found.setdefault(heading, []).append((label, say(quiet, labels, entry["name"])))
    return found


def reason_of(advice: Mapping[str, Any]) -> str:
    """Return the advice's reason, or nothing where its sentence holds it already."""
    reason = advice["reason"].strip()
    return "" if reason.rstrip(".").lower() in advice["sentence"].lower() else reason


def without_lead(sentence: str, kind: str) -> str:
    """Return the sentence without the verdict's name in front, which stands there already."""
    start = f"{kind}:"
    if not sentence.lower().startswith(start):
        return sentence
    rest = sentence[len(start) :].strip()
    return rest[:1].upper() + rest[1:]
