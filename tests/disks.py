"""Disks that are full or read-only, the commands that write on them, and what they must leave there."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import toy

Command = Callable[[Path, Path], Result]
CSV = "curve,metric,pretrain_tokens,value\n" + "".join(f"a,bleu,{10**n},{n + 10}.5\n" for n in range(5, 10))


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let this process, and those it starts, write no file above ``size`` bytes: needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a disk in memory, for example with ``size=64k`` or ``ro``; skips the test where root is needed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
        from preprocess.__main__ import main as cli

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
