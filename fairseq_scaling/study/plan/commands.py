"""The command line of every step of a study, as argv. Nothing here runs anything.

Argv hold placeholders instead of the folders of this machine: ``{corpus}``, ``{out}`` (the study's folder) and
``{package}`` (this package, for ``--user-dir``). So the same study has the same argv everywhere, and a step is done
again exactly when its argv, or what it reads, have changed. A learning rate that the study chooses while it runs is a
placeholder, too (see ``choice``), and so is every file of the person's own (see ``given``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...mixture import Mixture
from ...quantities import format_tokens, parse_tokens
from ..settings.given import DICTIONARY, SENTENCEPIECE, checkpoint_placeholder, fitting_options, scoring_options
from ..settings.sections import Start

if TYPE_CHECKING:
    from ..settings.config import Study
    from ..settings.sections import Text

Argv = list[str]

# What every training of a study does, unless its `fairseq:` mapping says otherwise: as in the paper, and where that
# leaves it open as T5 (Raffel et al. 2020). No worker processes, because as many runs as there are cores go side by
# side; a batch multiple of 1, because fairseq's default of 8 drops sentences.
_TRAINING = {
    "criterion": "t5_cross_entropy",
    "optimizer": "t5_adafactor",
    "num-workers": 0,
    "required-batch-size-multiple": 1,
    "log-interval": 50,
}
# Saved, to resume from, at the interval of T5, too: between two budgets a job may reach its time limit.
_PRETRAINING = {
    **_TRAINING, "lr": "1.0", "lr-scheduler": "t5_inverse_sqrt", "batch-size": 256,
    "save-interval-updates": 5000, "keep-interval-updates": 1,
}  # fmt: skip
# Validation at the end alone: fairseq always validates when it stops.
_FINETUNING = {
    **_TRAINING, "lr": "0.001", "lr-scheduler": "fixed", "batch-size": 128, "dropout": 0.1,
    "validate-interval": 1_000_000,
}  # fmt: skip
# How many times a finetuning saves, to resume from, before it ends. Epochs can be as short as a few updates.
_SAVES = 4
PAIR_TOKENS = 30  # a guess: target tokens of a sentence
# The bound on the length matters: a model that has learnt little does not end its sentences.
_GENERATION = {
    "max-tokens": 6000,
    "max-len-a": 2,
    "max-len-b": 10,
    "remove-bpe": "sentencepiece",
    "num-workers": 0,
    "required-batch-size-multiple": 1,
}


def flags(settings: Mapping[str, Any]) -> Argv:
    """Return a mapping as argv: ``{"lr": "1e-3", "fp16": True, "clip-norm": None}`` -> ``--lr 1e-3 --fp16``.

    True is a bare flag; False and None leave the flag out (so a default is taken back); a list is joined by commas.
    """
    argv: Argv = []
    for name, value in settings.items():
        if value is None or value is False:
            continue
        argv.append(f"--{name}")
        if value is not True:
            argv.append(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    return argv


def options(settings: Mapping[str, Any]) -> Argv:
    """Return a mapping as options of a command of this project, which may stand there several times.

    A list repeats the option; a mapping repeats it with KEY=VALUE, where a list of values is joined by commas; False is
    the option's opposite: ``{"mono": {"en": "a"}, "language-check": False}`` -> ``--mono en=a --no-language-check``.
    """
    argv: Argv = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            entries = ((key, inner if isinstance(inner, list | tuple) else [inner]) for key, inner in value.items())
            values: list[Any] = [f"{key}={','.join(map(str, inner))}" for key, inner in entries]
        else:
            values = list(value) if isinstance(value, list | tuple) else [value]
        for entry in values:
            if isinstance(entry, bool):
                argv.append(f"--{name}" if entry else f"--no-{name}")
            elif entry is not None:
                argv += [f"--{name}", str(entry)]
    return argv


def fetch(text: Text) -> Argv:
    pairs = ",".join("-".join(pair) for pair in text.pairs)
    what = options(
        {"source": text.source, "languages": ",".join(text.languages), "pairs": pairs, "out": "{out}/text/raw"}
    )
    return ["scaling-preprocess", "fetch", *what, *options(text.fetch)]


def clean(text: Text) -> Argv:
    return ["scaling-preprocess", "clean", "{out}/text/raw", "--out", "{out}/text/clean", *options(text.clean)]


def sentencepiece(text: Text) -> Argv:
    return [
        "scaling-preprocess", "train-sentencepiece", "{out}/text/clean",
        "--out", "{out}/text/sentencepiece.model", *options(text.sentencepiece),
    ]  # fmt: skip


def encode(text: Text) -> Argv:
    model = ["{out}/text/sentencepiece.model"]
    if text.vocabulary is not None:
        model = [SENTENCEPIECE, "--dictionary", DICTIONARY]
    return [
        "scaling-preprocess", "encode", "{out}/text/clean",
        "--model", *model, "--out", "{corpus}", *options(text.encode),
    ]  # fmt: skip


def alignment(study: Study, file: str) -> Argv:
    """Return the measurement of all mixtures against all tasks; ``file`` is a path below ``{out}``."""
    tasks = ["-".join(task) for task in study.finetuning.tasks]
    mixtures = [shares(mixture) for mixture in study.pretraining.mixtures]
    what = options({"task": tasks, "mixture": mixtures, "out": f"{{out}}/{file}"})
    return ["scaling-alignment", "{corpus}", *what, *options(study.alignment)]


class Finetuning(NamedTuple):
    """What a finetuning is about, without its seed.

    ``checkpoint`` is that of a pretraining of the study, as a path below ``{out}``.
    """

    task: tuple[str, str]
    finetune_tokens: int
    start: Start = Start()
    checkpoint: str | None = None

    @property
    def starting_flags(self) -> dict[str, str | None]:
        """The flags that say what it starts from; none for the baseline."""
        name = self.start.checkpoint
        if name is not None:
            return {"finetune-from-model": checkpoint_placeholder(name), "start-name": name}
        return {"finetune-from-model": f"{{out}}/{self.checkpoint}" if self.checkpoint else None}


def pretrain(
    study: Study, mixture: Mixture, seed: int, folder: str, rate: str | None, budgets: list[int], candidate: bool
) -> Argv:
    """Return the pretraining of one mixture: all budgets, one checkpoint each (checkpoint1.pt for the first).

    ``rate`` is a learning rate or its placeholder where the study chooses it. Of a candidate no checkpoint is read: it
    keeps what it goes on from alone.
    """
    return [
        *_train("scaling_pretraining", study),
        *flags({
            "mixture": shares(mixture),
            "budgets": ",".join(map(exact_tokens, budgets)),
            "input-length": study.pretraining.input_length,
            "seed": seed,
            "save-dir": f"{{out}}/{folder}",
            "no-epoch-checkpoints": candidate,
        }),
        *flags(pretraining_settings(study, mixture, rate)),
    ]  # fmt: skip


def pretraining_settings(study: Study, mixture: Mixture, rate: str | None = None) -> dict[str, Any]:
    """Return the flags of one pretraining: defaults, model, section, chosen rate, override; the later wins."""
    section = study.pretraining
    chosen = {} if rate is None else {"lr": rate}
    own = section.override(mixture).fairseq
    return _with_defaults(_PRETRAINING, {**study.model.fairseq, **section.fairseq, **chosen, **own})


def finetune(
    study: Study, run: Finetuning, seed: int, folder: str, rate: str | None, chosen_by: str | None = None
) -> Argv:
    """Return one finetuning, or a candidate for its learning rate, which is ``chosen_by`` cross-entropy or a score.

    A candidate sees no test set, and saves its model only where that must translate: there are many of them.
    """
    section = study.finetuning
    updates, settings = finetuning_settings(study, run, rate)
    further = [subset for subset in study.translation.subset if subset not in ("valid", "test")]
    subsets = ["valid"] if chosen_by else ["valid", "test", *further]
    if section.upstream_validation and run.start.mixture is not None and not chosen_by:
        subsets += [f"upstream_{language}" for language in run.start.mixture]
    return [
        *_train("scaling_translation", study),
        *flags({
            "source-lang": run.task[0],
            "target-lang": run.task[1],
            "finetune-tokens": exact_tokens(run.finetune_tokens),
            **run.starting_flags,
            "valid-subset": subsets,
            "max-update": updates,
            "seed": seed,
            "save-dir": f"{{out}}/{folder}",
            "no-epoch-checkpoints": True,
            "no-save": chosen_by == "cross_entropy",
        }),
        *flags(settings),
    ]  # fmt: skip


def finetuning_settings(study: Study, run: Finetuning, rate: str | None = None) -> tuple[int, dict[str, Any]]:
    """Return (updates, flags) of one finetuning.

    Defaults, model, section, chosen rate, baseline, then overrides; the later wins.
    """
    section = study.finetuning
    updates = section.updates
    settings = {**study.model.fairseq, **section.fairseq}
    if rate is not None:
        settings["lr"] = rate
    if run.start.pretrain_tokens == 0 and section.baseline is not None:
        updates = section.baseline.updates or updates
        settings |= section.baseline.fairseq
    for override in section.overrides:
        if override.applies(run.start, run.finetune_tokens, run.task):
            updates = override.updates or updates
            settings |= override.fairseq
    settings = _with_defaults(_FINETUNING, settings)
    epochs = updates * 2 * batch_tokens(study, settings) / run.finetune_tokens
    return updates, {"save-interval": max(1, round(epochs / _SAVES)), **settings}


def _with_defaults(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with defaults beneath them. Who says how many tokens are a batch has also said how many rows."""
    sized = settings.get("max-tokens") is not None
    return {name: value for name, value in defaults.items() if not (sized and name == "batch-size")} | {**settings}


def batch_tokens(study: Study, settings: Mapping[str, Any]) -> int:
    """Return about how many target tokens an update of a finetuning with these flags reads, on all its GPUs."""
    steps = batches_in_update(study, "finetune", settings)
    if tokens := settings.get("max-tokens"):
        return int(float(tokens)) * steps
    return int(settings.get("batch-size") or 1) * PAIR_TOKENS * steps


def batches_in_update(study: Study, stage: str, settings: Mapping[str, Any]) -> int:
    """Return how many batches an update of a training with these flags reads, on all its GPUs."""
    return int(float(str(settings.get("update-freq") or 1))) * (study.resources_of[stage].gpus or 1)


def translate(study: Study, task: tuple[str, str], folder: str, subset: str) -> Argv:
    """Return the translation of one finetuned model; the translations come on standard output."""
    section = study.translation
    return [
        "fairseq-generate", "{corpus}", "--user-dir", "{package}", "--task", "scaling_translation",
        *flags({
            "source-lang": task[0],
            "target-lang": task[1],
            "path": f"{{out}}/{folder}/checkpoint_last.pt",
            "gen-subset": subset,
            "beam": section.beam,
        }),
        *flags({**_GENERATION, **section.fairseq}),
    ]  # fmt: skip


def score(study: Study, task: tuple[str, str], folder: str, subset: str) -> Argv:
    return [
        "score-translations", f"{{out}}/{folder}/{translations_file(study, subset)}",
        *flags({
            "corpus": "{corpus}",
            "source-lang": task[0],
            "target-lang": task[1],
            "subset": subset,
            "out": f"{{out}}/{folder}/{scores_file(study, subset)}",
        }),
        *options(scoring_options(study, task)),
    ]  # fmt: skip


def translations_file(study: Study, subset: str) -> str:
    """Return the name of the file that holds the translations of a test set; the first set of a study needs no mark."""
    return f"generate{_subset_mark(study, subset)}.txt"


def scores_file(study: Study, subset: str) -> str:
    """Return the name of the file that holds the scores of a test set."""
    return f"scores{_subset_mark(study, subset)}.json"


def _subset_mark(study: Study, subset: str) -> str:
    further = study.translation.subset[1:]
    return f".{subset}" if subset in further else ""


def choose(by: str, candidates: Mapping[str, str], file: str) -> Argv:
    """Return the choice between candidates (learning rate -> run folder); ``file`` and folders lie below ``{out}``."""
    runs = [f"{rate}={{out}}/{folder}" for rate, folder in candidates.items()]
    return ["scaling-study", "choose", *runs, "--by", by, "--out", f"{{out}}/{file}"]


def fit(study: Study, inputs: list[str]) -> Argv:
    """Return the fit over what this study alone has made: what an earlier version of it left behind stays out.

    ``inputs`` are run folders and files, as paths below the study's folder. The job runs there, so that the results
    name them in the same way wherever the study lies.
    """
    return ["fit-scaling", *inputs, "--out", "results", *options(fitting_options(study))]


def shares(mixture: Mixture) -> str:
    """Return the mixture as ``en:0.5,fr:0.5``; thirds stay fractions."""
    return str(mixture)


def exact_tokens(tokens: int) -> str:
    """Return a short form that means exactly ``tokens``: 1500000 -> ``1.5M``, 1234567 -> ``1234567``."""
    short = format_tokens(tokens)
    try:
        return short if parse_tokens(short) == tokens else str(tokens)
    except ValueError:
        return str(tokens)


def _train(task: str, study: Study) -> Argv:
    return [
        "fairseq-train", "{corpus}", "--user-dir", "{package}", "--task", task,
        "--arch", study.model.arch, "--log-format", "json",
    ]  # fmt: skip
