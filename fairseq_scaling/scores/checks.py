"""What a score does not show: empty lines, pieces, unknown tokens, a score of zero. Each is said beside the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..problems import Problem, ProblemKind
from .languages import is_unspaced, tokenizer_for
from .pieces import PieceKind
from .score_file import Score

_TOKENISED = (" .", " ,", " ?", " !")
_LEAST_SHARE = 0.1
_EXAMPLES = 8
_WORST = {"bleu": 0.0, "chrf": 0.0, "rouge_l": 0.0}


class ScoreProblem(ProblemKind):
    """What should be known of a score before it is believed."""

    ALL_ZERO = (
        "the score is 0 in {metrics}",
        "not one {unit} of any translation is in its reference",
        "check that output and reference are the same sentences in the same language, and that the text is detokenised",
    )
    EMPTY_REFERENCES = (
        "{count} of {sentences} reference lines are empty",
        "the first is line {first}; every word of a translation of it counts as wrong",
        "remove these sentences from the test set, or give the reference that has them",
    )
    MISSING_REFERENCES = (
        "{count} of {sentences} lines of reference {number} are empty",
        "these sentences are scored against the other references",
    )
    EMPTY_TRANSLATIONS = "{count} of {sentences} translations are empty", "the first is sentence {first}"
    UNKNOWN_TOKENS = (
        "{count} of {sentences} translations hold <unk>",
        "the model has characters or words that its vocabulary lacks",
    )
    PIECES_JOINED = "the translations are in {title} pieces", "they were joined to words", "--join none keeps them"
    STILL_TOKENISED = (
        "{count} of {sentences} translations look tokenised (a space before the full stop), the reference does not",
        "the score is lower than that of the detokenised text",
        "let fairseq-generate detokenise: --tokenizer moses",
    )
    SCORED_BY_CHARACTER = (
        "{language} is written without spaces and sacrebleu has no tokenizer for it: BLEU counts characters",
        "",
        "name another tokenizer with --bleu-tokenizer",
    )
    TER_NEEDS_WORDS = "TER counts words, and {language} writes no spaces between them", "use chrF or BLEU"
    UNSEEN_CHARACTERS = (
        "{count} of {characters} characters of the reference never occur in the training text",
        "most often {examples}: a model that was trained on it does not write them",
    )


def check_scores(
    scores: Mapping[str, Score],
    hypotheses: Sequence[str],
    references: Mapping[str, Sequence[str]],
    *,
    file: str,
    joined: PieceKind | None = None,
    target_lang: str | None = None,
    bleu_tokenizer: str | None = None,
    unseen: Mapping[str, Any] | None = None,
) -> list[Problem]:
    """Return what should be known of these scores, the gravest first.

    Args:
        scores: metric -> score.
        hypotheses: the translations that were scored.
        references: file -> reference sentences.
        file: where the translations come from.
        joined: the kind of pieces that were joined.
        target_lang: the language of the references, where it is known.
        bleu_tokenizer: the tokenizer that the user asked for; None: the language's own.
        unseen: what ``corpus.json`` says of the reference's characters that no training text has.
    """
    sentences = len(hypotheses)
    first = next(iter(references.values()))
    found = []
    zero = [metric for metric, worst in _WORST.items() if metric in scores and scores[metric].value == worst]
    if zero and len(zero) == len(_WORST.keys() & scores.keys()):
        unit = "character" if "chrf" in zero else "sequence of words"
        found.append(ScoreProblem.ALL_ZERO.at(file, metrics=", ".join(zero), unit=unit))
    for number, (name, texts) in enumerate(references.items(), 1):
        empty = [line for line, text in enumerate(texts, 1) if not text.strip()]
        if empty and len(references) == 1:
            problem = ScoreProblem.EMPTY_REFERENCES
            found.append(problem.at(name, count=len(empty), sentences=sentences, first=empty[0]))
        elif empty:
            problem = ScoreProblem.MISSING_REFERENCES
            found.append(problem.at(name, count=len(empty), sentences=sentences, number=number))
    empty = [number for number, text in enumerate(hypotheses) if not text.strip()]
    if empty:
        problem = ScoreProblem.EMPTY_TRANSLATIONS
        found.append(problem.at(file, count=len(empty), sentences=sentences, first=empty[0]))
    if unknown := sum("<unk>" in text for text in hypotheses):
        found.append(ScoreProblem.UNKNOWN_TOKENS.at(file, count=unknown, sentences=sentences))
    if joined is not None:
        found.append(ScoreProblem.PIECES_JOINED.at(file, title=joined.title))
    tokenised = sum(text.endswith(_TOKENISED) for text in hypotheses)
    if tokenised > _LEAST_SHARE * sentences and sum(text.endswith(_TOKENISED) for text in first) < tokenised / 2:
        found.append(ScoreProblem.STILL_TOKENISED.at(file, count=tokenised, sentences=sentences))
    if target_lang is not None and is_unspaced(target_lang):
        if "bleu" in scores and bleu_tokenizer is None and tokenizer_for(target_lang) == "char":
            found.append(ScoreProblem.SCORED_BY_CHARACTER.at(file, language=target_lang))
        if "ter" in scores and "asian:yes" not in scores["ter"].signature:
            found.append(ScoreProblem.TER_NEEDS_WORDS.at(file, language=target_lang))
    if unseen and unseen.get("count"):
        examples = " ".join(list(unseen.get("most_frequent", {}))[:_EXAMPLES])
        problem = ScoreProblem.UNSEEN_CHARACTERS
        counts = {"count": unseen["count"], "characters": unseen.get("characters", "the")}
        found.append(problem.at(next(iter(references)), examples=examples, **counts))
    return found
