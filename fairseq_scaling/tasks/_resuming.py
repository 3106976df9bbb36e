"""A resumed run is the run it says it is: its settings are those of the checkpoint, but for the few that may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import SettingError
from ..run import Change, RunDescription

# What a resume may change without another outcome than that of a run which had it so from the beginning.
_MAY_CHANGE = ("max_update", "budgets", "repeat")
_SHARED = ("world_size", "update_freq")  # together: as long as an update holds as many batches
_COMPARED = (  # beside the hyperparameters
    "pretrain_run_id", "mixture", "seed", "corpus", "architecture", "parameters", "source_lang", "target_lang",
    "finetune_tokens",
)  # fmt: skip
_MISSING = object()


def changes_on_resume(saved: RunDescription, now: RunDescription, updates: int) -> list[Change]:
    """Return the settings that differ from those of a checkpoint and may; refuse the others.

    The number of processes may change where ``update_freq`` makes up for it: an update holds the same batches, and
    only rounding differs. Versions of programs may change.

    Args:
        saved: the description in the checkpoint. Settings that it does not say (older ones say less) are not compared.
        now: of the run that is about to resume.
        updates: that the checkpoint lies after.

    Raises:
        SettingError: naming a setting, its value before and now.
    """
    before, after = _flat(saved), _flat(now)
    may_change = {*_MAY_CHANGE, *(_SHARED if _batches(before) == _batches(after) else ())}
    changes = []
    for name, value in after.items():
        old = before.get(name, _MISSING)
        if old is _MISSING or old == value:
            continue
        if name not in may_change:
            raise SettingError(
                name, value, f"the checkpoint in --save-dir was trained with {old}",
                "give the same value, or use another --save-dir for another run",
            )  # fmt: skip
        changes.append(Change(name, old, value, updates))
    limit = after.get("max_update")
    if isinstance(limit, int) and 0 < limit < updates and before.get("max_update") != limit:
        raise SettingError(
            "max_update", limit, f"the checkpoint in --save-dir has made {updates} updates",
            "give at least that many, or use another --save-dir for another run",
        )  # fmt: skip
    for program, version in now.versions.items():
        if saved.versions.get(program, version) != version:
            changes.append(Change(f"versions.{program}", saved.versions[program], version, updates))
    return changes


def _flat(description: RunDescription) -> dict[str, Any]:
    """Return setting -> value; those of optimizer, schedule and model as ``optimizer.lr``."""
    said: dict[str, Any] = {"start": description.start and description.start.checksum}
    said |= {name: getattr(description, name) for name in _COMPARED}
    said["budgets"] = list(description.budgets)
    if not description.budgets:
        said["pretrain_tokens"] = description.pretrain_tokens
    return said | {"repeat": None} | dict(_leaves(description.hyperparameters))


def _leaves(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def _batches(settings: dict[str, Any]) -> Any:
    """Return how many batches an update holds, in each epoch as far as it is said."""
    frequencies = settings.get("update_freq")
    if not isinstance(frequencies, list):
        return frequencies
    return [(settings.get("world_size") or 1) * frequency for frequency in frequencies]
