"""The output of fairseq-generate -> translations in the order of the text that was translated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from .pieces import PieceKind, join_found
from .text import TextLine, decode_line, text_lines

_SENTENCE = re.compile(rb"(?P<kind>[STHDPAI])-(?P<id>\d{1,12})\t(?P<rest>.*)", re.DOTALL)
_RESULT = re.compile(rb"Generate (?P<subset>\S+) with beam=\d+:")
_RUN = b"SCALING_RUN {"
# The configuration line: "Namespace(..., path='x', ...)" or "{..., 'path': 'x', ...}"
_SETTING = rb"[( {,'](?P<name>path|gen_subset|target_lang)'?(?:=|: )'(?P<value>[^']*)'"
_CONFIG = re.compile(rb"Namespace\(|\{'_name'")
# The beginning of a log record, as fairseq, hydra and Python's logging print it.
_LOG_RECORD = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d+)? \| [A-Z]+ \| |\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]\["
    rb"|(?:DEBUG|INFO|WARNING|ERROR):(?:fairseq|hydra)[\w.]*:"
)
_MULTIPLE = (
    "fairseq-generate drops the last ragged batch unless it is called with --required-batch-size-multiple 1, "
    "and too long sentences with --skip-invalid-size-inputs-valid-test; a cut file lacks its end"
)


@dataclass(frozen=True)
class Generation:
    """What one fairseq-generate printed.

    Attributes:
        hypotheses: the best translation of each sentence, detokenised, in the order of the sentences 0 .. n-1.
        sources: the sentences translated as printed (S- lines), or None where any is missing.
        subset: from the last line or the configuration, None where neither is there.
        run: the SCALING_RUN object, None without it.
        checkpoint: ``--path`` from the configuration line, None without it.
        target_lang: from the configuration line, None without it.
        lines: ``D`` where fairseq detokenised the hypotheses, ``H`` where it did not and its tokens were taken.
        pieces: the kind of subword pieces that were joined here, None where there were none.
    """

    hypotheses: list[str]
    sources: list[str] | None
    subset: str | None
    run: dict[str, Any] | None
    checkpoint: str | None
    target_lang: str | None
    lines: str
    pieces: PieceKind | None


@dataclass
class _Printed:
    """What the lines read so far say."""

    texts: dict[str, dict[int, str]] = field(default_factory=lambda: {kind: {} for kind in "SHD"})
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    subset: str | None = None


def read_generation(path: Path, join: str = "auto") -> Generation:
    """Return the translations that a file with fairseq-generate's output holds.

    Args:
        path: what fairseq-generate printed, or ``generate-<subset>.txt`` of ``--results-path``; plain or compressed.
        join: how subword pieces are joined; see :func:`.pieces.join_found`.

    Raises:
        DataError: there are none, some are missing or listed twice, or the file cannot be read.
    """
    printed = _Printed()
    current = -1
    finished: set[int] = set()
    for line in text_lines(path):
        match = _SENTENCE.match(line.content)
        if match is None:
            _read_log_line(line.content, printed)
            continue
        number, kind = int(match["id"]), match["kind"].decode()
        if number != current and kind in "STHDP":
            finished.add(current)
            if number in finished:
                raise DataError(
                    f"{path}:{line.number}: sentence {number} is listed twice\n"
                    "  give one output of fairseq-generate at a time; >> adds to an old file, use > instead"
                )
            current = number
        if kind in printed.texts:
            # With --nbest the best translation comes first.
            printed.texts[kind].setdefault(number, _sentence(line, match, path))
    if len(printed.runs) > 1:
        names = ", ".join(sorted(printed.runs))
        raise DataError(f"{path}: holds the outputs of {len(printed.runs)} runs ({names})\n  give one output at a time")
    lines = "D" if printed.texts["D"] else "H"
    hypotheses, pieces = join_found(_hypotheses(printed.texts[lines], printed.texts["H"], path), join)
    sources = printed.texts["S"]
    complete = sources.keys() == set(range(len(hypotheses)))
    return Generation(
        hypotheses=hypotheses,
        sources=[sources[number] for number in range(len(hypotheses))] if complete else None,
        subset=printed.subset or printed.settings.get("gen_subset"),
        run=next(iter(printed.runs.values()), None),
        checkpoint=printed.settings.get("path"),
        target_lang=printed.settings.get("target_lang"),
        lines=lines,
        pieces=pieces,
    )


def _read_log_line(content: bytes, printed: _Printed) -> None:
    at = content.find(_RUN)
    if at >= 0:
        try:
            run, _ = json.JSONDecoder().raw_decode(content[at + len(_RUN) - 1 :].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return  # the line is cut: the run stays unknown
        if isinstance(run.get("run_id"), str):
            printed.runs[run["run_id"]] = printed.runs.get(run["run_id"], {}) | run
    elif match := _RESULT.search(content):
        printed.subset = match["subset"].decode("utf-8", "replace")
    elif _CONFIG.search(content):
        for setting in re.finditer(_SETTING, content):
            name, value = (setting[part].decode("utf-8", "replace") for part in ("name", "value"))
            printed.settings.setdefault(name, value)


def _sentence(line: TextLine, match: re.Match[bytes], path: Path) -> str:
    """Return the text of an S-, H- or D- line; the latter two have a score before it."""
    text = match["rest"]
    if match["kind"] != b"S":
        _, tab, text = text.partition(b"\t")
        if not tab:
            raise DataError(f"{path}:{line.number}: the line is cut\n  run fairseq-generate again")
    if not line.complete:
        raise DataError(f"{path}:{line.number}: the last line is cut\n  run fairseq-generate again")
    if _LOG_RECORD.search(text):
        raise DataError(
            f"{path}:{line.number}: a log line broke into sentence {int(match['id'])}\n"
            "  let fairseq-generate write its log elsewhere: fairseq-generate ... > test.out 2> test.log"
        )
    return decode_line(line, path, text)


def _hypotheses(found: dict[int, str], tokenised: dict[int, str], path: Path) -> list[str]:
    """Return the translations in order; the tokenised ones tell how many there must be at the least."""
    if not found:
        raise DataError(
            f"{path}: holds no translations (no line begins with D-0 or H-0)\n"
            "  give what fairseq-generate printed, without --quiet; for text with one translation a line use --plain"
        )
    total = max(max(found), *tokenised, -1) + 1
    if len(found) < total:
        # A damaged number must not make a list of a billion missing ones.
        missing: list[str] = []
        number = 0
        while len(missing) < 10 and number < total:
            if number not in found:
                missing.append(str(number))
            number += 1
        more = total - len(found) - len(missing)
        names = ", ".join(missing) + (f" and {more} more" if more else "")
        lost = f"{total - len(found)} of the first {total} sentences are missing: {names}"
        raise DataError(f"{path}: {lost}\n  {_MULTIPLE}")
    return [found[number] for number in range(total)]
