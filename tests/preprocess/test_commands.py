"""The four commands, run as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.data.corpus import Corpus
from preprocess.__main__ import main
from tests.preprocess.samples import PretendedDebian, sentence


def run(*arguments: str | Path, folder: Path) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, [*map(str, arguments)])


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    pairs = [sentence(7 * number) for number in range(400)]
    for side, language in enumerate(("en", "fr")):
        write(tmp_path / f"train.{language}", [pair[side] for pair in pairs[20:]])
        write(tmp_path / f"test.{language}", [pair[side] for pair in pairs[:20]])
        write(tmp_path / f"news.{language}", [sentence(7 * number + 3)[side] for number in range(200)])
    return tmp_path


def test_from_own_files_to_a_corpus(texts: Path) -> None:
    steps = [
        "fetch --source files --languages en,fr --pairs en-fr --mono en=news.en --mono fr=news.fr "
        "--pair en-fr=train.en,train.fr --test en-fr=test.en,test.fr --out work/raw",
        "clean work/raw --valid 15 --mono-valid 10 --workers 1 --out work/clean",
        "train-sentencepiece work/clean --vocab-size 80 --threads 1 --out work/sentencepiece.model",
        "encode work/clean --model work/sentencepiece.model --workers 1 --out work/corpus",
    ]
    for step in steps:
        result = run(*step.split(), folder=texts)
        assert result.exit_code == 0, result.stderr
        assert "work/" in result.stdout  # a summary that names the result
    corpus = Corpus.open(texts / "work/corpus")
    sizes = {split: size["sentences"] for split, size in corpus.manifest["pairs"]["en-fr"].items()}
    assert sizes == {"train": 365, "valid": 15, "test": 20}
    assert corpus.reference("en", "fr").read_bytes() == (texts / "test.fr").read_bytes()
    # A second time each step refuses, names the option, and leaves the result alone.
    before = corpus.fingerprint
    for step in steps:
        result = run(*step.split(), folder=texts)
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: --out = work/")
        assert "--overwrite" in result.stderr
        assert "Traceback" not in result.stderr
    assert Corpus.open(texts / "work/corpus").fingerprint == before


def test_from_debian_packages_to_raw_text(debian: PretendedDebian, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps({"packages": [{"name": "tool-l10n"}, {"name": "gone-away"}]}))
    command = "fetch --languages en,fr --pairs en-fr --packages list.json --cache cache --workers 1 --out raw"
    result = run(*command.split(), folder=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "gone-away" in result.stdout
    assert sorted((tmp_path / "raw/mono.fr.txt").read_text().split("\n")) == [
        *("", "Deux.", "Fermer", "Un.", "_Ouvrir le fichier"),
    ]
    raw = json.loads((tmp_path / "raw/raw.json").read_text())
    assert raw["pairs"] == {"en-fr": {"parallel": 4}}
    assert raw["sources"][0]["packages"] == {"tool-l10n": "1:2.0-1"}
    assert set(raw["files"]) == {"mono.en.txt", "mono.fr.txt", "pairs.en-fr.en.txt", "pairs.en-fr.fr.txt"}


def test_downloads_go_beside_the_result_where_home_cannot_be_written(
    debian: PretendedDebian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.json").write_text(json.dumps({"packages": [{"name": "tool-l10n"}]}))
    monkeypatch.setenv("HOME", os.devnull)  # below which nobody can make a folder, not even root
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    result = run(
        *["fetch", "--languages", "fr", "--packages", "list.json", "--workers", "1", "--out", "work/raw"],
        folder=tmp_path,
    )
    assert result.exit_code == 0, result.stderr
    assert list((tmp_path / "work/downloads/debian/packages").glob("*.deb"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--languages = : no language and no pair"),
        ("--languages en/fr", "--languages = en/fr: is no language code"),
        ("--pairs en-en", "--pairs = en-en: is no language pair"),
        ("--pairs en-fr,fr-en", "--pairs = fr-en: is listed twice"),
        ("--pairs en-fr --pair en-fr=train.en", "--pair = train.en: must name two files"),
        ("--pairs en-fr --pair en-fr=train.en,train.fr,none", "--pair = train.en,train.fr,none: must name two files"),
        ("--pairs en-fr --pair en-de=a,b", "--pair = en-de: is not among --pairs en-fr"),
        ("--languages en --mono fr=news.fr", "--mono = fr: is not among --languages en"),
        ("--languages en --mono en", "--mono = en: has no value"),
        ("--languages en --mono en=none.txt", "file = none.txt: does not exist"),
        ("--languages en,fr --mono en=news.en", "no monolingual text in fr from: files"),
        (
            "--pairs en-fr --pair en-fr=train.en,train.fr --valid en-fr=none.en,none.fr",
            "file = none.en: does not exist",
        ),
        ("--languages en --source wmt --mono en=x", "files, wmt: both read --mono and --pair"),
    ],
)
def test_wrong_settings_of_fetch_are_named(texts: Path, arguments: str, message: str) -> None:
    result = run(*f"fetch --source files --out raw {arguments}".split(), folder=texts)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (texts / "raw").exists()


@pytest.mark.parametrize("option", ["--mono=en=news.en", "--pair=en-fr=a,b", "--valid=en-fr=a,b", "--test=en-fr=a,b"])
def test_text_that_no_source_reads_is_refused(option: str, tmp_path: Path) -> None:
    result = run("fetch", "--languages", "en", "--pairs", "en-fr", option, "--out", "raw", folder=tmp_path)
    assert result.exit_code == 2
    assert "the source debian does not read it\n  add --source files" in result.stderr


def test_text_of_several_sources_is_joined_and_each_part_keeps_its_rules(debian: PretendedDebian, texts: Path) -> None:
    write(texts / "list.json", [json.dumps({"packages": [{"name": "tool-l10n"}]})])
    command = "fetch --source debian --source files --languages en,fr --pairs en-fr --packages list.json --cache cache"
    command += " --mono en=news.en --pair en-fr=train.en,train.fr --workers 1 --out raw"
    result = run(*command.split(), folder=texts)
    assert result.exit_code == 0, result.stderr
    raw = json.loads((texts / "raw/raw.json").read_text())
    assert raw["parts"] == {"en": [[4, True], [200, False]], "fr": [[4, True]], "en-fr": [[4, True], [380, False]]}
    # The first part loses the mark of a key, and nothing else is touched.
    options = "--valid 5 --test 5 --mono-valid 1 --workers 1 --no-language-check --out clean"
    result = run("clean", "raw", *options.split(), folder=texts)
    assert result.exit_code == 0, result.stderr
    text = json.loads((texts / "clean/clean.json").read_text())["text"]
    assert text["normalise"] == "nfc"
    assert text["changed"]["mono en"] == text["changed"]["mono fr"] == {"accelerators": 1}


def test_uneven_files_are_an_error_and_leave_nothing(texts: Path) -> None:
    write(texts / "train.fr", ["Une phrase."])
    result = run(
        *["fetch", "--source", "files", "--pairs", "en-fr", "--pair", "en-fr=train.en,train.fr", "--out", "raw"],
        folder=texts,
    )
    assert result.exit_code == 2
    assert "train.en has more lines than train.fr, which ends after line 1" in result.stderr
    assert not (texts / "raw").exists()
    assert not (texts / "raw.part").exists()


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("fetch", "--generated-words", "5001"),
        ("clean", "--valid", "-1"),
        ("clean", "--max-ratio", "0.5"),
        ("train-sentencepiece", "--model-type", "word"),
    ],
)
def test_impossible_settings_name_the_option(command: str, option: str, value: str, tmp_path: Path) -> None:
    result = run(command, "--out", "out", option, value, folder=tmp_path)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize("command", ["fetch", "clean", "train-sentencepiece", "encode"])
def test_every_help_shows_an_example(command: str, tmp_path: Path) -> None:
    text = run(command, "--help", folder=tmp_path).output
    assert f"scaling-preprocess {command} " in text.split("Options:")[0].split("\n", 1)[1]
