"""Scores with signatures, and the score file that score-translations writes: one JSON object (docs/formats.md)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..json_file import opens_object
from ..problems import Problem, ProblemKind
from .text import read_bytes

FORMAT = 1
_BOUNDS = ("lower", "upper", "level", "n_bootstrap")
_FIELDS = ("value", "signature", "statistics", *_BOUNDS)
_AGAIN = "write it again with score-translations"


class Interval(NamedTuple):
    """The bootstrap interval of a score, in the score's own unit: what other sentences of the kind would change.

    Attributes:
        lower, upper: its ends.
        level: the share of the resamples within, for example 0.95.
        n_bootstrap: the number of resamples.
    """

    lower: float
    upper: float
    level: float
    n_bootstrap: int


@dataclass(frozen=True)
class Score:
    """A metric's value with the signature that says how it was made.

    Attributes:
        value: the score as the tool printed it (BLEU, chrF and TER in percent).
        signature: sacrebleu's signature; scores that fairseq printed begin with ``fairseq:``, since fairseq does not
            say enough to make them comparable. Scores compare only when their signatures are equal.
        details: ``subset``, and where known ``brevity_penalty``, ``precisions`` (4 floats, percent),
            ``hypothesis_length``, ``reference_length``, ``sentences``, ``reference_sha256``.
        resolution: half a unit of the last printed digit; 0.0 when the value is at full precision.
        interval: None for scores that fairseq printed.
        statistics: what the metric counted in each sentence, packed (see ``bootstrap.unpack``); None where the score
            comes from fairseq or an older score file.
    """

    value: float
    signature: str
    details: dict[str, Any] = field(default_factory=dict)
    resolution: float = 0.0
    interval: Interval | None = None
    statistics: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


def score_object(
    scores: Mapping[str, Score],
    subset: str,
    references: Sequence[Sequence[str]],
    reference_names: Sequence[str],
    run: Mapping[str, Any] | None = None,
    **said: Any,
) -> dict[str, Any]:
    """Return the JSON object of the scores.

    Args:
        scores: metric -> score.
        subset: the name of the test set.
        references: one or more references, each with the sentences of the test set.
        reference_names: the names of their files.
        run: the run's description, None where it is unknown.
        said: what was scored (``hypotheses``, ``checkpoint``, ``tokenizer`` ...), stored as it is.
    """
    return {
        "format": FORMAT,
        "run_id": run.get("run_id") if run else None,
        "run": dict(run) if run else None,
        "subset": subset,
        "sentences": len(references[0]),
        "references": list(reference_names),
        "reference_sha256": _checksum(references),
        "scores": {metric: _entry(score) for metric, score in scores.items()},
        **said,
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
        raise DataError(f"the score file is cut or damaged: {_AGAIN}") from None
    if not isinstance(content, dict) or "scores" not in content:
        return None
    check_format(content)
    return content


def check_format(content: Any) -> None:
    """Raise DataError unless the object is of the format that this version reads."""
    if not isinstance(content, dict) or not isinstance(content.get("scores"), dict):
        raise DataError(f"no object with scores: {_AGAIN}")
    if content.get("format") != FORMAT:
        raise DataError(
            f"format {content.get('format')!r}, this version reads {FORMAT}: write it with the same version"
        )


class EntryProblem(ProblemKind):
    """Why an entry of a score file is no score."""

    NOT_A_NUMBER = "{metric} = {value!r} is not a number", "", "score again with score-translations"
    NO_SIGNATURE = (
        "{metric} has no signature that says how it was made",
        "",
        "score again with score-translations",
    )


def parse_scores(content: Mapping[str, Any], file: str = "", line: int = 0) -> tuple[dict[str, Score], list[Problem]]:
    """Return metric -> score, and a problem for each that is not one; ``file`` and ``line`` say where they stand."""
    scores, problems = {}, []
    shared: dict[str, Any] = {"subset": str(content.get("subset") or "test")}
    for name, kind in (("sentences", int), ("reference_sha256", str)):
        if isinstance(content.get(name), kind):
            shared[name] = content[name]
    for metric, entry in content["scores"].items():
        value: Any = entry.get("value") if isinstance(entry, dict) else None
        if not _is_number(value):
            problems.append(EntryProblem.NOT_A_NUMBER.at(file, line, metric=metric, value=value))
        elif not isinstance(entry.get("signature"), str):
            problems.append(EntryProblem.NO_SIGNATURE.at(file, line, metric=metric))
        else:
            details = {key: part for key, part in entry.items() if key not in _FIELDS}
            bounds = [entry.get(name) for name in _BOUNDS]
            packed = entry.get("statistics")
            scores[metric] = Score(
                float(value),
                entry["signature"],
                {**details, **shared},
                interval=Interval(*bounds) if all(map(_is_number, bounds)) else None,
                statistics=packed if isinstance(packed, dict) else None,
            )
    return scores, problems


def _entry(score: Score) -> dict[str, Any]:
    entry = {"value": score.value, "signature": score.signature}
    if score.interval is not None:
        entry |= score.interval._asdict()
    entry |= score.details
    if score.statistics is not None:
        entry["statistics"] = dict(score.statistics)
    return entry


def _checksum(references: Sequence[Sequence[str]]) -> str:
    """Return a checksum of the reference sentences: scores compare only where it is the same."""
    joined = "\0".join("\n".join(sentences) for sentences in references)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
