"""fairseq's configuration line: the repr of a dict with Namespaces in it (0.11, 0.12) or of one Namespace (before)."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

# how a run is watched, stored and spread over machines does not make it another run; neither does how long it may last
_NOT_IDENTITY = re.compile(
    r"^(?:log_\w+|no_progress_bar|tensorboard_logdir|wandb_\w+|azureml_logging|aim_\w+|max_update|max_epoch|stop_\w+"
    r"|restore_file|continue_once|reset_\w+|save_interval\w*|keep_\w+|no_save\w*|no_\w+_checkpoints|write_checkpoints\w*"
    r"|distributed_\w+|device_id|nprocs_per_node|ddp_\w+|bucket_cap_mb|heartbeat_timeout|num_workers|data_buffer_size"
    r"|validate_\w+|disable_validation|patience|all_gather_list_size|plasma_path|profile|suppress_crashes|job_logging_cfg"
    r"|hydra|results_path|quiet)$"
)
_PLACE = re.compile(r"(?:^|\.)(?:save_dir|data|user_dir|valid_subset|gen_subset|\w+_valid|path|finetune_from_model)$")
_PAIR = re.compile(
    r"['\"]?(?P<key>[A-Za-z_]\w*)['\"]?(?:: |=)"
    r"(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|-?\d[\w.+-]*|None|True|False)(?=[,)}\]])"
)
_LONGEST = 1 << 20


def parse_config(text: str) -> dict[str, Any]:
    """Return the settings of the line, flat: ``common.seed``, ``task._name`` or, of a bare Namespace, ``seed``.

    What cannot be parsed as a whole is searched for pairs whose value is complete; of a damaged line, that is part.
    """
    text = text[:_LONGEST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python would complain of backslashes and numbers in a damaged line
        try:
            return dict(_leaves("", ast.parse(text, mode="eval").body))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return _whole_pairs(text)


def _whole_pairs(text: str) -> dict[str, Any]:
    """Return the pairs of a damaged line that are complete."""
    flat: dict[str, Any] = {}
    for match in _PAIR.finditer(text):
        flat.setdefault(match["key"], _constant(match["value"]))
    # its place in the nesting is lost, so a name like "seed" may be another section's: only unambiguous ones stay
    flat.pop("_name", None)
    return flat


def setting(config: Mapping[str, Any], name: str, *sections: str) -> Any:
    """Return the setting from the first section that has it, else from the top level or the model's Namespace."""
    for place in (*(f"{section}.{name}" for section in sections), name, f"model.{name}", f"task.{name}"):
        if config.get(place) is not None:
            return config[place]
    return None


def component(config: Mapping[str, Any], kind: str) -> str | None:
    """Return the name of the task, criterion, model, optimizer ..., as registered with fairseq."""
    for place in (f"{kind}._name", kind, f"{kind}.{kind}", f"model.{kind}", f"task.{kind}"):
        if isinstance(config.get(place), str):
            return config[place]
    return None


def identity(config: Mapping[str, Any]) -> str:
    """Return a hash of the settings that make the run."""
    kept = sorted((key, repr(value)) for key, value in config.items() if _makes_the_run(key))
    return hashlib.sha256(repr(kept).encode()).hexdigest()


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """Return the settings that say of two configurations that they make two runs; places of files do not."""
    if one is two:
        return []
    keys = {key for key in one.keys() & two.keys() if one[key] != two[key] and _makes_the_run(key)}
    return sorted(key for key in keys if not _PLACE.search(key))


def _makes_the_run(key: str) -> bool:
    return not any(_NOT_IDENTITY.match(part) for part in key.split("."))


def _leaves(place: str, node: ast.expr) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, ast.expr]] | None = None
    if isinstance(node, ast.Dict):
        pairs = [
            (str(key.value), value)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Namespace":
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
    if pairs is None:
        return [(place, _value(node))]
    return [leaf for key, value in pairs for leaf in _leaves(f"{place}.{key}" if place else key, value)]


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ast.unparse(node)


def _constant(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
