"""Pretraining and finetuning data together: the law over both is found where there are three finetuning sizes."""

from __future__ import annotations

import math

import pytest

from fairseq_scaling.logs import RunRecord
from fairseq_scaling.report.render.tables import all_tables
from tests.report.example import SIZES, report_of, run

ALPHA, BETA, E = 0.15, 0.25, 1.2
FINETUNED = (200_000, 800_000, 3_200_000)


def loss(tokens: float, finetuned: float) -> float:
    return E + 60.0 / (tokens**ALPHA * finetuned**BETA)


def runs(*sizes: int) -> list[RunRecord]:
    return [run(tokens, None, loss(tokens, size), finetune_tokens=size) for size in sizes for tokens in SIZES]


def test_the_law_over_both_is_that_of_the_points() -> None:
    (joint,) = report_of(runs(*FINETUNED)).joint
    assert joint.finetune_tokens == FINETUNED
    # the points are exact, so only the solver's tolerance is left
    assert joint.coefficients["alpha"].value == pytest.approx(ALPHA, rel=1e-3)
    assert joint.coefficients["beta"].value == pytest.approx(BETA, rel=1e-3)
    assert joint.coefficients["E"].value == pytest.approx(E, rel=1e-3)
    largest = SIZES[-1], FINETUNED[-1]
    for name, factors in {"pretraining": (2, 1), "finetuning": (1, 2), "both": (2, 2)}.items():
        gain = loss(*largest) - loss(*(size * factor for size, factor in zip(largest, factors, strict=True)))
        assert joint.doubled[name].value == pytest.approx(gain, rel=0.01)
    assert math.isclose(joint.residual, 0, abs_tol=1e-4)


def test_two_finetuning_sizes_are_too_few_for_it() -> None:
    report = report_of(runs(*FINETUNED[:2]))
    assert report.joint == ()
    assert "joint" not in all_tables(report)


def test_the_page_has_a_table_of_it() -> None:
    (row,) = all_tables(report_of(runs(*FINETUNED)))["joint"].rows
    assert row[:4] == ["50 en + 50 fr", "en-fr", "cross-entropy", "200k, 800k, 3.2M"]
