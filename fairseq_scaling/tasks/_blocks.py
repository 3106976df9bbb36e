"""Blocks of monolingual text as fairseq datasets: corrupted when a batch is made, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary, FairseqDataset
from numpy.typing import NDArray

from ..data import hashing
from ..data.corpus import TokenFile
from ..data.corruption import SpanCorruption

# positions -> (index of the language, number of the block; beyond the blocks of its text they count on from the first)
Locate = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]]


class BlockDataset(FairseqDataset):
    """Blocks of several languages' streams under one numbering, corrupted as T5 does.

    The noise of a block depends on the seed, the language and the block's number alone. Text that is read again has
    other numbers, so other noise.
    """

    def __init__(
        self,
        streams: dict[str, TokenFile],
        locate: Locate,
        size: int,
        corruption: SpanCorruption,
        dictionary: Dictionary,
        sentinels: Sequence[int],
        seed: int,
    ) -> None:
        """Args:
        streams: language -> its text, in the order in which ``locate`` counts languages.
        locate: where the block of a position lies.
        size: number of positions.
        seed: of the noise.
        """
        super().__init__()
        self.languages = tuple(streams)
        self._files = list(streams.values())
        self._locate, self._size, self.corruption, self._dictionary = locate, size, corruption, dictionary
        self._sentinels = np.asarray(sentinels, dtype=np.int64)
        self._lengths = np.array([file.tokens // corruption.block_length for file in self._files])  # in blocks
        self._keys = np.array([hashing.key(seed, "corruption", language) for language in self.languages])

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, position: int) -> int:
        return position  # blocks are read and corrupted together, in collater

    def collater(self, positions: Sequence[int]) -> dict[str, Any]:
        """Return a batch.

        ``net_input``: ``src_tokens [batch, input_length]``, ``src_lengths [batch]``,
        ``prev_output_tokens [batch, target_length]`` (the target shifted, after fairseq's custom opened by ``</s>``);
        ``target [batch, target_length]``; ``ntokens`` of the target; ``consumed``: language -> tokens before
        corruption; ``unique``: the same without text that was read before; ``padded``: False, blocks fill their rows.
        """
        if not len(positions):
            return {}
        at = np.asarray(positions, dtype=np.int64)
        languages, numbers = self._locate(at)
        length = self.corruption.block_length
        blocks = np.empty((len(at), length), dtype=np.int64)
        lengths = self._lengths[languages]
        for row, (language, number) in enumerate(zip(languages, numbers % lengths, strict=True)):
            blocks[row] = self._files[language].stream[number * length : (number + 1) * length]
        keys = hashing.mix(self._keys[languages] + numbers.astype(np.uint64))
        eos = self._dictionary.eos()
        source, target = self.corruption(blocks, keys, self._sentinels, eos)
        previous = np.empty_like(target)
        previous[:, 0], previous[:, 1:] = eos, target[:, :-1]
        counts, new = (
            np.bincount(chosen, minlength=len(self.languages)) * length
            for chosen in (languages, languages[numbers < lengths])
        )
        return {
            "id": torch.from_numpy(at),
            "nsentences": len(at),
            "ntokens": int(target.size),
            "net_input": {
                "src_tokens": torch.from_numpy(source),
                "src_lengths": torch.full((len(at),), source.shape[1], dtype=torch.long),
                "prev_output_tokens": torch.from_numpy(previous),
            },
            "target": torch.from_numpy(target),
            "consumed": dict(zip(self.languages, counts.tolist(), strict=True)),
            "unique": dict(zip(self.languages, new.tolist(), strict=True)),
            "padded": False,
        }

    def num_tokens(self, index: int) -> int:
        return self.corruption.input_length

    def size(self, index: int) -> tuple[int, int]:
        return (self.corruption.input_length, self.corruption.target_length)

    def ordered_indices(self) -> NDArray[np.int64]:
        return np.arange(self._size)


class HeldOutBlocks(BlockDataset):
    """All whole blocks of validation texts, language after language, with noise that no run's seed changes."""

    def __init__(
        self,
        streams: dict[str, TokenFile],
        corruption: SpanCorruption,
        dictionary: Dictionary,
        sentinels: Sequence[int],
    ) -> None:
        counts = np.array([file.tokens // corruption.block_length for file in streams.values()])
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        super().__init__(streams, self._locate_block, int(self._ends[-1]), corruption, dictionary, sentinels, seed=0)

    def _locate_block(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        languages = np.searchsorted(self._ends, positions, side="right")
        return languages, positions - self._starts[languages]

    def language_batches(self, size: int) -> list[range]:
        """Return batches of at most ``size`` blocks, each of one language."""
        return [
            range(first, min(first + size, end))
            for start, end in zip(self._starts.tolist(), self._ends.tolist(), strict=True)
            for first in range(start, end, size)
        ]
