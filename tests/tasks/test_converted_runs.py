"""Models that go to transformers and come from there, on real runs of fairseq's commands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner

from fairseq_scaling.cli.convert import main as convert
from fairseq_scaling.cli.fit_scaling import EXIT_NOTHING_FITTED
from fairseq_scaling.cli.fit_scaling import main as fit_scaling
from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.logs import read_runs
from fairseq_scaling.report.run_points import points_of_runs
from tests.exchange.samples import make_corpus, publish, weights_of
from tests.tasks.runs import FINETUNING, fairseq, records

SMALL = ["--task", "scaling_translation", "-s", "aa", "-t", "bb"]


def run(*arguments: object) -> str:
    """Run scaling-convert and return what it printed."""
    result = CliRunner().invoke(convert, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the checkpoint of a model that has learnt to translate, and the folder made of it for transformers."""
    folder = tmp_path_factory.mktemp("trained")
    learning = shlex.split("--d-model 64 --d-ff 128 --d-kv 24 --lr 0.02 --finetune-tokens all --max-tokens 800")
    fairseq("train", corpus, *FINETUNING, *learning, "--dropout", 0, "--max-update", 400, "--save-dir", folder)
    run("to-hf", folder / "checkpoint_last.pt", "--out", folder / "hf")
    return folder / "checkpoint_last.pt", folder / "hf"


def test_transformers_gives_the_translations_of_fairseq_generate(trained: tuple[Path, Path], corpus: Path) -> None:
    checkpoint, folder = trained
    printed = fairseq("generate", corpus, *SMALL, "--path", checkpoint, "--remove-bpe", "sentencepiece")
    lines = [line.split("\t") for line in printed.splitlines() if line.startswith("D-")]
    expected = {int(name.removeprefix("D-")): text for name, _, text in lines}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    sources = Corpus.open(corpus).source_text("aa", "bb").read_text().splitlines()
    output = model.generate(**tokenizer(sources, return_tensors="pt", padding=True))
    found = tokenizer.batch_decode(output, skip_special_tokens=True)
    assert len(expected) == len(found)
    assert found == [expected[number] for number in range(len(found))]
    references = Corpus.open(corpus).reference("aa", "bb").read_text().splitlines()
    assert sum(map(str.__eq__, found, references)) > len(found) // 4, "a model that has learnt nothing proves nothing"


def test_text_has_the_numbers_it_has_in_the_corpus(trained: tuple[Path, Path], corpus: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained[1])
    data = Corpus.open(corpus)
    for side, (language, other) in enumerate((("aa", "bb"), ("bb", "aa"))):
        text = data.source_text(language, other).read_text().splitlines()
        tokens = data.pair("aa", "bb", "test")[side]
        assert [tokenizer(line)["input_ids"] for line in text] == [sentence.tolist() for sentence in tokens]
    symbols = [line.split(" ")[0] for line in data.dictionary_path.read_text().splitlines()]
    for symbol in ("<2aa>", "<2cc>", "<extra_id_0>", "<extra_id_99>"):
        assert tokenizer(symbol)["input_ids"] == [symbols.index(symbol) + 4, 2]


def test_a_model_of_ours_comes_back_with_the_same_weights(
    trained: tuple[Path, Path], corpus: Path, tmp_path: Path
) -> None:
    checkpoint, folder = trained
    run("from-hf", folder, "--out", tmp_path / "back.pt")
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "back.pt"))
    assert before["model"].keys() == after["model"].keys()
    assert all(torch.equal(weight, after["model"][name]) for name, weight in before["model"].items())
    dictionaries = [state["task_state"]["fairseq_scaling"]["dictionary"] for state in (before, after)]
    assert dictionaries[0] == dictionaries[1]
    printed = [
        fairseq("generate", corpus, *SMALL, "--path", path, "--beam", 2)
        for path in (checkpoint, tmp_path / "back.pt")
    ]  # fmt: skip
    translations = [[line for line in text.splitlines() if line.startswith("H-")] for text in printed]
    assert translations[0] == translations[1]
    assert len(translations[0]) == 50


def test_a_published_model_is_finetuned_and_goes_back(tmp_path: Path) -> None:
    original = publish(tmp_path / "original", "mt5")
    start = tmp_path / "ours/mt5.pt"
    flags = shlex.split(run("from-hf", original, "--out", start).rsplit("fairseq-train:", 1)[1])
    data = make_corpus(tmp_path, start.parent / "sentencepiece.model", start.parent / "dict.txt")
    finetuning = [
        *FINETUNING, "--finetune-tokens", "all", "--max-update", 2, "--finetune-from-model", start,
        "--save-dir", tmp_path / "finetuned",
    ]  # fmt: skip
    refused = fairseq("train", data.path, *finetuning, fails=True)
    assert "Error: " in refused
    assert f"the same model settings as in pretraining: {shlex.join(flags)}" in refused
    flags_but_start = [flag for flag in flags if flag not in ("--decoder-start", "<pad>")]
    assert "decoder_start <pad>" in fairseq("train", data.path, *finetuning, *flags_but_start, fails=True)

    log = fairseq("train", data.path, *finetuning, *flags)
    (described,) = records(log, "SCALING_RUN")
    assert ("pretrain_tokens" in described, described["start"]["name"]) == (False, "mt5.pt")
    assert "pretrain_tokens is unknown" in log
    (tmp_path / "finetuned.log").write_text(log)
    problems = points_of_runs(read_runs(tmp_path / "finetuned.log").runs).problems
    assert any("D_p is unknown" in problem.message for problem in problems), problems
    fitted = CliRunner().invoke(fit_scaling, [str(tmp_path / "finetuned.log"), "--out", str(tmp_path / "fitted")])
    assert fitted.exit_code == EXIT_NOTHING_FITTED
    said = " ".join(fitted.output.split())
    assert "it started from mt5.pt; say it with --mapping" in said
    assert "Models whose pretraining is unknown" in said

    checkpoint = tmp_path / "finetuned/checkpoint_last.pt"
    run("to-hf", checkpoint, "--out", tmp_path / "back")
    config = json.loads((tmp_path / "back/config.json").read_text())
    assert (config["vocab_size"], config["pad_token_id"], config["decoder_start_token_id"]) == (417, 0, 0)
    rows = torch.load(start, weights_only=True)["task_state"]["fairseq_scaling"]["huggingface"]["rows"]
    weights = torch.load(checkpoint, weights_only=True)["model"]
    after = weights_of(tmp_path / "back")
    assert torch.equal(after["shared.weight"], weights["encoder.embed_tokens.weight"][rows])
    assert torch.equal(after["lm_head.weight"], weights["decoder.head"][rows])
    assert after.keys() == weights_of(original).keys()
    assert transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").config.vocab_size == 417
