"""The grammar of fairseq's output: one line in, what it says out. Knows fairseq 0.6 to 0.12 and hydra's prefix."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

TIMESTAMP = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d+)? \| [A-Z]+ \| |\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]\["
)
# what fairseq prints first where it prints no time, and what stands before it where it is part of another line
BARE_CONFIG = re.compile(rb"Namespace\(\w+=|\{'_name': None, 'common': ")
INSIDE = (b"| ", b"- ", b": ", b":", b"=")

_PREFIX = re.compile(
    r"(?:(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d+)? \| [A-Z]+ \| (?P<name>[^|]*) \| "
    r"|\[(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+\]\[(?P<hname>[^\]]*)\]\[[A-Z]+\] - "
    r"|[A-Z]+:(?P<bname>[\w.]+):(?=\S)"
    r"|\| )?"
)
_INNER = re.compile(r"epoch (?P<epoch>\d+):?\s+\d+ / \d+ (?P<stats>.*)")
_EPOCH = re.compile(r"epoch (?P<epoch>\d+) \| (?:valid on '(?P<subset>[^']*)' subset \| )?(?P<stats>.*)")
_VALIDATE = re.compile(r"valid on '(?P<subset>[^']*)' subset \| (?P<stats>.*)")
_GENERATED = re.compile(r"Generate (?P<subset>\S+) with beam=(?P<beam>\d+): (?P<result>.*)")
_BEGIN = re.compile(r"begin training epoch (?P<epoch>\d+)|Start iterating over samples")
_LOADED = re.compile(r"[Ll]oaded checkpoint (?P<path>\S+) \(epoch \d+ @ (?P<updates>\d+) updates\)")
_SAVED = re.compile(r"[Ss]aved checkpoint \S+ \(epoch \d+ @ (?P<updates>\d+) updates")
_PARAMETERS = re.compile(r"num\. (?:shared )?model params: (?P<count>[\d,]+) ")
_TRANSLATED = re.compile(r"Translated (?P<sentences>[\d,]+) sentences ")
_OLD_PREFIX = re.compile(r"^(?:train|valid)[_ ](?!wall)")
_KEY = re.compile(r"[\w./ -]+")
_DIED = re.compile(r"(?P<error>(?:FloatingPointError|OverflowError|RuntimeError|torch\.\S*OutOfMemoryError): .*)")
_RUN_MARKS = ("SCALING_RUN {", "SCALING_SCORES {")


def _finite(text: str) -> float:
    """Return the number; one that is too large for a float was damaged, since fairseq writes inf as a word."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


_DECODER = json.JSONDecoder(parse_float=_finite)

# what a line must contain to be looked at, the most frequent first; everything else is chatter
_KEYS = (
    b"num_updates",
    b"begin training epoch",
    b"Start iterating over samples",
    b"SCALING_",
    b"valid on '",
    b"Namespace(",
    b"{'_name'",
    b"Generate ",
    b"done training",
    b"oaded checkpoint",
    b"aved checkpoint",
    b"model params",
    b"Error: ",
    b"Traceback (most recent call last)",
    b"Translated ",
    b"_loss",
)


def telling(content: bytes) -> list[tuple[int, int]]:
    """Return begin and end of every line, with its line feed, that is more than chatter.

    Searching whole blocks for the keys takes a fraction of the time of looking at line after line.
    """
    begins: dict[int, int] = {}
    for key in _KEYS:
        at = content.find(key)
        while at >= 0:
            end = content.find(b"\n", at) + 1 or len(content)
            begins[content.rfind(b"\n", 0, at) + 1] = end
            at = content.find(key, end)
    return sorted(begins.items())


class Line(NamedTuple):
    """What one line says.

    Attributes:
        kind: ``config``, ``run``, ``scores``, ``stats``, ``generated``, ``translated``, ``begin``, ``done``,
            ``loaded``, ``saved``, ``parameters``, ``failed``, ``died`` or ``damaged`` (then ``value`` is the reason).
        value: the content, by kind.
        tag: of ``stats``: ``train_inner``, ``train`` or the name of the subset; of ``config``: the logger.
        dated: of ``stats`` and ``config``: a time stands before it. One program writes all with one or all without.
    """

    kind: str
    value: Any
    tag: str = ""
    dated: bool = False


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
    for mark in _RUN_MARKS if "SCALING_" in text else ():
        at = text.find(mark)
        if at >= 0:
            return _object(text, at + len(mark) - 1, "run" if "RUN" in mark else "scores", mark[:-2])
    prefix = _PREFIX.match(text)
    assert prefix is not None  # every part of it is optional
    body = text[prefix.end() :].strip()
    name = prefix["name"] or prefix["hname"] or prefix["bname"] or ""
    dated = name != prefix["bname"] and name != ""
    if body.startswith(("{'_name'", "Namespace(")):
        return Line("config", body, name, dated)
    if body.startswith("{") and ("num_updates" in body or "_loss" in body):
        return _json_stats(body, dated)
    return _message(body, complete) or _simple_stats(body, complete, dated)


def _object(text: str, at: int, kind: str, mark: str) -> Line:
    try:
        value, _ = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return Line("damaged", f"the {mark} line is cut or damaged")
    return Line(kind, value)


def _message(body: str, complete: bool) -> Line | None:
    """Return what a line of prose says."""
    if body.startswith("Traceback (most recent call last)"):
        return Line("failed", None)
    if body.startswith("done training"):
        return Line("done", None)
    match = _BEGIN.match(body)
    if match:
        return Line("begin", match["epoch"])
    match = _GENERATED.fullmatch(body)
    if match:
        if not complete and not body.endswith(")"):
            return Line("damaged", "the line with fairseq-generate's score is cut")
        return Line("generated", match.groupdict())
    for kind, mark, pattern in (("loaded", "oaded checkpoint", _LOADED), ("saved", "aved checkpoint", _SAVED)):
        match = pattern.search(body) if mark in body else None
        if match:
            return Line(kind, int(match["updates"]))
    match = _PARAMETERS.match(body)
    if match:
        return Line("parameters", int(match["count"].replace(",", "")))
    match = _TRANSLATED.match(body)
    if match:
        return Line("translated", int(match["sentences"].replace(",", "")))
    match = _DIED.match(body)
    if match:
        return Line("died", match["error"][:200])
    return None


def _json_stats(body: str, dated: bool) -> Line | None:
    """Return the record of ``--log-format json``; its keys carry the tag as a prefix, except inside an epoch."""
    try:
        record, _ = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        return Line("damaged", "the record is cut or damaged")
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
    return Line("stats", stats, prefix[:-1] or "train_inner", dated)


def _simple_stats(body: str, complete: bool, dated: bool) -> Line | None:
    """Return the record of ``--log-format simple`` (and of tqdm off a terminal, whose epoch lines equal it)."""
    match = _INNER.fullmatch(body)
    if match:
        if "num_updates" not in match["stats"]:
            return None
        return _fields(match["stats"].split(", "), "=", "train_inner", match["epoch"], complete, dated)
    match = _EPOCH.fullmatch(body)
    if match:
        if "loss" not in match["stats"] or re.match(r"\s*\d+ / \d+ ", match["stats"]):
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
            return Line("damaged", "the record is cut or damaged")
        # fairseq 0.6 wrote "valid_loss" and before that "valid loss" here
        key = _OLD_PREFIX.sub("", key.strip())
        if key in stats or not _KEY.fullmatch(key):
            return Line("damaged", "the record is damaged: two records run into each other")
        stats[key] = value
    if not complete:
        return Line("damaged", "the record is cut: its last number may lack digits")
    stats["epoch"] = epoch
    return Line("stats", stats, tag, dated)
