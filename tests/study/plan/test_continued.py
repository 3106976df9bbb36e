"""Studies that continue the pretraining of a checkpoint, and that read text more than once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import ScalingError
from fairseq_scaling.study.plan.jobs import Job
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study

Write = Callable[[dict[str, Any] | str], Path]


def pretrainings(values: dict[str, Any], write_study: Write, **changed: Any) -> list[Job]:
    """Return one pretraining of each run, to its last budget."""
    values["pretraining"] |= changed
    runs = {job.run.rpartition("/")[0]: job for job in make_plan(load_study(write_study(values))).of_stage("pretrain")}
    return list(runs.values())


@pytest.fixture
def continued(values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A study of a checkpoint that is pretrained further, on a finished corpus."""
    del values["text"]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text('{"fingerprint": "abc"}')
    (tmp_path / "small.pt").write_bytes(b"weights")
    return {**values, "corpus": "corpus", "checkpoints": [{"name": "mt5-small", "file": "small.pt"}]}


def test_a_start_is_one_of_the_checkpoints_and_its_name_is_in_every_log(
    continued: dict[str, Any], write_study: Write
) -> None:
    jobs = pretrainings(continued, write_study, start="mt5-small")
    assert [job.flag("start-from") for job in jobs] == ["{checkpoint:mt5-small}"] * 2
    assert [job.flag("start-name") for job in jobs] == ["mt5-small"] * 2
    finetunings = make_plan(load_study(write_study(continued))).of_stage("finetune")
    baselines = [job.flag("finetune-from-model") for job in finetunings if job.flag("start-name")]
    assert baselines == ["{checkpoint:mt5-small}"]
    # Finetuned as it is, the start is the baseline: none starts from nothing.
    assert all(job.flag("finetune-from-model") for job in finetunings)


def test_a_start_that_is_no_checkpoint_is_refused(continued: dict[str, Any], write_study: Write) -> None:
    with pytest.raises(ScalingError, match=r"pretraining.start = mt5-base: is none of the checkpoints\n.*mt5-small"):
        pretrainings(continued, write_study, start="mt5-base")


def test_text_is_repeated_for_all_languages_or_by_language(values: dict[str, Any], write_study: Write) -> None:
    assert [job.flag("repeat") for job in pretrainings(values, write_study)] == ["", ""]
    assert [job.flag("repeat") for job in pretrainings(values, write_study, repeat=4)] == ["en:4,fr:4", "de:4"]
    assert [job.flag("repeat") for job in pretrainings(values, write_study, repeat={"fr": 2})] == ["en:1,fr:2", ""]


@pytest.mark.parametrize("repeat", [0, -1, "often", {"en": 0}])
def test_impossible_repetitions_are_refused(repeat: Any, values: dict[str, Any], write_study: Write) -> None:
    with pytest.raises(ScalingError, match="repeat"):
        pretrainings(values, write_study, repeat=repeat)
