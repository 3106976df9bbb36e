"""Too little text for what a study asks is found out before its first run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sentencepiece import SentencePieceProcessor

from fairseq_scaling.cli.study import main
from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.data.pairs import epoch_batches, training_pairs
from fairseq_scaling.errors import SettingError
from fairseq_scaling.quantities import format_tokens
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.plan.text_check import check_text, find_corpus, unread
from fairseq_scaling.study.run import job
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.settings.config import load_study
from tests import toy

Write = Callable[[dict[str, Any] | str], Path]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of the toy languages aa, bb, cc with the pair aa-bb."""
    return Corpus.open(toy.make_corpus(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def fitting(corpus: Corpus) -> dict[str, Any]:
    """A study that its corpus is large enough for."""
    return {
        "name": "small",
        "corpus": str(corpus.path),
        "pretraining": {"mixtures": ["aa:0.5,bb:0.5", "aa"], "budgets": ["2k"], "input_length": 32},
        "finetuning": {"tasks": ["aa-bb"], "finetune_tokens": ["1k"], "updates": 10},
    }


def plan_of(study: dict[str, Any], write_study: Write) -> Plan:
    return make_plan(load_study(write_study(study)))


def test_a_study_that_its_corpus_is_large_enough_for_passes(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    check_text(plan_of(fitting, write_study), corpus)


def test_all_that_is_missing_is_named_at_once_with_the_largest_budget(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    fitting["pretraining"] |= {"budgets": ["2k", "10M"], "mixtures": ["aa", "dd"]}
    fitting["finetuning"] |= {"finetune_tokens": ["20M"], "tasks": ["aa-bb", "aa-cc"]}
    with pytest.raises(SettingError) as caught:
        check_text(plan_of(fitting, write_study), corpus)
    message = str(caught.value)
    held = corpus.mono("aa").tokens
    largest = int(message.partition("the largest possible budget is ")[2].partition(" ")[0])
    assert held - 40 < largest <= held
    assert "pretraining of dd:1: language = dd" in message
    assert "finetuning of aa-bb: finetune_tokens = 20M: the corpus holds" in message
    assert "finetuning of aa-cc: language pair = aa-cc" in message
    # What it names as possible is possible.
    fitting["pretraining"] |= {"budgets": ["2k", largest], "mixtures": ["aa"]}
    fitting["finetuning"] |= {"finetune_tokens": ["1k"], "tasks": ["aa-bb"]}
    check_text(plan_of(fitting, write_study), corpus)


def test_too_little_validation_text_is_found(fitting: dict[str, Any], corpus: Corpus, write_study: Write) -> None:
    length = corpus.mono("aa", "valid").tokens + 1
    fitting["pretraining"] |= {"budgets": [length * 2], "input_length": length}
    with pytest.raises(SettingError, match="validation text of aa"):
        check_text(plan_of(fitting, write_study), corpus)


def test_too_little_text_for_trying_learning_rates_is_found(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    fitting["pretraining"] |= {"learning_rates": {"grid": [0.1, 0.2], "budget": "20M", "per": "study"}, "seeds": [1, 2]}
    with pytest.raises(SettingError, match=r"budgets = 20M: .* would repeat data") as caught:
        check_text(plan_of(fitting, write_study), corpus)
    # The first mixture alone tries them.
    assert str(caught.value).count("learning rates for the pretraining of aa:0.5,bb:0.5: ") == 1
    assert "of aa:1" not in str(caught.value)


def test_programs_of_ones_own_leave_the_check_out_only_where_they_make_the_corpus(
    fitting: dict[str, Any], write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = plan_of(fitting, write_study), StudyFolder(tmp_path / "out")
    monkeypatch.setenv("SCALING_STUDY_PROGRAMS", str(tmp_path))
    (tmp_path / "fairseq-train").touch(mode=0o755)
    assert find_corpus(folder.corpus(plan)) is not None
    (tmp_path / "scaling-preprocess").touch(mode=0o755)
    assert find_corpus(folder.corpus(plan)) is None


def test_a_corpus_that_a_study_makes_is_checked_as_soon_as_it_is_there_and_kept_for_a_smaller_study(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCALING_STUDY_PROGRAMS", raising=False)
    del fitting["corpus"]
    fitting["text"] = {"source": "files", "languages": list(toy.LANGUAGES), "pairs": ["aa-bb"]}
    fitting["finetuning"]["finetune_tokens"] = ["20M"]
    folder, made = StudyFolder(tmp_path / "out"), []

    def make(command: list[str], *_: object) -> int:
        made.append(command[1])
        if command[1] == "encode":
            shutil.copytree(corpus.path, folder.path / "corpus")
        else:
            (output,) = [name for one in plan.jobs if one.argv[1] == command[1] for name in one.writes]
            (folder.path / output).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / output).touch()
        return 0

    monkeypatch.setattr(job, "run_program", make)

    def run(job_id: str) -> int:
        monkeypatch.setattr(sys, "argv", ["job", plan.by_id[job_id].writes[0], "1", "2"])
        monkeypatch.chdir(folder.path)
        return job.main()

    def write_plan() -> tuple[Path, Plan]:
        plan = plan_of(fitting, write_study)
        folder.plan_path.parent.mkdir(parents=True, exist_ok=True)
        folder.plan_path.write_text(plan.to_json())
        return tmp_path / "study.yaml", plan

    study, plan = write_plan()
    encode = plan.by_id["encode/text"]
    assert [run(f"{stage}/text") for stage in ("fetch", "clean", "sentencepiece", "encode")] == [0, 0, 0, 0]
    # The corpus is made, and nothing that reads it starts.
    assert run("finetune/aa-bb/20M/baseline/seed1") == 2
    log = (folder.path / encode.log).read_text()
    assert log.count("too little text\n  finetuning of aa-bb: finetune_tokens = 20M: the corpus holds") == 1
    record = folder.record(encode.id)
    assert record is not None
    assert record["state"] == "failed"
    # Whoever asks again is told at once, and what asks for less has its corpus.
    result = CliRunner().invoke(main, ["plan", str(study), "--out", str(folder.path)])
    assert (result.exit_code, "too little text" in result.output) == (2, True), result.output
    fitting["finetuning"]["finetune_tokens"] = ["1k"]
    study, _ = write_plan()
    result = CliRunner().invoke(main, ["plan", str(study), "--out", str(folder.path)])
    assert (result.exit_code, "too little text" in result.output) == (0, False), result.output
    assert made == ["fetch", "clean", "train-sentencepiece", "encode"]


@pytest.mark.parametrize("gpus", [1, 2])
def test_what_finetunings_cannot_read_is_counted_from_the_corpus(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write, gpus: int
) -> None:
    fitting["finetuning"] |= {"updates": 3, "finetune_tokens": ["0.1k", "3k"], "seeds": [4, 5]}
    fitting["finetuning"]["fairseq"] = {"max-tokens": 60, "update-freq": 2, "source-prefix": toy.word("aa", 0)}
    fitting["resources"] = {"finetune": {"gpus": gpus}}
    sizes = np.stack([file.sizes for file in corpus.pair("aa", "bb")], axis=1)
    taken = sizes[training_pairs(sizes.sum(axis=1), 3000, seed=4)]
    prefix = SentencePieceProcessor(model_file=str(corpus.sentencepiece_path)).encode(toy.word("aa", 0))
    lengths = taken + [len(prefix), 0]  # it takes room in a batch
    batches = epoch_batches(lengths, 4, 1, max_tokens=60, max_sentences=None)[: 3 * 2 * gpus]
    read = sum(int(taken[batch].sum()) for batch in batches)
    assert 100 < read < 3000
    (line,) = unread(plan_of(fitting, write_study), corpus)
    assert line.startswith(f"aa-bb: finetuning reads {format_tokens(read)} tokens, fewer than D_f = 3k. Raise")


def test_a_finetuning_that_reads_its_whole_set_is_not_named(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    assert unread(plan_of(fitting, write_study), corpus) == []
