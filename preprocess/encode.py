"""Step 4, encode: clean text and a SentencePiece model become a corpus folder."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from fairseq_scaling.data.dictionary import IS_SENTINEL, IS_TAG, SENTINEL, SPECIALS, TAG, read_symbols, symbol_of
from fairseq_scaling.errors import DataError

from .clean import AS_GIVEN
from .folders import (
    CLEAN_MANIFEST,
    CORPUS_MANIFEST,
    check_folder,
    file_entries,
    mono_name,
    new_folder,
    pair_name,
    read_manifest,
    write_manifest,
)
from .lines import count_lines, read_lines, text_batches
from .progress import ordered_map, progress

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SENTINELS = 100
_END, _UNKNOWN = 2, 3
_BATCH = 4000
_SHOWN = 20  # of the characters that training has never seen


class Vocabulary:
    """The pieces of a SentencePiece model as fairseq's dictionary numbers them, with language tags and sentinels.

    Args:
        model: the model file.
        languages: all languages of the corpus.
        dictionary: the ``dict.txt`` of a checkpoint, whose numbers are kept; nothing is added to it.

    Raises:
        DataError: no such file, no SentencePiece model, or one whose pieces collide with the symbols added here, or
            are not those of ``dictionary``.
    """

    def __init__(self, model: Path, languages: Sequence[str], dictionary: Path | None = None) -> None:
        processor = load_model(model)
        piece_ids = range(processor.get_piece_size())
        no_text = (processor.is_unknown, processor.is_control, processor.is_unused)
        own = [index for index in piece_ids if not any(kind(index) for kind in no_text)]
        self.pieces = [processor.id_to_piece(index) for index in own]
        if dictionary is None:
            self.symbols = [*SPECIALS, *self.pieces, *_added(model, self.pieces, languages)]
        else:
            self.symbols = read_symbols(dictionary)
        numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        symbols = [symbol_of(piece, numbers) for piece in self.pieces]
        if missing := [symbol for symbol in symbols if symbol not in numbers]:
            raise DataError(
                f"{dictionary} lacks {len(missing)} of the {len(symbols)} pieces of {model}, for example {missing[0]}\n"
                "  give the dictionary and the model of one and the same checkpoint"
            )
        self.tags = [symbol for symbol in self.symbols if IS_TAG.fullmatch(symbol)]
        self.sentinels = [symbol for symbol in self.symbols if IS_SENTINEL.fullmatch(symbol)]
        self.size = len(self.symbols)
        self.dtype = token_dtype(self.size)
        self.ids: npt.NDArray[Any] = np.full(len(piece_ids), _UNKNOWN, self.dtype)
        """[pieces of the model] -> fairseq's id; unknown, control and unused pieces become <unk>"""
        self.ids[own] = [numbers[symbol] for symbol in symbols]

    def write_dictionary(self, path: Path, counts: npt.NDArray[np.int64]) -> None:
        """Write ``dict.txt``; ``counts`` [size] are those of the training text."""
        counted = zip(self.symbols, counts.tolist(), strict=True)
        lines = [f"{symbol} {max(1, count)}\n" for symbol, count in itertools.islice(counted, len(SPECIALS), None)]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")


def encode(
    clean: Path, model: Path, out: Path, workers: int = 1, overwrite: bool = False, dictionary: Path | None = None
) -> Corpus:
    """Write the corpus folder ``out`` and return it; memory does not grow with the text.

    The same text and model give the same bytes, whatever the number of workers. With ``dictionary``, the ``dict.txt``
    of a checkpoint, the corpus fits that checkpoint. The texts beside the token files of a given set are those that
    were given; the tokens are those of the normalised text.

    Raises:
        DataError: the clean folder is not finished, a text is empty, or the model is unusable.
        SettingError: ``out`` is taken.
    """
    check_folder(out, CORPUS_MANIFEST, overwrite)
    cleaned = read_manifest(clean, CLEAN_MANIFEST)
    pairs = sorted(cleaned["pairs"])
    languages = sorted({*cleaned["languages"], *(side for pair in pairs for side in pair.split("-"))})
    vocabulary = Vocabulary(model, languages, dictionary)
    with new_folder(out) as folder:
        shutil.copyfile(model, folder / "sentencepiece.model")
        encoder = _Encoder(clean, folder, model, vocabulary, workers)
        mono = {language: encoder.mono(language) for language in sorted(cleaned["languages"])}
        parallel = {pair: encoder.pair(pair, cleaned["pairs"][pair]) for pair in pairs}
        vocabulary.write_dictionary(folder / "dict.txt", encoder.counts)
        files = file_entries(folder)
        noted = model.with_name(model.name + ".json")  # by train-sentencepiece
        trained = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
        manifest = {
            "format": FORMAT,
            "languages": mono,
            "pairs": parallel,
            "test_sets": cleaned["test_sets"],
            "text": {**cleaned["text"], "unseen_characters": encoder.unseen_characters()},
            "vocabulary": {
                "pieces": len(vocabulary.pieces),
                "tags": vocabulary.tags,
                "sentinels": len(vocabulary.sentinels),
                "size": vocabulary.size,
                "unknown_tokens": encoder.unknown_tokens,
            },
            "files": files,
            "sources": cleaned["sources"],
            "filters": cleaned["filters"],
            "settings": {"clean": cleaned["settings"], "sentencepiece": trained},
            "fingerprint": corpus_fingerprint(files),
        }
        write_manifest(folder, CORPUS_MANIFEST, manifest)
    return Corpus.open(out)


def _added(model: Path, pieces: Sequence[str], languages: Sequence[str]) -> list[str]:
    """Return the symbols that follow the pieces: language tags, then sentinels, the first sentinel last as in T5."""
    tags = [TAG.format(language) for language in sorted(languages)]
    added = tags + [SENTINEL.format(number) for number in reversed(range(SENTINELS))]
    if collisions := sorted({*SPECIALS, *added}.intersection(pieces)):
        raise DataError(
            f"{model} has a piece {collisions[0]}, which means something else here\n"
            "  train another, or give the dictionary of its checkpoint: --dictionary"
        )
    return added


def load_model(path: Path) -> SentencePieceProcessor:
    """Return the SentencePiece model in a file (DataError where there is no such file or model)."""
    import sentencepiece

    if not path.is_file():
        raise DataError(f"{path} is no file\n  train a model first: scaling-preprocess train-sentencepiece")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise DataError(f"{path} is no SentencePiece model: {error}") from None


class _Encoder:
    """Writes the token files of one corpus; counts the tokens and characters of the training text."""

    def __init__(self, clean: Path, out: Path, model: Path, vocabulary: Vocabulary, workers: int) -> None:
        self._clean, self._out, self._model, self._vocabulary, self._workers = clean, out, model, vocabulary, workers
        self.counts = np.zeros(vocabulary.size, np.int64)
        self.unknown_tokens = 0
        self._trained: set[str] = set()  # characters of training text
        self._held_out: dict[tuple[str, str, str], Counter[str]] = {}  # pair, split, language -> characters

    def mono(self, language: str) -> dict[str, Any]:
        """Write both splits of a language; return their sizes."""
        sizes = {}
        for split in ("train", "valid"):
            tokens, unknown = self._encode(mono_name(language, split), Path("mono") / language / split, split)
            sizes[split] = {"sentences": len(tokens), "tokens": tokens.tokens, "unknown_tokens": unknown}
        return sizes

    def pair(self, pair: str, splits: Iterable[str]) -> dict[str, Any]:
        """Write the splits of a pair, tokens and text; return their sizes."""
        sizes: dict[str, Any] = {}
        for split in sorted(splits, key=lambda name: (name != "train", name)):
            sides, unknown, sentences = {}, {}, {}
            for language in pair.split("-"):
                text = pair_name(pair, language, split)
                prefix = Path("pairs") / pair / f"{split}.{language}"
                tokens, unknown[language] = self._encode(text, prefix, split)
                sides[language], sentences[text] = tokens.tokens, len(tokens)
                given = self._clean / pair_name(pair, language, AS_GIVEN.format(split))
                raw = given if given.is_file() else self._clean / text
                shutil.copyfile(raw, self._out / f"{prefix}.txt")
                if split != "train":
                    self._held_out[pair, split, language] = Counter(itertools.chain.from_iterable(read_lines(raw)))
            if len(set(sentences.values())) != 1:
                raise DataError(f"{self._clean}: {' and '.join(sentences)} have different numbers of lines")
            sizes[split] = {"sentences": sentences[text], "tokens": sides, "unknown_tokens": unknown}
        return sizes

    def unseen_characters(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return, for each side of a given or taken-out set, the characters of its raw text that no training text has.

        pair -> split -> language -> ``count`` of ``characters`` (spaces are none), and the most frequent ones.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for (pair, split, language), counts in self._held_out.items():
            written = Counter({character: n for character, n in counts.items() if not character.isspace()})
            unseen = Counter({character: n for character, n in written.items() if character not in self._trained})
            found.setdefault(pair, {}).setdefault(split, {})[language] = {
                "count": unseen.total(),
                "characters": written.total(),
                "most_frequent": dict(sorted(unseen.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]),
            }
        return found

    def _encode(self, text: str, prefix: Path, split: str) -> tuple[TokenFile, int]:
        """Write the token file of a text; return it and how many of its tokens are unknown."""
        path = self._clean / text
        total = count_lines(path)
        if not total:
            raise DataError(f"{path} is empty: nothing was left after cleaning\n  fetch more text, or filter less")
        unknown = 0
        with progress(f"encode {text} (lines)", total) as advance:

            def encoded() -> Iterator[TokenBatch]:
                nonlocal unknown
                work = partial(_encode_lines, ids=self._vocabulary.ids)
                jobs = text_batches(read_lines(path), _BATCH)
                for batch, characters in ordered_map(work, jobs, self._workers, _set_model, (os.fspath(self._model),)):
                    unknown += int(np.count_nonzero(batch.tokens == _UNKNOWN))
                    if split == "train":
                        self.counts += np.bincount(batch.tokens, minlength=len(self.counts))
                        self._trained |= characters
                    advance(len(batch.sizes))
                    yield batch

            tokens = write_token_file(self._out / prefix, encoded(), self._vocabulary.dtype)
        self.unknown_tokens += unknown
        return tokens, unknown


_processor: SentencePieceProcessor | None = None  # of a worker process


def _set_model(path: str) -> None:
    global _processor
    _processor = load_model(Path(path))


def _encode_lines(lines: list[str], ids: npt.NDArray[Any]) -> tuple[TokenBatch, set[str]]:
    """Return fairseq's ids of the lines, each ended with ``</s>``, and the characters of the lines."""
    assert _processor is not None
    # One thread: SentencePiece would otherwise start as many as there are cores in every worker.
    encoded: list[list[int]] = _processor.encode(lines, num_threads=1)
    sizes = np.fromiter(map(len, encoded), np.int32, len(encoded)) + np.int32(1)
    ends = np.cumsum(sizes) - 1
    tokens = np.full(int(sizes.sum()), _END, ids.dtype)
    inside = np.ones(len(tokens), bool)
    inside[ends] = False
    tokens[inside] = ids[np.fromiter(itertools.chain.from_iterable(encoded), np.int64, len(tokens) - len(encoded))]
    return TokenBatch(tokens, sizes), set().union(*lines)
