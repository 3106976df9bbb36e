"""Numbers of tokens as people write them (``250,000``, ``250k``, ``0.25M``), and the quantities of an x axis."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from .errors import SettingError

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+")
_NUMBER = re.compile(r"(?P<digits>\d[\d_]*(?:\.\d+)?(?:[eE]\+?\d+)?)\s*(?P<unit>[kKmMbBgGtT]?)")


def parse_tokens(text: str | int, setting: str = "tokens") -> int:
    """Return the number of tokens that ``text`` names, exactly.

    Args:
        text: a number, optionally with a unit: k (thousand), M (million), B or G (billion), T (trillion). Without a
            unit commas may stand between thousands.
        setting: what the number belongs to, for the message.

    Raises:
        SettingError: it is no number, or no whole number of tokens.
    """
    written = str(text).strip()
    match = _NUMBER.fullmatch(written.replace(",", "") if _GROUPED.fullmatch(written) else written)
    if match is None:
        raise SettingError(setting, text, "not a number of tokens", "write for example 250000, 250k, 0.25M or 3B")
    value = Fraction(match["digits"].replace("_", "")) * _FACTORS[match["unit"].lower()]
    if value.denominator != 1:
        raise SettingError(setting, text, "not a whole number of tokens")
    return int(value)


def format_tokens(tokens: int | float) -> str:
    """Return a short form for people, at most four significant digits: 1500000 -> ``1.5M``."""
    for unit, factor in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if tokens >= factor:
            return f"{tokens / factor:.4g}{unit}"
    return f"{tokens:.4g}"


@dataclass(frozen=True)
class Quantity:
    """What stands on the x axis of a curve, and how it is written.

    Attributes:
        name: the name of its column: ``pretrain_tokens``.
        symbol: for formulas and axes: ``D_p``.
        title: for headings and sentences: ``pretraining tokens``.
        unit: the noun behind a number (``3B tokens``); empty where it has none.
        none: what a value of 0 is called: ``no pretraining``.
        is_count: whether it counts things, so that no value lies between 0 and 1.
        scientific: whether numbers are written as ``2.5e18`` instead of with k, M, B, T.
        aliases: other names of its column, lower case with ``_``.
    """

    name: str
    symbol: str
    title: str
    unit: str = ""
    none: str = ""
    is_count: bool = True
    scientific: bool = False
    aliases: tuple[str, ...] = ()

    def format(self, value: float, digits: int = 4) -> str:
        """Return a number without its unit, at most ``digits`` significant digits: ``1.5M``, ``2.5e18``."""
        rounded = float(f"{value:.{digits}g}")
        if not self.scientific:
            return format_tokens(rounded)
        if rounded == 0 or 1e-2 <= abs(rounded) < 1e5:
            return f"{rounded:.{digits}g}"
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"

    def amount(self, value: float, digits: int = 4) -> str:
        """Return a number with its unit: ``1.5M tokens``."""
        return f"{self.format(value, digits)} {self.unit}".rstrip()


PRETRAIN_TOKENS = Quantity(
    "pretrain_tokens", "D_p", "pretraining tokens", "tokens", "no pretraining",
    aliases=("pretraining_tokens", "pretrained_tokens", "pretrain_size", "pretraining_size", "d_p", "dp", "pt_tokens"),
)  # fmt: skip
FINETUNE_TOKENS = Quantity(
    "finetune_tokens", "D_f", "finetuning tokens", "tokens", "no finetuning",
    aliases=("finetuning_tokens", "finetuned_tokens", "finetune_size", "finetuning_size", "d_f", "df", "ft_tokens"),
)  # fmt: skip
PARAMETERS = Quantity(
    "parameters", "N", "parameters", "parameters", "no parameters",
    aliases=(
        "params", "n_params", "num_params", "n_parameters", "num_parameters", "nparams", "param_count", "model_size",
        "model_params", "model_parameters", "n", "total_params", "non_embedding_params",
    ),
)  # fmt: skip
UPDATES = Quantity(
    "updates", "updates", "updates", "updates", "no updates",
    aliases=(
        "update", "num_updates", "n_updates", "step", "steps", "global_step", "num_steps", "n_steps", "train_step",
        "train_steps", "training_steps", "trainer_global_step", "train_global_step", "iteration", "iterations", "iter",
        "iters",
    ),
)  # fmt: skip
EXAMPLES = Quantity(
    "examples", "n", "examples", "examples", "no examples",
    aliases=(
        "seen_examples", "n_examples", "num_examples", "train_examples", "samples", "n_samples", "num_samples",
        "samples_seen", "sentences", "n_sentences", "num_sentences", "sentence_pairs", "pairs", "documents",
    ),
)  # fmt: skip
FLOPS = Quantity(
    "flops", "C", "FLOPs", "FLOPs", "no compute", scientific=True,
    aliases=("flop", "compute", "training_flops", "training_flop", "train_flops", "total_flops", "c", "macs"),
)  # fmt: skip
EPOCHS = Quantity(
    "epochs", "epochs", "epochs", "epochs", "no epochs", False, aliases=("epoch", "num_epochs", "n_epochs")
)
HOURS = Quantity(
    "hours", "h", "hours", "hours", "no training", False, aliases=("gpu_hours", "train_hours", "wall_hours")
)


def further_tokens(start: str) -> Quantity:
    """Return the pretraining tokens of a continued pretraining: those after ``start``, which is its baseline."""
    title, none = "further pretraining tokens", f"{start} as it is"
    return replace(PRETRAIN_TOKENS, title=title, unit="further tokens", none=none)


QUANTITIES = {
    quantity.name: quantity
    for quantity in (PRETRAIN_TOKENS, FINETUNE_TOKENS, PARAMETERS, UPDATES, EXAMPLES, FLOPS, EPOCHS, HOURS)
}
"""Name -> quantity. Another one on the x axis needs no row: see :func:`quantity`."""


def quantity(name: str) -> Quantity:
    """Return the quantity of a name or alias; any other name is a quantity without a unit, called by that name."""
    folded = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    for known in QUANTITIES.values():
        if folded == known.name or folded in known.aliases:
            return known
    title = name.strip().replace("_", " ")
    return Quantity(name.strip(), title, title, none=f"no {title}", is_count=False)
