"""Translation with beam 4: fairseq-generate with this project's T5 against transformers with the same weights.

    python tests/benchmarks/translation.py [--arch t5_tiny] [--sentences 200] [--updates 1000] [--rounds 3]

A model is trained for some minutes on made-up text (text.py), so that it ends its sentences, and is converted with
scaling-convert. Both translate the same sentences in the same batches. Times are of the search alone, of the processor,
on one thread, the best of the rounds; that the translations agree is counted token by token.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.benchmarks.peers import EOS, PAD
from tests.benchmarks.text import ROOT, clean_folder, preprocess, run

BEAM, BATCH, LONGEST = 4, 32, 100
Search = Callable[[dict[str, Any]], list[list[int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="t5_tiny", help="architecture (default t5_tiny)")
    parser.add_argument("--sentences", type=int, default=200, help="sentences to translate (default 200)")
    parser.add_argument("--updates", type=int, default=1000, help="updates of the model's training (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each translates (default 3)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        checkpoint = trained(Path(name), options)
        ours, batches = fairseq_search(checkpoint)
        theirs = transformers_search(checkpoint, Path(name) / "hf")
        seconds, translations = {"ours": float("inf"), "theirs": float("inf")}, {}
        for _ in range(options.rounds):
            for who, search in (("ours", ours), ("theirs", theirs)):
                start = time.process_time()
                translations[who] = [tokens for batch in batches for tokens in search(batch)]
                seconds[who] = min(seconds[who], time.process_time() - start)

    tokens = {who: sum(map(len, found)) for who, found in translations.items()}
    table = Table(title=f"{options.arch}, beam {BEAM}, batches of {BATCH}")
    for heading in ("", "processor time", "tokens/s", "times as fast as transformers"):
        table.add_column(heading, justify="left" if not heading else "right")
    for who, label in (("ours", "fairseq-generate's search, this project's T5"), ("theirs", "transformers' generate")):
        rate = f"{tokens[who] / seconds[who]:,.0f}"
        table.add_row(label, f"{seconds[who]:.2f} s", rate, f"{seconds['theirs'] / seconds[who]:.2f}")
    same = sum(one == other for one, other in zip(translations["ours"], translations["theirs"], strict=True))
    mean = tokens["ours"] / len(translations["ours"])
    Console(width=120).print(
        table, f"{same} of {len(translations['ours'])} translations are the same, of {mean:.1f} tokens on average"
    )


def trained(folder: Path, options: argparse.Namespace) -> Path:
    """Train a model on made-up pairs with fairseq-train and return its checkpoint."""
    clean, model = clean_folder(folder, mono=2000, pairs=20_000, test=options.sentences, vocabulary=4000)
    preprocess("encode", clean, "--model", model, "--workers", 1, "--out", folder / "corpus")
    run([
        str(Path(sys.executable).parent / "fairseq-train"), str(folder / "corpus"),
        "--user-dir", str(ROOT / "fairseq_scaling"), "--task", "scaling_translation", "-s", "aa", "-t", "bb",
        "--arch", options.arch, "--criterion", "t5_cross_entropy", "--optimizer", "t5_adafactor", "--lr", "0.02",
        "--lr-scheduler", "fixed", "--max-tokens", "1500", "--max-update", str(options.updates), "--num-workers", "0",
        "--disable-validation", "--no-epoch-checkpoints", "--save-dir", str(folder / "model"),
    ])  # fmt: skip
    return folder / "model" / "checkpoint_last.pt"


def fairseq_search(checkpoint: Path) -> tuple[Search, list[dict[str, Any]]]:
    """Return what fairseq-generate does with a batch, and the batches of the test set."""
    from fairseq import checkpoint_utils, utils
    from fairseq.dataclass.configs import GenerationConfig

    utils.import_user_module(argparse.Namespace(user_dir=str(ROOT / "fairseq_scaling")))
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)])
    for model in models:
        model.eval()
        model.prepare_for_inference_(argparse.Namespace(generation=argparse.Namespace()))
    task.load_dataset("test")
    batches = list(task.get_batch_iterator(task.dataset("test"), max_sentences=BATCH).next_epoch_itr(shuffle=False))
    generator = task.build_generator(models, GenerationConfig(beam=BEAM, max_len_b=LONGEST))

    def search(batch: dict[str, Any]) -> list[list[int]]:
        return [best[0]["tokens"].tolist() for best in task.inference_step(generator, models, batch)]

    return search, batches


def transformers_search(checkpoint: Path, folder: Path) -> Search:
    """Convert the model and return what transformers does with a batch."""
    from transformers import AutoModelForSeq2SeqLM

    run([sys.executable, "-m", "fairseq_scaling.cli.convert", "to-hf", str(checkpoint), "--out", str(folder)])
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()

    def search(batch: dict[str, Any]) -> list[list[int]]:
        source = batch["net_input"]["src_tokens"]
        found = model.generate(
            input_ids=source, attention_mask=source.ne(PAD).long(), num_beams=BEAM, max_new_tokens=LONGEST + 1
        )
        return [row[: row.index(EOS) + 1] if EOS in row else row for row in found[:, 1:].tolist()]

    return search


if __name__ == "__main__":
    main()
