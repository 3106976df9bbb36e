"""What so little data cannot show, said from the data itself."""

from __future__ import annotations

import math

from ..quantities import format_tokens
from .document import Document, chosen_law
from .wording import metric_title, tokens

_FEW_SIZES = 6
_FEW_DECADES = 2.0
_UNLIKE_LENGTHS = 0.05


def limits(document: Document) -> list[str]:
    """Return one sentence per thing that the report's data leave open."""
    curves = [curve for curve in document["curves"] if curve["points"]]
    if not curves:
        return []
    fitted = [curve for curve in curves if curve["chosen"]]
    found = [_seeds(curves), _sizes(curves), _range(curves), _models(curves), _finetuning(curves), _baseline(curves)]
    found += [_identified(fitted), _extrapolation(fitted), _length(curves), _signatures(curves), _metrics(curves)]
    return [sentence for sentence in found if sentence]


def _seeds(curves: list[Document]) -> str:
    single = [curve for curve in curves if len({p["pretrain_tokens"] for p in curve["points"]}) == len(curve["points"])]
    if not single:
        return ""
    which = "Every point" if len(single) == len(curves) else f"Every point of {len(single)} of {len(curves)} curves"
    return (
        f"{which} is a single measurement: the noise between seeds is not measured but assumed or taken from the "
        "residuals. Two more seeds at two or three sizes would measure it."
    )


def _sizes(curves: list[Document]) -> str:
    counts = [len({point["pretrain_tokens"] for point in curve["points"]}) for curve in curves]
    few = sum(count < _FEW_SIZES for count in counts)
    if not few:
        return ""
    return (
        f"{few} of {len(curves)} curves have fewer than {_FEW_SIZES} pretraining sizes (the fewest: {min(counts)}). A "
        "law of three coefficients then has next to no freedom left to fail."
    )


def _range(curves: list[Document]) -> str:
    low = min(point["pretrain_tokens"] for curve in curves for point in curve["points"])
    high = max(curve["largest_pretrain_tokens"] for curve in curves)
    decades = math.log10(high / low)
    if decades >= _FEW_DECADES:
        return ""
    return (
        f"The sizes span a factor of {high / low:.3g} ({tokens(low)} to {tokens(high)} tokens). Over so "
        "short a range a logarithm, a power law and a saturating law look alike; they part beyond it."
    )


def _models(curves: list[Document]) -> str:
    models = {
        (c["setting"]["architecture"], c["setting"]["parameters"]) for c in curves if c["setting"]["architecture"]
    }
    if len(models) != 1:
        return ""
    name, parameters = next(iter(models))
    size = f" ({format_tokens(parameters)} parameters)" if parameters else ""
    return f"There is one architecture, {name}{size}: nothing here says that another size behaves the same."


def _finetuning(curves: list[Document]) -> str:
    sizes = {curve["setting"]["finetune_tokens"] for curve in curves} - {None}
    if len(sizes) != 1:
        return ""
    only = format_tokens(next(iter(sizes)))
    return (
        f"There is one finetuning size, {only} tokens. In the paper the gain shrinks as the finetuning set grows "
        "(finding 4); this data cannot show it."
    )


def _baseline(curves: list[Document]) -> str:
    missing = sum(not curve["baseline"] for curve in curves)
    if not missing:
        return ""
    which = "No curve has" if missing == len(curves) else f"{missing} of {len(curves)} curves do not have"
    return f"{which} a baseline without pretraining: the report can say whether more data helps, not whether any did."


def _identified(fitted: list[Document]) -> str:
    loose = [curve for curve in fitted if (law := chosen_law(curve)) is not None and not law["identified"]]
    if not loose:
        return ""
    return (
        f"The coefficients of {len(loose)} of {len(fitted)} fits are not identified: many combinations fit as well. "
        "Predictions and elasticity can be read, single coefficients cannot."
    )


def _extrapolation(fitted: list[Document]) -> str:
    if not fitted:
        return ""
    level = next(law["level"] for curve in fitted for law in curve["laws"])
    return (
        f"The {level:.0%} intervals hold if the chosen law holds beyond the largest size. No interval covers the "
        "chance that it does not."
    )


def _length(curves: list[Document]) -> str:
    points = [point for curve in curves for point in [*curve["baseline"], *curve["points"]]]
    found = [point["details"]["brevity_penalty"] for point in points if point["details"].get("brevity_penalty")]
    if not found or max(found) - min(found) < _UNLIKE_LENGTHS:
        return ""
    return (
        f"Outputs are not equally long (brevity penalty {min(found):.2f} to {max(found):.2f}): part of what BLEU and "
        "TER show is length. The n-gram precisions do not count what is missing; read them too."
    )


def _signatures(curves: list[Document]) -> str:
    foreign = {c["setting"]["signature"] for c in curves if c["setting"]["signature"].startswith("fairseq:")}
    if not foreign:
        return ""
    return (
        "Some scores were printed by fairseq, which does not say enough about tokenisation to compare them with other "
        "work; score the outputs with score-translations."
    )


def _metrics(curves: list[Document]) -> str:
    titles = sorted({metric_title(curve) for curve in curves})
    if len(titles) > 1:
        return ""
    return f"There is one metric, {titles[0]}: whether others tell the same story is not known."
