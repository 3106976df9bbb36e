"""The configuration line of each version of fairseq, whole and damaged."""

from __future__ import annotations

import pytest

from fairseq_scaling.logs.config import component, parse_config, setting
from fairseq_scaling.logs.files import read_lines
from fairseq_scaling.logs.lines import Kind, parse_line
from tests.logs.samples import GOLDEN


def golden_lines() -> list[str]:
    found = []
    for path in sorted(GOLDEN.rglob("*.*")):
        for raw in read_lines(path):
            line = parse_line(raw.content, raw.complete)
            if line is not None and line.kind is Kind.CONFIG:
                found.append(line.value)
    return found


def test_every_golden_configuration_gives_task_and_seed() -> None:
    texts = golden_lines()
    assert len(texts) > 10
    for text in texts:
        config = parse_config(text)
        assert component(config, "task") in ("translation", "scaling_pretraining", "scaling_translation")
        assert setting(config, "seed", "common") in (1, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a': 1, 'b': {'c': -2.5e-05, 'd': [1, 'x']}}", {"a": 1, "b.c": -2.5e-05, "b.d": [1, "x"]}),
        ("Namespace(a=(1, 2.5), d={'e': None}, f=True)", {"a": (1, 2.5), "d.e": None, "f": True}),
        ("{'a': Namespace(e=-3, f=relu), 'g': \"h'i\"}", {"a.e": -3, "a.f": "relu", "g": "h'i"}),
        ("{'a': 1, 'b': 'x', 'c': [1, 2", {"a": 1, "b": "x"}),
        ("Namespace(seed=3, activation=<function relu at 0x7f>, arch='x')", {"seed": 3, "arch": "x"}),
        ("", {}),
    ],
)
def test_settings_are_flat_and_of_a_damaged_line_those_that_are_whole(text: str, expected: dict[str, object]) -> None:
    assert parse_config(text) == expected
