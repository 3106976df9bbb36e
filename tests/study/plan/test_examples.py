"""The example studies are accepted, and their READMEs say what the commands print."""

from __future__ import annotations

import functools
import math
import re
import shutil
from pathlib import Path

import pytest

from fairseq_scaling.study.plan import flags, pricing
from fairseq_scaling.study.plan.jobs import Job, Plan, Work
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study
from preprocess.sources import Request
from preprocess.sources.wmt import WmtSource
from tests.study.helpers import PAPER, table, value_of

FILES = ("3b", "770m", "small")
CONTINUED = PAPER.parent / "continued"


@functools.cache
def plan_of(name: str) -> Plan:
    return make_plan(load_study(PAPER / f"{name}.yaml"))


def run_of(job: Job) -> str:
    """The folder of a training; that of a pretraining has one for each budget."""
    return re.sub("^(pretraining/.*)/.*", r"\1", job.folder)


@pytest.mark.parametrize("name", FILES)
def test_the_readme_of_the_papers_grid_says_what_plan_prints(name: str, tmp_path: Path) -> None:
    rows, _ = table(PAPER / f"{name}.yaml", "--hardware", "a100", "--out", tmp_path)
    (line,) = re.findall(rf"^\| \[`{name}.yaml`\].*$", (PAPER / "README.md").read_text("utf-8"), re.M)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    trained = [job for job in plan_of(name).jobs if job.stage in ("pretrain", "finetune")]
    assert int(cells[2].replace(",", "")) == len(set(map(run_of, trained)))
    assert cells[3:] == rows["all"][2:]


@pytest.mark.parametrize("name", ["3b", "770m"])
def test_a_whole_pretraining_of_the_grid_has_the_papers_positions(name: str) -> None:
    """Batch 256, 512 positions, 1,000,000 steps."""
    run = "pretraining/en0.5-fr0.5/seed1/"
    jobs = [job for job in plan_of(name).of_stage("pretrain") if job.folder.startswith(run)]
    assert sum(job.work.encoder_positions for job in jobs) == 256 * 512 * 1_000_000
    job = jobs[-1]
    assert int(value_of(job.argv, "batch-size")) * int(value_of(job.argv, "update-freq")) * job.resources["gpu"] == 256


def test_pretrainings_of_the_grid_make_the_papers_updates_and_those_of_the_quickstart_save_at_budgets_alone() -> None:
    """1,000,000 of 256 blocks; the quickstart ends before the first save between two budgets."""
    study = load_study(PAPER / "3b.yaml")
    settings = flags.pretraining_settings(study, study.pretraining.mixtures[0])
    blocks = pricing.corruption(study.pretraining.input_length, settings)
    rows = int(settings["batch-size"]) * flags.batches_in_update(study, "pretrain", settings)
    assert math.ceil(study.pretraining.budgets[-1] // blocks.block_length / rows) == 1_000_000
    study = load_study(PAPER.parent / "quickstart/study.yaml")
    for mixture in study.pretraining.mixtures:
        settings = flags.pretraining_settings(study, mixture)
        blocks = pricing.corruption(study.pretraining.input_length, settings)
        assert study.pretraining.budgets_of(mixture)[-1] // blocks.block_length / int(settings["batch-size"]) < 5000


@pytest.mark.parametrize("name", ["3b", "770m"])
def test_a_finetuning_of_the_grid_reads_what_the_papers_reads(name: str) -> None:
    """300 steps of 128 x 512 positions."""
    for job in plan_of(name).of_stage("finetune"):
        assert job.tokens == 300 * 128 * 512


@pytest.mark.parametrize("name", FILES)
def test_the_training_pairs_of_the_grid_are_of_its_languages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """mtdata's names and sacrebleu's; nothing is fetched."""
    text = load_study(PAPER / f"{name}.yaml").text
    assert text is not None
    pairs = ["-".join(pair) for pair in text.pairs]
    held_out = {(pair, split): text.fetch[split][pair] for pair in pairs for split in ("valid", "test")}
    monkeypatch.setattr(shutil, "which", lambda _: "mtdata")
    WmtSource(Request(parallel=text.fetch["pair"], given=held_out))
    assert list(text.fetch["pair"]) == pairs


def test_the_models_of_the_grid_have_the_papers_vocabulary() -> None:
    study = load_study(PAPER / "3b.yaml")
    assert pricing.expected_vocabulary(study) == 250_112


def test_the_small_grid_is_a_thousandth_of_the_large_one() -> None:
    large, small = plan_of("3b"), plan_of("small")
    tokens: list[dict[str, list[int]]] = [{}, {}]
    for plan, found in zip((large, small), tokens, strict=True):
        for job in plan.reported("pretrain"):
            found.setdefault(run_of(job), []).append(job.tokens)
    assert set(tokens[0]) == set(tokens[1])
    for run, numbers in tokens[0].items():  # the text of Romanian ends before the last budgets of the large grid
        assert numbers == [1000 * number for number in tokens[1][run][: len(numbers)]]
    assert Work.total(job.work for job in small.jobs).flops < Work.total(job.work for job in large.jobs).flops / 1000


def test_the_readme_of_the_continued_example_says_what_plan_prints_of_mt5_small_before_it_is_downloaded(
    tmp_path: Path,
) -> None:
    file = CONTINUED / "mt5-small.yaml"
    rows, _ = table(file, "--vocabulary", "250112", "--hardware", "a100", "--out", tmp_path)
    (line,) = re.findall(r"^\| \[`mt5-small.yaml`\].*$", (CONTINUED / "README.md").read_text("utf-8"), re.M)
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == rows["all"][2:]


@pytest.mark.parametrize("name", ["study", "mt5-small"])
def test_the_continued_studies_finetune_their_start_directly_too(name: str) -> None:
    study = load_study(CONTINUED / f"{name}.yaml")
    plan = make_plan(study)
    start = f"{{checkpoint:{study.pretraining.start}}}"
    assert {job.flag("start-from") for job in plan.of_stage("pretrain")} == {start}
    direct = [job for job in plan.of_stage("finetune") if job.flag("finetune-from-model") == start]
    assert {job.flag("start-name") for job in direct} == {study.pretraining.start}
