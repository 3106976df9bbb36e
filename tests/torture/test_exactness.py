"""Exactness over many random settings: on the task's batches, and in whole runs of ``fairseq-train``.

``make test-torture`` runs this (minutes); ``make test`` has a few such examples.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fairseq_scaling.data.corruption import SpanCorruption
from tests.tasks.exactness import (
    Setting,
    check_budgets,
    check_noise,
    check_refusal,
    check_same_updates,
    settings_of_runs,
)
from tests.tasks.runs import (
    PRETRAINING,
    assert_equal_but_for_rounding,
    assert_same_run,
    fairseq,
    records,
    train_on_two_ranks,
)

RUNS = int(os.environ.get("EXACTNESS_RUNS", "12"))
# A failing example is shown as it was drawn: to shrink it would take longer than the test.
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])


@many
@given(setting=settings_of_runs(most_blocks=150), data=st.data())
def test_ranks_update_frequencies_and_resumes_change_nothing(setting: Setting, data: st.DataObject) -> None:
    check_same_updates(setting, data, workers=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
@settings(many, max_examples=40)
@given(setting=settings_of_runs(), data=st.data())
def test_workers_change_nothing(workers: int, setting: Setting, data: st.DataObject) -> None:
    check_same_updates(setting, data, workers)


@many
@given(setting=settings_of_runs(most_blocks=150))
def test_tokens_are_exact_to_one_block_budgets_are_nested_and_no_block_comes_twice(setting: Setting) -> None:
    check_budgets(setting)


@many
@given(setting=settings_of_runs(most_blocks=150), data=st.data())
def test_the_noise_of_a_block_depends_on_seed_language_and_number_alone(setting: Setting, data: st.DataObject) -> None:
    check_noise(setting, data)


@many
@given(setting=settings_of_runs(most_blocks=150))
def test_the_largest_possible_budget_is_named_and_is_possible(setting: Setting) -> None:
    check_refusal(setting)


def random_run(draw: random.Random) -> tuple[list[object], int, Callable[[Path], None]]:
    """Return the flags of a run on the toy corpus, the blocks of an update, and a check of its checkpoints."""
    languages = draw.sample(["aa", "bb", "cc"], draw.randint(1, 3))
    weights = [draw.randint(1, 5) for _ in languages]
    shares = {language: Fraction(weight, sum(weights)) for language, weight in zip(languages, weights, strict=True)}
    input_length = draw.randint(12, 48)
    block = SpanCorruption.for_input_length(input_length).block_length
    budgets = sorted(draw.sample(range(block, 3000), draw.randint(0, 2))) + [draw.randint(3000, 6000)]
    if len({budget // block for budget in budgets}) < len(budgets):
        return random_run(draw)

    def check(folder: Path) -> None:
        for epoch, budget in enumerate(budgets, start=1):
            state = torch.load(folder / f"checkpoint{epoch}.pt", weights_only=True)["task_state"]["fairseq_scaling"]
            blocks = {language: Fraction(tokens, block) for language, tokens in state["consumed"].items()}
            assert sum(blocks.values()) == budget // block
            assert all(abs(blocks[name] - share * (budget // block)) < 1 for name, share in shares.items())

    flags = {
        "--mixture": ",".join(f"{language}:{share}" for language, share in shares.items()),
        "--budgets": ",".join(map(str, budgets)),
        "--input-length": input_length,
        "--seed": draw.randint(1, 1000),
    }
    return [*PRETRAINING, *chain.from_iterable(flags.items())], 4 * draw.randint(1, 6), check


@pytest.mark.parametrize("seed", range(RUNS))
def test_runs_end_alike_whatever_their_workers_ranks_and_resumes(seed: int, corpus: Path, tmp_path: Path) -> None:
    """With workers, stopped and gone on with: the same bit for bit; on two ranks: the same but for rounding."""
    draw = random.Random(seed)
    setting, update_blocks, check_budgets_of = random_run(draw)
    whole = [*setting, "--batch-size", update_blocks, "--save-interval-updates", 3]
    log = fairseq("train", corpus, *whole, "--save-dir", tmp_path / "one", "--num-workers", 0)
    check_budgets_of(tmp_path / "one")

    workers = draw.choice([1, 3])
    updates = int(records(log, "train_inner")[-1]["num_updates"])
    resumed = [*whole, "--num-workers", workers, "--save-dir", tmp_path / "resumed"]
    fairseq("train", corpus, *resumed, "--max-update", draw.randint(1, updates - 1))
    fairseq("train", corpus, *resumed)
    assert_same_run(tmp_path / "resumed" / "checkpoint_last.pt", tmp_path / "one" / "checkpoint_last.pt")

    # Gradients are summed in another order; with dropout other units would drop out, so there is none here.
    alike = [*setting, "--dropout", 0]
    one = fairseq("train", corpus, *alike, "--batch-size", update_blocks, "--save-dir", tmp_path / "alone")
    update_freq = draw.choice([1, 2])
    share = update_blocks // (2 * update_freq)
    flags = ["--batch-size", share, "--update-freq", update_freq, "--num-workers", workers]
    two = train_on_two_ranks(corpus, *alike, *flags, "--save-dir", tmp_path / "two")
    last = [tmp_path / name / "checkpoint_last.pt" for name in ("alone", "two")]
    assert_equal_but_for_rounding(*last, (one, two))
    check_budgets_of(tmp_path / "two")
