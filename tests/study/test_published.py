"""A study with real training that starts from a published model: a small mT5 with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fairseq_scaling.cli.convert import main as convert
from tests.exchange.samples import make_corpus, publish
from tests.test_end_to_end import scaling_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study.yaml, whose model is what scaling-convert prints."""
    folder = tmp_path_factory.mktemp("published")
    original = publish(folder / "mt5-small", "mt5")
    result = CliRunner().invoke(convert, ["from-hf", str(original), "--out", str(folder / "mt5/mt5-small.pt")])
    assert result.exit_code == 0, result.output
    make_corpus(folder, folder / "mt5/sentencepiece.model", folder / "mt5/dict.txt")
    (printed,) = [line for line in result.output.splitlines() if "in study.yaml: " in line]
    values: dict[str, Any] = {
        "name": "published",
        "corpus": "corpus",
        **yaml.safe_load(printed.partition("in study.yaml: ")[2]),
        "checkpoints": [{"name": "mt5-small", "file": "mt5/mt5-small.pt"}],
        "finetuning": {"tasks": ["aa-bb"], "finetune_tokens": ["1k"], "updates": 2},
        "translation": {"beam": 1, "fairseq": {"max-len-a": 0}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    return folder / "study.yaml"


def test_a_model_that_does_not_fit_is_refused_before_anything_runs(study: Path, tmp_path: Path) -> None:
    result = scaling_study("run", study, "--out", tmp_path, "--set", "model.fairseq.d-model=32")
    assert result.returncode == 2, result.stdout
    assert "mt5-small.pt holds another model: d_model 24 there, 32 here" in result.stderr
    assert "--d-model 24" in result.stderr
    assert "model.fairseq" in result.stderr
    assert not (tmp_path / "finetuning").exists()


def test_a_published_model_is_finetuned_translated_and_shown_beside_the_baseline(study: Path, tmp_path: Path) -> None:
    result = scaling_study("run", study, "--out", tmp_path, "--cores", "2")
    assert result.returncode == 0, result.stderr
    assert "No law over D_p: what the models were pretrained on is unknown" in result.stdout
    assert "D_p is unknown" in (tmp_path / "results/report.html").read_text("utf-8")
    document = json.loads((tmp_path / "results/fits.json").read_text("utf-8"))
    assert document["curves"] == []
    groups = {group["metric"]: group for group in document["unplaced"]}
    assert {"bleu", "chrf", "cross_entropy"} <= set(groups)
    for group in groups.values():
        assert [point["start"] for point in group["points"]] == ["mt5-small"]
        assert len(group["baseline"]) == 1
    losses = groups["cross_entropy"]
    assert losses["points"][0]["value"] != losses["baseline"][0]["value"], "it must have started from other weights"
    again = scaling_study("run", study, "--out", tmp_path)
    assert again.stdout.splitlines()[0] == "published: nothing to do.", again.stderr
