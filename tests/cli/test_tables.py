"""``fit-scaling`` on tables of other people: the flags, what is said and what is asked."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.cli.fit_scaling import EXIT_NOTHING_FITTED, main

BLEU = (5.2, 8.3, 10.9, 13.8, 16.1, 19.0, 22.2)


def table(tmp_path: Path, header: str, row: str, name: str = "scores.csv") -> Path:
    """Write a table of seven sizes; ``{d}`` is the size, ``{b}`` the BLEU, ``{i}`` the number of the row."""
    body = [row.format(d=10**6 * 2**i, b=bleu, i=i) for i, bleu in enumerate(BLEU)]
    path = tmp_path / name
    path.write_text("\n".join([header, *body]) + "\n")
    return path


def fit(tmp_path: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--out", str(tmp_path / "out"), "--no-report"]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def points(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "out" / "points.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_table_with_foreign_columns_is_fitted_and_says_what_it_took_for_what(tmp_path: Path) -> None:
    path = table(tmp_path, "model,Tokens,BLEU", "base,{d},{b}")
    result = fit(tmp_path, path)
    assert result.exit_code == 0, result.output
    assert f"Read {path}: pretraining tokens = Tokens, bleu = BLEU, curve = model\n" in result.output
    assert [float(row["value"]) for row in points(tmp_path)] == list(BLEU)
    assert {row["curve"] for row in points(tmp_path)} == {"base"}


def test_of_this_tools_own_table_nothing_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "curve,metric,pretrain_tokens,value", "c,bleu,{d},{b}")
    assert "Read " not in fit(tmp_path, path).output


def test_the_command_that_is_asked_for_works(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b", "{d},{b}")
    refused = fit(tmp_path, path)
    assert refused.exit_code == 2
    assert f"fit-scaling {shlex.quote(str(path))} --columns pretrain_tokens=a,bleu=b" in refused.output
    assert fit(tmp_path, path, "--columns", "pretrain_tokens=a,bleu=b").exit_code == 0


def test_columns_may_be_given_one_by_one_and_have_commas_in_their_names(tmp_path: Path) -> None:
    path = table(tmp_path, '"size, in tokens","acc,none"', "{d},0.{i}5")
    result = fit(tmp_path, path, "--columns", "pretrain_tokens=size, in tokens", "--columns", "accuracy=acc,none")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--columns", "tokens"], "--columns = tokens: is not NAME=VALUE"),
        (["--columns", "bleu=elsewhere"], "names elsewhere, which the table does not have"),
        (["--noise", "bleu=much"], "--noise = bleu=much: is not a number above zero"),
        (["--noise", "chrf=0.3"], "--noise = chrf: no point has it"),
        (["--scale", "cross_entropy=100"], "--scale = cross_entropy: has no perfect score"),
        (["--scale", "bleu=0"], "--scale = bleu=0: is not a number above zero"),
        (["--better", "latency=up"], "--better = latency=up: says no direction"),
    ],
)
def test_a_flag_that_cannot_be_is_named(tmp_path: Path, flags: list[str], said: str) -> None:
    result = fit(tmp_path, table(tmp_path, "tokens,bleu", "{d},{b}"), *flags)
    assert result.exit_code == 2
    assert said in result.output


def test_an_accuracy_in_per_cent_needs_its_scale(tmp_path: Path) -> None:
    path = table(tmp_path, "tokens,acc", "{d},{b}")
    refused = fit(tmp_path, path)
    assert refused.exit_code == EXIT_NOTHING_FITTED
    assert refused.output.count("--scale accuracy=100") == 1
    assert fit(tmp_path, path, "--scale", "acc=100").exit_code == 0


def test_the_noise_that_the_user_gives_is_used(tmp_path: Path) -> None:
    path = table(tmp_path, "tokens,bleu", "{d},{b}")
    assert fit(tmp_path, path, "--noise", "BLEU=0.05").exit_code == 0
    precise = (tmp_path / "out" / "fits.json").read_text()
    assert fit(tmp_path, path, "--noise", "BLEU=5").exit_code == 0
    noisy = (tmp_path / "out" / "fits.json").read_text()
    noises = [json.loads(text)["curves"][0]["forecast"]["noise"]["sd"]["value"] for text in (precise, noisy)]
    assert noises[1] > 10 * noises[0]


def test_a_metric_without_a_row_is_fitted_once_its_direction_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "curve,metric,pretrain_tokens,value", "c,latency,{d},{b}")
    refused = fit(tmp_path, path)
    assert refused.exit_code == 2
    assert "is not known: 7 lines; add the column lower_is_better, or --better latency=lower" in refused.output
    assert fit(tmp_path, path, "--better", "latency=lower").exit_code == 0


def test_tables_over_different_quantities_are_not_mixed(tmp_path: Path) -> None:
    one = table(tmp_path, "tokens,bleu", "{d},{b}")
    two = table(tmp_path, "step,bleu", "{d},{b}", "steps.csv")
    result = fit(tmp_path, one, two)
    assert result.exit_code == 2
    assert "steps.csv is over updates" in result.output


def test_a_table_that_holds_itself_twice_is_named_once(tmp_path: Path) -> None:
    path = table(tmp_path, "tokens,bleu", "{d},{b}")
    path.write_text(path.read_text() + "".join(path.read_text().splitlines(keepends=True)[1:]))
    result = fit(tmp_path, path)
    assert result.output.count("the table holds rows twice: 7 lines") == 1
    assert len(points(tmp_path)) == 7


@pytest.mark.parametrize(
    ("header", "row", "flags"),
    [
        ("step,bleu,stderr", "{d},{b},0.3", ()),
        ("tokens,acc", "{d},{b}", ("--scale", "acc=100")),
        ("finetune_tokens,params,bleu", "{d},25M,{b}", ("--x", "finetune_tokens")),
        ("params,bleu", "{d},{b}", ()),
        ("tokens,newstest2014_bleu,newstest2015_bleu", "{d},{b},{b}", ()),
    ],
)
def test_points_csv_is_read_back_as_the_same_points(
    tmp_path: Path, header: str, row: str, flags: tuple[str, ...]
) -> None:
    assert fit(tmp_path, table(tmp_path, header, row), *flags).exit_code == 0
    written = (tmp_path / "out" / "points.csv").read_text()
    copy = tmp_path / "copy.csv"
    copy.write_text(written)
    again = fit(tmp_path, copy)
    assert again.exit_code == 0, again.output
    assert "Read " not in again.output
    origin = written.splitlines()[0].split(",").index("origin")
    lines = [
        [line.split(",")[:origin] for line in text.splitlines()]
        for text in (written, (tmp_path / "out" / "points.csv").read_text())
    ]
    assert lines[0] == lines[1]


def test_over_another_quantity_the_terminal_and_the_files_speak_of_that(tmp_path: Path) -> None:
    path = table(tmp_path, "tokens,params,bleu", "5,{d},{b}")
    result = fit(tmp_path, path, "--x", "parameters")
    assert result.exit_code == 0, result.output
    assert "tokens" not in result.output.replace(
        f"Read {path}: parameters = params, bleu = bleu; not read: tokens", ""
    ).replace("columns that are not read: tokens", "")
    assert (tmp_path / "out" / "points.csv").read_text().startswith("curve,metric,parameters,value,")
