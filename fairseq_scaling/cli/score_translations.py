"""``score-translations``: fairseq-generate output and the raw reference text -> scores with signatures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DataError, SettingError
from ._common import Command, shows_errors

if TYPE_CHECKING:
    from ..scores.score_file import Score

_file = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("generated", type=_file)
@click.option("--reference", "-r", type=_file, help="Raw reference text, one sentence a line.")
@click.option("--source", "-s", type=_file, help="Raw source text; COMET needs it.")
@click.option(
    "--corpus", type=click.Path(path_type=Path), metavar="DIR", help="Take both from this corpus folder instead."
)
@click.option("--source-lang", metavar="LANG", help="With --corpus.")
@click.option("--target-lang", metavar="LANG", help="With --corpus.")
@click.option(
    "--metrics",
    "-m",
    default="bleu,chrf,ter",
    show_default=True,
    help="Of bleu, chrf, ter, rouge_l, comet; with commas.",
)
@click.option("--out", "-o", type=_file, metavar="FILE.json", help="Where to write the scores.")
@click.option(
    "--plain", is_flag=True, help="GENERATED is plain text, one translation a line, in the reference's order."
)
@click.option("--subset", help="What was translated.  [default: as the output says, else test]")
@click.option(
    "--run",
    "run_log",
    type=_file,
    metavar="LOG",
    help="Take the run's SCALING_RUN line from this log, if GENERATED has none.",
)
@click.option("--bleu-tokenizer", default="13a", show_default=True, help="sacrebleu's tokenizer for BLEU.")
@click.option("--comet-model", type=_file, metavar="MODEL.ckpt", help="A local COMET checkpoint.")
@shows_errors
def main(
    generated: Path,
    reference: Path | None,
    source: Path | None,
    corpus: Path | None,
    source_lang: str | None,
    target_lang: str | None,
    metrics: str,
    out: Path | None,
    plain: bool,
    subset: str | None,
    run_log: Path | None,
    bleu_tokenizer: str,
    comet_model: Path | None,
) -> None:
    """Score translations against the raw reference text.

    GENERATED is what fairseq-generate printed, or generate-test.txt of its --results-path. The sentences are put into
    their order, SentencePiece pieces joined, and every sentence must be there: call fairseq-generate with
    --required-batch-size-multiple 1.

    \b
    fairseq-generate corpus --path checkpoint_last.pt ... > test.out 2> test.log
    score-translations test.out --reference corpus/pairs/en-fr/test.fr.txt --out scores.json
    fit-scaling logs/                  # reads scores.json beside the logs

    The score is not the BLEU that fairseq-generate prints: that one depends on its flags. Here sacrebleu scores the
    detokenised text, and the signature says how; only scores with the same signature compare. fit-scaling knows the
    run by the SCALING_RUN line of GENERATED or else of --run; without it, a file of the same name that ends in .log
    (test.log beside test.out) is looked at. Without --out the scores are printed as one SCALING_SCORES line too.

    Exit codes: 0 done, 2 something to mend (the message says what).
    """
    from ..json_file import write_json
    from ..scores.generation import Generation, read_generation
    from ..scores.score_file import score_object
    from ..scores.scoring import METRICS, score_translations
    from ..scores.text import read_text

    wanted = list(dict.fromkeys(metric.strip() for metric in metrics.split(",") if metric.strip()))
    unknown = [metric for metric in wanted if metric not in METRICS]
    if unknown or not wanted:
        raise SettingError("--metrics", metrics, f"no such metric: {metrics}", f"choose from {', '.join(METRICS)}")
    if out is not None and not out.absolute().parent.is_dir():
        raise SettingError("--out", out, "there is no such folder", f"mkdir -p {out.parent}")
    if plain:
        generation = Generation(read_text(generated, "translation"), None, None, None, None, None, "plain")
    else:
        generation = read_generation(generated)
    subset = subset or generation.subset or "test"
    if corpus is not None:
        reference, source = _of_corpus(corpus, source_lang, target_lang, subset, reference, source)
    if reference is None:
        raise SettingError("--reference", "", "nothing to compare with", "give --reference FILE, or --corpus DIR")
    references = read_text(reference, "reference")
    _same_number(generated, len(generation.hypotheses), reference, len(references))
    sources = read_text(source, "source") if source is not None else None
    if source is not None and sources is not None:
        _same_number(generated, len(generation.hypotheses), source, len(sources))
    beside = generated.with_suffix(".log")
    run = generation.run
    if run is None and run_log is not None:
        run = _run_of(run_log)
    elif run is None and beside != generated and beside.is_file():
        run = _run_of(beside, needed=False)
    scores = score_translations(
        generation.hypotheses,
        references,
        wanted,
        sources=sources,
        bleu_tokenizer=bleu_tokenizer,
        comet_model=comet_model,
    )
    content = score_object(
        scores,
        subset,
        len(references),
        run,
        hypotheses=generated.name,
        reference=reference.name,
        checkpoint=generation.checkpoint,
    )
    if out is not None:
        write_json(out, content)
    _show(scores, content, out)


def _same_number(generated: Path, translations: int, other: Path, lines: int) -> None:
    if translations != lines:
        raise DataError(
            f"{generated} has {translations} translations, {other} has {lines} lines\n"
            "  give the raw text of the very set that was translated; fairseq-generate needs "
            "--required-batch-size-multiple 1 to translate every sentence"
        )


def _of_corpus(
    folder: Path,
    source_lang: str | None,
    target_lang: str | None,
    subset: str,
    reference: Path | None,
    source: Path | None,
) -> tuple[Path, Path]:
    """Return the raw reference and source text of a corpus folder, unless they were given."""
    from ..data.corpus import Corpus

    if not source_lang or not target_lang:
        raise SettingError("--corpus", folder, "of which pair?", "give --source-lang and --target-lang too")
    corpus = Corpus.open(folder)
    return (
        reference or corpus.reference(source_lang, target_lang, subset),
        source or corpus.source_text(source_lang, target_lang, subset),
    )


def _run_of(log: Path, needed: bool = True) -> dict[str, Any] | None:
    """Return the SCALING_RUN object of a log that holds one run."""
    from ..logs import read_runs

    found = [run for run in read_runs(log).runs if "run" in run.extra]
    if len(found) != 1:
        if not needed:
            return None
        raise DataError(
            f"{log}: holds {len(found)} runs with a SCALING_RUN line\n  name the log of the one run that this is"
        )
    run: dict[str, Any] = found[0].extra["run"]
    return run


def _show(scores: dict[str, Score], content: dict[str, Any], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("metric", "left"), ("score", "right"), ("signature", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for metric, score in scores.items():
        table.add_row(metric, f"{score.value:.2f}", score.signature)
    console = Console(highlight=False, width=None if _is_terminal() else 160)
    run = content["run_id"] or "unknown"
    heading = f"score-translations: {content['sentences']} sentences of {content['subset']}, run {run}"
    console.print(heading, markup=False)
    console.print(table)
    bleu = scores.get("bleu")
    if bleu is not None:
        precisions = " / ".join(f"{precision:.1f}" for precision in bleu.details["precisions"])
        lengths = f"{bleu.details['hypothesis_length']} / {bleu.details['reference_length']}"
        penalty = f"{bleu.details['brevity_penalty']:.3f}"
        console.print(f"n-gram precisions {precisions}, brevity penalty {penalty}, length {lengths}", markup=False)
    if out is not None:
        console.print(f"written to {out}", markup=False)
    else:
        click.echo(f"SCALING_SCORES {json.dumps(content, ensure_ascii=False)}")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


if __name__ == "__main__":
    main()
