"""What every command shares: how an error looks, and which number a command ends with.

Exit codes: 0 done; 2 the user can mend it (a ``ScalingError``, a full or read-only disk, or a wrong option, which click
reports itself); 130 stopped with Ctrl-C; anything else, with a traceback, is a bug.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from ..errors import ScalingError

P = ParamSpec("P")
R = TypeVar("R")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command that refuses an option given twice; click alone would silently take the last value.

    Options declared with ``multiple=True`` may be repeated, and so may a flag such as ``--overwrite``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        options = [option for option in given if isinstance(option, click.Option)]
        for option in options:
            repeatable = option.multiple or option.count or (option.is_flag and not option.secondary_opts)
            if not repeatable and options.count(option) > 1:
                name = max(option.opts, key=len)
                raise click.UsageError(f"{name} is given {options.count(option)} times: give it once", ctx)
        return super().parse_args(ctx, args)


class Group(Command, click.Group):
    """A group whose commands are ``Command``."""

    command_class = Command


def shows_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Make a command print the user's errors without a traceback and leave with the project's exit codes.

    Stands directly above the function, below click's own decorators::

        @click.command(cls=Command)
        @click.option(...)
        @shows_errors
        def main(...) -> None:
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        _replace_unprintable_characters()
        try:
            return function(*args, **kwargs)
        except ScalingError as error:
            print_error(str(error))
            sys.exit(EXIT_USER_ERROR)
        except KeyboardInterrupt:
            print_error("stopped")
            sys.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The reader (``| head``) has left. Nothing may be written at exit either, so stdout goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:  # a full disk, a folder that may not be read, ...: no bug, whoever meets it
            name = f"{error.filename}: " if error.filename is not None else ""
            print_error(f"{name}{error.strerror or error}")
            sys.exit(EXIT_USER_ERROR)

    return wrapper


def _replace_unprintable_characters() -> None:
    """Print ``?`` for a character that the encoding of the output (a locale, PYTHONIOENCODING) does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def print_error(message: str) -> None:
    """Print a message to standard error, its first word in red on a terminal."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)
