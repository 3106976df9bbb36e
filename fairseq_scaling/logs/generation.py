"""The output of fairseq-generate -> translations in the order of the text that was translated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .config import parse_config, setting
from .files import Unreadable, first_bytes, looks_binary, read_lines
from .lines import TIMESTAMP, parse_line

_SENTENCE = re.compile(rb"(?P<kind>[STHDP])-(?P<id>\d{1,12})\t(?P<rest>.*)", re.DOTALL)
_ANY = re.compile(rb"[STHDPAI]-\d{1,12}\t")
_FOREIGN = re.compile(rb"(?:DEBUG|INFO|WARNING|ERROR):(?:fairseq|hydra)[\w.]*:")
_PIECE = "\u2581"
_MULTIPLE = (
    "fairseq-generate drops the last ragged batch unless it is called with --required-batch-size-multiple 1, "
    "and too long sentences with --skip-invalid-size-inputs-valid-test; a cut file lacks its end"
)


@dataclass(frozen=True)
class Generation:
    """What one fairseq-generate put out.

    Attributes:
        hypotheses: the best translation of each sentence, detokenised, in the order of the sentences 0 .. n-1.
        sources: the sentences translated as printed (S- lines), or None where any is missing.
        subset: from the last line or the configuration, None where neither is there.
        run: the SCALING_RUN object, None without it.
        checkpoint: ``--path`` from the configuration line, None without it.
        detokenised: ``D`` when fairseq did it, ``pieces`` when SentencePiece pieces were joined here, ``H`` when
            hypotheses without pieces were taken as they are.
    """

    hypotheses: list[str]
    sources: list[str] | None
    subset: str | None
    run: dict[str, Any] | None
    checkpoint: str | None
    detokenised: str


def read_generation(path: Path) -> Generation:
    """Return the translations that a file with fairseq-generate's output holds (plain or gzip).

    Args:
        path: what fairseq-generate printed, or ``generate-<subset>.txt`` of ``--results-path``.

    Raises:
        DataError: there are none, some are missing or twice, or the file can not be read.
    """
    _check_readable(path)
    best: dict[str, dict[int, str]] = {kind: {} for kind in "SHD"}
    previous = -1
    runs: dict[str, dict[str, Any]] = {}
    subset = checkpoint = None
    finished: set[int] = set()
    try:
        for raw in read_lines(path, records=False):
            match = _SENTENCE.match(raw.content)
            if match is None:
                if _ANY.match(raw.content):
                    continue
                line = parse_line(raw.content, raw.complete)
                if line is None:
                    continue
                if line.kind == "run" and isinstance(line.value.get("run_id"), str):
                    runs[line.value["run_id"]] = {**runs.get(line.value["run_id"], {}), **line.value}
                elif line.kind == "generated":
                    subset = line.value["subset"]
                elif line.kind == "config":
                    config = parse_config(line.value)
                    checkpoint = checkpoint or setting(config, "path", "common_eval")
                    subset = subset or setting(config, "gen_subset", "dataset")
                continue
            number, kind = int(match["id"]), match["kind"].decode()
            if number != previous:
                finished.add(previous)
                if number in finished:
                    raise DataError(
                        f"{path}:{raw.number}: sentence {number} stands there twice\n"
                        "  give one output of fairseq-generate at a time; >> adds to an old file, use > instead"
                    )
                previous = number
            if kind in best:
                rest = match["rest"] if kind == "S" else match["rest"].partition(b"\t")[2]
                if kind != "S" and b"\t" not in match["rest"]:
                    raise DataError(f"{path}:{raw.number}: the line is cut\n  run fairseq-generate again")
                if not raw.complete:
                    raise DataError(f"{path}:{raw.number}: the last line is cut\n  run fairseq-generate again")
                if TIMESTAMP.search(rest) or _FOREIGN.search(rest):
                    raise DataError(
                        f"{path}:{raw.number}: a log line broke into sentence {number}\n"
                        "  let fairseq-generate write its log elsewhere: fairseq-generate ... > test.out 2> test.log"
                    )
                # with --nbest the best one comes first
                best[kind].setdefault(number, _text(rest, path, raw.number))
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from None
    if len(runs) > 1:
        raise DataError(
            f"{path}: holds the outputs of {len(runs)} runs ({', '.join(sorted(runs))})\n  give one output at a time"
        )
    hypotheses, detokenised = _hypotheses(best["H"], best["D"], path)
    numbers = range(len(hypotheses))
    sources = [best["S"][number] for number in numbers] if best["S"].keys() == set(numbers) else None
    return Generation(
        hypotheses, sources, subset, next(iter(runs.values()), None), checkpoint if checkpoint else None, detokenised
    )


def read_text(path: Path, what: str = "text") -> list[str]:
    """Return the lines of a raw text file (plain or gzip): one sentence a line, only line feeds end lines.

    Raises:
        DataError: the file is missing, empty or no UTF-8 text.
    """
    _check_readable(path)
    try:
        lines = [_text(raw.content, path, raw.number) for raw in read_lines(path, records=False)]
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from None
    if not lines:
        raise DataError(f"{path}: the {what} is empty\n  give the raw text, one sentence a line")
    return lines


def join_pieces(text: str) -> str:
    """Return the text that SentencePiece pieces make (``\u2581the \u2581c at`` -> ``the cat``)."""
    return text.replace(" ", "").replace(_PIECE, " ").strip()


def _hypotheses(tokenised: dict[int, str], detokenised: dict[int, str], path: Path) -> tuple[list[str], str]:
    found, how = (detokenised, "D") if detokenised else (tokenised, "H")
    if not found:
        raise DataError(
            f"{path}: holds no translations (no line begins with D-0 or H-0)\n"
            "  give what fairseq-generate printed, without --quiet; for text with one translation a line use --plain"
        )
    total = max(max(found), *tokenised, -1) + 1
    if len(found) < total:
        # a wild number must not make a list of a billion missing ones
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
    texts = [found[number] for number in range(total)]
    if any(_PIECE in text for text in texts):
        return [join_pieces(text) for text in texts], "pieces"
    return texts, how


def _text(content: bytes, path: Path, number: int) -> str:
    if b"\0" in content:
        raise DataError(f"{path}:{number}: has zero bytes: it is no text, or damaged\n  give a text file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}:{number}: is no UTF-8 text\n  convert the file with iconv -t UTF-8") from None


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file\n  check the path")
    if looks_binary(first_bytes(path)):
        raise DataError(f"{path}: is no text\n  give a text file")
