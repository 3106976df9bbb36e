"""Curves of continued pretraining: one for each start, with the start finetuned directly as its baseline."""

from __future__ import annotations

from typing import Any

from fairseq_scaling.logs import RunRecord
from fairseq_scaling.logs.record import Score
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.run_points import points_of_runs


def run(run_id: str, tokens: int | None, bleu: float, start: Any = None, parent: str = "") -> RunRecord:
    described = {"format": 2, "run_id": run_id, "stage": "finetuning", "start": start, "pretrain_run_id": parent}
    return RunRecord(
        stage="finetuning",
        run_id=run_id,
        pretrain_tokens=tokens,
        finetune_tokens=1000,
        mixture=Mixture.parse("en") if tokens else None,
        source_lang="en",
        target_lang="fr",
        seed=1,
        architecture="t5",
        parameters=10,
        scores={"bleu": Score(bleu, "sig")},
        finished=True,
        extra={"run": {name: value for name, value in described.items() if value}},
    )


MT5, OTHER = {"name": "mt5", "checksum": "11aa"}, {"name": "mt5", "checksum": "22bb"}


def curves(*runs: RunRecord) -> dict[str, tuple[list[float], list[float]]]:
    """Return curve name -> its sizes, and the values of its baselines."""
    found = points_of_runs(runs)
    return {
        curve.name: ([point.pretrain_tokens for point in curve.points], [point.value for point in curve.baselines])
        for curve in collect(found.points).curves
    }


def test_curves_of_different_starts_are_not_mixed_and_each_has_its_own_baseline() -> None:
    found = curves(
        run("a", 0, 1.0),
        run("b", 100, 2.0),
        run("c", None, 3.0, MT5),
        run("d", 100, 4.0, MT5),
        run("e", 200, 5.0, MT5),
        run("f", 100, 6.0, OTHER),
    )
    assert found == {
        "en-fr / en only / D_f=1k / t5": ([100.0], [1.0]),
        "en-fr / en only / D_f=1k / t5 / from mt5 (11aa)": ([100.0, 200.0], [3.0]),
        "en-fr / en only / D_f=1k / t5 / from mt5 (22bb)": ([100.0], []),
    }


def test_a_pretraining_of_this_project_that_was_continued_is_point_and_baseline() -> None:
    ours = {"name": "checkpoint2.pt", "checksum": "33cc", "run_id": "p1", "pretrain_tokens": 100}
    own = [run("a", 100, 1.0, parent="p1"), run("b", 50, 0.5, parent="p1")]
    found = curves(*own, run("c", 70, 2.0, ours, parent="p2"))
    assert found == {
        "en-fr / en only / D_f=1k / t5": ([50.0, 100.0], []),
        "en-fr / en only / D_f=1k / t5 / from checkpoint2.pt": ([70.0], [1.0]),
    }


def test_a_published_model_that_nothing_continued_stays_without_a_size() -> None:
    found = points_of_runs([run("a", None, 3.0, MT5)])
    assert [(point.start, point.is_placed) for point in found.points] == [("mt5", False)]
    assert any("D_p is unknown" in problem.message for problem in found.problems)
