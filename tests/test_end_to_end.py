"""A whole study with real training: text, pretraining, finetuning, translation, scores, laws, report."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import toy
from tests.toy_study import BLOCK, BUDGETS, CONSUMED, STUDY, scaling_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return the folder of study.yaml, in which ``out`` holds the finished study, and what its run printed."""
    folder = tmp_path_factory.mktemp("end-to-end")
    toy.write_files(folder / "text")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    here = ("--cores", "2", "--gpus", "none")
    return folder, scaling_study("run", folder / "study.yaml", "--out", folder / "out", *here)


def values(out: Path, metric: str) -> dict[int, float]:
    """Return pretrain_tokens -> value of a metric in the study's points.csv."""
    with (out / "results/points.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric]
    found = {int(row["pretrain_tokens"]): float(row["value"]) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.slow
def test_a_study_is_trained_translated_scored_and_fitted(
    study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, result = study
    out = folder / "out"
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"Report: {out}/results/report.html"
    assert "<html" in (out / "results/report.html").read_text("utf-8")
    # Its programs were forked: what fairseq prints when it is imported is in no log of a training.
    sign = "fairseq.tasks.text_to_speech"
    assert (out / "logs/fork-server.log").is_file()
    logs = list(out.rglob("train.log"))
    assert logs
    assert not any(sign in log.read_text("utf-8") for log in logs)
    curves = json.loads((out / "results/fits.json").read_text("utf-8"))["curves"]
    assert {"bleu", "chrf", "cross_entropy"} <= {curve["metric"] for curve in curves}


@pytest.mark.slow
def test_alignment_was_measured_on_the_corpus_and_stands_in_the_results(
    study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out = study[0] / "out"
    (entry,) = json.loads((out / "alignment.json").read_text("utf-8"))["alignments"]
    measures = entry["measures"]
    assert (entry["mixture"], entry["source_lang"], entry["target_lang"]) == ("aa:0.5,bb:0.5", "aa", "bb")
    # aa and bb share no syllable, and pairs and monolingual text come from one grammar: half of either side's pieces
    # are there, with which our unigrams in the paper's formula give the paper's score.
    assert measures["alignment"] == 1
    assert measures["unigram_source"] == pytest.approx(0.5, abs=0.03)
    assert measures["unigram_combined"] == pytest.approx(1, abs=0.05)
    document = json.loads((out / "results/fits.json").read_text("utf-8"))
    assert all(curve["overlap"]["measures"] == measures for curve in document["curves"])
    assert not [problem for problem in document["problems"] if "alignment" in problem["file"]]


@pytest.mark.slow
def test_the_points_stand_at_the_tokens_consumed_and_the_baseline_at_none(
    study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    for metric in ("bleu", "chrf", "cross_entropy"):
        assert sorted(values(study[0] / "out", metric)) == [0, *CONSUMED]


@pytest.mark.slow
def test_the_models_learn_to_translate(study: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Measured: chrF 80 to 88, 0.17 to 0.30 nats; other sentences of bb instead of translations have a chrF of 40."""
    assert min(values(study[0] / "out", "chrf").values()) > 60
    # Who knows bb's grammar but not the source needs 2 ln 12 + 2 (0.7 ln 6 + H(0.7)) + ln 8 = 10.8 nats for a sentence
    # of 9.9 tokens: 1.09 nats a token.
    assert max(values(study[0] / "out", "cross_entropy").values()) < 0.6


@pytest.mark.slow
def test_a_second_run_does_nothing(study: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = study
    before = times(folder / "out")
    again = scaling_study("run", folder / "study.yaml", "--out", folder / "out", "--cores", "2", "--gpus", "none")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0] == "toy: nothing to do."
    assert times(folder / "out") == before


def times(out: Path) -> dict[str, int]:
    """Return the modification time of every file a study has made; what it is to do is written at every start."""
    return {
        str(path.relative_to(out)): path.stat().st_mtime_ns
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and ".snakemake" not in path.parts
        and path.name not in ("plan.json", "study.yaml", "source.json", "lock")
    }


@pytest.mark.slow
def test_an_exported_archive_gives_the_same_points_and_fits_again_and_names_no_folder_of_this_machine(
    study: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = study[0] / "out"
    assert scaling_study("export", "--out", out, "--archive", tmp_path / "toy.tar.gz").returncode == 0
    shutil.unpack_archive(tmp_path / "toy.tar.gz", tmp_path)
    files = [path for path in (tmp_path / "toy").rglob("*") if path.is_file()]
    for path in files:
        for place in (study[0], toy.ROOT, sys.prefix):
            assert f"{place}/".encode() not in path.read_bytes(), path
    (line,) = [line for line in (tmp_path / "toy/README.txt").read_text().splitlines() if "fit-scaling" in line]
    words = line.partition("fit-scaling ")[2].split()
    again = subprocess.run(
        [sys.executable, "-m", "fairseq_scaling.cli.fit_scaling", *words, "--no-report"], cwd=tmp_path / "toy",
        env={**os.environ, "PYTHONPATH": str(toy.ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert again.returncode in (0, 3), again.stderr
    for name in ("points.csv", "predictions.csv"):
        assert (tmp_path / "toy/again" / name).read_text() == (out / "results" / name).read_text()


@pytest.mark.slow
def test_a_further_budget_goes_on_from_the_last_one_and_changes_none_of_the_others(
    study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = study
    out, further = folder / "out", 43_000
    before, bleu = times(out), values(out, "bleu")
    result = scaling_study(
        "run", folder / "study.yaml", "--out", out, "--cores", "2", "--gpus", "none",
        "--set", f"pretraining.budgets={[*BUDGETS, further]}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    after = values(out, "bleu")
    assert set(after) == {*bleu, further // BLOCK * BLOCK}
    assert {tokens: after[tokens] for tokens in bleu} == bleu
    now = times(out)
    trained = [name for name in before if name.startswith("finetuning/")]
    assert trained
    assert {name: now[name] for name in trained} == {name: before[name] for name in trained}
    log = (out / "pretraining/aa0.5-bb0.5/seed1/43k/train.log").read_text("utf-8")
    assert f"resuming after {CONSUMED[-1]} pretraining tokens" in log
