"""Whatever the workers, ranks, update frequencies and resumes, a run sees the same blocks with the same noise.

On the task and its batches; real runs of ``fairseq-train`` stand in test_pretraining_runs.py, and many more examples of
both in ``tests/torture``.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tasks.exactness import (
    Setting,
    check_budgets,
    check_noise,
    check_refusal,
    check_same_updates,
    settings_of_runs,
)

quick = settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(setting=settings_of_runs(), data=st.data())
def test_ranks_update_frequencies_and_resumes_change_nothing(setting: Setting, data: st.DataObject) -> None:
    check_same_updates(setting, data, workers=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
@settings(quick, max_examples=3)
@given(setting=settings_of_runs(most_blocks=25), data=st.data())
def test_workers_change_nothing(workers: int, setting: Setting, data: st.DataObject) -> None:
    check_same_updates(setting, data, workers)


@quick
@given(setting=settings_of_runs())
def test_tokens_are_exact_to_one_block_budgets_are_nested_and_no_block_comes_twice(setting: Setting) -> None:
    check_budgets(setting)


@quick
@given(setting=settings_of_runs(), data=st.data())
def test_the_noise_of_a_block_depends_on_seed_language_and_number_alone(setting: Setting, data: st.DataObject) -> None:
    check_noise(setting, data)


@quick
@given(setting=settings_of_runs())
def test_the_largest_possible_budget_is_named_and_is_possible(setting: Setting) -> None:
    check_refusal(setting)
