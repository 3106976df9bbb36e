"""The mappings of flags in study.yaml: which of them a study sets itself, and which would break it."""

from __future__ import annotations

from typing import Any

from ...errors import SettingError

# Flags a study sets itself, and the key of study.yaml that decides them.
_OWN_FLAGS = {
    "mixture": "pretraining.mixtures",
    "budgets": "pretraining.budgets",
    "input-length": "pretraining.input_length",
    "finetune-tokens": "finetuning.finetune_tokens",
    "source-lang": "finetuning.tasks",
    "target-lang": "finetuning.tasks",
    "arch": "model.arch",
    "seed": "pretraining.seeds or finetuning.seeds",
    "beam": "translation.beam",
    "gen-subset": "translation.subset",
    "max-update": "finetuning.updates",
    "task": "",
    "user-dir": "",
    "save-dir": "",
    "restore-file": "",
    "continue-once": "pretraining.start",
    "finetune-from-model": "checkpoints",
    "start-name": "checkpoints",
    "path": "",
    "results-path": "",
    "log-format": "",
    "log-file": "",
    # Later steps read the checkpoints that these leave away or rename.
    "no-save": "",
    "no-last-checkpoints": "",
    "checkpoint-suffix": "",
    "save-async": "",
    "write-checkpoints-asynchronously": "",
}

# Flags that leave away the checkpoint of a budget, or end a pretraining before its last one; finetunings may have them.
_BUDGET_FLAGS = {
    "no-epoch-checkpoints", "save-interval", "keep-last-epochs", "max-epoch", "patience", "stop-time-hours",
    "stop-min-lr",
}  # fmt: skip


def step_options(value: object) -> dict[str, Any]:
    """Return a mapping of options with dashes in their names; SettingError where it is none, or names one twice."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingError("flags", value, "not a mapping", "write flag: value pairs, for example lr: 1e-3")
    flags = {str(name).removeprefix("--").replace("_", "-"): setting for name, setting in value.items()}
    if len(flags) < len(value):
        raise SettingError("flags", sorted(map(str, value)), "one flag is listed twice, with _ and with -")
    return flags


def fairseq_flags(value: object) -> dict[str, Any]:
    """Return a mapping of fairseq's flags, none of them one that the study sets itself (SettingError)."""
    flags = step_options(value)
    for name, setting in flags.items():
        if isinstance(setting, dict):
            raise SettingError(name, setting, "a flag of fairseq cannot have a mapping as its value")
        if name in _OWN_FLAGS:
            key = _OWN_FLAGS[name]
            raise SettingError(
                name, setting, "the study sets this flag itself", f"use {key} instead" if key else "leave it out"
            )
    return flags


def pretraining_flags(value: object) -> dict[str, Any]:
    """Return flags that reach a pretraining: none of them keeps a budget from having its checkpoint (SettingError)."""
    flags = fairseq_flags(value)
    for name in sorted(_BUDGET_FLAGS & set(flags)):
        raise SettingError(
            name, flags[name], "a pretraining leaves a checkpoint at every budget",
            "leave it out; finetuning.fairseq may hold it",
        )  # fmt: skip
    return flags
