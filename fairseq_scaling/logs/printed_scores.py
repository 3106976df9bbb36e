"""The scores that fairseq itself prints: the last line of fairseq-generate, and ``--eval-bleu`` in training.

fairseq's scores depend on its flags (tokenised or not, with ``<<unk>>`` in the reference or not), so their signatures
begin with ``fairseq:`` and carry the flags as far as the log says them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .config import component, setting
from .printed import parse_exact_integer, parse_printed
from .record import Score

_NUMBER = r"(\d+(?:\.\d+)?)"
_BLEU = re.compile(
    rf"(?P<name>BLEU4?) = (?P<value>{_NUMBER}),? (?P<precisions>{_NUMBER}(?:/{_NUMBER}){{3}}) "
    rf"\(BP ?= ?(?P<bp>{_NUMBER}),? ratio ?= ?{_NUMBER},? (?:syslen|hyp_len) ?= ?(?P<hyp>\d+),? "
    r"(?:reflen|ref_len) ?= ?(?P<ref>\d+)\)"
)
_BLEU_TUPLE = re.compile(
    rf"BLEU\(score=(?P<value>{_NUMBER}(?:e-?\d+)?), counts=\[[\d, ]*\], totals=\[[\d, ]*\], "
    rf"precisions=\[(?P<precisions>[\d., e-]*)\], bp=(?P<bp>{_NUMBER}(?:e-?\d+)?), sys_len=(?P<hyp>\d+), "
    r"ref_len=(?P<ref>\d+)\)"
)
_CHRF = re.compile(rf"chrF(?P<beta>\d)(?P<words>\+*) = (?P<value>{_NUMBER})")
_NAMED = re.compile(rf"(?P<name>WER|BERTScore|METEOR): (?P<value>{_NUMBER})")


def parse_result(result: str, config: Mapping[str, Any]) -> tuple[str, Score] | str:
    """Return the metric and score that the end of ``Generate test with beam=5: ...`` says, or why it says none.

    Args:
        result: what follows the colon.
        config: settings of the configuration line, may be empty.
    """
    result = result.strip()
    match = _BLEU.fullmatch(result) or _BLEU_TUPLE.fullmatch(result)
    if match:
        full = match.re is _BLEU_TUPLE
        precisions = [parse_printed(part) for part in re.split(r"/|, ", match["precisions"])]
        value, penalty = parse_printed(match["value"]), parse_printed(match["bp"])
        if value is None or penalty is None or value.value > 100 or len(precisions) != 4 or None in precisions:
            return f"{result[:60]!r} is no BLEU score"
        kind = "bleu4" if not full and match["name"] == "BLEU4" else "sacrebleu"
        details = {
            "brevity_penalty": penalty.value,
            "precisions": [part.value for part in precisions if part is not None],
            "hypothesis_length": parse_exact_integer(match["hyp"]),
            "reference_length": parse_exact_integer(match["ref"]),
        }
        return "bleu", Score(value.value, _signature(kind, config), details, 0.0 if full else value.half_width)
    match = _CHRF.fullmatch(result)
    if match:
        value = parse_printed(match["value"])
        if value is None or value.value > 100:
            return f"{result[:60]!r} is no chrF score"
        if value.value <= 1:
            return (
                f"{result[:60]!r}: sacrebleu 1 printed chrF from 0 to 1, sacrebleu 2 from 0 to 100, and this may be "
                "either: score the output with score-translations"
            )
        signature = _signature(f"chrf{match['beta']}{match['words']}", config)
        return "chrf", Score(value.value, signature, {}, value.half_width)
    match = _NAMED.fullmatch(result)
    if match:
        value = parse_printed(match["value"])
        assert value is not None  # the pattern lets numbers through only
        name = match["name"].lower()
        return name, Score(value.value, _signature(name, config), {}, value.half_width)
    return f"{result[:60]!r} is no score that this version knows; score the output with score-translations"


def eval_bleu_signature(config: Mapping[str, Any]) -> str:
    """Return the signature of ``valid_bleu``, which ``--eval-bleu`` makes on decoded references."""
    parts = [f"{flag}:{setting(config, f'eval_{flag}', 'task')}" for flag in ("bleu_detok", "bleu_remove_bpe")]
    tokenized = setting(config, "eval_tokenized_bleu", "task")
    return (
        "|".join(["fairseq:eval_bleu", *parts, f"tokenized:{tokenized}"])
        if config
        else "fairseq:eval_bleu|flags:unknown"
    )


def _signature(kind: str, config: Mapping[str, Any]) -> str:
    if not config:
        return f"fairseq:{kind}|flags:unknown"
    flags = {
        "bpe": component(config, "bpe"),
        "tokenizer": component(config, "tokenizer"),
        "remove_bpe": setting(config, "post_process", "common_eval") or setting(config, "remove_bpe"),
    }
    if kind == "sacrebleu":
        flags["tok"] = setting(config, "sacrebleu_tokenizer", "scoring")
        flags["lowercase"] = setting(config, "sacrebleu_lowercase", "scoring")
    return "|".join([f"fairseq:{kind}", *(f"{flag}:{value or 'none'}" for flag, value in flags.items())])
