"""The grammar of fairseq's output: one line in, what it says out. Covers fairseq 0.5 to 0.12, hydra, and forks.

What stands before a message is not fixed: forks, launchers and log collectors put their own times, levels and ranks
there. A message is therefore looked for anywhere in its line where it does not stand behind a known prefix.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple

from ..run import RUN_MARK, SCORES_MARK
from .kinds import LogProblem, Why

TIMESTAMP = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d+)? \| [A-Z]+ \| |\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]\["
)
# what fairseq prints first where it prints no time, and what stands before it where it is part of another line
BARE_CONFIG = re.compile(rb"Namespace\(\w+=|\{'_name': None, 'common': ")
INSIDE = (b"| ", b"- ", b": ", b":", b"=", b"] ", b"\t")

_PREFIX = re.compile(
    r"(?:(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d+)? \| [A-Z]+ \| (?P<name>[^|]*) \| "
    r"|\[(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+\]\[(?P<hname>[^\]]*)\]\[[A-Z]+\] - "
    r"|[A-Z]+:(?P<bname>[\w.]+):(?=\S)"
    r"|\| )?"
)
# how a message begins that this reader wants
_MESSAGE = re.compile(
    r"epoch \d+ \| |epoch \d+:?\s+\d+ / \d+ |valid on ['\"][^'\"]*['\"] subset \| "
    r"|\{\"epoch\": |\{'_name': None, 'common|Namespace\(\w+="
    r"|Generate \S+ with beam=|Translated \d|begin training epoch \d|Start iterating over|done training"
    r"|[Ss]aved checkpoint |[Ll]oaded checkpoint |num\. (?:shared )?model params: |\[[^\]\s]+\] dictionary: "
    r"|Traceback \(most"
)
_PROGRAM = re.compile(r"fairseq_cli[.\w]*|fairseq-\w+")
_INNER = re.compile(r"epoch (?P<epoch>\d+):?\s+\d+ / \d+ (?P<stats>.*)")
_EPOCH = re.compile(
    r"epoch (?P<epoch>\d+) \| (?:valid on (?P<quote>['\"])(?P<subset>.*?)(?P=quote) subset (?:\| )?)?(?P<stats>.*)"
)
_VALIDATE = re.compile(r"valid on '(?P<subset>[^']*)' subset \| (?P<stats>.*)")
_PROGRESS = re.compile(r"\s*\d+ / \d+ ")
_GENERATED = re.compile(r"Generate (?P<subset>\S+) with beam=(?P<beam>\d+): (?P<result>.*)")
_BEGIN = re.compile(r"begin training epoch (?P<epoch>\d+)|Start iterating over samples")
_LOADED = re.compile(r"[Ll]oaded checkpoint (?P<path>\S+) \(epoch \d+ @ (?P<updates>\d+) updates\)")
_SAVED = re.compile(r"[Ss]aved checkpoint \S+ \(epoch \d+ @ (?P<updates>\d+) updates")
_PARAMETERS = re.compile(r"num\. (?:shared )?model params: (?P<count>[\d,]+) ")
_TRANSLATED = re.compile(r"Translated (?P<sentences>[\d,]+) sentences ")
_DICTIONARY = re.compile(r"\[(?P<language>[\w-]{1,20})\] dictionary: \d+ types")
_PAIR = re.compile(r"\S+ \S+ (?P<source>[A-Za-z][\w]{0,19})-(?P<target>[A-Za-z][\w]{0,19}) \d+ examples")
_OLD_PREFIX = re.compile(r"^(?:train|valid)[_ ](?!wall)")
_KEY = re.compile(r"[\w./ -]+")
_BROKEN_KEY = re.compile(r"['\"{},\\]")
_DIED = re.compile(r"(?P<error>(?:FloatingPointError|OverflowError|RuntimeError|torch\.\S*OutOfMemoryError): .*)")


class Kind(Enum):
    """What a line says; the type of :attr:`Line.value` stands behind each kind."""

    CONFIG = auto()  # str: the configuration as printed
    RUN = auto()  # dict: a SCALING_RUN object
    SCORES = auto()  # dict: a SCALING_SCORES object
    STATS = auto()  # dict: the fields of a record, as printed
    GENERATED = auto()  # dict: subset, beam and result
    TRANSLATED = auto()  # int: sentences
    BEGIN = auto()  # str or None: an epoch begins
    DONE = auto()  # str: training has ended
    LOADED = auto()  # int: updates of the checkpoint
    SAVED = auto()  # int: updates of the checkpoint
    PARAMETERS = auto()  # int
    LANGUAGE = auto()  # str: a dictionary of this language was loaded
    PAIR = auto()  # tuple: source and target language of a data set
    FAILED = auto()  # None: a traceback begins
    DIED = auto()  # str: the last line of a traceback
    DAMAGED_RECORD = auto()  # Why
    DAMAGED_OBJECT = auto()  # str: SCALING_RUN or SCALING_SCORES


class Line(NamedTuple):
    """What one line says.

    Attributes:
        kind: what it is.
        value: the content, by kind.
        tag: of a record: ``train_inner``, ``train`` or the name of the subset; of a configuration: the logger.
        dated: of a record or configuration: something stands before it, such as a time.
    """

    kind: Kind
    value: Any
    tag: str = ""
    dated: bool = False


def _finite(text: str) -> float:
    """Return the number; one that is too large for a float was damaged, since fairseq writes inf as a word."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


_DECODER = json.JSONDecoder(parse_float=_finite)
_OBJECTS = {RUN_MARK: Kind.RUN, SCORES_MARK: Kind.SCORES}

# what a line must contain to be looked at, the most frequent first; everything else is chatter
_KEYS = (
    b"num_updates",
    b"begin training epoch",
    b"Start iterating over samples",
    b"SCALING_",
    b"valid on ",
    b"Namespace(",
    b"{'_name'",
    b"Generate ",
    b"done training",
    b"oaded checkpoint",
    b"aved checkpoint",
    b"model params",
    b"] dictionary: ",
    b" examples",
    b"Error: ",
    b"Traceback (most recent call last)",
    b"Translated ",
    b"loss",
)


def parse_line(raw: bytes, complete: bool) -> Line | None:
    """Return what the line says, ``None`` for chatter.

    Args:
        raw: the line without its end.
        complete: False for a line without an end (the file was cut there, or another writer broke in): the last number
            of such a line may lack digits, so only JSON objects that close are believed.
    """
    for key in _KEYS:
        if key in raw:
            break
    else:
        return None
    text = raw.decode("utf-8", "replace")
    for mark, kind in _OBJECTS.items() if "SCALING_" in text else ():
        at = text.find(mark + " {")
        if at >= 0:
            return _object(text, at + len(mark) + 1, kind, mark)
    prefix = _PREFIX.match(text)
    assert prefix is not None  # every part of it is optional
    body = text[prefix.end() :].strip()
    name = prefix["name"] or prefix["hname"] or prefix["bname"] or ""
    dated = name != prefix["bname"] and name != ""
    line = _message(body, complete, name, dated)
    if line is not None:
        return line
    found = _MESSAGE.search(body)
    if found is None or not found.start():
        return None
    program = _PROGRAM.search(text)
    return _message(body[found.start() :], complete, program[0] if program else "", True)


def _message(body: str, complete: bool, name: str, dated: bool) -> Line | None:
    if body.startswith(("{'_name'", "Namespace(")):
        return Line(Kind.CONFIG, body, name, dated)
    if body.startswith("{") and ("num_updates" in body or "_loss" in body):
        return _json_stats(body, dated)
    return _prose(body, complete) or _simple_stats(body, complete, dated)


def _object(text: str, at: int, kind: Kind, mark: str) -> Line:
    try:
        value, _ = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return Line(Kind.DAMAGED_OBJECT, mark)
    return Line(kind, value)


# the other sentences, each with what its match says
_SENTENCES: tuple[tuple[Kind, Callable[[str], re.Match[str] | None], Callable[[re.Match[str]], Any]], ...] = (
    (Kind.FAILED, re.compile(r"Traceback \(most recent call last\)").match, lambda match: None),
    (Kind.DONE, re.compile(r"done training.*").match, lambda match: match[0]),
    (Kind.BEGIN, _BEGIN.match, lambda match: match["epoch"]),
    (Kind.LOADED, _LOADED.search, lambda match: int(match["updates"])),
    (Kind.SAVED, _SAVED.search, lambda match: int(match["updates"])),
    (Kind.PARAMETERS, _PARAMETERS.match, lambda match: int(match["count"].replace(",", ""))),
    (Kind.TRANSLATED, _TRANSLATED.match, lambda match: int(match["sentences"].replace(",", ""))),
    (Kind.LANGUAGE, _DICTIONARY.match, lambda match: match["language"]),
    (Kind.PAIR, _PAIR.fullmatch, lambda match: (match["source"], match["target"])),
    (Kind.DIED, _DIED.match, lambda match: match["error"][:200]),
)


def _prose(body: str, complete: bool) -> Line | None:
    """Return what a line of words says."""
    if match := _GENERATED.fullmatch(body):
        if not complete and not body.endswith(")"):
            return Line(Kind.DAMAGED_RECORD, Why(LogProblem.CUT_SCORE))
        return Line(Kind.GENERATED, match.groupdict())
    found = ((kind, says, read(body)) for kind, read, says in _SENTENCES)
    return next((Line(kind, says(match)) for kind, says, match in found if match), None)


def _json_stats(body: str, dated: bool) -> Line | None:
    """Return the record of ``--log-format json``; its keys carry the tag as a prefix, except inside an epoch."""
    try:
        record, _ = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        return Line(Kind.DAMAGED_RECORD, Why(LogProblem.CUT_OBJECT))
    if _BROKEN_KEY.search("".join(record)):
        return Line(Kind.DAMAGED_RECORD, Why(LogProblem.JOINED_RECORDS))
    for key in record:
        if key.endswith("num_updates"):
            prefix = key[: -len("num_updates")]
            break
    else:
        # fairseq-validate: no updates; its lines per batch (no prefix) are sums that mean nothing alone
        losses = [key for key in record if key.endswith("_loss") and key not in ("nll_loss", "best_loss")]
        prefix = min((key[: -len("loss")] for key in losses), key=len, default="")
        if not prefix:
            return None
    stats = record
    if prefix:
        stats = {key[len(prefix) :]: value for key, value in record.items() if key.startswith(prefix)}
        stats.setdefault("epoch", record.get("epoch"))
    return Line(Kind.STATS, stats, prefix[:-1] or "train_inner", dated)


def _simple_stats(body: str, complete: bool, dated: bool) -> Line | None:
    """Return the record of ``--log-format simple`` (and of tqdm off a terminal, whose epoch lines equal it)."""
    match = _INNER.fullmatch(body)
    if match:
        if "num_updates" not in match["stats"]:
            return None
        return _fields(match["stats"].split(", "), "=", "train_inner", match["epoch"], complete, dated)
    match = _EPOCH.fullmatch(body)
    if match:
        if "loss" not in match["stats"] or _PROGRESS.match(match["stats"]):
            return None
        return _fields(match["stats"].split(" | "), " ", match["subset"] or "train", match["epoch"], complete, dated)
    match = _VALIDATE.fullmatch(body)
    if match and "loss" in match["stats"]:
        return _fields(match["stats"].split(" | "), " ", match["subset"], None, complete, dated)
    return None


def _fields(parts: list[str], separator: str, tag: str, epoch: str | None, complete: bool, dated: bool) -> Line:
    stats: dict[str, Any] = {}
    for part in parts:
        key, found, value = part.strip().rpartition(separator)
        if not found or not key or not value:
            return Line(Kind.DAMAGED_RECORD, Why(LogProblem.NOT_A_FIELD, {"part": part.strip()[:40]}))
        # fairseq 0.6 wrote "valid_loss" and before that "valid loss" here
        key = _OLD_PREFIX.sub("", key.strip())
        if key in stats or not _KEY.fullmatch(key):
            return Line(Kind.DAMAGED_RECORD, Why(LogProblem.JOINED_RECORDS))
        stats[key] = value
    if not complete:
        return Line(Kind.DAMAGED_RECORD, Why(LogProblem.CUT_NUMBER))
    stats["epoch"] = epoch
    return Line(Kind.STATS, stats, tag, dated)
