"""Batches of translation pairs against those of fairseq's own dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data import LanguagePairDataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairseq_scaling.data.corpus import TokenFile, write_token_file
from fairseq_scaling.tasks._pairs import PairDataset, Sentences
from tests.models.small import EOS, make_task

DICTIONARY = make_task(40).target_dictionary
sentences = st.lists(st.integers(4, 39), max_size=7).map(lambda tokens: np.array([*tokens, EOS]))


def _write(prefix: Path, rows: list[np.ndarray]) -> TokenFile:
    return write_token_file(prefix, rows, np.uint16)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=9))
def test_batches_equal_those_of_fairseq(tmp_path: Path, data: st.DataObject, pairs: list) -> None:
    prefix = data.draw(st.lists(st.integers(4, 39), max_size=3))
    chosen = np.array(data.draw(st.permutations(range(len(pairs)))))
    files = [_write(tmp_path / side, [pair[place] for pair in pairs]) for place, side in enumerate("st")]
    source, target = Sentences(files[0], chosen, prefix), Sentences(files[1], chosen)
    ours = PairDataset(source, target, DICTIONARY)
    theirs = LanguagePairDataset(
        [source[i] for i in range(len(source))], source.sizes, DICTIONARY,
        [target[i] for i in range(len(target))], target.sizes, DICTIONARY, left_pad_source=False, shuffle=False,
    )  # fmt: skip

    assert ours.ordered_indices().tolist() == theirs.ordered_indices().tolist()
    indices = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=6, unique=True))
    batch, expected = (dataset.collater([dataset[i] for i in indices]) for dataset in (ours, theirs))
    assert batch["ntokens"] == expected["ntokens"]
    assert batch["nsentences"] == expected["nsentences"]
    for name in ("id", "target"):
        assert torch.equal(batch[name], expected[name]), name
    assert batch["net_input"].keys() == expected["net_input"].keys()
    for name, tensor in expected["net_input"].items():
        assert torch.equal(batch["net_input"][name], tensor), name


def test_an_empty_batch_stays_empty(tmp_path: Path) -> None:
    file = _write(tmp_path / "one", [np.array([EOS])])
    side = Sentences(file, np.arange(1))
    assert PairDataset(side, side, DICTIONARY).collater([]) == {}
    assert side[0].tolist() == [EOS]
    with pytest.raises(IndexError):
        side[1]
