"""``scaling-alignment``: how well mixtures fit translation tasks, measured on a corpus before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SettingError
from .common import Command, shows_errors

if TYPE_CHECKING:
    from ..data.overlap import Overlap

_WIDTH_WHEN_PIPED = 100


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("corpus", type=click.Path(path_type=Path), metavar="CORPUS")
@click.option("--task", "tasks", multiple=True, required=True, metavar="SRC-TGT", help="A task; may be repeated.")
@click.option(
    "--mixture", "mixtures", multiple=True, required=True, metavar="LANG:SHARE,...", help="A mixture; may be repeated."
)
@click.option(
    "--sample",
    metavar="TOKENS",
    help="Size of each mixture's sample.  [default: 1M, or less where a mixture has less text]",
)
@click.option(
    "--out", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.json", help="Where to write it."
)
@shows_errors
def main(corpus: Path, tasks: tuple[str, ...], mixtures: tuple[str, ...], sample: str | None, out: Path | None) -> None:
    """Measure how well pretraining mixtures are aligned with translation tasks, from their text alone.

    CORPUS is a folder written by scaling-preprocess encode. Nothing is trained. Only evenly spaced samples of the text
    are read, so a corpus of any size takes seconds.

    \b
    scaling-alignment corpus --task en-fr --mixture en:0.5,fr:0.5 --mixture de
    scaling-alignment corpus --task en-fr --task fr-en --mixture en --mixture fr --sample 4M
    scaling-alignment corpus --task en-fr --mixture en:0.5,fr:0.5 --mixture en --mixture de \\
        --out logs/alignment.json
    fit-scaling logs/      # shows these measures beside the gains from pretraining

    \b
    Columns
      A          the paper's score, P_src P_tgt + 0.7 P_src + 0.8 P_tgt, where P
                 is the language's share of the mixture; it ignores the text
      1-gram     the overlap of two distributions of SentencePiece pieces: that
                 of the mixture and that of one side of the task's training
                 pairs. 1: they are equal; 0: they have no piece in common
      n-gram     the share of that side's n-grams that occur in a sample of the
                 mixture. It grows with the sample: compare equal sizes only
      src, tgt   measured against the source or the target side
      both       the paper's formula with the measured src and tgt in place of
                 the shares: 0 to 2.5

    A is the paper's measure; the others are this project's. Whether they predict the gain from pretraining better than
    A is an open question: the report of fit-scaling shows them beside the measured gains.

    Exit codes: 0 done, 2 something to mend (the message says what).
    """
    from ..data.corpus import Corpus
    from ..data.overlap import measure_overlaps
    from ..mixture import Mixture
    from ..quantities import parse_tokens

    wanted_tasks = list(dict.fromkeys(_task(text) for text in tasks))
    wanted_mixtures = list(dict.fromkeys(Mixture.parse(text) for text in mixtures))
    size = None if sample is None else parse_tokens(sample, "--sample")
    if out is not None and not out.absolute().parent.is_dir():
        raise SettingError("--out", out, "there is no such folder", f"mkdir -p {out.parent}")
    opened = Corpus.open(corpus)
    overlaps = measure_overlaps(opened, wanted_mixtures, wanted_tasks, size)
    if out is not None:
        _write(overlaps, opened.fingerprint, out)
    _show(overlaps, out)


def _task(text: str) -> tuple[str, str]:
    source, dash, target = text.strip().partition("-")
    if not dash or not source or not target or source == target:
        raise SettingError("--task", text, "not two languages", "write source-target, for example en-fr")
    return source, target


def _write(overlaps: list[Overlap], fingerprint: str, out: Path) -> None:
    from ..alignment_file import Alignment, alignment_object
    from ..json_file import write_json

    size = overlaps[0].sample_tokens
    alignments = [
        Alignment(o.mixture, o.source_lang, o.target_lang, o.measures, fingerprint, size, o.task_tokens)
        for o in overlaps
    ]
    write_json(out, alignment_object(alignments, fingerprint, size))


def _show(overlaps: list[Overlap], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..quantities import format_tokens

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_WHEN_PIPED)
    first = overlaps[0]
    size = format_tokens(first.sample_tokens)
    console.print(f"scaling-alignment: samples of {size} tokens of each mixture", markup=False)
    for task in dict.fromkeys((overlap.source_lang, overlap.target_lang) for overlap in overlaps):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("\nMixture", overflow="fold")
        table.add_column("\nA", justify="right")
        for n in (1, *first.coverage):
            table.add_column(f"{n}-gram\nsrc", justify="right")
            table.add_column("\ntgt", justify="right")
            table.add_column("\nboth", justify="right")
        for overlap in overlaps:
            if (overlap.source_lang, overlap.target_lang) == task:
                paper, *others = overlap.measures.values()
                table.add_row(str(overlap.mixture), f"{paper:.3g}", *(f"{number:.2f}" for number in others))
        console.print()
        console.print(Text("-".join(task), style="bold"))
        console.print(table)
    if out is not None:
        console.print(f"\nwritten to {out}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
