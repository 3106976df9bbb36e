"""A study against the plain way: the same budgets and data with stock fairseq, one job after another.

    python tests/benchmarks/study_speed.py work/quickstart/corpus [--part 4] [--study examples/quickstart/study.yaml]
    python tests/benchmarks/study_speed.py work/quickstart/corpus --finished work/quickstart

The study runs as its users run it, one job on each core: training, validation, translation, scores, laws, figures. The
plain way is a pretraining run for every budget (task span_masked_lm, fairseq's transformer in the same dimensions, as
many blocks in a batch), a finetuning and a fairseq-generate for every model, each on all cores. As in the study, each
pretraining ends with the cross-entropy of held-out text, and each finetuning with that of the validation and test
sentences; not with that of the pretraining's text, which stock fairseq cannot measure there, and without what follows.
How long that takes is read from its logs, for who would leave it out. Its data are made beforehand and not timed. Who
saves one run at several updates, or starts several jobs by hand, is faster than that. Both begin with the finished
corpus. --part divides budgets and finetuning updates; --finished takes the study's time from the records of the whole
study that ran there just before, from the end of its corpus to the end of its last job; if it was stopped between, that
counts. Times are of the clock: nothing else may run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fairseq_scaling.data.corpus import Corpus, write_token_file
from fairseq_scaling.data.corruption import SpanCorruption
from fairseq_scaling.data.tokenfile import token_dtype
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.quantities import parse_tokens
from fairseq_scaling.study.run.scheduling import count_cores
from tests.benchmarks import text
from tests.benchmarks.peers import dimensions, transformer_flags

ROOT = Path(__file__).resolve().parents[2]
_THREADS = count_cores()
_FLAGS = [
    "--optimizer", "adam", "--lr", "1e-3", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "50",
    "--clip-norm", "1.0", "--required-batch-size-multiple", "1",
    "--num-workers", "0", "--no-epoch-checkpoints", "--log-format", "json", "--log-interval", "50",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the study's corpus: scaling-study run STUDY --until encode makes it")
    parser.add_argument("--study", type=Path, default=ROOT / "examples/quickstart/study.yaml")
    parser.add_argument("--part", type=int, default=4, help="divides budgets and finetuning updates (default 4)")
    parser.add_argument("--finished", type=Path, metavar="FOLDER", help="of the study, which is not run again")
    options = parser.parse_args()
    if options.finished:
        options.part = 1
    # Stock fairseq's checkpoints hold more than weights, which torch refuses since 2.6.
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    study = smaller(yaml.safe_load(options.study.read_text()), options.corpus.resolve(), options.part)
    with tempfile.TemporaryDirectory() as folder:
        ours = recorded(options.finished) if options.finished else run_study(study, Path(folder))
        print(f"scaling-study: {ours / 60:.1f} min", flush=True)
        plain = PlainWay(study, Path(folder) / "plain")
        seconds, log = {}, Path(folder) / "log"
        cross_entropies = 0.0
        for stage, commands in plain.stages():
            seconds[stage] = 0.0
            for command in commands:
                seconds[stage] += run(command, _THREADS, log)
                cross_entropies += validation(log.read_text())
            print(f"stock fairseq, {stage}: {seconds[stage] / 60:.1f} min", flush=True)
    show(study, ours, seconds, cross_entropies, options.part)


def smaller(study: dict[str, Any], corpus: Path, part: int) -> dict[str, Any]:
    """Return the study on a corpus that is there, with a part of its budgets and finetuning updates."""
    study.pop("text", None)
    section = study["pretraining"]
    section["budgets"] = [parse_tokens(budget) // part for budget in section["budgets"]]
    study["finetuning"]["updates"] = max(1, study["finetuning"]["updates"] // part)
    return {**study, "corpus": str(corpus)}


def run_study(study: dict[str, Any], folder: Path) -> float:
    """Run the study in ``folder``; return the seconds it took."""
    settings = folder / "study.yaml"
    settings.write_text(yaml.safe_dump(study))
    program = str(Path(sys.executable).parent / "scaling-study")
    return run([program, "run", str(settings), "--out", str(folder / "ours")], 1)


def recorded(folder: Path) -> float:
    """Return the seconds from the end of the corpus to the end of the last job, as the study in ``folder`` noted."""
    ends = {}
    for path in (folder / ".study/records").rglob("*.json"):
        record = json.loads(path.read_text("utf-8"))
        if record["state"] != "finished":
            raise SystemExit(f"{folder}: the study has not finished ({path.stem})")
        ends[path.relative_to(folder / ".study/records").parts[0], path] = record["started"] + record["seconds"]
    (corpus,) = [end for (stage, _), end in ends.items() if stage == "encode"]
    return max(ends.values()) - corpus


class PlainWay:
    """Stock fairseq's data and commands for the models of a study."""

    def __init__(self, study: dict[str, Any], folder: Path) -> None:
        self.study, self.folder, self.corpus = study, folder, Corpus.open(Path(study["corpus"]))
        section, finetuning = study["pretraining"], study["finetuning"]
        options = section["fairseq"]
        self.corruption = SpanCorruption.for_input_length(
            section["input_length"], options["noise-density"], options["mean-span-length"]
        )
        (self.task,) = finetuning["tasks"]
        self.models = {
            f"{number}-{budget}": (Mixture.parse(mixture), budget)
            for number, mixture in enumerate(section["mixtures"])
            for budget in section["budgets"]
        }
        for name, (mixture, budget) in self.models.items():
            self._write(f"text/{name}/train", self._text(mixture, budget))
            held_out = (self.corpus.mono(language, "valid") for language in mixture.languages)
            self._write(f"text/{name}/valid", (sentence for sentences in held_out for sentence in sentences))
        pair = self.corpus.pair(*self.task.split("-"), "train")
        ends = np.cumsum([len(source) + len(target) for source, target in zip(*pair, strict=True)])
        number = int(np.searchsorted(ends, parse_tokens(finetuning["finetune_tokens"][0])))
        for language, side in zip(self.task.split("-"), pair, strict=True):
            self._write(f"pairs/train.{self.task}.{language}", [side[row] for row in range(number)])
            dictionary = self.folder / f"pairs/dict.{language}.txt"
            dictionary.symlink_to(self.corpus.dictionary_path)
        for split in ("valid", "test"):
            sides = self.corpus.pair(*self.task.split("-"), split)
            for language, side in zip(self.task.split("-"), sides, strict=True):
                self._write(f"pairs/{split}.{self.task}.{language}", [side[row] for row in range(len(side))])

    def stages(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Yield the stages with their commands, in order."""
        seeds = self.study["finetuning"]["seeds"]
        runs = [(name, seed) for name in (*self.models, "baseline") for seed in seeds]
        yield "pretrain", [self._pretrain(name) for name in self.models]
        yield "finetune", [self._finetune(name, seed) for name, seed in runs]
        yield "translate", [self._translate(name, seed) for name, seed in runs]

    def _pretrain(self, name: str) -> list[str]:
        options = self.study["pretraining"]["fairseq"]
        return [
            _program("train"), str(self.folder / "text" / name), "--task", "span_masked_lm",
            "--noise-density", str(options["noise-density"]),
            "--mean-noise-span-length", str(options["mean-span-length"]),
            "--tokens-per-sample", str(self.corruption.block_length), "--batch-size", str(options["batch-size"]),
            "--max-epoch", "1", "--save-dir", str(self.folder / "models" / name), *_FLAGS, *self._model(0.0),
        ]  # fmt: skip

    def _finetune(self, name: str, seed: int) -> list[str]:
        section = self.study["finetuning"]
        start = [] if name == "baseline" else ["--finetune-from-model", str(self._last(name))]
        return [
            _program("train"), str(self.folder / "pairs"), "--task", "translation", *start,
            "--max-tokens", str(section["fairseq"]["max-tokens"]), "--max-update", str(section["updates"]),
            "--valid-subset", "valid,test", "--validate-interval", "1000000",  # at the end alone
            "--seed", str(seed), "--save-dir", str(self._last(f"{name}-{seed}").parent), *_FLAGS,
            "--source-lang", self.task.split("-")[0], "--target-lang", self.task.split("-")[1],
            *self._model(section["fairseq"]["dropout"]),
        ]  # fmt: skip

    def _translate(self, name: str, seed: int) -> list[str]:
        return [
            _program("generate"), str(self.folder / "pairs"), "--path", str(self._last(f"{name}-{seed}")),
            "--beam", str(self.study["translation"]["beam"]), "--max-tokens", "6000", "--max-len-a", "2",
            "--max-len-b", "10", "--remove-bpe", "sentencepiece", "--required-batch-size-multiple", "1",
            "--num-workers", "0",
        ]  # fmt: skip

    def _last(self, name: str) -> Path:
        return self.folder / "models" / name / "checkpoint_last.pt"

    def _model(self, dropout: float) -> list[str]:
        return transformer_flags(dimensions(self.study["model"]["arch"], dropout))

    def _text(self, mixture: Mixture, budget: int) -> Iterator[np.ndarray]:
        """Yield sentences of the mixture's languages, as many tokens as the budget."""
        for language in mixture.languages:
            left = int(budget * mixture[language])
            for sentence in self.corpus.mono(language, "train"):
                if left <= 0:
                    break
                left -= len(sentence)
                yield sentence

    def _write(self, name: str, sentences: Sequence[np.ndarray] | Iterator[np.ndarray]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_token_file(path, sentences, token_dtype(self.corpus.manifest["vocabulary"]["size"]))
        if name.endswith("/train"):
            (path.parent / "dict.txt").symlink_to(self.corpus.dictionary_path)


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / f"fairseq-{name}")


def run(command: list[str], threads: int, output: Path = Path(os.devnull)) -> float:
    """Run a command to its end, its output in a file; return the seconds it took by the clock."""
    start = time.perf_counter()
    text.run(command, threads, output)
    return time.perf_counter() - start


def validation(log: str) -> float:
    """Return the seconds between the first and the last line on validation in fairseq's log, 0 without any."""
    lines = re.findall(r"^(.{19}) \| INFO \| .*(?:begin validation|\"(?:valid|test)_loss\")", log, re.MULTILINE)
    times = [datetime.fromisoformat(line) for line in lines]  # in whole seconds: as often too few as too many
    return (times[-1] - times[0]).total_seconds() if times else 0.0


def show(study: dict[str, Any], ours: float, plain: dict[str, float], cross_entropies: float, part: int) -> None:
    section = study["pretraining"]
    budgets, mixtures = section["budgets"], len(section["mixtures"])
    title = f"{study['name']}, 1/{part} of its budgets and updates"
    table = Table("", "pretraining tokens", "minutes", "", title=title)
    table.add_row("scaling-study", f"{mixtures * budgets[-1]:,}", f"{ours / 60:.1f}", "")
    stages = ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in plain.items())
    total = sum(plain.values())
    table.add_row("stock fairseq", f"{mixtures * sum(budgets):,}", f"{total / 60:.1f}", stages)
    Console(width=120).print(
        table,
        f"The study takes {total / ours:.2f} times less; {(total - cross_entropies) / ours:.2f} times less than the"
        f" plain way without its cross-entropies, which took {cross_entropies / 60:.1f} min.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
