"""``fairseq_scaling.load``: what ``fit-scaling`` reads, as curves for a notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fairseq_scaling
from fairseq_scaling import laws
from fairseq_scaling.errors import DataError

ROOT = Path(__file__).parents[2]
POINTS = ROOT / "examples/quickstart/results/points.csv"
OWN = ROOT / "examples/own_logs"


def test_a_table_gives_its_curves_with_seeds_baseline_and_attributes() -> None:
    curves = fairseq_scaling.load(POINTS)
    assert {curve.metric for curve in curves} == {"bleu", "chrf", "ter", "cross_entropy"}
    one, two = curves.of("BLEU")
    assert one.attributes["mixture"] == "en:0.5,fr:0.5"
    assert one.baseline_value is not None
    assert one.runs is not None
    assert len(set(one.runs.tolist())) > 1
    assert f"{one.name}: BLEU, {len(one)} points at {one.groups().size} sizes, 62.4k to 4M" in repr(curves)
    frame = curves.of("bleu").to_frame()
    assert len(frame) == sum(len(curve) + np.size(curve.baseline) for curve in (one, two))
    rows = frame[(frame["curve"] == one.name) & (frame["pretrain_tokens"] > 0)]
    assert sorted(rows["value"]) == sorted(one.values)


def test_stock_logs_with_their_mapping_go_straight_into_a_forecast() -> None:
    curves = fairseq_scaling.load(OWN / "logs", mapping=OWN / "mapping.csv")
    (bleu,) = curves.of("bleu")
    np.testing.assert_allclose(bleu.values, [34.53, 50.72, 61.86, 73.46, 72.46])
    study = laws.forecast(curves)
    assert len(study) == len(curves) == 2
    frame = study.to_frame([6e5])
    assert list(frame["metric"].unique()) == [curve.metric for curve in curves]
    assert len(frame) == 4  # two curves, two questions
    axes = study.plot()
    assert [panel.get_title() for panel in axes] == [curve.name for curve in curves]


def test_short_curves_are_named_and_left_out(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    rows = "".join(f"long,{2**step}M,{20 + step}\n" for step in range(5))
    table.write_text(f"model,tokens,bleu\n{rows}short,1M,20\nshort,2M,21\n", encoding="utf-8")
    curves = fairseq_scaling.load(table)
    assert [curve.name for curve in curves] == ["long"]
    assert "curve short: too few points: 2 sizes to fit" in repr(curves)


def test_nothing_to_load_is_an_error_that_says_why(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("model,tokens,bleu\nshort,1M,20\nshort,2M,21\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no curve with three sizes or more\n.*too few points"):
        fairseq_scaling.load(table)
    with pytest.raises(DataError, match="no such file"):
        fairseq_scaling.load(tmp_path / "nothing")
    with pytest.raises(AttributeError, match="another"):
        _ = fairseq_scaling.another
