"""Nearly all of a log is ``train_inner`` records that differ in numbers alone: runs of them are found without parsing.

Of such a run only the first and the last record can change what is read, provided that the updates only go up. Whether
every line of it is whole is still checked, by one regular expression made from a line that was parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import compress
from operator import lt
from typing import NamedTuple

from .files import Block

# Written for speed: a set of ranges is a bitmap for the matching engine, \d and \w in it are not; and of what is
# possessive it need not remember where to go back to.
_TIME = rb"[0-9]{4}+-[0-9]{2}+-[0-9]{2}+ [0-9]{2}+:[0-9]{2}+:[0-9]{2}+"
_HEADS = (
    _TIME + rb" \| INFO \| train_inner \| ",
    rb"\[" + _TIME + rb",[0-9]{3}+\]\[train_inner\]\[INFO\] - ",
    rb"\| ",
    rb"",
)
# no space, quote, comma or bracket: nothing that could end the value or begin another record
_VALUE = rb"[0-9A-Za-z_.+%-]"
_WHOLE = rb"(?!0[0-9])[0-9]{1,18}+"
_DECIMAL = _WHOLE + rb"\.[0-9]{1,18}+"
_UPDATES = rb"([0-9][0-9.e+]{0,16}+)"
_EPOCH = rb"epoch [0-9]{1,9}+:? ++[0-9]{1,9}+ / [0-9]{1,9}+ "
_BARE = rb"(?P<bare>" + _DECIMAL + rb"|" + _WHOLE + rb")"
_JSON_PAIR = re.compile(rb'("[\w.-]+": )(?:"(?P<text>' + _VALUE + rb'*)"|' + _BARE + rb")")
_SIMPLE_PAIR = re.compile(rb"([\w./-]+=)(?P<text>" + _VALUE + rb"+)")
_LONGEST = 4096
_SEEN = 16  # records parsed in full before a pattern is made of one
_PIECE = 16 << 10
_MOST_UPDATES = 1e15


class Run(NamedTuple):
    """``train_inner`` lines that stand one below the other: the number of the first, from where to where of a content
    they reach, and their updates as printed. ``first`` and ``last`` are lines without their line feeds."""

    number: int
    content: bytes
    begin: int
    end: int
    updates: list[bytes]

    @property
    def first(self) -> bytes:
        return self.content[self.begin : self.content.index(b"\n", self.begin)]

    @property
    def last(self) -> bytes:
        before = self.content.rfind(b"\n", self.begin, self.end - 1)
        return self.content[max(before + 1, self.begin) : self.end - 1]

    def is_in_order(self) -> bool:
        """Return whether the updates go up, and records of the same update are the same."""
        try:
            updates = list(map(float, self.updates))
        except ValueError:
            return False
        if updates[-1] >= _MOST_UPDATES:
            return False
        if all(map(lt, updates, updates[1:])):
            return True
        lines = self.content[self.begin : self.end].split(b"\n")
        return updates == sorted(updates) and all(
            lines[index] == lines[index - 1] for index in range(1, len(updates)) if updates[index] == updates[index - 1]
        )


class Skimmer:
    """Cuts a file into runs and what lies between them; ``number`` is that of the line that comes next."""

    def __init__(self) -> None:
        self._pattern: re.Pattern[bytes] | None = None
        self._parsed = 0
        self.number = 1

    def parsed(self, line: bytes) -> None:
        """Take note of a ``train_inner`` line, without its end, that had to be parsed."""
        self._parsed += 1
        if self._parsed == _SEEN:
            template = _template(line)
            self._pattern = _compiled(template) if template else None
            self._parsed = 0

    def cut(self, content: bytes) -> Iterator[Run | Block]:
        """Yield the runs and the other lines of the next whole lines, in order; what was :meth:`parsed` counts."""
        at = 0
        while at < len(content) and self._pattern is None:
            end = content.find(b"\n", at + _PIECE) + 1 or len(content)
            yield self._block(content[at:end])
            at = end
        if at == len(content) or self._pattern is None:
            return
        content = content[at:]
        # text between the matches, the updates of the match, text ...
        pieces = self._pattern.split(content)
        others, updates = pieces[0::2], pieces[1::2]
        places = list(compress(range(len(others)), others))
        if not all(others[place].endswith(b"\n") for place in places if place < len(updates)):
            # a match does not stand at the beginning of its line
            yield self._block(content)
            return
        start = at = 0
        for place in [*places, len(updates)]:
            other = others[place]
            if place > start:
                self._parsed = 0
                # Where the others begin is not told, so they are searched for. Their first line is none of the run,
                # else it would have matched here too; only what has no line feed may be how another line begins.
                end = content.index(b"\n" + other, at) + 1 if place < len(updates) else len(content) - len(other)
                yield Run(self.number, content, at, end, updates[start:place])
                self.number += place - start
                start, at = place, end
            if other:
                yield self._block(other)
                at += len(other)
                others[place] = b""

    def _block(self, content: bytes) -> Block:
        block = Block(self.number, content)
        self.number += content.count(b"\n")
        return block


def _template(line: bytes) -> bytes | None:
    """Return a regular expression for lines that are like this one but for the numbers, or None.

    Whatever it matches, ``parse_line`` takes for a ``train_inner`` record whose updates are the only group.
    """
    if len(line) > _LONGEST:
        return None
    head = next(head for head in _HEADS if re.match(head, line))
    matched = re.match(head, line)
    assert matched is not None
    body = line[matched.end() :]
    epoch = re.match(_EPOCH, body)
    if epoch is not None:
        before, pairs, after = _EPOCH, body[epoch.end() :], b""
    elif body.startswith(b"{") and body.endswith(b"}"):
        before, pairs, after = rb"\{", body[1:-1], rb"\}"
    else:
        return None
    fields = [_field(pair, json=epoch is None) for pair in pairs.split(b", ")]
    if b"" in fields or sum(_UPDATES in field for field in fields) != 1:
        return None
    return head + before + b", ".join(fields) + after + rb"\r?+\n"


def _field(pair: bytes, json: bool) -> bytes:
    """Return the regular expression of a key with any value, empty where the pair is of another form."""
    match = (_JSON_PAIR if json else _SIMPLE_PAIR).fullmatch(pair)
    if match is None:
        return b""
    key, text = match[1], match["text"]
    if text is None:
        value = _DECIMAL if b"." in match["bare"] else _WHOLE
    elif key in (b'"num_updates": ', b"num_updates="):
        value = _UPDATES
    else:
        value = _VALUE + (b"*+" if json else b"++")
    # another key of this ending would be taken for the updates of another kind of record
    if b"num_updates" in key and value != _UPDATES:
        return b""
    return re.escape(key) + (b'"' + value + b'"' if json and text is not None else value)


@lru_cache(maxsize=64)
def _compiled(template: bytes) -> re.Pattern[bytes]:
    return re.compile(template)
