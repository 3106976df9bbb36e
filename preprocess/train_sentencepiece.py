"""Step 3, train-sentencepiece: one vocabulary over all languages of a study."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq_scaling.errors import DataError
from fairseq_scaling.whole_files import check_free, names_failures, write_whole

from .folders import CLEAN_MANIFEST, mono_name, pair_name, read_manifest, write_manifest
from .lines import read_lines
from .settings import SentencePieceSettings

_SENTENCEPIECE_LONGEST = 4192  # bytes, its default


def train_sentencepiece(
    clean: Path, out: Path, settings: SentencePieceSettings, overwrite: bool = False
) -> dict[str, Any]:
    """Train a model on the training text of a clean folder and write it to ``out`` and its settings to ``out.json``.

    The same text and settings give the same bytes. Text is not normalised again, so encoded text decodes to
    itself, except for unknown characters. Control symbols have no piece: they are in fairseq's dictionary.

    Returns:
        The content of ``out.json``.

    Raises:
        DataError: the clean folder is not finished, or SentencePiece cannot make so many pieces of the text.
        SettingError: ``out`` exists.
    """
    check_free(out, (), overwrite)
    manifest = read_manifest(clean, CLEAN_MANIFEST)
    languages = sorted({*manifest["languages"], *(side for pair in manifest["pairs"] for side in pair.split("-"))})
    if not languages:
        raise DataError(f"{clean} holds no text")
    share = -(-settings.sentences // len(languages))
    samples = {language: list(_sample(clean, manifest, language, share)) for language in languages}
    longest = 4 * manifest["settings"]["limits"]["max_characters"]  # bytes of a line, at most
    model = _train(itertools.chain.from_iterable(samples.values()), settings, longest)
    described = {"settings": asdict(settings), "sentences": {name: len(lines) for name, lines in samples.items()}}
    with names_failures(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(out.parent, out.name + ".json", described)
        write_whole(out, model)  # last: it is what shows that the step is finished
    return described


def _sample(clean: Path, manifest: dict[str, Any], language: str, count: int) -> Iterator[str]:
    """Yield ``count`` training lines of a language, spread over its files, which are taken in turn."""
    sizes: dict[Path, int] = {}
    if language in manifest["languages"]:
        sizes[clean / mono_name(language, "train")] = manifest["languages"][language]["train"]
    for pair in sorted(manifest["pairs"]):
        if language in pair.split("-"):
            sizes[clean / pair_name(pair, language, "train")] = manifest["pairs"][pair]["train"]
    # Monolingual text keeps its order: its first lines alone would be those of few documents.
    step = max(1, sum(sizes.values()) // count)
    spread = (itertools.islice(read_lines(path), 0, None, step) for path in sizes)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*spread))
    return itertools.islice((line for line in in_turn if line is not None), count)


def _train(lines: Iterator[str], settings: SentencePieceSettings, longest: int) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    # SentencePiece leaves out longer lines than this without a word.
    length: dict[str, Any] = {"max_sentence_length": longest} if longest > _SENTENCEPIECE_LONGEST else {}
    try:
        # From an iterator into memory: a model trained from files keeps their paths.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            vocab_size=settings.vocab_size,
            model_type=settings.model_type,
            character_coverage=settings.character_coverage,
            num_threads=settings.threads,
            shuffle_input_sentence=False,
            normalization_rule_name="identity",
            byte_fallback=False,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=0,
            minloglevel=2,
            **length,
        )
    except (RuntimeError, OSError) as error:
        largest = re.search(r"value <= (\d+)", str(error))
        reason = f"the text allows at most {largest[1]}" if largest else str(error)
        remedy = f"--vocab-size {largest[1]}" if largest else "another --vocab-size"
        raise DataError(
            f"SentencePiece could not make a vocabulary of {settings.vocab_size} pieces: {reason}\n"
            f"  give more text, or {remedy}"
        ) from None
    return model.getvalue()
