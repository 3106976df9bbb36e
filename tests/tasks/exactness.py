"""What a pretraining run sees, block by block, with random settings: for the tests of exactness here and in torture/.

The text is random, so that a block is known by its tokens: which one a batch holds is found without asking the plan.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from fairseq.data import iterators
from hypothesis import strategies as st

from fairseq_scaling.data.corruption import SpanCorruption
from fairseq_scaling.data.dictionary import sentinel_ids
from fairseq_scaling.data.plan import Interleaving
from fairseq_scaling.errors import SettingError
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.tasks._batches import STANDS_IN
from fairseq_scaling.tasks.scaling_pretraining import ScalingPretrainingConfig, ScalingPretrainingTask
from tests.data.tiny import END, write_corpus

PIECES, SENTINELS, FIRST = 3000, 20, 4  # the ids of pieces count from FIRST


class Seen(NamedTuple):
    """A block as a model sees it."""

    language: str
    number: int
    source: tuple[int, ...]
    target: tuple[int, ...]


Update = list[Seen]  # the blocks of all ranks, in the order in which they were dealt


@dataclass(frozen=True)
class Setting:
    """A corpus, and what a run asks of it.

    Attributes:
        tokens: language -> tokens of its training text.
        weights: language -> share, times the sum of all weights.
        budgets: in tokens.
        update_blocks: blocks in one update of all ranks together.
        repeat: language -> how often its text may be read.
        start: the run continues the pretraining of a model.
    """

    tokens: dict[str, int]
    weights: dict[str, int]
    budgets: tuple[int, ...]
    input_length: int
    update_blocks: int
    seed: int
    repeat: dict[str, int]
    start: bool = False

    @property
    def mixture(self) -> Mixture:
        return Mixture({name: Fraction(weight, sum(self.weights.values())) for name, weight in self.weights.items()})

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return SpanCorruption.for_input_length(self.input_length).block_length

    def text(self, language: str) -> np.ndarray:
        """Return the training text of a language, the end of a sentence last: [tokens]."""
        generator = np.random.default_rng(list(language.encode()))
        return np.append(generator.integers(FIRST, FIRST + PIECES, self.tokens[language] - 1), END)


@st.composite
def settings_of_runs(draw: st.DrawFn, most_blocks: int = 60) -> Setting:
    """Draw a setting whose budgets the corpus allows, up to the largest possible one."""
    languages = [f"l{index}" for index in range(draw(st.integers(1, 3)))]
    weights = {language: draw(st.integers(1, 7)) for language in languages}
    input_length = draw(st.integers(8, 80))
    block = SpanCorruption.for_input_length(input_length).block_length
    blocks = {language: draw(st.integers(5, most_blocks)) for language in languages}
    tokens = {language: number * block + draw(st.integers(0, block - 1)) for language, number in blocks.items()}
    repeat = {language: draw(st.sampled_from([1, 1, 2, 3])) for language in languages}
    update_blocks, seed = draw(st.integers(1, 6)) * 4, draw(st.integers(0, 2**31))
    setting = Setting(tokens, weights, (), input_length, update_blocks, seed, repeat, draw(st.booleans()))
    longest, _ = Interleaving(setting.mixture).longest({name: blocks[name] * repeat[name] for name in languages})
    ends = sorted(draw(st.sets(st.integers(1, max(longest, 1)), min_size=1, max_size=3)))
    return replace(setting, budgets=tuple(end * block + draw(st.integers(0, block - 1)) for end in ends))


class Run:
    """A run on the corpus of a setting, driven as fairseq's training loop drives one."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        config = _config(setting, folder)
        if setting.start:
            torch.save({"model": {}}, folder / "start.pt")  # its weights are of no matter to what a run reads
            config.start_from = str(folder / "start.pt")
        self.task = ScalingPretrainingTask.setup_task(config)
        assert (self.task.start is not None) == setting.start
        self.task.load_dataset("train")
        self._sentinels = set(sentinel_ids(self.task.dictionary.symbols))
        self._setting = setting
        self.new_tokens: Counter[str] = Counter()
        block = setting.block
        self._numbers = {
            tuple(text[number * block : (number + 1) * block]): (language, number)
            for language in setting.tokens
            for text in [setting.text(language).tolist()]
            for number in range(len(text) // block)
        }
        assert len(self._numbers) == sum(tokens // block for tokens in setting.tokens.values())  # no two are equal

    def updates(
        self, ranks: int = 1, update_freq: int = 1, workers: int = 0, stops: Sequence[int] = ()
    ) -> Iterator[Update]:
        """Yield what each update sees. After as many updates as ``stops`` says the run is killed and resumed."""
        size, rest = divmod(self._setting.update_blocks, ranks * update_freq)
        assert not rest
        flags = {"max_sentences": size, "num_shards": ranks, "num_workers": workers, "data_buffer_size": 2}
        epoch: float = 1
        state: dict[str, Any] | None = None
        done = 0
        while True:
            shards = [
                self.task.get_batch_iterator(self.task.datasets["train"], epoch=epoch, shard_id=rank, **flags)
                for rank in range(ranks)
            ]
            for shard in shards if state is not None else ():
                shard.load_state_dict(state)
            state = None
            if not shards[0].next_epoch_idx <= math.inf:
                return
            loops = [iterators.GroupedIterator(shard.next_epoch_itr(), update_freq) for shard in shards]
            for of_ranks in zip(*loops, strict=True):
                # Small batches one after the other, and in each the ranks: how one rank would see them.
                yield [seen for small in zip(*of_ranks, strict=True) for batch in small for seen in self._seen(batch)]
                done += 1
                if done in stops:
                    state = shards[0].state_dict()
                    break
            epoch = shards[0].next_epoch_idx if state is None else state["epoch"]

    def _seen(self, batch: dict[str, Any]) -> list[Seen]:
        if batch.get(STANDS_IN):
            return []
        found = []
        for source, target in zip(batch["net_input"]["src_tokens"].tolist(), batch["target"].tolist(), strict=True):
            language, number = self._numbers[self._restored(source, target)]
            found.append(Seen(language, number, tuple(source), tuple(target)))
        self.new_tokens.update(batch["unique"])
        languages = Counter(seen.language for seen in found)
        assert batch["consumed"] == {name: languages[name] * self._setting.block for name in self._setting.weights}
        return found

    def _restored(self, source: list[int], target: list[int]) -> tuple[int, ...]:
        """Return the block: each span of the target put in the place of its sentinel."""
        spans: dict[int, list[int]] = {}
        for token in target[:-1]:
            if token in self._sentinels:
                spans[token] = []
            else:
                spans[list(spans)[-1]].append(token)
        return tuple(itertools.chain.from_iterable(spans.get(token, [token]) for token in source[:-1]))


def check_same_updates(setting: Setting, data: st.DataObject, workers: int) -> None:
    """One rank without workers, and any number of ranks, small batches and workers, see the same in each update."""
    with corpus_of(setting) as folder:
        run = Run(setting, folder)
        whole = list(run.updates())
        ranks, update_freq = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from([1, 2]))
        assert list(run.updates(ranks, update_freq, workers)) == whole
        stops = data.draw(st.sets(st.integers(1, len(whole)), max_size=3))
        again = Run(setting, folder)  # as a new process
        assert list(again.updates(ranks, update_freq, workers, sorted(stops))) == whole


def check_budgets(setting: Setting) -> None:
    """At each budget the tokens of each language are exact to one block; budgets are nested; passes are complete.

    No block comes once more before all of its language have come as often. What is new is counted apart.
    """
    with corpus_of(setting) as folder:
        run = Run(setting, folder)
        seen = list(itertools.chain.from_iterable(run.updates()))
        for language in setting.weights:
            numbers = [block.number for block in seen if block.language == language]
            whole = setting.tokens[language] // setting.block
            passes = [numbers[first : first + whole] for first in range(0, len(numbers), whole)]
            assert len(passes) <= setting.repeat[language]
            assert all(len(set(numbers)) == len(numbers) for numbers in passes)
            assert run.new_tokens[language] == min(len(numbers), whole) * setting.block
        assert len(seen) == setting.budgets[-1] // setting.block
        for budget in setting.budgets:
            blocks = budget // setting.block
            had = Counter(block.language for block in seen[:blocks])
            for language, share in setting.mixture.items():
                assert abs(had[language] - share * blocks) < 1
                assert abs(had[language] * setting.block - share * budget) < 2 * setting.block
            alone = Run(replace(setting, budgets=(budget,)), folder).updates()
            assert list(itertools.chain.from_iterable(alone)) == seen[:blocks]


def check_noise(setting: Setting, data: st.DataObject) -> None:
    """Blocks that two runs of one seed have in common look the same in both, whatever else differs."""
    with corpus_of(setting) as folder:
        names = list(setting.weights)
        some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        weights = {name: data.draw(st.integers(1, 7)) for name in some}
        changed = replace(setting, weights=weights, budgets=(setting.block * 5,), update_blocks=12)
        seen = [_by_pass(Run(one, folder)) for one in (setting, changed)]
        for known in seen[0].keys() & seen[1].keys():
            assert seen[0][known] == seen[1][known]
        others = _by_pass(Run(replace(setting, seed=setting.seed + 1), folder))
        again = {(*known[:2], 0): noise for known, noise in seen[0].items() if known[2] == 1}
        spans = SpanCorruption.for_input_length(setting.input_length).spans  # a single one is always the end of a block
        for other in (others, again):
            both = other.keys() & seen[0].keys()
            assert spans == 1 or len(both) < 20 or any(other[known] != seen[0][known] for known in both)


def _by_pass(run: Run) -> dict[tuple[str, int, int], tuple[Any, ...]]:
    """Return (language, number, pass from 0) -> source and target of every block that a run sees."""
    found: dict[tuple[str, int, int], tuple[Any, ...]] = {}
    times: Counter[tuple[str, int]] = Counter()
    for block in itertools.chain.from_iterable(run.updates()):
        found[(*block[:2], times[block[:2]])] = block[2:]
        times[block[:2]] += 1
    return found


def check_refusal(setting: Setting) -> None:
    """A budget beyond the data is refused; the one named is possible, one block more is not; the language is right."""
    with corpus_of(setting) as folder:
        total = sum(setting.tokens[language] * passes for language, passes in setting.repeat.items())
        with pytest.raises(SettingError, match="would repeat data") as refused:
            Run(replace(setting, budgets=(2 * total,)), folder)
        message = str(refused.value)
        largest = int(message.split("largest possible budget is ")[1].split()[0])
        limiting = message.split("language '")[1].split("'")[0]
        with pytest.raises(SettingError, match="would repeat data"):
            Run(replace(setting, budgets=(largest + setting.block,)), folder)
        # Every block of the language that ends first, as far as its turns in the largest budget go.
        possible = Run(replace(setting, budgets=(largest,)), folder)
        seen = Counter(block.language for update in possible.updates() for block in update)
        assert seen[limiting] == setting.tokens[limiting] // setting.block * setting.repeat[limiting]
        assert sum(seen.values()) * setting.block == largest


@contextmanager
def corpus_of(setting: Setting) -> Iterator[Path]:
    """Give the corpus folder of a setting for a while."""
    with tempfile.TemporaryDirectory() as name:
        # One long sentence a language, whose end is added.
        texts = {language: [setting.text(language)[:-1].tolist()] for language in setting.tokens}
        yield write_corpus(Path(name), texts, {}, PIECES, SENTINELS)


def _config(setting: Setting, folder: Path) -> ScalingPretrainingConfig:
    config = ScalingPretrainingConfig()
    config.data, config.mixture, config.seed = str(folder), str(setting.mixture), setting.seed
    config.budgets, config.input_length = ",".join(map(str, setting.budgets)), setting.input_length
    config.max_update, config.finetune_from_model, config.save_dir = 0, None, str(folder / "runs")
    config.repeat = ",".join(f"{language}:{setting.repeat[language]}" for language in setting.weights)
    return config
