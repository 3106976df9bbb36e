"""What languages are worth, and mixtures that nobody has trained, as a user of ``fit-scaling`` gets them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.cli.fit_scaling import main
from tests.laws.worths import MIXTURES, TOKENS, WORTHS, truth

UNTRIED = {"de": 0.3, "fr": 0.7}


def written(mixture: Mapping[str, float]) -> str:
    return ",".join(f"{language}:{share:g}" for language, share in mixture.items())


def fit(folder: Path, mixtures: Sequence[Mapping[str, float]], *options: str, task: bool = True) -> Result:
    """Fit curves of BLEU with three pretraining runs for each mixture, whose truth is known."""
    generator = np.random.default_rng(4)
    table = folder / "scores.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["curve", "metric", "pretrain_tokens", "value", "pretrain_seed", "seed", "mixture"]
                        + ["source_lang", "target_lang"] * task)  # fmt: skip
        for mixture in mixtures:
            for tokens in TOKENS:
                for seed in (1, 2, 3):
                    value = truth(tokens, mixture) + 0.2 * generator.standard_normal()
                    name = f"mixture {written(mixture)}"
                    row = [name, "bleu", f"{tokens:.0f}", f"{value:.3f}", seed, seed, written(mixture)]
                    writer.writerow(row + ["en", "fr"] * task)
    arguments = [str(table), "--out", str(folder / "out"), "--law", "linear_log", *options]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("untried")
    return folder / "out", fit(folder, MIXTURES, "--untried", "fr:0.7, de:0.3", "--untried", "ja")


def test_the_forecast_of_an_untried_mixture_holds_its_truth(done: tuple[Path, Result]) -> None:
    out, result = done
    assert result.exit_code == 0, result.output
    (worth,) = json.loads((out / "fits.json").read_text("utf-8"))["language_worths"]
    assert worth["best"] == "fr"
    for language, true in WORTHS.items():
        assert worth["worth"][language]["lower"] <= true / WORTHS["fr"] <= worth["worth"][language]["upper"]
    one = worth["untried"][0]
    ahead = one["ahead"]
    largest = float(TOKENS[-1])
    assert ahead["pretrain_tokens"] == [largest, 2 * largest, 4 * largest]
    for tokens, lower, upper in zip(ahead["pretrain_tokens"], ahead["lower"], ahead["upper"], strict=True):
        assert lower <= truth(tokens, UNTRIED) <= upper
        assert upper - lower < 10
    assert one["rival"] == "mixture fr:1"
    assert one["chance"] < 0.4  # French alone is better: its tokens are worth most


def test_page_and_terminal_say_it(done: tuple[Path, Result]) -> None:
    out, result = done
    said = " ".join(result.output.split())
    assert "For BLEU one token of de helps as much as 0." in said
    assert "Untried mixture 30 de + 70 fr: BLEU " in said
    assert "Untried mixture ja only: no forecast. Language 'ja': no mixture of the study holds it" in said
    page = (out / "report.html").read_text("utf-8")
    for text in (
        "For BLEU one token of de helps as much as 0.",
        "Untried mixture 30 de + 70 fr: BLEU ",
        "1 table from",
    ):
        assert text in page


def test_too_few_mixtures_are_refused_with_the_reason(tmp_path: Path) -> None:
    result = fit(tmp_path, MIXTURES[:2], "--untried", "fr:0.7,en:0.3", "--no-report")
    assert result.exit_code == 0
    assert "no forecast. The worth of languages: 2 mixtures of one task; it needs at least 3." in result.output


def test_without_a_wish_two_mixtures_are_compared_and_nothing_is_said_of_languages(tmp_path: Path) -> None:
    result = fit(tmp_path, MIXTURES[:2], "--no-report")
    assert "ahead of" in result.output
    assert "worth of languages" not in result.output
    assert json.loads((tmp_path / "out" / "fits.json").read_text("utf-8"))["language_worths"] == []


def test_a_malformed_mixture_and_a_table_without_mixtures_are_errors(tmp_path: Path) -> None:
    result = fit(tmp_path, MIXTURES[:2], "--untried", "fr:0.7,en:0.7")
    assert result.exit_code == 2
    assert "sum to 1.4" in result.output
    table = tmp_path / "plain.csv"
    table.write_text("tokens,bleu\n" + "".join(f"{2**i}M,{10 + i}\n" for i in range(5)), "utf-8")
    result = CliRunner().invoke(main, [str(table), "--out", str(tmp_path / "out"), "--untried", "fr"])
    assert result.exit_code == 2
    assert "names its mixture" in result.output


def test_a_table_that_names_no_languages_is_taken_for_one_task(tmp_path: Path) -> None:
    assert "ahead of" in fit(tmp_path, MIXTURES[:2], "--no-report", task=False).output
