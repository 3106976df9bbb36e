"""Scores of translations against the raw reference text, each with the signature that says how it was made.

sacrebleu, rouge-score and comet are imported when a score is asked for, never with this package.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import DataError, SettingError
from .score_file import Score

METRICS = ("bleu", "chrf", "ter", "rouge_l", "comet")
DEFAULT_METRICS = ("bleu", "chrf", "ter")
_WORD = re.compile(r"\w+")


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[str],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    sources: Sequence[str] | None = None,
    bleu_tokenizer: str = "13a",
    comet_model: Path | None = None,
) -> dict[str, Score]:
    """Return metric -> score of a whole test set.

    Args:
        hypotheses: detokenised translations, one per sentence.
        references: the raw references, in the same order.
        metrics: any of ``METRICS``. BLEU, chrF (chrF2) and TER are sacrebleu's, in percent; ROUGE-L is the mean F1
            over the sentences in percent; COMET is the system score of the model.
        sources: the sentences that were translated; COMET needs them.
        bleu_tokenizer: sacrebleu's tokenizer for BLEU (``13a``, ``intl``, ``zh``, ``ja-mecab``, ``flores200`` ...).
        comet_model: a local COMET checkpoint (``model.ckpt``).

    Raises:
        DataError: the numbers of sentences differ.
        SettingError: a metric is unknown, or lacks its package, its source text or its model.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise SettingError("metrics", metric, "no such metric", f"choose from {', '.join(METRICS)}")
    for what, texts in (("references", references), ("sources", sources)):
        if texts is not None and len(texts) != len(hypotheses):
            raise DataError(f"{len(hypotheses)} translations, but {len(texts)} {what}: they must be the same sentences")
    if not hypotheses:
        raise DataError("there are no translations to score")
    scores: dict[str, Score] = {}
    for metric in metrics:
        if metric == "rouge_l":
            scores[metric] = _rouge_l(hypotheses, references)
        elif metric == "comet":
            scores[metric] = _comet(hypotheses, references, sources, comet_model)
        else:
            scores[metric] = _sacrebleu(metric, hypotheses, references, bleu_tokenizer)
    return scores


def _sacrebleu(metric: str, hypotheses: Sequence[str], references: Sequence[str], tokenizer: str) -> Score:
    from sacrebleu.metrics import BLEU, CHRF, TER

    if metric == "bleu":
        if tokenizer not in BLEU.TOKENIZERS:
            raise SettingError(
                "bleu-tokenizer", tokenizer, "no such tokenizer", f"choose from {', '.join(BLEU.TOKENIZERS)}"
            )
        try:
            scorer: Any = BLEU(tokenize=tokenizer)
        except (ImportError, RuntimeError) as error:
            raise SettingError("bleu-tokenizer", tokenizer, f"can not be used here ({error})") from None
    else:
        scorer = CHRF() if metric == "chrf" else TER()
    result = scorer.corpus_score(list(hypotheses), [list(references)])
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
    return Score(float(result.score), str(scorer.get_signature()), details)


def _rouge_l(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    module = _optional("rouge_score.rouge_scorer", "rouge_l", "rouge-score", "rouge")
    # rouge-score's own tokenizer keeps a-z and 0-9 only, which cuts words at every accent
    scorer = module.RougeScorer(["rougeL"], tokenizer=_Words())
    pairs = [
        scorer.score(target, prediction)["rougeL"] for prediction, target in zip(hypotheses, references, strict=True)
    ]
    mean: Callable[[str], float] = lambda name: 100 * sum(getattr(pair, name) for pair in pairs) / len(pairs)  # noqa: E731
    signature = f"rougeL|f1:mean|case:lc|tok:words|stem:no|version:{_version('rouge-score')}"
    return Score(mean("fmeasure"), signature, {"precision": mean("precision"), "recall": mean("recall")})


class _Words:
    """Lower-case words of letters and digits of any script, in the form that rouge-score wants."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def _comet(
    hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None, model: Path | None
) -> Score:
    if model is None:
        remedy = (
            "download a COMET model once and name its checkpoint, for example --comet-model wmt22-comet-da/model.ckpt"
        )
        raise SettingError("comet-model", "", "COMET needs a local checkpoint", remedy)
    if not model.is_file():
        raise SettingError(
            "comet-model", model, "there is no such file", "name the file, usually .../checkpoints/model.ckpt"
        )
    if sources is None:
        raise SettingError("source", "", "COMET needs the source text", "give the raw source text with --source")
    comet = _optional("comet", "comet", "unbabel-comet", "comet")
    data = [
        {"src": source, "mt": hypothesis, "ref": reference}
        for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True)
    ]
    output = comet.load_from_checkpoint(str(model)).predict(data, batch_size=16, gpus=0, progress_bar=False)
    with open(model, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    # the same checkpoint gives the same signature wherever it lies
    return Score(float(output.system_score), f"comet|model:{digest}|version:{_version('unbabel-comet')}", {})


def _optional(module: str, metric: str, package: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'fairseq-scaling[{extra}]' or pip install {package}"
        raise SettingError("metrics", metric, f"needs the package {package} ({error})", remedy) from None


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
