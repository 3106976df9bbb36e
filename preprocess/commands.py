"""The commands, one per step. What they import they import when called, so that ``--help`` is quick."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairseq_scaling.cli._common import Command
from fairseq_scaling.errors import SettingError

if TYPE_CHECKING:
    from .sources import Source

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairseq_scaling"


def _overwrite(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--overwrite", is_flag=True, help="Replace a finished result.")(command)


def _cache(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--cache", type=_FOLDER, default=_default_cache, show_default="~/.cache/fairseq_scaling", help="For downloads."
    )(command)


def _workers(command: Callable[..., Any]) -> Callable[..., Any]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return click.option(
        "--workers", type=click.IntRange(1), default=count, show_default="number of cores", help="Processes."
    )(command)


@click.command(cls=Command)
@click.option(
    "--source",
    "source_names",
    multiple=True,
    default=["debian"],
    show_default=True,
    type=click.Choice(["debian", "files", "wmt", "mc4"]),
    help="Where the text comes from; may be given several times, their text is joined.",
)
@click.option("--languages", default="", metavar="L,L", help="Languages of the monolingual text: en,fr,de.")
@click.option("--pairs", default="", metavar="S-T,S-T", help="Language pairs: en-fr,en-de.")
@click.option("--out", required=True, type=_FOLDER, help="The raw folder to write.")
@_cache
@click.option("--packages", type=_FILE, help="debian: package list (JSON). Default: the quickstart's.")
@click.option("--kinds", default="catalogues,help,manpages", show_default=True, help="debian: kinds of text.")
@click.option("--max-download", type=float, default=150.0, show_default=True, metavar="MB", help="debian: at most.")
@click.option("--mono", multiple=True, metavar="L=FILE", help="files: monolingual text; wmt: L=mtdata name.")
@click.option("--pair", multiple=True, metavar="S-T=FILE,FILE", help="files: parallel text; wmt: S-T=mtdata name.")
@click.option(
    "--valid", multiple=True, metavar="S-T=FILE,FILE", help="files: given valid set; wmt: S-T=sacrebleu name."
)
@click.option("--test", multiple=True, metavar="S-T=FILE,FILE", help="files: given test set; wmt: S-T=sacrebleu name.")
@click.option("--mc4-documents", type=int, default=100_000, show_default=True, help="mc4: documents per language.")
@click.option("--mc4-dataset", default="allenai/c4", show_default=True, help="mc4: name on the hub, or a local path.")
@_workers
@_overwrite
def fetch(out: Path, languages: str, pairs: str, overwrite: bool, **options: Any) -> None:
    """Get raw text into one folder.

    \b
    From packages of this Debian or Ubuntu (no root needed):
      scaling-preprocess fetch --languages en,fr,de --pairs en-fr --out work/raw
    From your own files, one sentence a line (.gz too):
      scaling-preprocess fetch --source files --languages en,fr --pairs en-fr --out work/raw \\
        --mono en=news.en --mono fr=news.fr.gz --pair en-fr=train.en,train.fr --test en-fr=test.en,test.fr
    (--mono, --pair, --valid and --test may be given several times.)
    From WMT and mC4 (internet; needs mtdata and datasets):
      scaling-preprocess fetch --source wmt --source mc4 --languages en,de --pairs en-de --out work/raw \\
        --pair en-de=Statmt-news_commentary-16-deu-eng --valid en-de=wmt13 --test en-de=wmt14
    """
    from .fetch import fetch as run

    language_list, pair_list = _split(languages), _split(pairs)
    manifest = run(lambda: _open_sources(language_list, pair_list, options), language_list, pair_list, out, overwrite)
    rows = [(f"mono {language}", f"{count:,} lines") for language, count in manifest["languages"].items()]
    for pair, counts in manifest["pairs"].items():
        rows += [(f"{pair} {split}", f"{count:,} pairs") for split, count in counts.items()]
    for source in manifest["sources"]:
        for what in ("packages_unknown_to_this_release", "packages_not_downloaded", "packages_beyond_the_limit"):
            if names := source.get(what):
                some = ", ".join(names[:5]) + " ..." * (len(names) > 5)
                rows.append((what.replace("_", " "), f"{len(names)}: {some}"))
    _summary(f"{out}: raw text", rows)


@click.command(cls=Command)
@click.argument("raw", type=_FOLDER)
@click.option("--out", required=True, type=_FOLDER, help="The clean folder to write.")
@click.option("--min-words", default=1, show_default=True, help="Pairs: words on each side, at least.")
@click.option("--max-words", default=100, show_default=True, help="Pairs: words on each side, at most.")
@click.option("--mono-min-words", default=1, show_default=True, help="Monolingual lines: words, at least.")
@click.option("--mono-max-words", default=100, show_default=True, help="Monolingual lines: words, at most.")
@click.option("--max-ratio", default=2.5, show_default=True, help="Pairs: longer side by shorter side, in characters.")
@click.option("--max-placeholders", default=1, show_default=True, help="Pairs: %s, {name} and such on a side, at most.")
@click.option("--min-letters", default=0.7, show_default=True, help="Share of letters and spaces in a line, at least.")
@click.option("--simple-words", default=0, metavar="N", help="Pairs: only the N most frequent English words. 0: all.")
@click.option("--unique-sides", is_flag=True, help="Pairs: a sentence stands in one pair only, on either side.")
@click.option("--accelerators/--no-accelerators", default=True, help="Remove the _ and & of menu entries.")
@click.option("--language-check/--no-language-check", default=True, help="Drop lines in another of the languages.")
@click.option("--valid", default=1000, show_default=True, help="Pairs taken out as valid set, where none is given.")
@click.option("--test", default=1000, show_default=True, help="Pairs taken out as test set, where none is given.")
@click.option("--mono-valid", default=1000, show_default=True, help="Lines taken out per language as valid set.")
@click.option("--seed", default=1, show_default=True, help="Of the order, and of what is taken out.")
@_workers
@_overwrite
def clean(raw: Path, out: Path, workers: int, overwrite: bool, **options: Any) -> None:
    """Normalise, filter and split the text of the folder RAW.

    \b
    scaling-preprocess clean work/raw --out work/clean
    scaling-preprocess clean work/raw --out work/clean --min-words 2 --max-words 12 --simple-words 1500

    Nothing of a valid or test set stays in any training text. The table (also in clean.json) says what every rule
    removed.
    """
    from .clean import CleanSettings
    from .clean import clean as run
    from .filters import Limits

    limits = Limits(**{name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__})
    manifest = run(raw, out, CleanSettings(limits, **options), workers, overwrite)
    for name, counts in manifest["filters"].items():
        removed = sorted((reason for reason in counts if reason not in ("read", "train")), key=lambda r: -counts[r])
        _summary(f"{out}: {name}", [(reason, f"{counts[reason]:,}") for reason in ("read", *removed, "train")])


@click.command(cls=Command, name="train-sentencepiece")
@click.argument("clean_folder", metavar="CLEAN", type=_FOLDER)
@click.option("--out", required=True, type=_FILE, help="The model file to write.")
@click.option("--vocab-size", default=2000, show_default=True, help="Pieces over all languages.")
@click.option("--model-type", type=click.Choice(["unigram", "bpe"]), default="unigram", show_default=True)
@click.option("--character-coverage", default=0.9999, show_default=True, help="Share of characters that get a piece.")
@click.option("--sentences", default=200_000, show_default=True, help="Training sentences, equally many per language.")
@click.option("--threads", default=2, show_default=True, help="Threads; another number may give another model.")
@_overwrite
def train_sentencepiece(clean_folder: Path, out: Path, overwrite: bool, **options: Any) -> None:
    """Train one SentencePiece model over all languages of the folder CLEAN.

    \b
    scaling-preprocess train-sentencepiece work/clean --vocab-size 2000 --out work/sentencepiece.model
    """
    from .train_sentencepiece import SentencePieceSettings
    from .train_sentencepiece import train_sentencepiece as run

    described = run(clean_folder, out, SentencePieceSettings(**options), overwrite)
    rows = [(f"sentences {language}", f"{count:,}") for language, count in described["sentences"].items()]
    _summary(f"{out}: {options['vocab_size']:,} pieces", rows)


@click.command(cls=Command)
@click.argument("clean_folder", metavar="CLEAN", type=_FOLDER)
@click.option("--model", required=True, type=_FILE, help="SentencePiece model.")
@click.option("--dictionary", type=_FILE, help="Keep the numbers of this dict.txt: that of a converted checkpoint.")
@click.option("--out", required=True, type=_FOLDER, help="The corpus folder to write.")
@_workers
@_overwrite
def encode(clean_folder: Path, model: Path, dictionary: Path | None, out: Path, workers: int, overwrite: bool) -> None:
    """Encode the text of the folder CLEAN into a corpus folder that fairseq reads.

    \b
    scaling-preprocess encode work/clean --model work/sentencepiece.model --out work/corpus
    For a checkpoint that scaling-convert from-hf has written:
      scaling-preprocess encode work/clean --model mt5/sentencepiece.model --dictionary mt5/dict.txt --out work/corpus
    """
    from .encode import encode as run

    manifest = run(clean_folder, model, out, workers, overwrite, dictionary).manifest
    rows = []
    for language, splits in manifest["languages"].items():
        rows += [(f"{language} {split}", f"{size['tokens']:,} tokens") for split, size in splits.items()]
    for pair, splits in manifest["pairs"].items():
        for split, size in splits.items():
            tokens = " + ".join(f"{count:,} {language}" for language, count in size["tokens"].items())
            rows.append((f"{pair} {split}", f"{size['sentences']:,} pairs, {tokens} tokens"))
    rows.append(("vocabulary", f"{manifest['vocabulary']['size']:,}"))
    rows.append(("fingerprint", manifest["fingerprint"][:12]))
    _summary(f"{out}: corpus", rows)


@click.command(cls=Command, name="rank-packages", hidden=True)
@click.option("--languages", required=True, metavar="L,L", help="Languages of the study, English included.")
@click.option("--pairs", default="", metavar="S-T,S-T", help="Their short strings count more.")
@click.option("--out", required=True, type=_FILE, help="The package list to write (JSON).")
@click.option("--limit", type=float, default=148.0, show_default=True, metavar="MB", help="Size of the list.")
@click.option("--largest", type=float, default=2.0, show_default=True, metavar="MB", help="Largest package to try.")
@_cache
@_workers
def rank_packages(
    languages: str, pairs: str, out: Path, limit: float, largest: float, cache: Path, workers: int
) -> None:
    """Measure which Debian packages give the most text per megabyte, and write a package list.

    Downloads every package up to --largest that has text in the languages (1.2 GB for en,fr,de), and those up to
    eight times that whose name promises text.

    \b
    scaling-preprocess rank-packages --languages en,fr,de --pairs en-fr --out packages.json
    scaling-preprocess fetch --packages packages.json --languages en,fr,de --pairs en-fr --out work/raw
    """
    from .sources.rank import rank_packages as run

    sizes = int(limit * 1e6), int(largest * 1e6)
    ranking = run(_split(languages), _split(pairs), out, cache / "debian", *sizes, workers)
    rows = [(f"words {language}", f"{count:,}") for language, count in ranking["words"].items()]
    rows += [(f"short strings {pair}", f"{count:,}") for pair, count in ranking["short_pairs"].items()]
    _summary(f"{out}: {len(ranking['packages'])} packages, {ranking['bytes'] / 1e6:.1f} MB", rows)


def _open_sources(languages: Sequence[str], pairs: Sequence[str], options: dict[str, Any]) -> list[Source]:
    names = list(dict.fromkeys(options["source_names"]))
    if "files" in names and "wmt" in names:
        raise SettingError("--source", "files, wmt", "both read --mono and --pair: fetch them into two folders")
    mono, pair_texts = _assignments("--mono", options["mono"]), _assignments("--pair", options["pair"])
    held_out = {
        (pair, split): values[0]
        for split in ("valid", "test")
        for pair, values in _assignments(f"--{split}", options[split]).items()
    }
    for option, named in (("--pair", [*pair_texts]), ("--valid or --test", [pair for pair, _ in held_out])):
        if unknown := [pair for pair in named if pair not in pairs]:
            raise SettingError(option, unknown[0], f"is not among --pairs {','.join(pairs)}")
    if unknown := [language for language in mono if language not in languages]:
        raise SettingError("--mono", unknown[0], f"is not among --languages {','.join(languages)}")
    sources: list[Source] = []
    for name in names:
        if name == "files":
            from .sources.files import FilesSource

            sources.append(
                FilesSource(
                    {language: [Path(value) for value in values] for language, values in mono.items()},
                    {pair: [_two_files("--pair", value) for value in values] for pair, values in pair_texts.items()},
                    {key: _two_files(f"--{key[1]}", value) for key, value in held_out.items()},
                )
            )
        elif name == "wmt":
            from .sources.wmt import WmtSource

            sources.append(WmtSource(mono, pair_texts, held_out))
        elif name == "mc4":
            from .sources.mc4 import Mc4Source

            sources.append(Mc4Source(options["mc4_documents"], options["mc4_dataset"]))
        else:
            from .sources.debian import QUICKSTART_LIST, DebianSource

            wanted = dict.fromkeys([*languages, *(side for pair in pairs for side in pair.split("-"))])
            sources.append(
                DebianSource.from_list(
                    options["packages"] or QUICKSTART_LIST,
                    list(wanted),
                    options["cache"] / "debian",
                    _split(options["kinds"]),
                    int(options["max_download"] * 1e6),
                    options["workers"],
                )
            )
    return sources


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _assignments(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    """Return name -> values of options such as ``en=FILE``."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise SettingError(option, text, "has no value", f"for example: {option} en=FILE (see --help)")
        found.setdefault(name.strip(), []).append(value.strip())
    return found


def _two_files(option: str, text: str) -> tuple[Path, Path]:
    parts = text.split(",")
    pairs = [(Path(",".join(parts[:cut])), Path(",".join(parts[cut:]))) for cut in range(1, len(parts))]
    if len(pairs) > 1:  # a name with a comma in it: the files that are there tell where the other begins
        pairs = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    if len(pairs) != 1:
        raise SettingError(option, text, "must name two files", f"for example: {option} en-fr=train.en,train.fr")
    return pairs[0]


def _summary(title: str, rows: Sequence[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    click.echo(title)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
