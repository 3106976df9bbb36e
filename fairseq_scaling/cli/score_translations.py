"""``score-translations``: fairseq-generate output and the raw reference text -> scores with signatures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DataError, SettingError
from ..scores.scoring import METRICS
from .common import Command, shows_errors

if TYPE_CHECKING:
    from ..scores.generation import Generation
    from ..scores.score_file import Score

_file = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("generated", type=_file)
@click.option(
    "--reference",
    "-r",
    "reference_files",
    type=_file,
    multiple=True,
    help="Raw reference text, one sentence a line. Repeat it for several references.",
)
@click.option("--source", "-s", type=_file, help="Raw source text; COMET needs it.")
@click.option(
    "--corpus", type=click.Path(path_type=Path), metavar="DIR", help="Take both from this corpus folder instead."
)
@click.option("--source-lang", metavar="LANG", help="With --corpus.")
@click.option(
    "--target-lang",
    metavar="LANG",
    help="Language of the reference: it decides how BLEU cuts text into words.  [default: as the output or run says]",
)
@click.option(
    "--metrics",
    "-m",
    default="bleu,chrf,ter",
    show_default=True,
    help=f"Of {', '.join(METRICS)}; with commas. rouge_l needs the package rouge-score, comet unbabel-comet.",
)
@click.option("--out", "-o", type=_file, metavar="FILE.json", help="Where to write the scores.")
@click.option(
    "--plain", is_flag=True, help="GENERATED is plain text, one translation a line, in the reference's order."
)
@click.option(
    "--join",
    type=click.Choice(["auto", "none", "sentencepiece", "subword_nmt", "wordpiece", "joiner"]),
    default="auto",
    show_default=True,
    help="Which subword pieces to join in the translations; auto finds out.",
)
@click.option("--subset", help="Name of the test set that was translated.  [default: as the output says, else test]")
@click.option(
    "--run",
    "run_log",
    type=_file,
    metavar="LOG",
    help="Take the run's SCALING_RUN line from this log, if GENERATED has none.",
)
@click.option(
    "--bleu-tokenizer",
    metavar="NAME",
    help="sacrebleu's tokenizer for BLEU.  [default: sacrebleu's own for --target-lang: zh, ja-mecab, ko-mecab, 13a]",
)
@click.option("--comet-model", type=_file, metavar="MODEL.ckpt", help="A local COMET checkpoint.")
@shows_errors
def main(
    generated: Path,
    reference_files: tuple[Path, ...],
    source: Path | None,
    corpus: Path | None,
    source_lang: str | None,
    target_lang: str | None,
    metrics: str,
    out: Path | None,
    plain: bool,
    join: str,
    subset: str | None,
    run_log: Path | None,
    bleu_tokenizer: str | None,
    comet_model: Path | None,
) -> None:
    """Score translations against the raw reference text.

    GENERATED is what fairseq-generate printed, or generate-test.txt of its --results-path. The sentences are put into
    their order, subword pieces joined, and every sentence must be there: call fairseq-generate with
    --required-batch-size-multiple 1.

    \b
    fairseq-generate corpus --path checkpoint_last.pt ... > test.out 2> test.log
    score-translations test.out --reference corpus/pairs/en-fr/test.fr.txt --target-lang fr --out scores.json
    fit-scaling logs/                  # reads scores.json beside the logs

    The score is not the BLEU that fairseq-generate prints: that one depends on its flags. Here sacrebleu scores the
    detokenised text, and the signature says how; only scores with the same signature compare. Beside each score
    stands the 95 % interval of sacrebleu's bootstrap (1,000 resamples of the sentences, fixed seed). fit-scaling
    recognises the run by the SCALING_RUN line of GENERATED or else of --run; without it, a file of the same name that
    ends in .log (test.log beside test.out) is read. Without --out the scores are printed as one SCALING_SCORES line
    too.

    Exit codes: 0 done, 2 something to mend (the message says what).
    """
    from ..json_file import write_json
    from ..scores.checks import check_scores
    from ..scores.score_file import score_object
    from ..scores.scoring import score_translations
    from ..scores.text import read_text

    wanted = list(dict.fromkeys(metric.strip() for metric in metrics.split(",") if metric.strip()))
    if not wanted or not set(wanted) <= set(METRICS):
        raise SettingError("--metrics", metrics, f"no such metric: {metrics}", f"choose from {', '.join(METRICS)}")
    if out is not None and not out.absolute().parent.is_dir():
        raise SettingError("--out", out, "there is no such folder", f"mkdir -p {out.parent}")
    generation = _read(generated, plain, join)
    subset = subset or generation.subset or "test"
    references, source, unseen = _texts(reference_files, source, corpus, source_lang, target_lang, subset)
    sources = read_text(source, "source") if source is not None else None
    for path, texts in [*references.items(), *([(source, sources)] if source and sources else [])]:
        _check_count(generated, len(generation.hypotheses), path, len(texts))
    run = generation.run or _run_beside(generated, run_log)
    target_lang = target_lang or _said(run, "target_lang") or generation.target_lang
    scores = score_translations(
        generation.hypotheses,
        list(references.values()),
        wanted,
        sources=sources,
        target_lang=target_lang,
        bleu_tokenizer=bleu_tokenizer,
        comet_model=comet_model,
    )
    problems = check_scores(
        scores,
        generation.hypotheses,
        {str(path): texts for path, texts in references.items()},
        file=str(generated),
        joined=generation.pieces,
        target_lang=target_lang,
        bleu_tokenizer=bleu_tokenizer,
        unseen=unseen,
    )
    content = score_object(
        scores,
        subset,
        list(references.values()),
        [path.name for path in references],
        run,
        target_lang=target_lang,
        hypotheses=generated.name,
        checkpoint=generation.checkpoint,
        problems=[{"kind": problem.kind.name.lower(), "message": problem.message} for problem in problems],
    )
    if out is not None:
        write_json(out, content)
    _show(scores, content, out)
    for problem in problems:
        click.echo(f"{click.style('Note:', fg='yellow', bold=True)} {problem}", err=True)


def _read(generated: Path, plain: bool, join: str) -> Generation:
    from ..scores.generation import Generation, read_generation
    from ..scores.pieces import join_found
    from ..scores.text import read_text

    if not plain:
        return read_generation(generated, join)
    hypotheses, pieces = join_found(read_text(generated, "translation"), join)
    return Generation(hypotheses, None, None, None, None, None, "plain", pieces)


def _texts(
    reference_files: Sequence[Path],
    source: Path | None,
    corpus: Path | None,
    source_lang: str | None,
    target_lang: str | None,
    subset: str,
) -> tuple[dict[Path, list[str]], Path | None, dict[str, Any] | None]:
    """Return the references by file, the source file, and what the corpus says of characters it never trains on."""
    from ..scores.pieces import find_pieces
    from ..scores.text import read_text

    unseen = None
    if corpus is not None:
        from ..data.corpus import Corpus

        if not source_lang or not target_lang:
            raise SettingError("--corpus", corpus, "of which pair?", "give --source-lang and --target-lang too")
        opened = Corpus.open(corpus)
        reference_files = reference_files or (opened.reference(source_lang, target_lang, subset),)
        source = source or opened.source_text(source_lang, target_lang, subset)
        pair = next(name for name in opened.pairs if set(name.split("-")) == {source_lang, target_lang})
        counted = opened.manifest.get("text", {}).get("unseen_characters", {})
        unseen = counted.get(pair, {}).get(subset, {}).get(target_lang)
    if not reference_files:
        raise SettingError(
            "--reference", "(not given)", "nothing to compare with", "give --reference FILE, or --corpus DIR"
        )
    references = {path: read_text(path, "reference") for path in reference_files}
    for path, texts in references.items():
        if kind := find_pieces(texts):
            raise DataError(
                f"{path}: the reference is in {kind.title} pieces\n  give the raw text, as it was before it was encoded"
            )
    return references, source, unseen


def _check_count(generated: Path, translations: int, other: Path, lines: int) -> None:
    if translations != lines:
        raise DataError(
            f"{generated} has {translations} translations, {other} has {lines} lines\n"
            "  give the raw text of the very set that was translated; fairseq-generate needs "
            "--required-batch-size-multiple 1 to translate every sentence"
        )


def _run_beside(generated: Path, run_log: Path | None) -> dict[str, Any] | None:
    """Return the run of the given log, else of the log beside the output if it holds one run."""
    if run_log is not None:
        return _run_of(run_log, needed=True)
    beside = generated.with_suffix(".log")
    return _run_of(beside, needed=False) if beside != generated and beside.is_file() else None


def _run_of(log: Path, needed: bool) -> dict[str, Any] | None:
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


def _said(run: dict[str, Any] | None, name: str) -> str | None:
    value = run.get(name) if run else None
    return value if isinstance(value, str) else None


def _show(scores: dict[str, Score], content: dict[str, Any], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("metric", "left"), ("score", "right"), ("95 % interval", "left"), ("signature", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for metric, score in scores.items():
        bounds = f"{score.interval.lower:.2f} to {score.interval.upper:.2f}" if score.interval else ""
        table.add_row(metric, f"{score.value:.2f}", bounds, score.signature)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
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
        return
    # The statistics of the sentences would make the line unreadable.
    shown = {
        metric: {name: value for name, value in entry.items() if name != "statistics"}
        for metric, entry in content["scores"].items()
    }
    click.echo(f"SCALING_SCORES {json.dumps(content | {'scores': shown}, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
