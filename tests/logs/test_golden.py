"""What stock fairseq and this plug-in really printed."""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_scaling.logs import LogProblem, Reading, RunRecord, read_runs
from tests.logs.samples import GOLDEN

LN2 = math.log(2)


def only(reading: Reading) -> RunRecord:
    assert len(reading.runs) == 1, reading.problems
    return reading.runs[0]


# last valid loss of the file as grep shows it: (file, updates, nll_loss or loss in base 2, finished)
TRAINED = [
    ("train-json-smoothed.log", "test", 75),
    ("train-simple-smoothed.log", "valid", 75),
    ("train-tqdm.log", "valid", 50),
    ("train-json-bleu.log", "valid", 150),
    ("train-hydra.log", "valid", 50),
    ("train-json-restarted.log", "valid", 100),
    ("log-file-json-restarted.log", "valid", 75),
    ("log-file-simple-restarted.log", "valid", 75),
]


def last_printed(text: str, subset: str) -> float:
    """Return the last nll_loss (else loss) that a plain search for the subset's lines finds."""
    json_lines = re.findall(rf'"{subset}_nll_loss": "([\d.]+)"', text) or re.findall(
        rf'"{subset}_loss": "([\d.]+)"', text
    )
    lines = [line for line in text.splitlines() if f"valid on '{subset}' subset | " in line]
    simple = [re.findall(r"nll_loss ([\d.]+)", line) or re.findall(r"\| loss ([\d.]+)", line) for line in lines]
    return float(json_lines[-1] if json_lines else simple[-1][0])


@pytest.mark.parametrize(("name", "subset", "updates"), TRAINED)
def test_every_format_gives_the_last_loss_in_nats(name: str, subset: str, updates: int) -> None:
    run = only(read_runs(GOLDEN / name))
    expected = last_printed((GOLDEN / name).read_text(), subset) * LN2
    assert run.cross_entropy == pytest.approx(expected, rel=1e-12)
    assert run.cross_entropies[subset] == run.cross_entropy
    assert run.resolution["cross_entropy"] == pytest.approx(0.0005 * LN2)
    assert (run.updates, run.finished, run.diverged) == (updates, True, False)
    assert (run.source_lang, run.target_lang, run.seed, run.parameters) == ("en", "fr", 7, 143616)
    assert run.stage == "finetuning"


def test_json_and_simple_of_the_same_training_say_the_same() -> None:
    one = only(read_runs(GOLDEN / "train-json-smoothed.log"))
    two = only(read_runs(GOLDEN / "train-simple-smoothed.log"))
    assert one.cross_entropies["valid"] == two.cross_entropies["valid"]
    assert [v for v in one.extra["validations"] if v[1] == "valid"] == two.extra["validations"]


def test_origins_point_at_the_lines() -> None:
    run = only(read_runs(GOLDEN / "train-json-smoothed.log"))
    lines = (GOLDEN / "train-json-smoothed.log").read_text().splitlines()
    assert '"test_nll_loss"' in lines[run.origin["cross_entropy"].line - 1]
    assert lines[run.origin["seed"].line - 1].count("'seed': 7") == 1


def test_stock_logs_lack_their_pretraining_and_say_so() -> None:
    reading = read_runs(GOLDEN / "train-tqdm.log")
    assert only(reading).pretrain_tokens is None
    message = next(str(problem) for problem in reading.problems if "lacks pretrain_tokens" in problem.message)
    assert "mapping" in message
    assert "train-tqdm.log" in message


def test_log_format_none_has_no_loss_and_says_so() -> None:
    reading = read_runs(GOLDEN / "train-none.log")
    assert only(reading).cross_entropy is None
    assert only(reading).updates == 50
    assert any("--log-format json" in problem.message for problem in reading.problems)


def test_a_run_that_died_of_nan_is_shown_as_diverged() -> None:
    reading = read_runs(GOLDEN / "train-json-diverged.log")
    assert only(reading).diverged
    assert only(reading).finished is False
    assert any(problem.kind is LogProblem.DIVERGED for problem in reading.problems)


def test_eval_bleu_is_the_last_one_of_valid_and_is_not_sacrebleu_on_raw_text() -> None:
    score = only(read_runs(GOLDEN / "train-json-bleu.log")).scores["bleu"]
    assert score.value == 54.05
    assert score.resolution == pytest.approx(0.005)
    assert score.signature.startswith("fairseq:eval_bleu")
    assert score.details["subset"] == "valid"


@pytest.mark.parametrize(
    ("name", "metric", "value", "signature"),
    [
        ("generate-tokens.txt", "bleu", 76.26, "fairseq:bleu4"),
        ("generate-sacrebleu-detok.txt", "bleu", 64.85, "fairseq:sacrebleu"),
        ("generate-quiet.txt", "bleu", 64.85, "fairseq:sacrebleu"),
        ("results-path-generate-test.txt", "bleu", 64.85, "fairseq:sacrebleu"),
        ("generate-chrf.txt", "chrf", 77.51, "fairseq:chrf2"),
        ("generate-wer.txt", "wer", 24.17, "fairseq:wer"),
    ],
)
def test_generate_output_gives_the_score_it_ends_with(name: str, metric: str, value: float, signature: str) -> None:
    assert f"{value}" in (GOLDEN / name).read_text().splitlines()[-1]
    reading = read_runs(GOLDEN / name)
    score = only(reading).scores[metric]
    assert (score.value, score.details["subset"]) == (value, "test")
    assert score.signature.startswith(signature)
    assert any(problem.kind is LogProblem.LOOSE for problem in reading.problems)


def test_brevity_penalty_and_precisions_are_kept() -> None:
    last = (GOLDEN / "generate-tokens.txt").read_text().splitlines()[-1]
    details = only(read_runs(GOLDEN / "generate-tokens.txt")).scores["bleu"].details
    assert "/".join(f"{precision:.1f}" for precision in details["precisions"]) in last
    assert f"BP={details['brevity_penalty']:.3f}" in last
    assert f"syslen={details['hypothesis_length']}, reflen={details['reference_length']}" in last


def test_plugin_run_is_joined_from_log_output_and_score_file() -> None:
    reading = read_runs(GOLDEN / "plugin")
    pretraining, finetuning = reading.runs
    assert [run.stage for run in reading.runs] == ["pretraining", "finetuning"]
    assert finetuning.extra["run"]["pretrain_run_id"] == pretraining.run_id
    assert (finetuning.pretrain_tokens, finetuning.finetune_tokens) == (19950, 20000)
    assert str(finetuning.mixture) == "aa:0.5,bb:0.5"
    assert finetuning.alignment == 1.0
    assert {Path(file).name for file in finetuning.extra["files"]} == {
        "finetuning.log",
        "generate.log",
        "generate.txt",
        "scores.json",
    }
    written = json.loads((GOLDEN / "plugin" / "scores.json").read_text())["scores"]
    assert {metric: score.value for metric, score in finetuning.scores.items()} == {
        metric: entry["value"] for metric, entry in written.items()
    }
    assert [problem.message for problem in reading.problems] == [
        "1 file holds nothing that fairseq wrote, left out: test.bb.txt"
    ]


def test_plugin_losses_are_exact_and_forgetting_is_among_them() -> None:
    _, run = read_runs(GOLDEN / "plugin").runs
    text = (GOLDEN / "plugin" / "finetuning.log").read_text()
    assert f'"cross_entropy": {run.cross_entropy!r}' in text
    assert run.cross_entropies["test"] == run.cross_entropy
    assert set(run.cross_entropies) == {"valid", "test", "upstream_aa", "upstream_cc"}
    assert run.resolution == {}


def test_upstream_curve_has_exact_tokens_and_losses() -> None:
    run, _ = read_runs(GOLDEN / "plugin").runs
    text = (GOLDEN / "plugin" / "pretraining.log").read_text()
    assert run.pretrain_tokens == 39970
    assert [point[:2] for point in run.extra["upstream_curve"]] == [
        (tokens, subset) for tokens in (19950, 39970) for subset in ("valid", "valid_aa", "valid_bb")
    ]
    assert all(f'"cross_entropy": {value!r}' in text for _, _, value in run.extra["upstream_curve"])


def test_gzip_says_the_same(tmp_path: Path) -> None:
    for name in ("finetuning.log", "scores.json"):
        content = (GOLDEN / "plugin" / name).read_bytes()
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(gzip.compress(content))
    packed, plain = (
        read_runs(tmp_path).runs,
        read_runs([GOLDEN / "plugin" / n for n in ("finetuning.log", "scores.json")]).runs,
    )
    assert [(run.run_id, run.cross_entropies, run.scores) for run in packed] == [
        (run.run_id, run.cross_entropies, run.scores) for run in plain
    ]


def test_importing_the_package_is_light() -> None:
    heavy = "numpy", "scipy", "pandas", "torch", "fairseq", "sacrebleu", "matplotlib", "rich"
    code = f"import sys, fairseq_scaling.logs; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
