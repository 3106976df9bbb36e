"""A whole study of the toy languages, small enough to be trained in a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import toy

# T5's rule for blocks that fill an encoder of 64 positions with 15 % noise in spans of 3: of 70 tokens 10 are masked
# in 3 spans, which leaves 60 tokens, 3 sentinels and the end of the sentence.
BLOCK = 70
BUDGETS = (10_000, 20_000, 40_000)
CONSUMED = [budget // BLOCK * BLOCK for budget in BUDGETS]

STUDY: dict[str, Any] = {
    "name": "toy",
    "text": {
        "source": "files",
        "languages": list(toy.LANGUAGES),
        "pairs": ["aa-bb"],
        "fetch": {
            "mono": {language: f"text/mono.{language}.txt" for language in toy.LANGUAGES},
            "pair": {"aa-bb": ["text/pairs.aa.txt", "text/pairs.bb.txt"]},
        },
        "clean": {"valid": 50, "test": 50, "mono-valid": 100, "language-check": False, "workers": 1},
        "sentencepiece": {"vocab-size": 70},
        "encode": {"workers": 1},
    },
    "model": {
        "arch": "t5_tiny",
        "fairseq": {
            "encoder-layers": 1,
            "decoder-layers": 1,
            "d-model": 64,
            "d-ff": 128,
            "lr-scheduler": "fixed",
            "clip-norm": 1.0,
        },
    },
    "pretraining": {
        "mixtures": ["aa:0.5,bb:0.5"],
        "budgets": list(BUDGETS),
        "input_length": 64,
        "fairseq": {"lr": 0.01, "batch-size": 16},
    },
    "finetuning": {
        "tasks": ["aa-bb"],
        "finetune_tokens": ["10k"],
        "updates": 200,
        "fairseq": {"lr": 0.02, "max-tokens": 1000, "dropout": 0},
    },
    "translation": {"beam": 2},
}


def scaling_study(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SCALING_STUDY_PROGRAMS"}
    return subprocess.run(
        [sys.executable, "-m", "fairseq_scaling.cli.study", *map(str, words)],
        env={**environment, "PYTHONPATH": str(toy.ROOT)}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
