"""Alignment measured beforehand, beside what pretraining brought: joined, shown, and left out with a reason."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairseq_scaling.alignment_file import Alignment, alignment_object
from fairseq_scaling.cli.fit_scaling import main
from fairseq_scaling.json_file import write_json
from fairseq_scaling.logs import RunRecord
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.alignment import match
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.render.mixture_tables import alignment_table
from fairseq_scaling.report.render.tables import all_tables
from fairseq_scaling.report.results import Report
from fairseq_scaling.report.run_points import points_of_runs
from tests.report.example import SIZES, log_law, report_of, run

CORPUS = "0123456789abcdef"
# Mixture -> (factor of the law, unigram overlap with the source). The paper's A: 1, 0.8, 0.7, 0.
MIXTURES = {"en:0.5,fr:0.5": (1.2, 0.6), "fr": (1.5, 0.5), "en": (1.0, 0.8), "de": (0.5, 0.3)}


def measured(
    mixture: str,
    value: float = 0.5,
    corpus: str = CORPUS,
    sample_tokens: int = 1_000_000,
    file: str = "alignment.json",
    task: tuple[str, str] = ("en", "fr"),
) -> Alignment:
    parsed = Mixture.parse(mixture)
    measures = {"alignment": parsed.alignment(*task), "unigram_source": value, "coverage_3_target": value / 2}
    return Alignment(parsed, *task, measures, corpus, sample_tokens, (900, 900), file)


def runs_of(mixtures: dict[str, float], baseline: float | None = 2.0) -> list[RunRecord]:
    """Return runs whose BLEU is the paper's law times the mixture's factor."""
    extra = {"run": {"corpus": CORPUS[:12]}}
    runs = [run(size, factor * log_law(size), None, mixture=mixture, extra=extra)
            for mixture, factor in mixtures.items() for size in SIZES]  # fmt: skip
    return runs if baseline is None else [*runs, run(0, baseline, None, extra=extra)]


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(
        runs_of({mixture: factor for mixture, (factor, _) in MIXTURES.items()}),
        [measured(mixture, overlap) for mixture, (_, overlap) in MIXTURES.items()],
    )


def cells(report: Report) -> list[dict[str, str]]:
    table = alignment_table(report)
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows]


def test_what_was_measured_stands_beside_what_pretraining_brought(report: Report) -> None:
    rows = {row["Curve"]: row for row in cells(report)}
    assert list(rows) == ["50 en + 50 fr", "fr only", "en only", "de only"]
    french = rows["fr only"]
    assert (french["A"], french["Unigrams source"], french["3-grams target"]) == ("0.8", "0.50", "0.25")
    assert french["Difference"] == f"{1.5 * log_law(SIZES[-1]) - 2.0:+.2f}"
    # The points follow the law exactly; the forecast, which does not know that, smooths them by less than 3 %.
    gain = 1.5 * (log_law(SIZES[-1]) - log_law(SIZES[0]))
    assert float(french["Gain over the range"]) == pytest.approx(gain, rel=0.03)
    assert "a sample of 1M tokens" in alignment_table(report).note
    assert "not of the paper" in alignment_table(report).note


def test_without_measurements_the_papers_score_stands_alone() -> None:
    report = report_of(runs_of({"en:0.5,fr:0.5": 1.2, "fr": 1.1, "en": 1.0}), [])
    table = all_tables(report)["alignment"]
    assert [column.title for column in table.columns][:3] == ["Curve", "A", "Metric"]
    assert "Unigrams" not in table.note


def test_a_measurement_belongs_to_its_mixture_in_any_order_and_to_its_task_and_corpus() -> None:
    curves = collect(points_of_runs(runs_of({"en:0.5,fr:0.5": 1.0, "fr": 1.0})).points).curves
    names = {str(curve.first.mixture): curve.name for curve in curves}
    balanced = measured("fr:0.5,en:0.5")
    elsewhere = measured("fr", corpus="feed" * 4, file="elsewhere.json")
    matched, problems = match(curves, [measured("en:0.5,fr:0.5", task=("fr", "en")), elsewhere, balanced])
    assert matched == {names["en:0.5,fr:0.5"]: balanced}
    (problem,) = problems
    assert problem.file == "elsewhere.json"
    assert "measured in the corpus feedfeedfeed, its runs are of" in problem.message
    assert CORPUS[:12] in problem.message


def test_of_several_measurements_that_of_the_largest_sample_counts() -> None:
    curves = collect(points_of_runs(runs_of({"fr": 1.0})).points).curves
    small, large = measured("fr", sample_tokens=250_000, file="small.json"), measured("fr")
    assert match(curves, [small, large]) == match(curves, [large, small]) == ({curves[0].name: large}, [])


def test_a_file_that_fits_no_curve_is_named() -> None:
    curves = collect(points_of_runs(runs_of({"fr": 1.0})).points).curves
    _, (problem,) = match(curves, [measured("ro", file="ro.json")])
    assert problem.file == "ro.json"
    assert "no curve has" in problem.message


def test_fit_scaling_takes_the_file_from_among_its_inputs_and_writes_the_numbers(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with (logs / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["curve", "metric", "pretrain_tokens", "value", "mixture", "source_lang", "target_lang"])
        for mixture, (factor, _) in MIXTURES.items():
            writer.writerows(
                [mixture, "bleu", size, factor * log_law(size), mixture, "en", "fr"] for size in SIZES
            )  # fmt: skip
    alignments = [measured(mixture, overlap) for mixture, (_, overlap) in MIXTURES.items()]
    write_json(logs / "alignment.json", alignment_object(alignments, CORPUS, 1_000_000))
    for inputs in ([logs], [logs / "scores.csv", logs / "alignment.json"]):
        out = tmp_path / f"out{len(inputs)}"
        words = [*map(str, inputs), "--out", str(out), "--law", "log_law", "--no-report"]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert "alignment.json" not in result.output
        document = json.loads((out / "fits.json").read_text())
        assert not [problem for problem in document["problems"] if "alignment" in problem["file"]]
        overlaps = {curve["name"]: curve["overlap"] for curve in document["curves"]}
        assert overlaps["en"]["measures"]["unigram_source"] == 0.8
        assert overlaps["en"]["sample_tokens"] == 1_000_000


def test_nothing_of_the_report_imports_scipys_statistics() -> None:
    """They take longer to import than a study takes to fit."""
    code = "import sys, fairseq_scaling.report.analysis; print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
