"""Where text comes from. A new source is one new file with a class of ``base.Source``, and one row of ``SOURCES``."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import click

from .base import Request, Source

__all__ = ["SOURCES", "Option", "Request", "Source", "open_source"]


class Option(NamedTuple):
    """An option of ``fetch`` that belongs to one source; its default gives its type where ``type`` does not."""

    name: str
    default: Any
    help: str
    metavar: str | None = None
    type: click.ParamType | None = None


class Row(NamedTuple):
    """A source: its module in this folder, its class, and its options."""

    module: str
    class_name: str
    options: tuple[Option, ...] = ()


SOURCES = {
    "debian": Row(
        "debian",
        "DebianSource",
        (
            Option("packages", "", "package list (JSON). Default: the quickstart's.", "FILE"),
            Option("kinds", "catalogues,help,manpages", "kinds of text."),
            Option("max-download", 150.0, "at most.", "MB"),
            Option("snapshot", "https://snapshot.debian.org", "for pinned packages no longer served; '' for none."),
            Option("write-packages", "", "write the packages that were read, pinned to their versions.", "FILE"),
        ),
    ),
    "files": Row("files", "FilesSource"),
    "wmt": Row("wmt", "WmtSource"),
    "mc4": Row(
        "mc4",
        "Mc4Source",
        (
            Option("mc4-documents", 100_000, "documents per language.", "N", click.IntRange(1)),
            Option("mc4-dataset", "allenai/c4", "name on the hub, or a local path."),
        ),
    ),
    "generated": Row(
        "generated",
        "GeneratedSource",
        (
            Option("generated-sentences", 100_000, "monolingual sentences per language.", "N", click.IntRange(1)),
            Option("generated-pairs", 20_000, "translated sentences per pair.", "N", click.IntRange(1)),
            Option(
                "generated-words",
                1000,
                "words of the lexicon, the same number in each language (there are no more word forms than 3000).",
                type=click.IntRange(100, 3000),
            ),
            Option("generated-seed", 1, "of lexicons and sentences."),
        ),
    ),
}


def open_source(name: str, request: Request) -> Source:
    """Return a source of the table. Its module is imported only now: some need packages that not everybody has."""
    row = SOURCES[name]
    source: type[Source] = getattr(import_module(f".{row.module}", __package__), row.class_name)
    return source(request)
