"""examples/own_logs: stock fairseq logs and a mapping are enough, and the README says what comes out."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.fit_scaling import main

EXAMPLE = Path(__file__).parents[2] / "examples/own_logs"
README = (EXAMPLE / "README.md").read_text("utf-8")


def test_the_command_of_the_readme_gives_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = re.search(r"^    fit-scaling (.+--out) report$", README, re.M)
    assert command is not None
    monkeypatch.chdir(EXAMPLE)
    out = tmp_path / "report"
    result = CliRunner().invoke(main, [*shlex.split(command[1]), str(out), "--no-report"])
    assert result.exit_code == 0, result.output
    with (out / "points.csv").open(newline="") as file:
        points = {(row["metric"], int(row["pretrain_tokens"])): float(row["value"]) for row in csv.DictReader(file)}
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$", README, re.M)
    assert len(rows) == 6
    for tokens, bleu, cross_entropy in rows:
        size = int(tokens.replace(",", ""))
        assert f"{points.pop(('bleu', size)):.2f}" == bleu
        assert f"{points.pop(('cross_entropy', size)):.3f}" == cross_entropy
    assert points == {}
    assert "Not decided yet" in result.output


def test_the_logs_are_those_of_stock_fairseq() -> None:
    for log in sorted(EXAMPLE.glob("logs/*/train.log")):
        assert "SCALING_RUN" not in log.read_text("utf-8")
