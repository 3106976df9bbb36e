"""Sentences of token ids on disk, in fairseq's memory-mapped format (``.bin`` and ``.idx``), without fairseq."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError

_MAGIC = b"MMIDIDX\x00\x00"
_VERSION = 1
_HEADER = struct.Struct("<9sQBQ")
# The numbers fairseq gives the types (fairseq/data/indexed_dataset.py), as far as this project writes them.
_DTYPES: dict[int, np.dtype[Any]] = {4: np.dtype(np.int32), 8: np.dtype(np.uint16)}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_CHUNK = 1 << 20
_REMEDY = "encode the corpus again: scaling-preprocess encode --overwrite"


class TokenBatch(NamedTuple):
    """Several sentences in one piece."""

    tokens: npt.NDArray[Any]
    """[tokens] the sentences one after the other"""
    sizes: npt.NDArray[Any]
    """[sentences] tokens per sentence"""


class TokenFile:
    """Sentences of token ids, memory-mapped: opening costs nothing, reading touches only what is asked for.

    Args:
        path_prefix: the path without ``.bin`` and ``.idx``, as fairseq's ``MMapIndexedDataset`` wants it.

    Raises:
        DataError: a file is missing, is not of this format, or the two do not belong together.
    """

    def __init__(self, path_prefix: str | os.PathLike[str]) -> None:
        self.path_prefix = os.fspath(path_prefix)
        index_path, data_path = Path(self.path_prefix + ".idx"), Path(self.path_prefix + ".bin")
        for path in (index_path, data_path):
            if not path.is_file():
                raise DataError(f"{path} is missing\n  {_REMEDY}")
        self.dtype, sentences = _read_header(index_path)
        self.sizes: npt.NDArray[np.int32] = _map(index_path, np.dtype(np.int32), _HEADER.size, sentences)
        """[sentences] tokens per sentence, the end-of-sentence token included"""
        pointers_at = _HEADER.size + 4 * sentences
        self._pointers = _map(index_path, np.dtype(np.int64), pointers_at, sentences)
        self.tokens = 0
        """number of tokens in the file"""
        if sentences:
            self.tokens = int(self._pointers[-1]) // self.dtype.itemsize + int(self.sizes[-1])
        if data_path.stat().st_size != self.tokens * self.dtype.itemsize:
            raise DataError(
                f"{data_path} holds {data_path.stat().st_size} bytes, its index says "
                f"{self.tokens * self.dtype.itemsize}\n  {_REMEDY}"
            )
        self.stream: npt.NDArray[Any] = _map(data_path, self.dtype, 0, self.tokens)
        """[tokens] all tokens in file order (uint16 or int32), not in memory but mapped"""

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """Return the tokens of one sentence, shape [size], its end-of-sentence token included."""
        start = int(self._pointers[index]) // self.dtype.itemsize
        return self.stream[start : start + int(self.sizes[index])]

    def __reduce__(self) -> tuple[type[TokenFile], tuple[str]]:
        return TokenFile, (self.path_prefix,)


def write_token_file(
    path_prefix: str | os.PathLike[str],
    sentences: Iterable[npt.NDArray[Any] | TokenBatch],
    dtype: npt.DTypeLike,
) -> TokenFile:
    """Write sentences to ``path_prefix.bin`` and ``.idx`` and return the file; memory does not grow with it.

    The bytes are those fairseq's ``MMapIndexedDatasetBuilder`` writes. Nothing is added: a sentence brings its own
    end-of-sentence token.

    Args:
        path_prefix: where to; missing folders are made.
        sentences: one-dimensional arrays (a sentence each) or ``TokenBatch`` (many at once: faster).
        dtype: that of ``token_dtype`` for the vocabulary.
    """
    kind, prefix = np.dtype(dtype), os.fspath(path_prefix)
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    data_part, index_part, sizes_part = prefix + ".bin.part", prefix + ".idx.part", prefix + ".sizes.part"
    try:
        with open(data_part, "wb") as data, open(sizes_part, "wb") as sizes:
            count = _write_tokens(data, sizes, sentences, kind)
        with open(index_part, "wb") as index:
            _write_index(index, sizes_part, count, kind)
        os.replace(data_part, prefix + ".bin")
        os.replace(index_part, prefix + ".idx")
    finally:
        for part in (data_part, index_part, sizes_part):
            Path(part).unlink(missing_ok=True)
    return TokenFile(prefix)


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """Return the smaller of uint16 and int32 that holds every id of a vocabulary."""
    return np.dtype(np.uint16) if vocabulary_size <= 1 << 16 else np.dtype(np.int32)


def _write_tokens(
    data: IO[bytes], sizes: IO[bytes], sentences: Iterable[npt.NDArray[Any] | TokenBatch], dtype: np.dtype[Any]
) -> int:
    """Write the tokens and, into a second file, the int32 size of every sentence; return how many there were."""
    count = 0
    for item in sentences:
        batch = item if isinstance(item, TokenBatch) else TokenBatch(item, np.array([len(item)]))
        data.write(batch.tokens.astype(dtype, copy=False).tobytes())
        sizes.write(batch.sizes.astype(np.int32, copy=False).tobytes())
        count += len(batch.sizes)
    return count


def _write_index(index: IO[bytes], sizes_path: str, count: int, dtype: np.dtype[Any]) -> None:
    index.write(_HEADER.pack(_MAGIC, _VERSION, _CODES[dtype], count))
    for chunk in _chunks(sizes_path):
        index.write(chunk.tobytes())
    address = 0
    for chunk in _chunks(sizes_path):
        ends = address + np.cumsum(chunk, dtype=np.int64) * dtype.itemsize
        index.write(np.concatenate([[np.int64(address)], ends[:-1]]).astype(np.int64).tobytes())
        address = int(ends[-1])


def _chunks(sizes_path: str) -> Iterator[npt.NDArray[np.int32]]:
    with open(sizes_path, "rb") as sizes:
        while part := sizes.read(4 * _CHUNK):
            yield np.frombuffer(part, dtype=np.int32)


def _read_header(path: Path) -> tuple[np.dtype[Any], int]:
    """Return the type of the tokens and the number of sentences."""
    with open(path, "rb") as stream:
        head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise DataError(f"{path} is no fairseq mmap index\n  {_REMEDY}")
    _, version, code, sentences = _HEADER.unpack(head)
    if version != _VERSION or code not in _DTYPES:
        raise DataError(f"{path} has version {version} and type code {code}: expected 1 and {sorted(_DTYPES)}")
    if path.stat().st_size != _HEADER.size + 12 * sentences:
        raise DataError(f"{path} is cut short: its header says {sentences} sentences\n  {_REMEDY}")
    return _DTYPES[code], int(sentences)


def _map(path: Path, dtype: np.dtype[Any], offset: int, count: int) -> npt.NDArray[Any]:
    if count == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))
