"""Scores of translations against raw reference text, each with the signature that says how it was made.

sacrebleu, rouge-score and COMET are imported when a score is computed, never with this package.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import metrics as table
from ..errors import DataError, SettingError
from ..versions import installed_version
from .languages import check_tokenizer, language_of, split_words, tokenizer_for, unspaced_share
from .score_file import Score

if TYPE_CHECKING:
    from .bootstrap import Statistics

DEFAULT_METRICS = ("bleu", "chrf", "ter")
# Above this share of letters in scripts without spaces, BLEU by sacrebleu's default tokenizer means nothing.
_UNSPACED_TEXT = 0.3
_COMET_BATCH = {"gpu": 64, "cpu": 16}


class TestSet(NamedTuple):
    """What a metric may need to score a test set (see ``score_translations``)."""

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    sources: Sequence[str] | None
    target_lang: str | None
    bleu_tokenizer: str
    comet_model: Path | None


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    sources: Sequence[str] | None = None,
    target_lang: str | None = None,
    bleu_tokenizer: str | None = None,
    comet_model: Path | None = None,
) -> dict[str, Score]:
    """Return metric -> score of a whole test set, with its bootstrap interval and the statistics of its sentences.

    Args:
        hypotheses: detokenised translations, one per sentence.
        references: one or more raw references, each with the sentences in the same order. With several, an empty
            sentence means that this reference has none. ROUGE-L takes the best of them, COMET the first.
        metrics: any of ``METRICS``. BLEU, chrF (chrF2) and TER are sacrebleu's, in percent; ROUGE-L is the mean F1
            over the sentences in percent; COMET is the system score of the model.
        sources: the sentences that were translated; COMET needs them.
        target_lang: the language of the references: it decides how BLEU, TER and ROUGE-L cut text into words.
        bleu_tokenizer: sacrebleu's tokenizer for BLEU, instead of the one for the language.
        comet_model: a local COMET checkpoint (``model.ckpt``).

    Raises:
        DataError: the numbers of sentences differ, or there are none.
        SettingError: a metric is unknown, or lacks its package, its source text, its model or the target language.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise SettingError("--metrics", metric, "no such metric", f"choose from {', '.join(METRICS)}")
    if not hypotheses:
        raise DataError("there are no translations to score")
    named = [(f"lines in reference {number}", texts) for number, texts in enumerate(references, 1)]
    named += [("source sentences", sources)] if sources is not None else []
    for what, texts in named:
        if len(texts) != len(hypotheses):
            raise DataError(f"{len(hypotheses)} translations, but {len(texts)} {what}: they must be the same sentences")
    if bleu_tokenizer is None:
        bleu_tokenizer = _tokenizer(target_lang, references) if "bleu" in metrics else "none"
    of = TestSet(hypotheses, references, sources, target_lang, bleu_tokenizer, comet_model)
    return {metric: _SCORERS[metric](metric, of) for metric in metrics}


def _tokenizer(target_lang: str | None, references: Sequence[Sequence[str]]) -> str:
    """Return the tokenizer for the language; an unknown language must be one that writes spaces."""
    if target_lang is None and unspaced_share(references[0]) > _UNSPACED_TEXT:
        raise SettingError(
            "--target-lang",
            "(not given)",
            "the reference is in a script without spaces between words, whose tokenizer depends on the language",
            "give --target-lang zh, ja, th ..., or name a tokenizer with --bleu-tokenizer",
        )
    return tokenizer_for(target_lang)


def _sacrebleu(metric: str, of: TestSet) -> Score:
    import numpy as np
    from sacrebleu.metrics import BLEU, CHRF, TER

    if metric == "bleu":
        check_tokenizer(of.bleu_tokenizer)
        # sacrebleu would warn of text that is already tokenised; ``checks`` says it with the remedy for fairseq.
        scorer: Any = BLEU(tokenize=of.bleu_tokenizer, force=True)
    elif metric == "chrf":
        scorer = CHRF()
    else:
        asian = of.target_lang is not None and language_of(of.target_lang) in ("zh", "ja")
        scorer = TER(normalized=asian, asian_support=asian)
    counted = scorer._extract_corpus_statistics(list(of.hypotheses), _without_gaps(of.references))
    result = scorer._aggregate_and_compute(counted)
    details: dict[str, Any] = {}
    if metric == "bleu":
        details = {
            "brevity_penalty": float(result.bp),
            "precisions": [float(precision) for precision in result.precisions],
            "hypothesis_length": int(result.sys_len),
            "reference_length": int(result.ref_len),
        }
    elif metric == "ter":
        details = {"edits": float(result.num_edits), "reference_length": float(result.ref_length)}
    statistics = np.array(counted, dtype=np.float64)
    return _scored(metric, float(result.score), str(scorer.get_signature()), statistics, details)


def _without_gaps(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Return the references with None where one of several has no sentence, as sacrebleu wants it."""
    if len(references) == 1:
        return [list(references[0])]
    sentences = [[text if text.strip() else None for text in texts] for texts in zip(*references, strict=True)]
    filled = [texts if any(texts) else ["", *texts[1:]] for texts in sentences]
    return [list(texts) for texts in zip(*filled, strict=True)]


def _rouge_l(metric: str, of: TestSet) -> Score:
    import numpy as np

    module = _optional("rouge_score.rouge_scorer", metric, "rouge-score", "rouge")
    # rouge-score's own tokenizer keeps a-z and 0-9 only, which cuts words at every accent.
    scorer = module.RougeScorer(["rougeL"], tokenizer=_Words())
    best = [
        scorer.score_multi(texts, hypothesis)["rougeL"]
        for hypothesis, *texts in zip(of.hypotheses, *of.references, strict=True)
    ]
    statistics = 100 * np.array([[pair.fmeasure, pair.precision, pair.recall] for pair in best])
    value, precision, recall = (float(mean) for mean in statistics.mean(0))
    several = f"|nrefs:{len(of.references)}" if len(of.references) > 1 else ""
    version = installed_version("rouge-score") or "unknown"
    signature = f"rougeL|f1:mean|case:lc|tok:words|stem:no{several}|version:{version}"
    return _scored(metric, value, signature, statistics[:, :1], {"precision": precision, "recall": recall})


class _Words:
    """The words of any script, and the letters of scripts without spaces, in the form that rouge-score wants."""

    def tokenize(self, text: str) -> list[str]:
        return split_words(text)


def _comet(metric: str, of: TestSet) -> Score:
    import numpy as np

    model = of.comet_model
    if model is None:
        remedy = (
            "download a COMET model once and name its checkpoint, for example --comet-model wmt22-comet-da/model.ckpt"
        )
        raise SettingError("--comet-model", "(not given)", "COMET needs a local checkpoint", remedy)
    if not model.is_file():
        raise SettingError(
            "--comet-model", model, "there is no such file", "name the file, usually .../checkpoints/model.ckpt"
        )
    if of.sources is None:
        raise SettingError(
            "--source", "(not given)", "COMET needs the source text", "give the raw source text with --source"
        )
    comet = _optional("comet", metric, "unbabel-comet", "comet")
    data = [
        {"src": source, "mt": hypothesis, "ref": reference}
        for source, hypothesis, reference in zip(of.sources, of.hypotheses, of.references[0], strict=True)
    ]
    torch: Any = _optional("torch", metric, "unbabel-comet", "comet")
    device = "gpu" if torch.cuda.is_available() else "cpu"
    loaded = comet.load_from_checkpoint(str(model))
    output = loaded.predict(data, batch_size=_COMET_BATCH[device], gpus=int(device == "gpu"), progress_bar=False)
    with open(model, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    # The same checkpoint gives the same signature wherever it lies.
    signature = f"comet|model:{digest}|version:{installed_version('unbabel-comet') or 'unknown'}"
    statistics = np.array(output.scores, dtype=np.float64)[:, None]
    return _scored(metric, float(output.system_score), signature, statistics, {"device": device})


_SCORERS: dict[str, Callable[[str, TestSet], Score]] = {
    "bleu": _sacrebleu,
    "chrf": _sacrebleu,
    "ter": _sacrebleu,
    "comet": _comet,
    "rouge_l": _rouge_l,
}
METRICS = tuple(name for name in table.METRICS if name in _SCORERS)
"""The metrics that can be computed, in the order of a report."""


def _scored(metric: str, value: float, signature: str, statistics: Statistics, details: dict[str, Any]) -> Score:
    from .bootstrap import interval, pack, resampled_scores

    bounds = interval(resampled_scores(metric, statistics))
    return Score(value, signature, details, interval=bounds, statistics=pack(metric, statistics))


def _optional(module: str, metric: str, package: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'fairseq-scaling[{extra}]' or pip install {package}"
        raise SettingError("--metrics", metric, f"needs the package {package} ({error})", remedy) from None
