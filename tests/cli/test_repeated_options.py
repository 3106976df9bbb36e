"""An option given twice: no value is dropped without a word."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.common import Command, Group

ROOTS = {
    "fit-scaling": ("fairseq_scaling.cli.fit_scaling", "main"),
    "score-translations": ("fairseq_scaling.cli.score_translations", "main"),
    "scaling-alignment": ("fairseq_scaling.cli.alignment", "main"),
    "scaling-convert": ("fairseq_scaling.cli.convert", "main"),
    "scaling-preprocess": ("preprocess.__main__", "main"),
    "scaling-study": ("fairseq_scaling.cli.study", "main"),
}


def commands(name: str) -> Iterator[tuple[list[str], click.Command]]:
    """Yield the command and all its subcommands, each with the words that call it."""
    module, attribute = ROOTS[name]
    root = getattr(importlib.import_module(module), attribute)
    yield [], root
    for word, command in getattr(root, "commands", {}).items():
        yield [word], command


@pytest.mark.parametrize("name", ROOTS)
def test_every_command_refuses_an_option_with_a_value_that_is_given_twice(name: str) -> None:
    module, attribute = ROOTS[name]
    root = getattr(importlib.import_module(module), attribute)
    tried = 0
    for argv, command in commands(name):
        for option in command.params:
            if not isinstance(option, click.Option) or option.is_flag or option.multiple or option.count:
                continue
            flag = max(option.opts, key=len)
            result = CliRunner().invoke(root, [*argv, *[flag, *["x"] * option.nargs] * 2])
            assert result.exit_code == 2, (argv, flag, result.output)
            assert f"{flag} is given 2 times: give it once" in result.output, result.output
            tried += 1
    assert tried


@click.command(cls=Command)
@click.option("--one", "-o")
@click.option("--many", "-m", multiple=True)
@click.option("--overwrite", is_flag=True)
@click.option("--colour/--no-colour", default=None)
def example(one: str, many: tuple[str, ...], overwrite: bool, colour: bool | None) -> None:
    click.echo(f"{one} {many} {overwrite} {colour}")


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--one", "a"], "a () False None"),
        (["-m", "a", "--many", "b"], "None ('a', 'b') False None"),
        (["--overwrite", "--overwrite"], "None () True None"),
        (["--one=a", "-o", "b"], "--one is given 2 times"),
        (["-oa", "-oa", "-oa"], "--one is given 3 times"),
        (["--colour", "--no-colour"], "--colour is given 2 times"),
    ],
)
def test_what_may_be_repeated_and_what_may_not(argv: list[str], shown: str) -> None:
    result = CliRunner().invoke(example, argv)
    assert shown in result.output
    assert result.exit_code == (2 if "times" in shown else 0)


def test_a_command_of_a_group_is_checked_too() -> None:
    @click.group(cls=Group)
    def group() -> None: ...

    @group.command()
    @click.option("--one")
    def inner(one: str) -> None: ...

    assert "--one is given 2 times" in CliRunner().invoke(group, ["inner", "--one", "a", "--one", "b"]).output
