"""Step 4, encode: clean text and a SentencePiece model become a corpus folder."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fairseq_scaling.data.corpus import (
    FORMAT,
    Corpus,
    TokenBatch,
    TokenFile,
    corpus_fingerprint,
    token_dtype,
    write_token_file,
)
from fairseq_scaling.errors import DataError

from .folders import (
    CLEAN_MANIFEST,
    CORPUS_MANIFEST,
    check_free,
    file_entries,
    mono_name,
    new_folder,
    pair_name,
    read_manifest,
    write_manifest,
)
from .lines import batches, count_lines, read_lines
from .progress import ordered_map, progress

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SENTINELS = 100
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq puts them before the pieces, in this order
_END, _UNKNOWN = 2, 3
_BATCH = 4000


class Vocabulary:
    """The pieces of a SentencePiece model as fairseq's dictionary numbers them, with language tags and sentinels.

    Args:
        model: the model file.
        languages: all languages of the corpus.

    Raises:
        DataError: no such file, no SentencePiece model, or one whose pieces collide with the symbols added here.
    """

    def __init__(self, model: Path, languages: Sequence[str]) -> None:
        processor = load_model(model)
        piece_ids = range(processor.get_piece_size())
        no_text = (processor.is_unknown, processor.is_control, processor.is_unused)
        own = [index for index in piece_ids if not any(kind(index) for kind in no_text)]
        self.pieces = [processor.id_to_piece(index) for index in own]
        self.tags = [f"<2{language}>" for language in sorted(languages)]
        # Like T5 the first sentinel has the last id.
        self.sentinels = [f"<extra_id_{number}>" for number in reversed(range(SENTINELS))]
        added = {*_SPECIALS, *self.tags, *self.sentinels}
        if collisions := sorted(added.intersection(self.pieces)):
            raise DataError(f"{model} has a piece {collisions[0]}, which means something else here\n  train another")
        self.size = len(_SPECIALS) + len(self.pieces) + len(self.tags) + len(self.sentinels)
        self.dtype = token_dtype(self.size)
        self.ids: npt.NDArray[Any] = np.full(len(piece_ids), _UNKNOWN, self.dtype)
        """[pieces of the model] -> fairseq's id; unknown, control and unused pieces become <unk>"""
        self.ids[own] = np.arange(len(own)) + len(_SPECIALS)

    def write_dictionary(self, path: Path, counts: npt.NDArray[np.int64]) -> None:
        """Write ``dict.txt``; ``counts`` [size] are those of the training text."""
        real = counts[len(_SPECIALS) : len(_SPECIALS) + len(self.pieces)]
        lines = [f"{piece} {max(1, count)}\n" for piece, count in zip(self.pieces, real.tolist(), strict=True)]
        lines += [f"{symbol} 1\n" for symbol in (*self.tags, *self.sentinels)]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")


def encode(clean: Path, model: Path, out: Path, workers: int = 1, overwrite: bool = False) -> Corpus:
    """Write the corpus folder ``out`` and return it; memory does not grow with the text.

    The same text and model give the same bytes, whatever the number of workers.

    Raises:
        DataError: the clean folder is not finished, a text is empty, or the model is unusable.
        SettingError: ``out`` is taken.
    """
    check_free(out, CORPUS_MANIFEST, overwrite)
    cleaned = read_manifest(clean, CLEAN_MANIFEST)
    pairs = sorted(cleaned["pairs"])
    languages = sorted({*cleaned["languages"], *(side for pair in pairs for side in pair.split("-"))})
    vocabulary = Vocabulary(model, languages)
    with new_folder(out, CORPUS_MANIFEST, overwrite) as folder:
        shutil.copyfile(model, folder / "sentencepiece.model")
        encoder = _Encoder(clean, folder, model, vocabulary, workers)
        mono = {language: encoder.mono(language) for language in sorted(cleaned["languages"])}
        parallel = {pair: encoder.pair(pair) for pair in pairs}
        vocabulary.write_dictionary(folder / "dict.txt", encoder.counts)
        files = file_entries(folder)
        manifest = {
            "format": FORMAT,
            "languages": mono,
            "pairs": parallel,
            "vocabulary": {
                "pieces": len(vocabulary.pieces),
                "tags": vocabulary.tags,
                "sentinels": SENTINELS,
                "size": vocabulary.size,
                "unknown_tokens": int(encoder.counts[_UNKNOWN]),
            },
            "files": files,
            "sources": cleaned["sources"],
            "filters": cleaned["filters"],
            "settings": {"clean": cleaned["settings"], "sentencepiece": _model_settings(model)},
            "fingerprint": corpus_fingerprint(files),
        }
        write_manifest(folder, CORPUS_MANIFEST, manifest)
    return Corpus.open(out)


def load_model(path: Path) -> SentencePieceProcessor:
    """Return the SentencePiece model in a file.

    Raises:
        DataError: no such file, or no such model.
    """
    import sentencepiece

    if not path.is_file():
        raise DataError(f"{path} is no file\n  train a model first: scaling-preprocess train-sentencepiece")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise DataError(f"{path} is no SentencePiece model: {error}") from None


class _Encoder:
    """Writes the token files of one corpus and counts the tokens of the training text."""

    def __init__(self, clean: Path, out: Path, model: Path, vocabulary: Vocabulary, workers: int) -> None:
        self._clean, self._out, self._model, self._vocabulary, self._workers = clean, out, model, vocabulary, workers
        self.counts = np.zeros(vocabulary.size, np.int64)

    def mono(self, language: str) -> dict[str, Any]:
        """Write both splits of a language; return their sizes."""
        sizes = {}
        for split in ("train", "valid"):
            tokens = self._encode(mono_name(language, split), Path("mono") / language / split, split)
            sizes[split] = {"sentences": len(tokens), "tokens": tokens.tokens}
        return sizes

    def pair(self, pair: str) -> dict[str, Any]:
        """Write the splits of a pair, tokens and text; return their sizes."""
        sizes: dict[str, Any] = {}
        for split in ("train", "valid", "test"):
            languages = pair.split("-")
            texts = [pair_name(pair, language, split) for language in languages]
            if not (self._clean / texts[0]).exists():
                continue
            tokens = {}
            for language, text in zip(languages, texts, strict=True):
                prefix = Path("pairs") / pair / f"{split}.{language}"
                tokens[language] = self._encode(text, prefix, split)
                shutil.copyfile(self._clean / text, self._out / f"{prefix}.txt")
            sentences = {len(side) for side in tokens.values()}
            if len(sentences) != 1:
                raise DataError(f"{self._clean / texts[0]} and {texts[1]} have different numbers of lines")
            sizes[split] = {
                "sentences": sentences.pop(),
                "tokens": {language: side.tokens for language, side in tokens.items()},
            }
        return sizes

    def _encode(self, text: str, prefix: Path, split: str) -> TokenFile:
        path = self._clean / text
        total = count_lines(path)
        if not total:
            raise DataError(f"{path} is empty: nothing was left after cleaning\n  fetch more text, or filter less")
        with progress(f"encode {text} (lines)", total) as advance:

            def encoded() -> Iterator[TokenBatch]:
                work = partial(_encode_lines, ids=self._vocabulary.ids)
                jobs = batches(read_lines(path), _BATCH)
                for batch in ordered_map(work, jobs, self._workers, _set_model, (os.fspath(self._model),)):
                    if split == "train":
                        self.counts += np.bincount(batch.tokens, minlength=len(self.counts))
                    advance(len(batch.sizes))
                    yield batch

            return write_token_file(self._out / prefix, encoded(), self._vocabulary.dtype)


_processor: SentencePieceProcessor | None = None  # of a worker process


def _set_model(path: str) -> None:
    global _processor
    _processor = load_model(Path(path))


def _encode_lines(lines: list[str], ids: npt.NDArray[Any]) -> TokenBatch:
    """Return fairseq's ids of the lines, each ended with ``</s>``."""
    assert _processor is not None
    # One thread: SentencePiece would otherwise start as many as there are cores in every worker.
    encoded: list[list[int]] = _processor.encode(lines, num_threads=1)
    sizes = np.fromiter(map(len, encoded), np.int32, len(encoded)) + np.int32(1)
    ends = np.cumsum(sizes) - 1
    tokens = np.full(int(sizes.sum()), _END, ids.dtype)
    inside = np.ones(len(tokens), bool)
    inside[ends] = False
    tokens[inside] = ids[np.fromiter(itertools.chain.from_iterable(encoded), np.int64, len(tokens) - len(encoded))]
    return TokenBatch(tokens, sizes)


def _model_settings(model: Path) -> dict[str, Any]:
    """Return what ``train-sentencepiece`` noted beside the model; nothing for a model of other origin."""
    import json

    described = model.with_name(model.name + ".json")
    return dict(json.loads(described.read_text(encoding="utf-8"))) if described.is_file() else {}
