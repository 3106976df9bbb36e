"""A study with real training that starts from finished models: a small mT5 with random weights, whose vocabulary
encodes the text, and one that was pretrained here, whose D_p is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fairseq_scaling.cli.convert import main as convert
from fairseq_scaling.data.dictionary import read_symbols
from tests import toy
from tests.exchange.samples import make_corpus, publish
from tests.tasks.runs import fairseq
from tests.toy_study import STUDY, scaling_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study.yaml, whose model is what scaling-convert prints."""
    folder = tmp_path_factory.mktemp("published")
    original = publish(folder / "mt5-small", "mt5")
    result = CliRunner().invoke(convert, ["from-hf", str(original), "--out", str(folder / "mt5/mt5-small.pt")])
    assert result.exit_code == 0, result.output
    (printed,) = [line for line in result.output.splitlines() if "in study.yaml: " in line]
    model = yaml.safe_load(printed.partition("in study.yaml: ")[2])
    _pretrain(folder, model["model"])
    toy.write_files(folder / "text", pairs=200, mono=300)
    text = {name: value for name, value in STUDY["text"].items() if name != "sentencepiece"}
    values: dict[str, Any] = {
        "name": "published",
        "text": {**text, "languages": ["aa", "bb"], "vocabulary": "mt5"},
        **model,
        "checkpoints": [
            {"name": "mt5-small", "file": "mt5/mt5-small.pt"},
            {"name": "ours", "file": "ours/checkpoint_last.pt"},
        ],
        "finetuning": {"tasks": ["aa-bb"], "finetune_tokens": ["1k"], "updates": 2},
        "translation": {"beam": 1, "fairseq": {"max-len-a": 0}},
    }
    del values["text"]["fetch"]["mono"]["cc"]
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    return folder / "study.yaml"


def _pretrain(folder: Path, model: dict[str, Any]) -> None:
    """Pretrain a model of the same shape and vocabulary on 2,000 tokens of another corpus."""
    corpus = make_corpus(folder / "other", folder / "mt5/sentencepiece.model", folder / "mt5/dict.txt", lines=400)
    flags = [word for name, value in model["fairseq"].items() for word in (f"--{name}", value)]
    fairseq(
        "train", corpus.path, "--task", "scaling_pretraining", "--arch", model["arch"], *flags,
        "--mixture", "aa:0.5,bb:0.5", "--budgets", 2000, "--input-length", 32, "--batch-size", 8,
        "--criterion", "t5_cross_entropy", "--optimizer", "adam", "--num-workers", 0, "--disable-validation",
        "--save-dir", folder / "ours",
    )  # fmt: skip


def test_a_model_that_does_not_fit_is_refused_before_anything_runs(study: Path, tmp_path: Path) -> None:
    corpus = f"corpus={study.parent}/other/corpus"
    settings = [word for value in ("text=null", corpus, "model.fairseq.d-model=32") for word in ("--set", value)]
    result = scaling_study("run", study, "--out", tmp_path, *settings)
    assert result.returncode == 2, result.stdout
    assert "mt5-small.pt holds another model: d_model 24 there, 32 here" in result.stderr
    assert "--d-model 24" in result.stderr
    assert "model.fairseq" in result.stderr
    assert not (tmp_path / "finetuning").exists()


def test_finished_models_are_finetuned_translated_and_shown_beside_the_baseline(study: Path, tmp_path: Path) -> None:
    result = scaling_study("run", study, "--out", tmp_path, "--cores", "2")
    assert result.returncode == 0, result.stderr
    assert read_symbols(tmp_path / "corpus/dict.txt") == read_symbols(study.parent / "mt5/dict.txt")
    assert "no law over D_p is fitted to them" in result.stdout
    assert "D_p is unknown" in (tmp_path / "results/report.html").read_text("utf-8")
    document = json.loads((tmp_path / "results/fits.json").read_text("utf-8"))
    groups = {group["metric"]: group for group in document["unplaced"]}
    curves = {curve["metric"]: curve for curve in document["curves"]}
    assert {"bleu", "chrf", "cross_entropy"} <= set(groups)
    assert set(curves) == set(groups)
    for metric, group in groups.items():
        assert [point["start"] for point in group["points"]] == ["mt5-small"]
        assert len(group["baseline"]) == 1
        assert curves[metric]["name"].startswith("aa-bb / 50 aa + 50 bb / ")
    (placed,) = curves["cross_entropy"]["points"]
    assert 1900 < placed["pretrain_tokens"] <= 2000
    losses = groups["cross_entropy"]
    assert losses["points"][0]["value"] != losses["baseline"][0]["value"], "it must have started from other weights"
    again = scaling_study("run", study, "--out", tmp_path)
    assert again.stdout.splitlines()[0] == "published: nothing to do.", again.stderr
