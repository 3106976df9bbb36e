"""Exit codes that scripts can rely on: 0 done, 2 yours to mend, 130 Ctrl-C; and every --help says them."""

from __future__ import annotations

import errno
import importlib
import re

import click
import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.common import shows_errors
from fairseq_scaling.errors import DataError

COMMANDS = {
    "fit-scaling": ("fairseq_scaling.cli.fit_scaling", "main", []),
    "score-translations": ("fairseq_scaling.cli.score_translations", "main", []),
    "scaling-alignment": ("fairseq_scaling.cli.alignment", "main", []),
    "scaling-convert from-hf": ("fairseq_scaling.cli.convert", "main", ["from-hf"]),
    "scaling-convert to-hf": ("fairseq_scaling.cli.convert", "main", ["to-hf"]),
    "scaling-preprocess": ("preprocess.__main__", "main", []),
    "scaling-study": ("fairseq_scaling.cli.study", "main", []),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_says_the_exit_codes(name: str) -> None:
    module, function, words = COMMANDS[name]
    shown = CliRunner().invoke(getattr(importlib.import_module(module), function), [*words, "--help"])
    assert shown.exit_code == 0
    assert re.search(r"Exit codes:\s+0 +\w", shown.output), shown.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_option_is_the_users(name: str) -> None:
    module, function, words = COMMANDS[name]
    refused = CliRunner().invoke(getattr(importlib.import_module(module), function), [*words, "--no-such-option"])
    assert refused.exit_code == 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (DataError("a.txt, line 3: spoilt"), 2, "Error: a.txt, line 3: spoilt\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "Error: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "Error: a/b: Permission denied\n"),
        (KeyboardInterrupt(), 130, "Error: stopped\n"),
    ],
)
@pytest.mark.parametrize("where", ["command", "step"])
def test_what_ends_a_command_decides_its_code(
    raised: BaseException, code: int, said: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    if where == "command":
        result = CliRunner().invoke(click.Command("any", callback=shows_errors(fail)), [])
    else:
        from preprocess.__main__ import main as cli

        monkeypatch.setattr("preprocess.fetch.fetch", fail)
        result = CliRunner().invoke(cli, ["fetch", "--source", "files", "--languages", "en", "--out", "raw"])
    assert (result.exit_code, result.stderr) == (code, said)


def test_a_bug_is_no_users_error() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    result = CliRunner().invoke(click.Command("any", callback=shows_errors(fail)), [])
    assert (result.exit_code, type(result.exception)) == (1, ZeroDivisionError)


@pytest.mark.parametrize("error", [False, True])
def test_a_character_that_the_output_cannot_show_is_replaced(error: bool) -> None:
    def show() -> None:
        if error:
            raise DataError("Zürich – −1")
        print("Zürich – −1")

    shown = CliRunner(charset="ascii").invoke(click.Command("any", callback=shows_errors(show)), [])
    assert shown.exit_code == (2 if error else 0)
    assert "rich" in shown.output
    if not error:
        assert shown.output == "Z?rich ? ?1\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_is_ascii(name: str) -> None:
    """click prints it before a command starts."""
    module, function, words = COMMANDS[name]
    shown = CliRunner().invoke(getattr(importlib.import_module(module), function), [*words, "--help"])
    assert shown.output.isascii()
