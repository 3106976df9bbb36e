"""``scaling-convert``: T5, mT5 and ByT5 from Hugging Face to fairseq and back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ..errors import DataError
from .common import Group, shows_errors

_PACKAGES = {"fairseq": "ve-fairseq", "google": "protobuf"}
"""Modules that are in packages of another name."""
_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Convert T5, mT5 and ByT5 models between Hugging Face and fairseq, without loss.

    \b
    scaling-convert from-hf mt5-small --out mt5/mt5-small.pt      # then finetune it with fairseq-train
    scaling-convert to-hf finetuned/checkpoint_last.pt --out hf   # then open it with transformers
    """


@main.command("from-hf")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--out", required=True, type=_FILE, metavar="FILE.pt", help="The checkpoint to write.")
@click.option(
    "--sentencepiece",
    type=_FILE,
    metavar="FILE",
    help="Its SentencePiece model, where DIR has neither that nor tokenizer.json.",
)
@_overwrite
@shows_errors
def from_hf(folder: Path, out: Path, sentencepiece: Path | None, overwrite: bool) -> None:
    """Make a fairseq checkpoint of the model folder DIR: config.json, weights, spiece.model or tokenizer.json.

    The weights are model.safetensors or pytorch_model.bin, whole or in shards; of a pickle only data is read, never
    code. Weights that T5 does not use are left out and listed; the precision stays as it is.

    Beside the checkpoint it writes dict.txt and sentencepiece.model: encode text with these two, so that its numbers
    are the checkpoint's. Then finetune:

    \b
    scaling-convert from-hf mt5-small --out mt5/mt5-small.pt
    scaling-preprocess encode clean --model mt5/sentencepiece.model --dictionary mt5/dict.txt --out corpus
    fairseq-train corpus --user-dir fairseq_scaling --task scaling_translation -s en -t fr \\
        --finetune-from-model mt5/mt5-small.pt MODEL_FLAGS ...

    from-hf prints MODEL_FLAGS, which build the same model, and the same as the section model of a study.yaml. What
    the model was pretrained on is in no such file: docs/plugin.md says what follows. ByT5 needs no spiece.model: the
    bytes are its tokens.

    Exit codes: 0 done, 2 something to mend (the message says what).
    """
    from ..data.dictionary import DICTIONARY_FILE, SENTENCEPIECE_FILE

    done = _exchange().from_hf(folder, out, sentencepiece, overwrite)
    stored = ", ".join(f"{count} in {dtype}" for dtype, count in sorted(done.dtypes.items()))
    click.echo(f"{done.out}: {done.rows:,} symbols, {done.spare:,} of them without a token; weights: {stored}")
    if done.ignored:
        click.echo(f"Left out, as transformers leaves them out: {', '.join(done.ignored)}")
    for note in done.notes:
        click.echo(f"Note: {note}")
    click.echo(f"{out.parent / DICTIONARY_FILE}, {out.parent / SENTENCEPIECE_FILE}: for scaling-preprocess encode")
    click.echo(f"The same model in study.yaml: {_section(done.flags)}")
    click.echo(f"The same model in fairseq-train: {shlex.join(done.flags)}")


def _exchange() -> Any:
    """Return the module that converts.

    Raises:
        DataError: a package that it needs is not installed.
    """
    try:
        from ..exchange import convert
    except ModuleNotFoundError as error:
        module = str(error.name).partition(".")[0]
        if module == "fairseq_scaling":
            raise
        package = _PACKAGES.get(module, module)
        raise DataError(
            f"scaling-convert needs the package {package}, which is not installed\n"
            "  pip install '.[train,exchange]' in the project's folder"
        ) from None
    return convert


def _section(flags: list[str]) -> str:
    """Return flags of fairseq-train, each with its value, as the section ``model`` on one line of YAML."""
    import yaml

    settings = {
        flag.removeprefix("--"): yaml.safe_load(value) for flag, value in zip(flags[::2], flags[1::2], strict=True)
    }
    model = {"arch": settings.pop("arch"), "fairseq": settings}
    return yaml.safe_dump({"model": model}, default_flow_style=True, sort_keys=False, width=10_000).strip()[1:-1]


@main.command("to-hf")
@click.argument("checkpoint", metavar="FILE.pt", type=_FILE)
@click.option("--out", required=True, type=_FOLDER, metavar="DIR", help="The folder to write.")
@click.option(
    "--corpus",
    type=_FOLDER,
    metavar="DIR",
    help="Folder with the model's dict.txt and sentencepiece.model.  [default: that of FILE.pt if they are there, "
    "else the corpus it was trained on]",
)
@_overwrite
@shows_errors
def to_hf(checkpoint: Path, out: Path, corpus: Path | None, overwrite: bool) -> None:
    """Make a folder that transformers opens of a fairseq checkpoint.

    \b
    scaling-convert to-hf finetuned/checkpoint_last.pt --out hf
    python
    >>> from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    >>> tokenizer, model = (kind.from_pretrained("hf") for kind in (AutoTokenizer, AutoModelForSeq2SeqLM))
    >>> output = model.generate(**tokenizer(["A sentence."], return_tensors="pt"))
    >>> tokenizer.batch_decode(output, skip_special_tokens=True)

    generation_config.json holds fairseq-generate's own search (beam 5). The token ids are fairseq's; those of a model
    that began as a T5 or mT5 are again T5's own. A --source-prefix has to be put before the sentence by hand.

    Exit codes: 0 done, 2 something to mend (the message says what).
    """
    done = _exchange().to_hf(checkpoint, out, corpus, overwrite)
    click.echo(f"{done.out}: config.json, model.safetensors, generation_config.json, tokenizer.json, spiece.model")


if __name__ == "__main__":
    main()
