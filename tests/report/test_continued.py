"""Pretraining that continues from a published model, and pretraining on repeated text, in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairseq_scaling.logs import RunRecord
from fairseq_scaling.report.analysis import analyse
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.points.tables import read_table
from fairseq_scaling.report.render.files import write_data
from fairseq_scaling.report.render.limits import limits
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.render.wording import labels
from tests.report.example import SIZES, log_law, report_of, run
from tests.report.pages import parsed


def from_mt5(tokens: int | None, bleu: float, **said: Any) -> RunRecord:
    """Return a finetuning of mt5-small, pretrained on so many further tokens; None: as it was published."""
    start = {"name": "mt5-small", "checksum": "c0ffee"}
    return run(tokens, bleu, None, run_id=f"mt5-{tokens}", extra={"run": {"format": 2, "start": start, **said}})


def continued() -> list[RunRecord]:
    return [from_mt5(None, 9.0), *(from_mt5(tokens, 10 + log_law(tokens)) for tokens in SIZES)]


def test_a_published_model_finetuned_as_it_is_is_the_baseline_of_its_continuation() -> None:
    (curve,) = report_of(continued()).curves
    assert [point.value for point in curve.baseline] == [9.0]
    assert (curve.smallest, curve.largest) == (SIZES[0], SIZES[-1])


def test_the_page_speaks_of_further_tokens_and_names_the_start() -> None:
    report = report_of(continued())
    text = parsed(render_page(report, [])).text
    assert "twice as many further pretraining tokens (16M)" in text
    assert "en-fr, finetuned on 200k tokens, t5_tiny, continued from mt5-small" in text
    assert list(labels(report).values()) == ["50 en + 50 fr"]
    assert report.unplaced == ()


def test_a_continuation_is_no_curve_with_a_pretraining_from_nothing() -> None:
    report = report_of([*continued(), *(run(tokens, log_law(tokens), None) for tokens in SIZES), run(0, 2.0, None)])
    assert sorted(labels(report).values()) == ["50 en + 50 fr", "50 en + 50 fr, from mt5-small"]
    assert {point.value for curve in report.curves for point in curve.baseline} == {2.0, 9.0}
    for curve in report.curves:
        assert len(curve.points) == len(SIZES)
        assert len(curve.baseline) == 1


def test_repeated_text_is_a_limit() -> None:
    unique = {tokens: min(tokens, 2_000_000) for tokens in SIZES}
    runs = [
        run(
            tokens, log_law(tokens), None, extra={"run": {"pretrain_unique_tokens_by_language": {"en": unique[tokens]}}}
        )
        for tokens in SIZES
    ]
    report = report_of(runs)
    (limit,) = [limit for limit in limits(report) if "repeated text" in limit]
    assert "up to 4 times the same" in limit
    assert list(labels(report).values()) == ["50 en + 50 fr, repeated text"]
    fresh = report_of([run(tokens, log_law(tokens), None) for tokens in SIZES])
    assert not [limit for limit in limits(fresh) if "repeated text" in limit]
    assert list(labels(fresh).values()) == ["50 en + 50 fr"]


def test_points_csv_says_start_and_unique_tokens_and_is_read_back_as_the_same_report(tmp_path: Path) -> None:
    report = report_of(
        [
            from_mt5(None, 9.0),
            *(
                from_mt5(tokens, 10 + log_law(tokens), pretrain_unique_tokens_by_language={"en": tokens // 2})
                for tokens in SIZES
            ),
        ]
    )
    table = read_table(write_data(report, tmp_path)[0])
    assert table.problems == []
    again = analyse(collect(table.points).curves)
    assert list(labels(again).values()) == list(labels(report).values())
    (before,), (after,) = report.curves, again.curves
    assert (after.x, after.name) == (before.x, before.name)
    for written, read in zip((*before.baseline, *before.points), (*after.baseline, *after.points), strict=True):
        assert (read.start, read.unique_tokens) == (written.start, written.unique_tokens)
    assert {point.start for point in after.baseline} == {"mt5-small"}
    assert [point.unique_tokens for point in after.points] == [tokens // 2 for tokens in SIZES]


def test_a_column_called_start_or_unique_tokens_means_nothing_in_a_table_of_others(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"2026-01-0{day},{tokens},{log_law(tokens)}" for day, tokens in enumerate(SIZES, 1)]
    path.write_text("\n".join(["start,unique_tokens,bleu", *rows]))
    table = read_table(path)
    assert [point.pretrain_tokens for point in table.points] == list(SIZES)
    assert {point.start for point in table.points} == {""}
    assert {point.unique_tokens for point in table.points} == {None}
