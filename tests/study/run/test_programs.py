"""Programs forked from a server that has imported fairseq behave as started ones."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from fairseq_scaling.study.run import programs
from tests import toy
from tests.tasks.runs import FINETUNING, ROOT

BIN = Path(sys.executable).parent
# A program of the server's names, which does what its arguments say.
TOY = """
import atexit, json, os, random, signal, sys

def main():
    action = sys.argv[1]
    if action == "show":
        held = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        print(json.dumps({"argv": sys.argv, "folder": os.getcwd(), "TOY": os.environ.get("TOY"), "held": held,
                          "input": sys.stdin.read(), "random": random.random(),
                          "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                          "imported": "fairseq" in sys.modules}))
    elif action == "raise":
        raise RuntimeError("the toy is broken")
    elif action == "kill":
        os.kill(int({"self": os.getpid(), "server": os.getppid()}[sys.argv[2]]), signal.SIGKILL)
        print("goes on", flush=True)
    elif action == "full":
        # What is left is written when the program ends.
        sys.stdout = open("/dev/full", "w")
        print("lost")
    elif action == "word":
        sys.exit("a word")
    else:
        atexit.register(print, "the end")
        return int(action)
"""


class Result(NamedTuple):
    code: int
    output: str
    errors: str


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of jobs with a server, where ``fairseq-generate`` is the toy."""
    path = tmp_path_factory.mktemp("toy")
    (path / "the_toy.py").write_text(TOY)
    (path / "toy-1.dist-info").mkdir()
    (path / "toy-1.dist-info/METADATA").write_text("Name: toy\nVersion: 1\n")
    (path / "toy-1.dist-info/entry_points.txt").write_text("[console_scripts]\nfairseq-generate = the_toy:main\n")
    with tempfile.TemporaryDirectory(prefix="test-") as sockets:
        yield {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            programs.SERVERS_VARIABLE: sockets,
        }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def run(*words: object, program: str = "fairseq-generate", locks: list[int] | None = None, **more: str) -> Result:
        with (tmp_path / "output").open("wb") as output, (tmp_path / "errors").open("wb") as errors:
            code = programs.run_program(
                [str(BIN / program), *map(str, words)], output, errors, tmp_path, {**environment, **more}, locks or []
            )
        return Result(code, (tmp_path / "output").read_text(), (tmp_path / "errors").read_text())

    return run


def test_a_forked_program_sees_what_a_started_one_sees(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("show", "a b", locks=[lock.fileno()], TOY="yes")
    assert (result.code, result.errors) == (0, "")
    seen = json.loads(result.output)
    assert seen["argv"] == [str(BIN / "fairseq-generate"), "show", "a b"]
    assert (seen["folder"], seen["TOY"], seen["input"]) == (str(tmp_path), "yes", "")
    assert str(tmp_path / "lock") in seen["held"]
    assert seen["imported"]
    assert seen["interrupt"]


def test_nothing_is_shared_between_programs(run: Run) -> None:
    first, second = (json.loads(run("show", TOY=toy).output) for toy in ("1", "2"))
    assert (first["TOY"], second["TOY"]) == ("1", "2")
    assert first["random"] != second["random"]


@pytest.mark.parametrize("code", [0, 3])
def test_exit_codes(run: Run, code: int) -> None:
    assert run(code) == (code, "the end\n", "")
    assert run("word") == (1, "", "a word\n")


def test_what_cannot_be_written_at_the_end_is_no_success(run: Run) -> None:
    result = run("full")
    assert result.code == 120  # Python's own for this
    assert "No space left" in result.errors


def test_an_error_ends_with_a_traceback_and_1(run: Run) -> None:
    result = run("raise")
    assert result.code == 1
    assert "Traceback" in result.errors
    assert "RuntimeError: the toy is broken" in result.errors


def test_a_killed_program_ends_with_its_signal(run: Run) -> None:
    result = run("kill", "self")
    assert result.code == -9


def test_a_program_whose_server_was_killed_counts_as_killed_and_is_not_started_again(run: Run) -> None:
    result = run("kill", "server")
    assert result.code == -9
    assert result.output.count("goes on") <= 1
    assert run(3).code == 3


def test_a_server_that_cannot_start_is_done_without(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('broken')\n")
    monkeypatch.setattr(programs, "_SERVER", broken)
    with tempfile.TemporaryDirectory() as sockets:
        result = run("--help", program="fairseq-train", **{programs.SERVERS_VARIABLE: sockets})
    assert result.code == 0
    assert "usage: fairseq-train" in result.output
    missing = run("--help", program="fairseq-train", **{programs.SERVERS_VARIABLE: str(tmp_path / "nowhere")})
    assert missing.code == 0
    assert missing.output.splitlines()[1:] == result.output.splitlines()[1:]


def test_other_programs_are_started(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "fairseq-generate"
    own.write_text("#!/bin/sh\necho my own\n")
    own.chmod(0o755)
    result = run("show", program=str(own))
    assert result.output == "my own\n"


def test_messages_and_codes_of_a_wrong_flag_are_the_same(run: Run) -> None:
    words = ["nowhere", "--arch", "none"]
    forked = run(*words, program="fairseq-train")
    started = run(*words, program="fairseq-train", **{programs.SERVERS_VARIABLE: ""})
    assert forked.code == started.code == 2
    message = "fairseq-train: error: argument --arch/-a: invalid choice: 'none'"
    assert all(result.errors.splitlines()[-1].startswith(message) for result in (forked, started))


def test_what_is_forked_prints_and_writes_what_it_does_when_started(run: Run, tmp_path: Path) -> None:
    corpus = toy.make_corpus(tmp_path / "toy")
    results, weights = [], []
    with tempfile.TemporaryDirectory(prefix="test-") as sockets:
        for servers in (sockets, ""):
            more = {"PYTHONPATH": str(ROOT), programs.SERVERS_VARIABLE: servers}
            models = tmp_path / "models"
            shared = ["--user-dir", ROOT / "fairseq_scaling"]
            trained = run(corpus, *FINETUNING, *shared, "--save-dir", models, program="fairseq-train", **more)
            assert trained.code == 0, trained.errors[-3000:]
            generated = run(
                corpus, *shared, "--task", "scaling_translation", "-s", "aa", "-t", "bb", "--beam", 2,
                "--path", models / "checkpoint_last.pt", "--num-workers", 0, "--max-len-b", 20, **more,
            )  # fmt: skip
            assert generated.code == 0, generated.errors[-3000:]
            assert "SCALING_RUN" in generated.errors
            results.append([said(text) for text in (trained.output, generated.output, generated.errors)])
            weights.append(torch.load(models / "checkpoint_last.pt", weights_only=True)["model"])
            shutil.rmtree(models)
    for forked, started in zip(*results, strict=True):
        assert forked
        for one, other in zip(forked, started, strict=True):
            assert one == other
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def said(text: str) -> list[str]:
    """Return what a log and translations say, without times, and without what is said while fairseq is imported."""
    times = re.compile(r'^[\d-]+ [\d:]+ | in [\d.]+ ?s.*|took [\d.]+ seconds|"[a-z_]*(wps|ups|wall)": "?[\d.]+"?')
    log = re.compile(r"(DEBUG|INFO|WARNING):|[\d-]+ [\d:]+ \||[STHDP]-\d|Generate")
    return [times.sub("", line) for line in text.splitlines() if log.match(line) and "text_to_speech" not in line]
