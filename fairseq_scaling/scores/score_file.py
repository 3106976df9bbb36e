"""Scores with signatures, and the file that score-translations writes of them: one JSON object."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..json_file import opens_object
from .text import read_bytes

FORMAT = 1
_FIELDS = ("value", "signature")


@dataclass(frozen=True)
class Score:
    """A metric's value with the signature that says how it was made.

    Attributes:
        value: the score as the tool printed it (BLEU, chrF and TER in percent).
        signature: sacrebleu's signature; scores that fairseq printed begin with ``fairseq:``, since fairseq does not
            say enough to make them comparable. Scores compare only when their signatures are equal.
        details: ``subset``, and where known ``brevity_penalty``, ``precisions`` (4 floats, percent),
            ``hypothesis_length``, ``reference_length``, ``sentences``.
        resolution: half a unit of the last printed digit; 0.0 when the value is at full precision.
    """

    value: float
    signature: str
    details: dict[str, Any] = field(default_factory=dict)
    resolution: float = 0.0


def score_object(
    scores: Mapping[str, Score],
    subset: str,
    sentences: int,
    run: Mapping[str, Any] | None = None,
    **sources: str | None,
) -> dict[str, Any]:
    """Return the JSON object of the scores; ``sources`` tell what was scored (``hypotheses``, ``checkpoint`` ...)."""
    return {
        "format": FORMAT,
        "run_id": run.get("run_id") if run else None,
        "run": dict(run) if run else None,
        "subset": subset,
        "sentences": sentences,
        "scores": {
            metric: {"value": score.value, "signature": score.signature, **score.details}
            for metric, score in scores.items()
        },
        **sources,
    }


def looks_like_score_file(head: bytes) -> bool:
    """Return whether a file that begins so is one JSON object of a score file."""
    opened = opens_object(head) or b""
    return b'"format"' in opened and b'"run_id"' in opened and b'"num_updates"' not in opened


def read_score_file(path: Path) -> dict[str, Any] | None:
    """Return the JSON object, None for JSON of another kind; :func:`parse_scores` checks what is in it.

    Raises:
        DataError: it is cut, damaged, or of another format.
    """
    try:
        content = json.loads(read_bytes(path))
    except (DataError, ValueError, RecursionError):
        raise DataError("the score file is cut or damaged: write it again with score-translations") from None
    if not isinstance(content, dict) or "scores" not in content:
        return None
    check_format(content)
    return content


def check_format(content: Any) -> None:
    """Raise DataError unless the object is of the format that this version reads."""
    if not isinstance(content, dict) or not isinstance(content.get("scores"), dict):
        raise DataError("no object with scores: write it again with score-translations")
    if content.get("format") != FORMAT:
        raise DataError(
            f"format {content.get('format')!r}, this version reads {FORMAT}: write it with the same version"
        )


def parse_scores(content: Mapping[str, Any]) -> tuple[dict[str, Score], list[str]]:
    """Return metric -> score, and a message for each that is not one."""
    scores, messages = {}, []
    shared: dict[str, Any] = {"subset": str(content.get("subset") or "test")}
    if isinstance(content.get("sentences"), int):
        shared["sentences"] = content["sentences"]
    for metric, entry in content["scores"].items():
        value = entry.get("value") if isinstance(entry, dict) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            messages.append(f"{metric} = {value!r} is no number: score again with score-translations")
        elif not isinstance(entry.get("signature"), str):
            messages.append(f"{metric} has no signature that says how it was made: score again with score-translations")
        else:
            details = {key: part for key, part in entry.items() if key not in _FIELDS}
            scores[metric] = Score(float(value), entry["signature"], {**details, **shared})
    return scores, messages
