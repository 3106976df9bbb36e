import itertools
import math

import numpy as np
import pytest
from fairseq.data import FairseqDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.errors import SettingError
from fairseq_scaling.tasks._batches import STANDS_IN, EpochPlan, PlannedBatches, SpanBatches

BUDGETS = (0, 37, 60, 141)  # blocks


class _Numbers(FairseqDataset):
    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return BUDGETS[-1]

    def collater(self, samples: list[int]) -> dict[str, list[int]]:
        return {"numbers": list(samples)}


def _counted(batch: dict[str, list[int]]) -> list[int]:
    return [] if STANDS_IN in batch else batch["numbers"]


def _plan(size: int) -> EpochPlan:
    return EpochPlan(
        lambda epoch, ranks: SpanBatches(BUDGETS[epoch - 1], BUDGETS[epoch], size, ranks), len(BUDGETS) - 1
    )


def _run(iterator: PlannedBatches, stop_after: int | None = None) -> list[list[int]]:
    """Train as fairseq does, one batch an update, until the run is over or ``stop_after`` batches are done."""
    seen: list[list[int]] = []
    while iterator.next_epoch_idx <= math.inf:
        batches = iterator.next_epoch_itr()
        for batch in batches:
            seen.append(_counted(batch))
            if len(seen) == stop_after:
                return seen
        epoch = iterator.next_epoch_idx
        iterator = PlannedBatches(iterator.dataset, iterator.plan, epoch, iterator.rank, iterator.ranks)
    return seen


@settings(max_examples=200, deadline=None, derandomize=True)
@given(start=st.integers(0, 100), blocks=st.integers(1, 200), size=st.integers(1, 40), ranks=st.integers(1, 5))
def test_spans_are_dealt_out_whole_in_order_and_evenly(start: int, blocks: int, size: int, ranks: int) -> None:
    batches = [list(batch) for batch in SpanBatches(start, start + blocks, size, ranks)]
    assert list(itertools.chain(*batches)) == list(range(start, start + blocks))
    assert len(batches) % ranks == 0
    rounds = [batches[i : i + ranks] for i in range(0, len(batches), ranks)]
    assert all(max(map(len, dealt)) - min(map(len, dealt)) <= 1 for dealt in rounds)
    assert max(map(len, batches)) <= size


@settings(max_examples=100, deadline=None, derandomize=True)
@given(blocks=st.integers(1, 200), size=st.integers(1, 20), ranks=st.integers(1, 5))
def test_a_round_of_several_ranks_holds_what_one_rank_sees_in_as_many_blocks(
    blocks: int, size: int, ranks: int
) -> None:
    dealt = [list(batch) for batch in SpanBatches(0, blocks, size, ranks)]
    together = [list(itertools.chain(*dealt[i : i + ranks])) for i in range(0, len(dealt), ranks)]
    assert together == [list(batch) for batch in SpanBatches(0, blocks, size * ranks, 1)]


def test_a_rank_without_a_batch_steps_along_with_a_stand_in() -> None:
    plan = EpochPlan(lambda epoch, ranks: [[5, 6], [7], [8]], epochs=1)
    for workers in (0, 1):
        last = list(PlannedBatches(_Numbers(), plan, rank=1, ranks=2, num_workers=workers).next_epoch_itr())
        assert last == [{"numbers": [7]}, {"numbers": [5], STANDS_IN: True}]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.integers(1, 20), ranks=st.integers(1, 4))
def test_a_run_sees_every_block_once_and_ends_by_itself(size: int, ranks: int) -> None:
    by_rank = [_run(PlannedBatches(_Numbers(), _plan(size), rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({len(batches) for batches in by_rank}) == 1  # ranks step together
    in_order = [number for step in zip(*by_rank, strict=True) for batch in step for number in batch]
    assert in_order == list(range(BUDGETS[-1]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.integers(1, 20), ranks=st.integers(1, 3), stop=st.integers(1, 200), data=st.data())
def test_a_resumed_run_sees_what_an_undisturbed_one_sees(size: int, ranks: int, stop: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, ranks - 1))
    whole = _run(PlannedBatches(_Numbers(), _plan(size), rank=rank, ranks=ranks))
    stop = min(stop, len(whole))
    first = PlannedBatches(_Numbers(), _plan(size), rank=rank, ranks=ranks)
    seen: list[list[int]] = []
    while len(seen) < stop:
        for batch in first.next_epoch_itr():
            seen.append(_counted(batch))
            if len(seen) == stop:
                break
    resumed = PlannedBatches(_Numbers(), _plan(size), epoch=first.state_dict()["epoch"], rank=rank, ranks=ranks)
    resumed.load_state_dict(first.state_dict())
    assert seen + _run(resumed) == whole


def test_a_run_can_go_on_with_another_number_of_ranks() -> None:
    one = PlannedBatches(_Numbers(), _plan(6))
    batches = one.next_epoch_itr()
    seen = _counted(next(batches)) + _counted(next(batches))
    two = [PlannedBatches(_Numbers(), _plan(6), rank=rank, ranks=2) for rank in range(2)]
    for iterator in two:
        iterator.load_state_dict(one.state_dict())
    for step in zip(*(iterator.next_epoch_itr() for iterator in two), strict=True):
        seen += itertools.chain(*map(_counted, step))
    assert sorted(seen) == list(range(BUDGETS[1]))


def test_a_number_of_ranks_that_cannot_share_what_was_done_is_refused() -> None:
    one = PlannedBatches(_Numbers(), _plan(6))
    batches = one.next_epoch_itr()
    for _ in range(3):
        next(batches)
    with pytest.raises(SettingError, match="is 3 batches into its epoch"):
        PlannedBatches(_Numbers(), _plan(6), rank=1, ranks=2).load_state_dict(one.state_dict())


def test_a_finished_run_has_nothing_more() -> None:
    iterator = PlannedBatches(_Numbers(), _plan(5), epoch=len(BUDGETS))
    assert not iterator.next_epoch_idx <= math.inf  # fairseq's loop condition when no --max-epoch is given
    assert len(iterator) == 0
    assert iterator.first_batch


def test_workers_change_nothing() -> None:
    plain = PlannedBatches(_Numbers(), _plan(5)).next_epoch_itr()
    with_workers = PlannedBatches(_Numbers(), _plan(5), num_workers=2, buffer_size=3).next_epoch_itr()
    assert list(plain) == list(with_workers)


def test_batches_of_an_epoch_can_be_skipped_into_in_constant_time() -> None:
    batches = SpanBatches(0, 10**12, 256, 8)
    assert batches[len(batches) // 2][0] == len(batches) // 2 * 256
    assert np.sum([len(batches[i]) for i in range(len(batches) - 8, len(batches))]) <= 8 * 257
