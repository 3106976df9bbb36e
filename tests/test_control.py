"""The control: a study of generated languages, whose answer is built in."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study

ROOT = Path(__file__).parents[1]
CONTROL = ROOT / "examples/control"


def test_the_control_reads_generated_text_alone_and_its_finetuning_rate_falls_to_0_in_the_last_update() -> None:
    study = load_study(CONTROL)
    assert study.text is not None
    assert study.text.source == ["generated"]
    assert study.finetuning.fairseq["total-num-update"] == study.finetuning.updates
    jobs = make_plan(study).jobs
    trained = [job for job in jobs if job.stage == "finetune"]
    # The baseline has no pretraining, hence no pretraining seed.
    starts = len(study.pretraining.mixtures) * len(study.pretraining.budgets) * len(study.pretraining.seeds) + 1
    assert len(trained) == starts * len(study.finetuning.seeds)


def findings(reached: dict[str, float], rises: float, harmful: str) -> dict[str, Any]:
    """A fits.json as far as check.py reads it: mixtures that differ by at least 1 are told apart surely."""
    above = {"value": 2.0, "lower": 1.0, "upper": 3.0}
    forecast = {"shape": {"rises": rises}, "above_baseline": above}
    return {
        "curves": [
            {"name": f"{mixture} {metric}", "metric": metric, "setting": {"mixture": mixture}, "forecast": forecast,
             "advice": {"action": harmful if mixture == "gd:1" else "add data"}}
            for mixture in reached for metric in ("bleu", "chrf")
        ],
        "mixture_comparisons": [
            {"names": [f"{one} bleu", f"{two} bleu"],
             "probability": min(max(0.5 + 0.49 * (reached[one] - reached[two]), 0), 1)}
            for one, two in combinations(reached, 2)
        ],
    }  # fmt: skip


RIGHT = {"ga:0.5,gb:0.5": 9.0, "gc:1": 5.0, "gd:1": 3.0}


@pytest.mark.parametrize(
    ("reached", "rises", "harmful", "missed"),
    [
        (RIGHT, 0.99, "change the data", 0),
        (RIGHT, 0.99, "add data", 1),
        (RIGHT, 0.99, "run more points", 1),
        (RIGHT, 0.99, "stop", 1),
        (RIGHT, 0.9, "change the data", 1),  # BLEU does not surely improve
        ({**RIGHT, "gc:1": 8.8}, 0.99, "change the data", 1),  # ahead of gc, but not surely
        (dict(reversed(RIGHT.items())), 0.99, "change the data", 0),  # the order of the comparisons does not matter
    ],
)
def test_the_control_counts_as_found_what_the_tool_says_surely_and_nothing_else(
    reached: dict[str, float], rises: float, harmful: str, missed: int, tmp_path: Path
) -> None:
    (tmp_path / "fits.json").write_text(json.dumps(findings(reached, rises, harmful)))
    result = subprocess.run(
        [sys.executable, str(CONTROL / "check.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.stdout.count("| no |") == missed
    assert result.returncode == (1 if missed else 0), result.stderr
