"""The findings: the program that applies the rules of plan.md, on studies made up so that the answers are known."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fairseq_scaling.alignment_file import Alignment, alignment_object
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study

FOLDER = Path(__file__).parents[1] / "examples/findings"
BUDGETS = [62_500, 175_000, 500_000, 1_400_000, 4_000_000]
SIZES = {"en-fr": (25_000, 100_000, 400_000), "en-de": (100_000,)}
RISES = np.array([4.0, 5.0, 6.0, 7.0, 8.0])


@pytest.fixture(scope="module")
def findings() -> Iterator[Any]:
    """The program, with its neighbours ``beside`` and ``measured``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("findings")
        for name in ("findings", "beside", "measured"):
            del sys.modules[name]


def made_up(findings: Any, folder: Path, bleu: dict[tuple[str, str, int], Any], penalty: Any = 1.0) -> Any:
    """A study of three seeds: BLEU by (task, mixture, D_f), ``RISES`` where none is given; 3 without pretraining."""
    generator = np.random.default_rng(1)
    penalties = np.broadcast_to(penalty, len(BUDGETS))
    rows, runs, forgetting = [], [], []
    mixtures = ("en:0.5,fr:0.5", "de:0.5,en:0.5", "fr:1", "en:1", "de:1")
    for task, mixture in itertools.product(SIZES, mixtures):
        source, target = task.split("-")
        if (task, mixture) in (("en-fr", "de:0.5,en:0.5"), ("en-de", "en:0.5,fr:0.5")):
            continue
        for size, seed in itertools.product(SIZES[task], (1, 2, 3)):
            about = {"finetune_tokens": size, "seed": seed, "source_lang": source, "target_lang": target}
            curve = f"{task} {mixture} {size}"
            own = {**about, "curve": curve, "mixture": mixture, "pretrain_seed": seed}
            for metric, value in (("bleu", 3.0), ("cross_entropy", 3.2)):
                rows.append({**own, "metric": metric, "pretrain_tokens": 0, "value": value})
            for place, tokens in enumerate(BUDGETS):
                score = np.broadcast_to(bleu.get((task, mixture, size), RISES), 5)[place]
                score += generator.normal(0, 0.1)
                loss = 3 - 0.1 * place + generator.normal(0, 0.005)
                rows.append({**own, "metric": "bleu", "pretrain_tokens": tokens, "value": score})
                rows.append({**own, "metric": "cross_entropy", "pretrain_tokens": tokens, "value": loss})
                forgetting.append({"task": task, **own, "pretrain_tokens": tokens, "before": 2.0, "after": 5.0 + place})
                precision = 100 * np.exp(np.log(score / 100) - np.log(penalties[place]))
                shares = {language: str(share) for language, share in Mixture.parse(mixture).items()}
                runs.append(
                    {"run": {**about, "mixture": shares, "pretrain_tokens": tokens},
                     "scores": {"bleu": {"brevity_penalty": penalties[place], "precisions": [precision] * 4}}}
                )  # fmt: skip
    with (folder / "points.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, rows[0])
        table.writeheader()
        table.writerows(rows)
    pairs = [(Mixture.parse(mixture), *task.split("-")) for task in SIZES for mixture in mixtures]
    measured = [
        Alignment(mixture, *pair, {"alignment": mixture.alignment(*pair)}, "", 1, (1, 1)) for mixture, *pair in pairs
    ]
    (folder / "alignment.json").write_text(json.dumps(alignment_object(measured, "", 1)), "utf-8")
    for name, lines in (("runs", runs), ("forgetting", forgetting)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return findings.Study.read(folder, folder)


def outcomes(findings: Any, study: Any) -> dict[str, str]:
    rows = [row for finding in findings.FINDINGS for row in finding(study)]
    return {row.finding.split()[0].strip("."): row.outcome.value for row in rows}


def test_a_study_that_agrees_with_the_paper(findings: Any, tmp_path: Path) -> None:
    behind = RISES - 2
    study = made_up(findings, tmp_path, {
        ("en-fr", "en:0.5,fr:0.5", 25_000): RISES + 3,
        ("en-fr", "de:1", 25_000): RISES + 2,
        ("en-fr", "en:0.5,fr:0.5", 400_000): RISES - 1,
        ("en-fr", "de:1", 400_000): RISES - 2,
        ("en-fr", "de:1", 100_000): np.array([4.0, 6.0, 7.0, 5.0, 3.5]),
        ("en-fr", "en:1", 100_000): behind,
        ("en-de", "en:1", 100_000): behind,
    })  # fmt: skip
    found = outcomes(findings, study)
    assert found == dict.fromkeys(("1", "2a", "2b", "3a", "3b", "4", "5"), "confirmed") | {"4": found["4"]}
    assert found["4"] in ("confirmed", "open")


def test_a_study_that_does_not(findings: Any, tmp_path: Path) -> None:
    falls = np.array([8.0, 7.0, 6.0, 5.0, 4.0])
    study = made_up(findings, tmp_path, {
        ("en-fr", "en:0.5,fr:0.5", 100_000): falls,
        ("en-de", "de:0.5,en:0.5", 100_000): RISES + 5,
        ("en-fr", "fr:1", 100_000): RISES,
        ("en-fr", "en:1", 100_000): RISES + 3,
        ("en-de", "en:1", 100_000): RISES + 3,
        ("en-de", "fr:1", 100_000): falls,
        ("en-fr", "en:0.5,fr:0.5", 400_000): RISES + 4,
        ("en-fr", "de:1", 400_000): RISES + 4,
    }, penalty=RISES / 10)  # fmt: skip
    found = outcomes(findings, study)
    assert found == {"1": "refuted", "2a": "refuted", "2b": "refuted", "3a": "open", "3b": "refuted", "4": "refuted",
                     "5": "refuted"}  # fmt: skip


def test_with_a_point_missing_nothing_is_read_from_the_study(
    findings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_up(findings, tmp_path, {})
    assert study.incomplete() == []
    lines = (tmp_path / "points.csv").read_text("utf-8").splitlines()
    last = max(place for place, line in enumerate(lines) if "en-fr de:1 400000" in line and ",bleu,4000000," in line)
    (tmp_path / "points.csv").write_text("\n".join([*lines[:last], *lines[last + 1 :]]) + "\n", "utf-8")
    study = findings.Study.read(tmp_path, tmp_path)
    monkeypatch.setattr(findings.Study, "read", lambda: study)
    refused = CliRunner().invoke(findings.main, ["table"])
    assert refused.exit_code == 1
    assert refused.output.endswith("not there:\n  en-fr, de, D_f 400000, bleu\n")


def test_tables_figures_and_the_plan_agree_on_what_is_run(
    findings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_first = {("en-fr", "en:0.5,fr:0.5"): 4, ("en-fr", "fr:1"): 2, ("en-fr", "en:1"): 0, ("en-fr", "de:1"): -2}
    study = made_up(findings, tmp_path, {(*key, 100_000): RISES + more for key, more in best_first.items()})
    monkeypatch.setattr(findings.Study, "read", lambda: study)
    printed = CliRunner().invoke(findings.main, ["table"], catch_exceptions=False).output
    assert printed.count("confirmed |") + printed.count("refuted |") + printed.count("open |") == 7
    predicted, scores, ranks, gains, forgot, joint = printed.split(":\n\n")[1:]
    assert predicted.count("| 100k |") == 8
    assert scores.count("| en-fr |") == scores.count("| en-de |") == 4
    assert "| alignment | +1.0 |" in ranks
    assert "| de | 25k | 3.00 | +4.9" in gains
    assert "| en-de | de + en | 2.00, 5.00 | 2.00, 6.00 |" in forgot
    assert "E + A" in forgot.splitlines()[-1]
    assert joint.strip().count("\n") == 1  # nothing was fitted here
    drawn = list(findings.beside.draw_figures(study, tmp_path / "figures"))
    assert [file.stem[:9] for file in drawn] == ["finding-1", "findings-", "findings-", "finding-4", "finding-5"]
    settings = load_study(FOLDER)
    jobs = make_plan(settings).of_stage("finetune")
    starts = {"en-fr": 4 + 2 + 2, "en-de": 4}
    runs = sum(starts.values()) * len(BUDGETS) * 9 + 4 * 3
    assert len(jobs) == runs
    assert settings.pretraining.budgets == BUDGETS
