"""The engine's sentences as a report says them: short labels for curves, printed names for metrics, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics import CROSS_ENTROPY, METRICS, describe
from ..quantities import parse_tokens
from .document import leading, settings_in_order
from .wording import display_names, is_score, metric_title, tokens

MISLEADING = "Cross-entropy improves while the score does not"
SCORE_ONLY = "The score improves while cross-entropy does not"
_METRIC = re.compile(rf"\b({'|'.join(METRICS)})\b")
_TOKENS = re.compile(r"\b\d+(?:\.\d{1,3})?[kMBT]\b")


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
    said = [labels[piece] if piece in labels else _plain(piece) for piece in pieces]
    text = "".join(said)
    keeps = (*labels.values(), *(describe(metric).title for metric in METRICS if metric != CROSS_ENTROPY))
    return text if text.startswith(keeps) else text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """Return the text with metrics as they are printed and numbers of tokens with three digits, as in the tables."""
    text = _METRIC.sub(lambda found: describe(found[1]).title, text)
    return _TOKENS.sub(lambda found: tokens(parse_tokens(found[0])), text)


def must_be_heard(comparison: Mapping[str, Any], curves: Sequence[dict[str, Any]]) -> bool:
    """Return whether a finding across the metrics of these curves changes what a reader should do.

    It does not where the metric that decides improves with cross-entropy and only another one does not.
    """
    return bool(comparison["loud"]) and not (comparison["kind"] == "misleading" and _improves(leading(curves)))


def beside(comparison: Mapping[str, Any], curves: Sequence[dict[str, Any]]) -> str:
    """Return the sentence for a finding across metrics that need not be heard above the others."""
    if not comparison["loud"]:
        return str(comparison["sentence"])
    others = [curve for curve in curves if is_score(curve) and curve["verdict"] and not _improves(curve)]
    listed = ", ".join(f"{metric_title(curve)} ({curve['verdict']['kind']})" for curve in others)
    return f"{metric_title(leading(curves))} improves with cross-entropy, but not {listed}."


def _improves(curve: Mapping[str, Any]) -> bool:
    return bool(curve["verdict"] and curve["verdict"]["evidence"].get("improves"))


def loud_findings(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (curve's label, sentence) of the findings across metrics that must not be missed."""
    labels = display_names(document["curves"])
    groups = {curves[0]["name"]: curves for curves in settings_in_order(dict(document))}
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in document["metric_comparisons"]:
        if must_be_heard(entry, groups[entry["name"]]):
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
