"""Settings of study.yaml as flags of the commands, with the defaults beneath them.

An argv holds placeholders instead of the folders of this machine: ``{corpus}``, ``{out}`` (the study's folder) and
``{package}`` (this package, for ``--user-dir``). So the same study has the same argvs everywhere. A learning rate that
the study chooses while it runs is a placeholder too (see ``choice``), and so is every file of the user's own (see
``settings.given``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...mixture import Mixture

if TYPE_CHECKING:
    from ..settings.config import Study
    from ..settings.sections import Start

Argv = list[str]

# The defaults of every training: as in the paper, and where that is silent as in T5 (Raffel et al. 2020). No worker
# processes, because one run for each core goes on at a time; a batch multiple of 1, because fairseq's default of 8
# drops sentences.
_TRAINING = {
    "criterion": "t5_cross_entropy",
    "optimizer": "t5_adafactor",
    "num-workers": 0,
    "required-batch-size-multiple": 1,
    "log-interval": 50,
}
# Also saved at T5's interval, to resume from: a job may reach its time limit between two budgets.
PRETRAINING_DEFAULTS = {
    **_TRAINING, "lr": "1.0", "lr-scheduler": "t5_inverse_sqrt", "batch-size": 256,
    "save-interval-updates": 5000, "keep-interval-updates": 1,
}  # fmt: skip
# Validation at the end alone: fairseq always validates when it stops.
FINETUNING_DEFAULTS = {
    **_TRAINING, "lr": "0.001", "lr-scheduler": "fixed", "batch-size": 128, "dropout": 0.1,
    "validate-interval": 1_000_000,
}  # fmt: skip
# How many times a finetuning saves before it ends, to resume from. Epochs can be as short as a few updates.
_SAVES = 4
PAIR_TOKENS = 30  # a guess: target tokens of a sentence


def flags(settings: Mapping[str, Any]) -> Argv:
    """Return a mapping as flags: ``{"lr": "1e-3", "fp16": True, "clip-norm": None}`` -> ``--lr 1e-3 --fp16``.

    True is a bare flag; False and None leave the flag out, which restores a default; a list is joined by commas.
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
    """Return a mapping as options of a command of this project, which may be given several times.

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


def fairseq_train(task: str, study: Study) -> Argv:
    """Return how every training begins."""
    return [
        "fairseq-train", "{corpus}", "--user-dir", "{package}", "--task", task,
        "--arch", study.model.arch, "--log-format", "json",
    ]  # fmt: skip


def pretraining_settings(study: Study, mixture: Mixture, rate: str | None = None) -> dict[str, Any]:
    """Return the flags of one pretraining: defaults, model, section, chosen rate, override; the later wins."""
    section = study.pretraining
    chosen = {} if rate is None else {"lr": rate}
    own = section.override(mixture).fairseq
    return _with_defaults(PRETRAINING_DEFAULTS, {**study.model.fairseq, **section.fairseq, **chosen, **own})


def finetuning_settings(
    study: Study, task: tuple[str, str], finetune_tokens: int, start: Start, rate: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Return (updates, flags) of one finetuning.

    Defaults, model, section, chosen rate, baseline, then overrides; the later wins.
    """
    section = study.finetuning
    updates = section.updates
    settings = {**study.model.fairseq, **section.fairseq}
    if rate is not None:
        settings["lr"] = rate
    continued = study.pretraining.start
    is_baseline = start.pretrain_tokens == 0 or (continued is not None and start.checkpoint == continued)
    if is_baseline and section.baseline is not None:
        updates = section.baseline.updates or updates
        settings |= section.baseline.fairseq
    for override in section.overrides:
        if override.applies(start, finetune_tokens, task):
            updates = override.updates or updates
            settings |= override.fairseq
    settings = _with_defaults(FINETUNING_DEFAULTS, settings)
    epochs = updates * 2 * batch_tokens(study, settings) / finetune_tokens
    return updates, {"save-interval": max(1, round(epochs / _SAVES)), **settings}


def batch_tokens(study: Study, settings: Mapping[str, Any]) -> int:
    """Return about how many target tokens an update of a finetuning with these flags reads, on all its GPUs."""
    steps = batches_in_update(study, "finetune", settings)
    if tokens := settings.get("max-tokens"):
        return int(float(tokens)) * steps
    return int(settings.get("batch-size") or 1) * PAIR_TOKENS * steps


def batches_in_update(study: Study, stage: str, settings: Mapping[str, Any]) -> int:
    """Return how many batches an update of a training with these flags reads, on all its GPUs."""
    return int(float(str(settings.get("update-freq") or 1))) * (study.resources_of[stage].gpus or 1)


def _with_defaults(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with defaults beneath them. ``max-tokens`` replaces the default ``batch-size``."""
    sized = settings.get("max-tokens") is not None
    return {name: value for name, value in defaults.items() if not (sized and name == "batch-size")} | {**settings}
