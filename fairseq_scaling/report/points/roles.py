"""The roles that a table's columns can have, the names by which they are known, and what the user says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...problems import ProblemKind
from ...quantities import (
    EPOCHS,
    EXAMPLES,
    FINETUNE_TOKENS,
    FLOPS,
    HOURS,
    PARAMETERS,
    PRETRAIN_TOKENS,
    UPDATES,
    Quantity,
)
from .numbers import factor_of

REQUIRED = ("curve", "metric", "pretrain_tokens", "value")
OPTIONAL = (
    "held_out", "seed", "mixture", "finetune_tokens", "stderr", "test_set", "scale", "lower_is_better",
    "source_lang", "target_lang", "pair", "architecture", "parameters", "corpus", "pretrain_seed", "run_id",
)  # fmt: skip
OWN_ROLES = ("unique_tokens", "start", "score_lower", "score_upper")
"""Roles of a table written by this tool; a column of another one may mean something else by such a name."""
OWN = frozenset(("kind", "used", "reason", "task", "alignment", "signature", "file", "line", "origin"))
"""Columns that this tool writes into ``points.csv`` beside those above; they are read back in silence."""

ALIASES: Mapping[str, Sequence[str]] = {
    "curve": ("curve_name", "series", "label", "setting", "condition"),
    "metric": ("metrics", "metric_name", "measure", "measurement"),
    "value": ("score", "result", "val", "scores", "values"),
    "stderr": ("se", "std_err", "std_error", "standard_error", "sem"),
    "seed": ("random_seed", "rng_seed", "finetune_seed", "replicate", "repeat", "trial"),
    "pretrain_seed": ("pretraining_seed",),
    "mixture": ("mix", "data_mix", "data_mixture", "language_mixture"),
    "held_out": ("heldout", "holdout", "is_held_out"),
    "source_lang": ("src", "src_lang", "source_language", "source"),
    "target_lang": ("tgt", "tgt_lang", "trg", "trg_lang", "target_language", "target"),
    "pair": ("lang_pair", "language_pair", "langpair", "direction"),
    "architecture": ("arch",),
    "test_set": ("testset", "eval_set", "benchmark", "subset", "split", "task_name", "tasks", "dataset"),
    "run_id": ("runid",),
}
"""Role -> other names of its column, as ``metrics.fold`` returns them."""

LABELS = frozenset(
    ("model", "system", "run", "name", "run_name", "experiment", "exp", "config", "variant", "group", "model_name")
)
"""Columns that tell curves apart even where they hold numbers (a model called ``300M``)."""

TOKENS = (
    "tokens", "n_tokens", "num_tokens", "train_tokens", "training_tokens", "tokens_seen", "seen_tokens", "ntokens",
    "consumed_tokens", "tokens_consumed", "total_tokens", "token_count", "unique_tokens", "num_input_tokens_seen",
)  # fmt: skip
DATA = (
    "d", "data", "data_size", "dataset_size", "train_size", "training_size", "corpus_size", "budget", "budgets", "size",
)  # fmt: skip

X_ORDER: tuple[tuple[Quantity, Sequence[str]], ...] = (
    (PRETRAIN_TOKENS, (PRETRAIN_TOKENS.name, *PRETRAIN_TOKENS.aliases)),
    (PRETRAIN_TOKENS, TOKENS),
    (PRETRAIN_TOKENS, DATA),
    (EXAMPLES, (EXAMPLES.name, *EXAMPLES.aliases)),
    (UPDATES, (UPDATES.name, *UPDATES.aliases)),
    (EPOCHS, (EPOCHS.name, *EPOCHS.aliases)),
)
"""What the x axis may be, by the names of columns: the first line of which the table has a column wins."""

LAST_X = (FINETUNE_TOKENS, PARAMETERS, FLOPS, HOURS)
"""What it may be where the table has nothing of ``X_ORDER`` and only one of these."""

_UNIT = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<unit>[^\])]*)[\])]\s*$")
_NOUNS = {
    "%", "per", "cent", "percent", "pct", "tokens", "token", "of", "in", "parameters", "params", "nats", "bits",
    "points",
}  # fmt: skip


class ColumnProblem(ProblemKind):
    """Why it is not clear which column is what."""

    NO_X = "no column is known to hold {wanted}", "the columns are {found}", "say which one does: {command}"
    SEVERAL_X = "{candidates} may each be the x axis", "", "say which one is: {command}"
    NO_VALUES = (
        "no column is known to hold scores or losses",
        "the columns are {found}",
        "say which one does (of a metric of your own: NAME=COLUMN, with --better NAME=higher or lower): {command}",
    )
    NO_METRIC = "column {column} does not say of which metric it is", "", "name the metric: {command}"
    NO_SUCH_COLUMN = "--columns names {column}, which the table does not have", "the columns are {found}"
    NOT_READ = "columns that are not read: {columns}"


@dataclass(frozen=True)
class TableOptions:
    """What the user says of tables.

    Attributes:
        columns: role, quantity or metric -> column, optionally with a factor (``tokens*1e9``).
        x: the quantity on the x axis; None takes the table's own.
        scales: metric -> the value of a perfect score.
        lower_is_better: metric -> direction, of metrics that have no row.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    x: str | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    lower_is_better: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column of the table, by its place; ``factor`` is what its header says of its unit (a thousand, a million)."""

    at: int
    name: str
    factor: float = 1.0


@dataclass(frozen=True)
class ValueColumn:
    """A column of values. ``metric`` is empty where another column names it; the others may be empty or None."""

    column: Column
    metric: str = ""
    test_set: str = ""
    curve: str = ""
    stderr: Column | None = None
    is_percent: bool = False


@dataclass
class Roles:
    """What each column of a table was taken for; ``is_own``: the columns bear the names that this tool gives them."""

    x: Column
    quantity: Quantity
    values: list[ValueColumn]
    roles: dict[str, Column] = field(default_factory=dict)
    curve: list[Column] = field(default_factory=list)
    is_own: bool = False

    def sentence(self) -> str:
        """Return what was taken for what: ``pretraining tokens = tokens, bleu = BLEU, curve = model``."""
        parts = [f"{self.quantity.title} = {self.x.name}"]
        for value in self.values:
            where = f" on {value.test_set}" if value.test_set else ""
            error = f" (standard error = {value.stderr.name})" if value.stderr else ""
            curve = f" of {value.curve}" if value.curve else ""
            parts.append(f"{value.metric or 'value'}{where}{curve} = {value.column.name}{error}")
        if self.curve:
            parts.append(f"curve = {' + '.join(column.name for column in self.curve)}")
        parts += [f"{role} = {column.name}" for role, column in self.roles.items()]
        return ", ".join(parts)


def without_unit(column: str) -> tuple[str, float]:
    """Return a column's name without its unit, and the unit's factor: ``tokens (B)`` and ``params_M`` have one."""
    match = _UNIT.match(column)
    if match:
        words = [word for word in match["unit"].lower().split() if word not in _NOUNS]
        factor = factor_of(" ".join(words))
        return (match["name"], factor or 1.0) if factor is not None or not words else (column.strip(), 1.0)
    words = re.split(r"[_\s]+", column.strip())
    factor = factor_of(words[-1]) if len(words) > 1 and words[-1].lower() not in ("g", "t", "k") else None
    if factor is None:
        return column.strip(), 1.0
    return re.sub(r"[_\s]in$", "", column.strip()[: -len(words[-1]) - 1]), factor
