"""The commands, one per step. What they import they import when called, so that ``--help`` is quick."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fairseq_scaling.cli.common import Command, shows_errors
from fairseq_scaling.errors import SettingError

from .settings import CleanSettings, Limits, SentencePieceSettings, options_of
from .sources import SOURCES, Request, Source, open_source

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _cache_for(out: Path, given: Path | None) -> Path:
    """Return where downloads are kept: as given, else the user's cache, else (HOME is read-only) beside ``out``."""
    if given is not None:
        return given
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    usual = Path(home) / "fairseq_scaling"
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        return out.absolute().with_name("downloads")
    return usual if os.access(usual, os.W_OK) else out.absolute().with_name("downloads")


def _overwrite(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--overwrite", is_flag=True, help="Replace a finished result.")(command)


def _workers(command: Callable[..., Any]) -> Callable[..., Any]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return click.option(
        "--workers", type=click.IntRange(1), default=count, show_default="number of cores", help="Processes."
    )(command)


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for source, row in reversed(SOURCES.items()):
        for option in reversed(row.options):
            command = click.option(
                f"--{option.name}",
                default=option.default,
                show_default=option.default != "",
                metavar=option.metavar,
                type=option.type,
                help=f"{source}: {option.help}",
            )(command)
    return command


@click.command(cls=Command)
@click.option(
    "--source",
    "source_names",
    multiple=True,
    default=["debian"],
    show_default=True,
    type=click.Choice(list(SOURCES)),
    help="Where the text comes from; may be given several times, their text is joined.",
)
@click.option("--languages", default="", metavar="L,L", help="Languages of the monolingual text: en,fr,de.")
@click.option("--pairs", default="", metavar="S-T,S-T", help="Language pairs: en-fr,en-de.")
@click.option("--out", required=True, type=_FOLDER, help="The raw folder to write.")
@click.option(
    "--cache",
    type=_FOLDER,
    show_default="~/.cache/fairseq_scaling; where that cannot be written, downloads beside --out",
    help="For downloads.",
)
@click.option("--mono", multiple=True, metavar="L=FILE", help="files: monolingual text; wmt: L=mtdata name.")
@click.option("--pair", multiple=True, metavar="S-T=FILE,FILE", help="files: parallel text; wmt: S-T=mtdata name.")
@click.option(
    "--valid", multiple=True, metavar="S-T=FILE,FILE", help="files: given valid set; wmt: S-T=sacrebleu name."
)
@click.option(
    "--test",
    multiple=True,
    metavar="S-T[:NAME]=FILE,FILE",
    help="files: given test set; wmt: S-T=sacrebleu name. Several for a pair become test, test1, test2, ...",
)
@_source_options
@_workers
@_overwrite
@shows_errors
def fetch(out: Path, languages: str, pairs: str, overwrite: bool, **options: Any) -> None:
    """Get raw text into one folder.

    \b
    From packages of this Debian or Ubuntu (no root needed):
      scaling-preprocess fetch --languages en,fr,de --pairs en-fr --out work/raw
    From your own files, one sentence a line (.gz too):
      scaling-preprocess fetch --source files --languages en,fr --pairs en-fr --out work/raw \\
        --mono en=news.en --mono fr=news.fr.gz --pair en-fr=train.en,train.fr \\
        --test en-fr:newstest2014=nt14.en,nt14.fr --test en-fr:newstest2015=nt15.en,nt15.fr
    (--mono, --pair, --valid and --test may be given several times.)
    From WMT and mC4 (internet; needs mtdata and datasets):
      scaling-preprocess fetch --source wmt --source mc4 --languages en,de --pairs en-de --out work/raw \\
        --pair en-de=Statmt-news_commentary-16-deu-eng --valid en-de=wmt13 --test en-de=wmt14
    Generated languages of known kinship (no network):
      scaling-preprocess fetch --source generated --languages ga,gb,gc,gd --pairs ga-gb --out work/raw
    """
    from .fetch import fetch as run
    from .remarks import PACKAGES_AT_FAULT, source_remarks

    options["cache"] = _cache_for(out, options["cache"])
    request, names = _request(_split(languages), _split(pairs), options)
    sources = list(dict.fromkeys(options["source_names"]))
    for option in ("mono", "pair", "valid", "test"):
        if options[option] and not {"files", "wmt"}.intersection(sources):
            problem = f"the source {', '.join(sources)} does not read it"
            raise SettingError(f"--{option}", options[option][0], problem, "add --source files (or wmt)")
    if "files" in sources and "wmt" in sources:
        raise SettingError("--source", "files, wmt", "both read --mono and --pair: fetch them into two folders")

    def open_sources() -> list[Source]:
        return [open_source(source, request) for source in sources]

    manifest = run(open_sources, request.languages, request.pairs, out, overwrite, names)
    rows = [(f"mono {language}", f"{count:,} lines") for language, count in manifest["languages"].items()]
    for pair, counts in manifest["pairs"].items():
        for split, count in counts.items():
            rows.append((_label(manifest, pair, split), f"{count:,} pairs"))
    for source in manifest["sources"]:
        for what in PACKAGES_AT_FAULT:
            if names_of := source.get(what):
                some = ", ".join(names_of[:5]) + " ..." * (len(names_of) > 5)
                rows.append((what.replace("_", " "), f"{len(names_of)}: {some}"))
    _summary(f"{out}: raw text", rows, source_remarks(manifest))


@click.command(cls=Command)
@click.argument("raw", type=_FOLDER)
@click.option("--out", required=True, type=_FOLDER, help="The clean folder to write.")
@options_of(CleanSettings, Limits)
@click.option(
    "--expected-text",
    default="",
    metavar="FINGERPRINT",
    help="That of the text of published results: where the text is another, this and encode say so.",
)
@_workers
@_overwrite
@shows_errors
def clean(raw: Path, out: Path, workers: int, overwrite: bool, expected_text: str, **options: Any) -> None:
    """Normalise, filter and split the text of the folder RAW.

    \b
    scaling-preprocess clean work/raw --out work/clean
    scaling-preprocess clean work/raw --out work/clean --normalise none --no-language-check
    scaling-preprocess clean work/raw --out work/clean --min-words 2 --max-words 12 --simple-words 1500

    No sentence of a valid or test set stays in any training text. The table (also in clean.json) shows what every rule
    removed and what every step of the normalisation changed.

    Words are separated by spaces; in scripts without spaces (Chinese, Japanese, Thai, ...) they are counted by
    characters. The ratio of lengths counts a Chinese character as three letters, a Korean syllable as two.
    """
    from .clean import clean as run
    from .remarks import text_remarks

    limits = Limits(**{name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__})
    manifest = run(raw, out, CleanSettings(limits, **options), workers, overwrite, expected_text)
    text = manifest["text"]
    for name, counts in manifest["filters"].items():
        removed = sorted((reason for reason in counts if reason not in ("read", "train")), key=lambda r: -counts[r])
        rows = [(reason, f"{counts[reason]:,}") for reason in ("read", *removed, "train")]
        rows += [(f"changed: {step}", f"{count:,}") for step, count in text["changed"][name].items()]
        _summary(f"{out}: {name}", rows)
    rows = [("normalise", text["normalise"]), ("text fingerprint", text["fingerprint"][:12])]
    for pair, splits in text["given"].items():
        for split, given in splits.items():
            for language, count in given["changed"].items():
                rows.append((f"{pair} {split} {language}: changed for the model", f"{count:,} of {given['lines']:,}"))
    _summary(f"{out}: text", rows, text_remarks(manifest))


@click.command(cls=Command, name="train-sentencepiece")
@click.argument("clean_folder", metavar="CLEAN", type=_FOLDER)
@click.option("--out", required=True, type=_FILE, help="The model file to write.")
@options_of(SentencePieceSettings)
@_overwrite
@shows_errors
def train_sentencepiece(clean_folder: Path, out: Path, overwrite: bool, **options: Any) -> None:
    """Train one SentencePiece model over all languages of the folder CLEAN.

    \b
    scaling-preprocess train-sentencepiece work/clean --vocab-size 2000 --out work/sentencepiece.model
    """
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
@shows_errors
def encode(clean_folder: Path, model: Path, dictionary: Path | None, out: Path, workers: int, overwrite: bool) -> None:
    """Encode the text of the folder CLEAN into a corpus folder that fairseq reads.

    \b
    scaling-preprocess encode work/clean --model work/sentencepiece.model --out work/corpus
    For a checkpoint that scaling-convert from-hf has written:
      scaling-preprocess encode work/clean --model mt5/sentencepiece.model --dictionary mt5/dict.txt --out work/corpus
    """
    from .encode import encode as run
    from .remarks import remarks

    manifest = run(clean_folder, model, out, workers, overwrite, dictionary).manifest
    rows = []
    for language, splits in manifest["languages"].items():
        rows += [(f"{language} {split}", f"{size['tokens']:,} tokens") for split, size in splits.items()]
    for pair, splits in manifest["pairs"].items():
        for split, size in splits.items():
            tokens = " + ".join(f"{count:,} {language}" for language, count in size["tokens"].items())
            rows.append((_label(manifest, pair, split), f"{size['sentences']:,} pairs, {tokens} tokens"))
    rows.append(("vocabulary", f"{manifest['vocabulary']['size']:,}"))
    rows.append(("normalise", manifest["text"]["normalise"]))
    rows.append(("text fingerprint", manifest["text"]["fingerprint"][:12]))
    rows.append(("fingerprint", manifest["fingerprint"][:12]))
    _summary(f"{out}: corpus", rows, remarks(manifest))


def _request(
    languages: Sequence[str], pairs: Sequence[str], options: dict[str, Any]
) -> tuple[Request, dict[tuple[str, str], str]]:
    """Return what the options of ``fetch`` ask for, and (pair, split) -> name of the test sets that were named."""
    mono, parallel = _assignments("--mono", options["mono"]), _assignments("--pair", options["pair"])
    given: dict[tuple[str, str], str] = {}
    names: dict[tuple[str, str], str] = {}
    for option in ("valid", "test"):
        for key, values in _assignments(f"--{option}", options[option]).items():
            pair, _, name = key.partition(":")
            for value in values:
                count = sum(known == pair and split.startswith(option) for known, split in given)
                if option == "valid" and (count or name):
                    raise SettingError("--valid", f"{key}={value}", "a pair has one valid set, and it has no name")
                split = f"{option}{count or ''}"
                given[pair, split] = value
                if name:
                    names[pair, split] = name
    for option, named in (("--pair", [*parallel]), ("--valid or --test", [pair for pair, _ in given])):
        if unknown := [pair for pair in named if pair not in pairs]:
            raise SettingError(option, unknown[0], f"is not among --pairs {','.join(pairs)}")
    if unknown := [language for language in mono if language not in languages]:
        raise SettingError("--mono", unknown[0], f"is not among --languages {','.join(languages)}")
    return Request(languages, pairs, mono, parallel, given, options), names


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


def _label(manifest: Mapping[str, Any], pair: str, split: str) -> str:
    """Return pair and split, and the name of a test set that was given one."""
    name = manifest["test_sets"].get(pair, {}).get(split)
    return f"{pair} {split}" + (f" ({name})" if name else "")


def _summary(title: str, rows: Sequence[tuple[str, str]], notes: Iterable[str] = ()) -> None:
    """Print rows as a table to standard output, notes to standard error."""
    from rich.console import Console
    from rich.table import Table

    click.echo(title)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for note in notes:
        click.echo(f"note: {note}", err=True)
