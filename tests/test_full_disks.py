"""A full or read-only disk: one message, exit code 2, the old result as it was, and nothing that looks finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import toy
from tests.disks import largest_file, mounted

Command = Callable[[Path, Path], Result]
CSV = "curve,metric,pretrain_tokens,value\n" + "".join(f"a,bleu,{10**n},{n + 10}.5\n" for n in range(5, 10))


def fit(folder: Path, out: Path) -> Result:
    from fairseq_scaling.cli.fit_scaling import main

    (folder / "scores.csv").write_text(CSV)
    return CliRunner().invoke(main, [str(folder / "scores.csv"), "--out", str(out)])


def convert(folder: Path, out: Path) -> Result:
    from fairseq_scaling.cli.convert import main
    from tests.exchange.samples import publish

    if not (folder / "model").exists():
        publish(folder / "model", "t5")
    return CliRunner().invoke(main, ["from-hf", str(folder / "model"), "--out", str(out / "model.pt")])


def convert_back(folder: Path, out: Path) -> Result:
    from fairseq_scaling.cli.convert import main

    if not (folder / "ours").exists():
        assert convert(folder, folder / "ours").exit_code == 0
    return CliRunner().invoke(main, ["to-hf", str(folder / "ours/model.pt"), "--out", str(out / "hf")])


def preprocess(step: str) -> Command:
    def run(folder: Path, out: Path) -> Result:
        from preprocess.__main__ import cli

        done = folder / "done"
        if not done.exists():
            toy.make_corpus(done, pairs=300, mono=500)
        arguments = {
            "clean": ["clean", done / "raw", "--valid", 9, "--test", 9, "--mono-valid", 9, "--workers", 1],
            "train-sentencepiece": ["train-sentencepiece", done / "clean", "--vocab-size", 70],
            "encode": ["encode", done / "clean", "--model", done / "sentencepiece.model", "--workers", 1],
        }[step]
        return CliRunner().invoke(cli, [*map(str, arguments), "--out", str(out / "result")])

    return run


CONVERTING = {"scaling-convert from-hf": convert, "scaling-convert to-hf": convert_back}  # in make test-torture
COMMANDS = {
    "fit-scaling": fit,
    **{f"scaling-preprocess {step}": preprocess(step) for step in ("clean", "train-sentencepiece", "encode")},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("Ünï cödé, with spaces")


def assert_told_without_room(name: str, run: Command, folder: Path, tmp_path: Path) -> None:
    whole = run(folder, tmp_path / "whole")  # also makes the inputs
    assert whole.exit_code == 0, whole.output
    sizes = sorted(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file())
    with largest_file(sizes[-1] - 1):
        refused = run(folder, tmp_path / "out")
    assert refused.exit_code == 2, refused.output
    assert "cannot be written" in refused.output
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    if name == "fit-scaling":  # its files are whole, each for itself
        left = [path for path in left if path.stat().st_size >= sizes[-1] or path.suffix in (".part", ".tmp")]
    elif name.endswith("sentencepiece"):
        left = [path for path in left if path.suffix != ".json"]
    assert left == []


def assert_told_where_nothing_may_be_written(run: Command, folder: Path, tmp_path: Path) -> None:
    assert run(folder, tmp_path / "first").exit_code == 0  # makes the inputs
    with mounted(tmp_path / "disk", "ro") as disk:
        refused = run(folder, disk / "out")
    assert refused.exit_code == 2, refused.output
    assert "Read-only file system" in refused.output


@pytest.mark.faults("a full disk", lost="the result that was being written; what was there stays")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_without_room_is_told_and_left_as_it_was(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_without_room(name, COMMANDS[name], folder, tmp_path)


@pytest.mark.faults("a read-only disk", lost="nothing")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk_is_told(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_where_nothing_may_be_written(COMMANDS[name], folder, tmp_path)
