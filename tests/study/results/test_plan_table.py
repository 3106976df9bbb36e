from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.study import main
from fairseq_scaling.study.plan import pricing
from fairseq_scaling.study.plan.jobs import Work
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.plan.text_check import unread
from fairseq_scaling.study.results.plan_table import closing_lines
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.scheduling import Capacity
from fairseq_scaling.study.settings.config import load_study
from tests.study.helpers import table

Write = Callable[[dict[str, Any] | str], Path]


def test_a_plan_has_a_row_for_each_mixture_task_and_size_and_their_sum(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    values["finetuning"]["finetune_tokens"] = ["0.1M", "0.2M"]
    rows, text = table(write_study(values), "--out", tmp_path / "out")
    jobs = {name: int(cells[0]) for name, cells in rows.items() if cells[0].isdigit()}
    assert jobs == {
        "make the corpus": 4, "measure alignment": 1, "pretrain en:0.5,fr:0.5": 3, "pretrain de:1": 3,
        "finetune en-fr, D_f 100k, baseline": 1, "finetune en-fr, D_f 100k": 6, "finetune en-fr, D_f 200k, baseline": 1,
        "finetune en-fr, D_f 200k": 6, "translate": 14, "score": 14, "fit the laws": 1, "all": 54,
    }  # fmt: skip
    assert "54 of 54 jobs to do, about" in text


def test_price_and_hours_are_those_of_the_operations(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    values["model"] = {"arch": "t5_3b"}
    path = write_study(values)
    rows, text = table(path, "--out", tmp_path / "out", "--flops", "1e12", "--utilisation", "0.5", "--price", "3")
    flops = Work.total(job.work for job in make_plan(load_study(path)).jobs).flops
    hours, price = (float(cell.replace(",", "")) for cell in rows["all"][-2:])
    assert hours == pytest.approx(flops / 0.5e12 / 3600, rel=1e-2)
    assert price == pytest.approx(3 * hours, rel=1e-2)
    assert "at 50% of 1e+12 FLOP/s" in text


def test_what_is_done_is_told_with_its_measured_speed(
    values: dict[str, Any], write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program that is not ours: the corpus, an empty mapping here, is not looked into.
    (tmp_path / "scaling-preprocess").touch(mode=0o755)
    monkeypatch.setenv("SCALING_STUDY_PROGRAMS", str(tmp_path))
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(tmp_path / "out")
    for job in plan.jobs[:-1]:
        for name in job.writes:
            (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / name).write_text("{}")
        folder.write_record(job.id, {"argv": job.argv, "state": "finished", "seconds": 10.0})
    (folder.path / ".snakemake").mkdir()
    trained = [job for job in plan.jobs if job.stage in ("pretrain", "finetune")]
    speed = Work.total(job.work for job in trained).flops / (10 * len(trained))
    rows, text = table(write_study(values), "--out", folder.path, "--hardware", "a100", "--price", "2")
    assert f"Measured: {speed:.3g} FLOP/s" in text
    assert "takes 0 s of one device, price 0." in text
    assert {rows[name][1] for name in rows if name.startswith(("pretrain", "finetune", "translate"))} == {"done"}
    assert rows["fit the laws"][1] == "1"
    assert "1 of 33 jobs to do: 0 device hours" in text


def test_what_is_left_is_priced_at_the_measured_speed_of_a_device(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    """The baseline took an hour on two GPUs."""
    values["corpus"] = str(tmp_path / "corpus")
    del values["text"]
    values["resources"] = {"finetune": {"gpus": 2}}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text("{}")
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(tmp_path / "out")
    job = next(job for job in plan.of_stage("finetune") if "baseline" in job.id)
    (folder.path / job.writes[0]).parent.mkdir(parents=True)
    (folder.path / job.writes[0]).write_text("")
    folder.write_record(job.id, {"argv": job.argv, "state": "finished", "seconds": 3600.0})
    device = pricing.hardware("a100", None, 0.3, 1, 6.0)
    left = sum(other.work.flops for other in plan.jobs if other.id != job.id)
    lines = closing_lines(plan, folder, {other.id for other in plan.jobs} - {job.id}, Capacity(), device)
    assert f"Measured: {job.work.flops / 7200:.3g} FLOP/s of one device" in lines[0]
    price = lines[0].removesuffix(".").partition("price ")[2].replace(",", "")
    assert float(price) == pytest.approx(6 * 2 * left / job.work.flops, rel=1e-2)


def test_every_job_can_be_listed(values: dict[str, Any], write_study: Write, tmp_path: Path) -> None:
    rows, _ = table(write_study(values), "--jobs", "--out", tmp_path / "out")
    assert "finetune de:1 1M en-fr 200k" in rows
    assert len(rows) == len(make_plan(load_study(write_study(values))).jobs) + 3


def test_a_price_without_hardware_is_refused(values: dict[str, Any], write_study: Write) -> None:
    result = CliRunner().invoke(main, ["plan", str(write_study(values)), "--price", "2"])
    assert result.exit_code == 2
    assert "--hardware" in result.output


def test_a_plan_names_the_finetuning_tokens_that_its_updates_cannot_read() -> None:
    """300 updates of 8192 target tokens, and as many source tokens: 4.9 M tokens."""
    example = Path(__file__).parents[3] / "examples/isik2025/small.yaml"
    lines = unread(make_plan(load_study(example)))
    assert [line.partition(". Raise")[0] for line in lines] == [
        "en-de: finetuning reads about 4.915M tokens, fewer than D_f = 30M",
        "en-fr: finetuning reads about 4.915M tokens, fewer than D_f = 210M",
    ]
