"""The benchmarks of laws run, on tiny settings, and say what they have not measured."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fairseq_scaling import laws
from tests.benchmarks.laws import table
from tests.benchmarks.laws.__main__ import main
from tests.benchmarks.laws.accuracy import residual_interval
from tests.benchmarks.laws.curves import load_curves, synthetic_curve
from tests.benchmarks.laws.forecasts import PARTS


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """A table of two sources with two curves each: nine budgets, the last two held out."""
    generator = np.random.default_rng(0)
    with open(tmp_path / "curves.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["domain", "curve", "seen_examples", "loss", "held_out", "metric"])
        for source in ("MT", "others"):
            for number in range(2):
                curve = synthetic_curve("log_law", 9, 0.005, generator)
                for i, (tokens, value) in enumerate(zip(curve.pretrain_tokens, curve.values, strict=True)):
                    writer.writerow([source, f"{source} {number}", tokens, value, int(i > 6), "bleu"])
    return tmp_path / "curves.csv"


@pytest.mark.parametrize("part", ["shared", "advice", "alarms", "separation", "worth"])
def test_every_part_prints_its_figures(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["forecasts", part, "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"== {part}: ")
    assert len(lines) > 2
    assert "nan" not in " ".join(lines)


def test_parts_that_take_long_are_offered_too() -> None:
    assert {"simulated", "speed"} < set(PARTS)


def test_held_out_ends_are_scored_by_source(curves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["real", str(curves)])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("MT (bleu)")
    assert second.startswith("others (bleu)")
    assert "curves 2" in first


def test_a_source_left_out_is_judged_by_a_prior_of_the_others(curves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["real", str(curves), "--leave-out"])
    printed = capsys.readouterr().out
    assert printed.count("prior of the other sources") == 2
    assert printed.count("log_gain (") == 2


def test_rows_that_need_curves_are_skipped_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table._extrapolation(None)
    assert "skipped" in capsys.readouterr().out
    assert [row.cells[-1] for row in rows] == ["not measured"] * 3


def test_curves_of_translation_systems_are_compared_with_the_best_single_law(curves: Path) -> None:
    (domain, first), *_ = load_curves(curves)
    assert (domain, first.metric, first.lower_is_better, int(first.held_out.sum())) == ("MT", "bleu", False, 2)
    row, _ = table._extrapolation(curves)
    assert row.goal == "the best single law"
    assert row.reached is not None
    assert 0 < float(row.measured) < 0.05


def test_coverage_is_counted_for_the_intervals_of_the_package_and_for_the_bootstraps() -> None:
    row = table._coverage(repeats=2, peer_repeats=1)
    assert row.goal == "93 to 97 %"
    assert "2 curves" in row.cells[0]
    assert any("residual bootstrap" in cell and "case bootstrap" in cell for cell in row.cells)


def test_a_residual_bootstrap_promises_more_than_the_intervals_of_the_package() -> None:
    """With five budgets three coefficients leave residuals that are far too small."""
    generator = np.random.default_rng(3)
    fits = laws.fit_many([synthetic_curve("log_law", 5, 0.01, generator) for _ in range(8)], "log_law")
    target = np.array([4e11])
    theirs = [np.diff(residual_interval(fit, target, 0))[0] for fit in fits]
    ours = [float(np.squeeze(p.upper - p.lower)) for p in (fit.predict(target) for fit in fits)]
    assert np.median(theirs) < 0.5 * np.median(ours)
