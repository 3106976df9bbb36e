"""The file that scaling-alignment writes: one JSON object with ``format``, ``kind`` and ``alignments``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .errors import DataError, ScalingError
from .json_file import opens_object
from .mixture import Mixture
from .scores.text import read_bytes

FORMAT = 1
KIND = "alignment"
_MARK = re.compile(rb'"kind"\s*:\s*"alignment"')
_REMEDY = "write it again with scaling-alignment"


@dataclass(frozen=True)
class Alignment:
    """What scaling-alignment measured of one mixture and task in one corpus, before anything was trained.

    Attributes:
        measures: name -> value: ``alignment`` (the paper's score), ``unigram_source``, ``coverage_3_target`` and so on
            (see ``data.overlap``).
        corpus: fingerprint of the corpus.
        sample_tokens: size of the mixture's sample; values of other sizes do not compare.
        task_tokens: tokens read of the source and of the target side.
        file: where it stands.
    """

    mixture: Mixture
    source_lang: str
    target_lang: str
    measures: dict[str, float]
    corpus: str
    sample_tokens: int
    task_tokens: tuple[int, int]
    file: str = ""


def alignment_object(alignments: Iterable[Alignment], corpus: str, sample_tokens: int) -> dict[str, Any]:
    """Return the JSON object of what was measured in one corpus with one size of sample.

    ``corpus`` is the fingerprint, ``sample_tokens`` the tokens of each mixture's sample.
    """
    return {
        "format": FORMAT,
        "kind": KIND,
        "fairseq_scaling": __version__,
        "corpus": corpus,
        "sample_tokens": sample_tokens,
        "alignments": [
            {
                "mixture": str(entry.mixture),
                "source_lang": entry.source_lang,
                "target_lang": entry.target_lang,
                "task_tokens": {"source": entry.task_tokens[0], "target": entry.task_tokens[1]},
                "measures": entry.measures,
            }
            for entry in alignments
        ],
    }


def looks_like_alignment_file(head: bytes) -> bool:
    """Return whether a file that begins so is one JSON object of an alignment file."""
    opened = opens_object(head)
    return opened is not None and b'"format"' in opened and _MARK.search(opened) is not None


def read_alignment_file(path: Path) -> list[Alignment]:
    """Return what the file holds.

    Raises:
        DataError: it is cut, damaged, or of another format.
    """
    try:
        content = json.loads(read_bytes(path))
    except (DataError, ValueError, RecursionError):
        raise DataError(f"the alignment file is cut or damaged: {_REMEDY}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise DataError(f"alignment file of format {found!r}, this version reads {FORMAT}: {_REMEDY}")
    try:
        return [_entry(entry, content, str(path)) for entry in content["alignments"]]
    except (KeyError, TypeError, ValueError, ScalingError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"the alignment file lacks something, or holds something else ({message}): {_REMEDY}") from None


def _entry(entry: Any, content: dict[str, Any], file: str) -> Alignment:
    measures = {str(name): float(value) for name, value in entry["measures"].items()}
    if not all(math.isfinite(value) for value in measures.values()):
        raise ValueError("a measure is no finite number")
    return Alignment(
        mixture=Mixture.parse(entry["mixture"]),
        source_lang=str(entry["source_lang"]),
        target_lang=str(entry["target_lang"]),
        measures=measures,
        corpus=str(content["corpus"]),
        sample_tokens=int(content["sample_tokens"]),
        task_tokens=(int(entry["task_tokens"]["source"]), int(entry["task_tokens"]["target"])),
        file=file,
    )
