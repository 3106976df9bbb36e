"""The configuration line: the short way through it says what Python's own parser says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fairseq_scaling.logs import config
from fairseq_scaling.logs.config import parse_config
from fairseq_scaling.logs.files import read_lines
from fairseq_scaling.logs.lines import parse_line
from tests.logs.samples import GOLDEN

SHORT = (
    "{'a': 1, 'b': {'c': -2.5e-05, 'd': [1, 'x'], 'e': 'f'}, 'w': relu, 'g': \"h'i\"}",
    "Namespace(a=(1, 2.5), t=(3), u=(4,), b='x', c=[0.5], d={'e': None}, f=True)",
    "{'a': {'b': {'c': 1}}, 'd': Namespace(e=-3, f=1e5), 'g': 9223372036854775807}",
)
LETTERS = "{}()[]'\",:=. -0123456789eNamespaceTrue\\_ab\n"


def golden_lines() -> list[str]:
    found = []
    for path in sorted(GOLDEN.rglob("*.*")):
        for raw in read_lines(Path(path)):
            line = parse_line(raw.content, raw.complete)
            if line is not None and line.kind == "config":
                found.append(line.value)
    return found


def in_full(text: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    with monkeypatch.context() as patched:
        patched.setattr(config, "_plain", lambda text: None)
        return parse_config(text)


def test_what_fairseq_prints_is_read_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = golden_lines()
    assert len(texts) > 10
    for text in texts:
        assert repr(config._plain(text)) == repr(in_full(text, monkeypatch))


def test_a_damaged_line_is_read_as_by_pythons_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)
    read = 0
    for _ in range(3000):
        letters = list(draw.choice(SHORT))
        for _ in range(draw.randint(0, 3)):
            place = draw.randrange(len(letters))
            letters[place : place + draw.randint(0, 1)] = draw.choice(["", draw.choice(LETTERS)])
        text = "".join(letters)
        plain = config._plain(text)
        if plain is not None:
            read += 1
            assert repr(plain) == repr(in_full(text, monkeypatch)), text
    assert 500 < read < 2500


@pytest.mark.parametrize(
    "text", ["{'a': 1, 'a': 2}", "Namespace(a=1, a=2)", "Namespace(lambda=1)", "{'a': 1", "{'a': 1)"]
)
def test_the_short_way_leaves_what_is_odd_to_pythons_parser(text: str) -> None:
    assert config._plain(text) is None
