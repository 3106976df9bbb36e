"""The reading of a file as plain JSON types, and back, without loss. File names are left out: whoever unpacks knows."""

from __future__ import annotations

from typing import Any

from .record import Origin, Problem
from .segments import FileReading, Said, Segment, Stats, stats_key

_PLAIN = (
    "tool", "dated", "parameters", "resumed_at", "saved_at", "finished", "translated", "failed", "began", "repeats",
    "mixed",
)  # fmt: skip
_PLACES = ("config_origin", "parameters_origin", "saved_origin")
_ONE = ("run", "died")
_SIMPLE = {type(None), bool, int, float, str}
_MANY = ("scores", "generated", "score_files")


def pack(reading: FileReading) -> dict[str, Any]:
    """Return the reading of one file in JSON types.

    Raises:
        TypeError: a setting has a value that JSON can not hold.
    """
    return {
        "segments": [_pack_segment(segment) for segment in reading.segments],
        "problems": [[problem.line, problem.message] for problem in reading.problems],
    }


def unpack(packed: dict[str, Any], name: str) -> FileReading:
    """Return the reading that was packed, of the file ``name``; it takes over what ``packed`` consists of."""
    return FileReading(
        [_unpack_segment(segment, name) for segment in packed["segments"]],
        [Problem(name, line, message) for line, message in packed["problems"]],
    )


def _pack_segment(segment: Segment) -> dict[str, Any]:
    packed: dict[str, Any] = {name: getattr(segment, name) for name in _PLAIN}
    packed["origin"] = segment.origin.line
    for name in _PLACES:
        place = getattr(segment, name)
        packed[name] = None if place is None else place.line
    for name in _ONE:
        packed[name] = [_pack_said(said) for said in [getattr(segment, name)] if said is not None]
    for name in _MANY:
        packed[name] = [_pack_said(said) for said in getattr(segment, name)]
    # nearly all settings are what JSON holds: only the others are packed one by one, and a null keeps their place
    odd = {key: _pack_value(value) for key, value in segment.config.items() if type(value) not in _SIMPLE}
    packed["config"] = [{**segment.config, **dict.fromkeys(odd)}, odd]
    packed["epochs"] = sorted(segment.epochs)
    packed["stats"] = [[s.tag, s.fields, s.updates, s.origin.line, s.step] for s in segment.stats.values()]
    packed["last"] = [[tag, stats_key(stats)] for tag, stats in segment.last.items()]
    return packed


def _unpack_segment(packed: dict[str, Any], name: str) -> Segment:
    found: dict[str, Any] = {key: packed[key] for key in _PLAIN}
    for key in _PLACES:
        found[key] = None if packed[key] is None else Origin(name, packed[key])
    for key in _ONE:
        found[key] = next((Said(content, Origin(name, line)) for content, line in packed[key]), None)
    for key in _MANY:
        found[key] = [Said(content, Origin(name, line)) for content, line in packed[key]]
    every = [
        Stats(tag, fields, updates, Origin(name, line), step) for tag, fields, updates, line, step in packed["stats"]
    ]
    stats = {(each.tag, stats_key(each)): each for each in every}
    config, odd = packed["config"]
    config.update((key, _unpack_value(value)) for key, value in odd.items())
    return Segment(
        origin=Origin(name, packed["origin"]),
        config=config,
        epochs=set(packed["epochs"]),
        stats=stats,
        last={tag: stats[tag, key] for tag, key in packed["last"]},
        **found,
    )


def _pack_said(said: Said) -> list[Any]:
    return [said.content, said.origin.line]


def _pack_value(value: Any) -> Any:
    """Return a setting, a Python literal, so that tuples and dicts do not come back as something else."""
    if type(value) in _SIMPLE:
        return value
    if isinstance(value, list):
        return [_pack_value(entry) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack_value(entry) for entry in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack_value(key), _pack_value(entry)] for key, entry in value.items()]}
    raise TypeError(f"{type(value)} is not kept")


def _unpack_value(packed: Any) -> Any:
    if isinstance(packed, list):
        return [_unpack_value(entry) for entry in packed]
    if isinstance(packed, dict):
        if "tuple" in packed:
            return tuple(_unpack_value(entry) for entry in packed["tuple"])
        return {_unpack_value(key): _unpack_value(entry) for key, entry in packed["dict"]}
    return packed
