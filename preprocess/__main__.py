"""The command ``scaling-preprocess``."""

from __future__ import annotations

import click

from fairseq_scaling.cli.common import Group

from .commands import clean, encode, fetch, train_sentencepiece


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Make a corpus folder from text, step by step: fetch, clean, train-sentencepiece, encode.

    \b
    scaling-preprocess fetch --languages en,fr,de --pairs en-fr --out work/raw
    scaling-preprocess clean work/raw --out work/clean
    scaling-preprocess train-sentencepiece work/clean --out work/sentencepiece.model
    scaling-preprocess encode work/clean --model work/sentencepiece.model --out work/corpus

    Each step reads the folder of the one before and writes one of its own. A finished result is never overwritten
    unless --overwrite is given, and none that is unfinished looks finished.

    \b
    Exit codes: 0 done, 2 something to mend (the message says what), 130 stopped with Ctrl-C.
    """


for _command in (fetch, clean, train_sentencepiece, encode):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="scaling-preprocess")
