"""Batches as pure functions of (epoch, rank, number of ranks), and the iterator that fairseq's trainer wants.

fairseq's own iterator draws its batches from a global random state and keeps them from epoch to epoch, so a resumed run
sees other batches than an undisturbed one. Here a resume needs two numbers, the epoch and the batches done in it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from fairseq.data import FairseqDataset, iterators

from ..errors import SettingError

# Indices into the dataset. A rank that has none while others do gets an empty one, and computes a stand-in.
Batch = Sequence[int]
# The key that marks a stand-in; the task counts it for nothing. fairseq's own stand-in for an empty batch also takes
# what the same rank saw earlier in the same update out of the counts (--update-freq above 1).
STANDS_IN = "stands_in"


class EpochPlan(NamedTuple):
    """The batches of every epoch, for all ranks together.

    Attributes:
        batches: epoch (from 1) and number of ranks -> batches of all ranks: batch i is taken by rank ``i % ranks``.
        epochs: after so many the run is over; None for no end.
    """

    batches: Callable[[int, int], Sequence[Batch]]
    epochs: int | None = None


class _RankBatches(Sequence[Batch]):
    """Every ``ranks``-th batch from ``first`` on; ranks that run out before the others get an empty one.

    Attributes:
        stand_in: what a rank computes in the place of an empty batch: a single sample.
    """

    def __init__(self, batches: Sequence[Batch], rank: int, ranks: int, first: int = 0) -> None:
        self._batches, self._rank, self._ranks, self._first = batches, rank, ranks, first
        self.stand_in: Batch = batches[0][:1] if len(batches) else []

    def __len__(self) -> int:
        return max(0, math.ceil(len(self._batches) / self._ranks) - self._first)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = (self._first + index) * self._ranks + self._rank
        return self._batches[place] if place < len(self._batches) else []


class PlannedBatches(iterators.EpochBatchIterating):
    """Iterates over an :class:`EpochPlan`, from any epoch and position.

    The position is counted over all ranks, so that a run may be resumed with another number of them. ``is_done`` is
    asked before every epoch whether the run is over for another reason than its plan.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        plan: EpochPlan,
        epoch: float = 1,
        rank: int = 0,
        ranks: int = 1,
        num_workers: int = 0,
        buffer_size: int = 0,
        is_done: Callable[[], bool] = lambda: False,
    ) -> None:
        self.dataset, self.plan, self._is_done = dataset, plan, is_done
        self.epoch = (plan.epochs or 0) + 1 if math.isnan(epoch) else int(epoch)
        self.rank, self.ranks = rank, ranks
        self._num_workers, self._buffer_size = num_workers, buffer_size
        self._running: iterators.CountingIterator | None = None
        self._resume_from = 0  # batches of this rank to leave out, in the epoch that runs next

    def __len__(self) -> int:
        return len(self._rank_batches())

    @property
    def first_batch(self) -> Any:
        """A batch that fits memory as well as any other: the trainer's stand-in where a rank has none."""
        epoch = self.epoch if self.plan.epochs is None else min(self.epoch, self.plan.epochs)
        batches = self.plan.batches(epoch, self.ranks)
        return self.dataset.collater([self.dataset[i] for i in batches[0]]) if len(batches) else "DUMMY"

    @property
    def next_epoch_idx(self) -> float:
        """The epoch that comes next; not a number after the last one.

        fairseq trains while ``next_epoch_idx <= max_epoch``, where ``max_epoch`` may be infinite: only a number that is
        not comparable ends its loop. A task has no other way to say that it is done.
        """
        following = self.epoch + 1 if self.end_of_epoch() else self.epoch
        return math.nan if self._finished(following) or self._is_done() else following

    def next_epoch_itr(
        self, shuffle: bool = True, fix_batches_to_gpus: bool = False, set_dataset_epoch: bool = True
    ) -> iterators.CountingIterator:
        """Return the batches of the epoch that comes next. ``shuffle`` changes nothing: the plan has done it."""
        if self.end_of_epoch():
            self.epoch += 1
        if set_dataset_epoch:
            self.dataset.set_epoch(self.epoch)
        first, self._resume_from = self._resume_from, 0
        remaining: Any = self._rank_batches(first)
        batches: Any = torch.utils.data.DataLoader(
            self.dataset,
            batch_sampler=remaining,
            collate_fn=functools.partial(_collate, self.dataset, remaining.stand_in),
            num_workers=self._num_workers,
            pin_memory=torch.cuda.is_available(),
        )
        if self._buffer_size > 0 and self._num_workers > 0:
            batches = iterators.BufferedIterator(self._buffer_size, batches)
        self._running = iterators.CountingIterator(batches, start=first, total=first + len(remaining))
        return self._running

    def end_of_epoch(self) -> bool:
        return self._running is not None and not self._running.has_next()

    @property
    def iterations_in_epoch(self) -> int:
        return self._running.n if self._running is not None else self._resume_from

    def state_dict(self) -> dict[str, Any]:
        epoch, done = (self.epoch + 1, 0) if self.end_of_epoch() else (self.epoch, self.iterations_in_epoch)
        return {"version": 2, "epoch": epoch, "iterations_in_epoch": done, "batches_done": done * self.ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        done = state_dict.get("batches_done", state_dict["iterations_in_epoch"])
        if done % self.ranks:
            problem = f"the checkpoint is {done} batches into its epoch, which so many processes cannot share evenly"
            remedy = "resume with the number of processes it was written by, or from a checkpoint at a budget"
            raise SettingError("distributed_world_size", self.ranks, problem, remedy)
        self.epoch = state_dict["epoch"]
        self._resume_from = done // self.ranks
        self._running = None

    def _finished(self, epoch: int) -> bool:
        return self.plan.epochs is not None and epoch > self.plan.epochs

    def _rank_batches(self, first: int = 0) -> _RankBatches:
        if self._finished(self.epoch):
            return _RankBatches([], self.rank, self.ranks)
        return _RankBatches(self.plan.batches(self.epoch, self.ranks), self.rank, self.ranks, first)


def _collate(dataset: FairseqDataset, stand_in: Batch, samples: list[Any]) -> Any:
    if samples:
        return dataset.collater(samples)
    return {**dataset.collater([dataset[index] for index in stand_in]), STANDS_IN: True}


class SpanBatches(Sequence[Batch]):
    """The integers from ``start`` to ``end`` in batches of ``size``, as many in each round as there are ranks.

    The rest that fills no full round is dealt out evenly in a round of its own, so that an update holds the same
    blocks however many ranks share it.
    """

    def __init__(self, start: int, end: int, size: int, ranks: int) -> None:
        self._start, self._end, self._round, self._ranks = start, end, size * ranks, ranks

    def __len__(self) -> int:
        return -(-(self._end - self._start) // self._round) * self._ranks

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        in_round, rank = divmod(index, self._ranks)
        start = self._start + in_round * self._round
        share, more = divmod(min(self._round, self._end - start), self._ranks)
        first = start + rank * share + min(rank, more)
        return range(first, first + share + (rank < more))
