from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_scaling.study.run.progress import (
    Progress,
    Speed,
    calibrated,
    drift,
    format_duration,
    fraction_done,
    fraction_in_log,
    launch_gap,
    seconds_left,
    speeds,
)


def finished(name: str, stage: str, expected: float, measured: float) -> Progress:
    return Progress(
        name, stage, expected=expected, state="finished", fraction=1.0, measured=measured, measured_fraction=1.0
    )  # fmt: skip


def running(
    name: str, stage: str, expected: float, fraction: float, measured: float = 0.0, measured_fraction: float = 0.0
) -> Progress:
    return Progress(
        name, stage, expected=expected, state="running", fraction=fraction, measured=measured,
        measured_fraction=measured_fraction,
    )  # fmt: skip


def test_independent_jobs_share_the_cores() -> None:
    jobs = [Progress(str(number), "finetune", expected=10) for number in range(4)]
    assert seconds_left(jobs, 1) == 40
    assert seconds_left(jobs, 2) == 20
    assert seconds_left(jobs, 3) == 20
    assert seconds_left(jobs, 4) == 10


def test_a_chain_takes_its_sum_whatever_the_number_of_cores() -> None:
    jobs = [Progress("a", "s", (), 1), Progress("b", "s", ("a",), 2), Progress("c", "s", ("b",), 4)]
    assert seconds_left(jobs, 8) == 7


def test_a_free_core_takes_the_first_job_that_may_begin() -> None:
    """On two cores: a (1 s) and b (5 s); after a, c, which waits for it, and not d behind it; d from 4 s on."""
    jobs = [
        Progress("a", "s", (), 1),
        Progress("b", "s", (), 5),
        Progress("c", "s", ("a",), 3),
        Progress("d", "s", (), 2),
    ]
    assert seconds_left(jobs, 2) == 6


def test_a_job_that_takes_several_cores_leaves_fewer_to_the_others() -> None:
    """On four cores: a (3 cores, 4 s) beside b (1 core, 1 s); c needs two and waits for a, and d behind it, too."""
    jobs = [Progress(name, "s", (), seconds) for name, seconds in (("a", 4), ("b", 1), ("c", 2), ("d", 5))]
    assert seconds_left(jobs, 4, {"a": 3, "c": 2}) == 9
    assert seconds_left(jobs, 4, dict.fromkeys("abcd", 4)) == 12
    now = [running("a", "s", 8, 0.5), *jobs[1:]]
    assert seconds_left(now, 4, {"a": 3, "c": 2}) == 9
    assert seconds_left(jobs[:1], 2, {"a": 3}) == 4


def test_the_grid_of_a_large_study_is_played_through_at_once() -> None:
    """20,000 jobs in chains of four; looking through all that wait at each end took minutes."""

    class Needs(tuple[str, ...]):
        looked_at = 0

        def __iter__(self) -> Iterator[str]:
            Needs.looked_at += 1
            return super().__iter__()

    jobs = [
        Progress(f"{run}/{step}", "s", Needs((f"{run}/{step - 1}",) if step else ()), 1)
        for step in range(4)
        for run in range(5000)
    ]
    assert seconds_left(jobs, 10) == 2000
    assert Needs.looked_at == len(jobs)


def test_running_jobs_count_with_what_is_left_of_them() -> None:
    jobs = [
        running("a", "s", 10, 0.75),
        running("b", "s", 10, 0.5),
        Progress("c", "s", ("a",), 3),
    ]
    # a ends at 2.5, c from then to 5.5; b ends at 5.
    assert seconds_left(jobs, 2) == 5.5
    assert fraction_done(jobs) == pytest.approx((7.5 + 5) / 23)


def test_nothing_is_left_of_finished_jobs() -> None:
    jobs = calibrated([finished("a", "score", 10, 9)])
    assert seconds_left(jobs, 2) == 0
    assert fraction_done(jobs) == 1


def test_what_waits_for_a_job_outside_the_list_is_not_stuck() -> None:
    assert seconds_left([Progress("b", "s", ("elsewhere",), 5)], 1) == 5


def test_measured_speed_scales_what_is_to_come() -> None:
    """A finetuning guessed at 10 s took 30 s: the waiting one, guessed at 20 s, takes 60 s."""
    jobs = calibrated([finished("a", "finetune", 10, 30), Progress("b", "finetune", ("a",), 20)])
    assert seconds_left(jobs, 1) == 60


def test_a_running_job_measures_speed_by_its_own_count() -> None:
    """A quarter done after 50 s: 200 s in all, 150 s to go, although 1000 s were guessed."""
    jobs = calibrated([running("a", "pretrain", 1000, 0.25, 50, 0.25)])
    assert seconds_left(jobs, 1) == pytest.approx(150)


def test_a_resumed_job_measures_only_what_it_did_since() -> None:
    """Half was done before; since then 10 % in 10 s: 40 % more takes 40 s."""
    jobs = calibrated([running("a", "pretrain", 1000, 0.6, 10, 0.1)])
    assert seconds_left(jobs, 1) == pytest.approx(40)


def test_pretraining_speed_stands_in_for_finetuning_until_that_is_measured() -> None:
    done = finished("a", "pretrain", 10, 20)
    assert speeds([done])["finetune"].work == 2
    own = finished("b", "finetune", 10, 50)
    assert speeds([done, own])["finetune"].work == 5


def test_the_first_moments_of_a_job_measure_nothing() -> None:
    assert speeds([running("a", "pretrain", 1000, 0.001, 8, 0.001)]) == {}


def test_start_and_work_are_told_apart_by_jobs_of_different_sizes() -> None:
    """Starting takes 2 s of guessed 8, the work twice as long as guessed: a job of 1000 s of work takes 2002 s."""
    jobs = [
        replace(finished("a", "pretrain", 8 + 1, 2 + 2), start=8),
        replace(finished("b", "pretrain", 8 + 100, 2 + 200), start=8),
    ]
    speed = speeds(jobs)["pretrain"]
    # The penalty on unequal values has the weight of one of the two starts: it moves the work by 4 %.
    assert speed.work == pytest.approx(2, rel=0.05)
    (*_, large) = calibrated([*jobs, Progress("c", "pretrain", (), 1008, 8)])
    assert large.expected == pytest.approx(2002, rel=0.05)
    # Jobs of one size tell nothing apart.
    assert speeds(jobs[:1])["pretrain"] == Speed(pytest.approx(4 / 9), pytest.approx(4 / 9))  # type: ignore[arg-type]


def test_a_machine_that_has_become_slower_is_followed_in_stages_not_measured_since() -> None:
    """Finetunings took as long as guessed until noon; since then pretrainings take three times as long."""
    noon = 1e6
    before = [
        replace(finished(f"a{number}", "finetune", 60, 60), ended=noon - 60 * number) for number in range(20)
    ]  # fmt: skip
    before += [replace(finished(f"b{number}", "pretrain", 60, 60), ended=noon - 60 * number) for number in range(20)]
    after = [replace(finished(f"c{number}", "pretrain", 60, 180), ended=noon + 180 * number) for number in range(1, 6)]
    found = speeds([*before, *after])
    assert found["finetune"].work == pytest.approx(1)
    # 25 pretrainings took 1.4 times their guesses: of late they take 3 / 1.4 of this mean. Older ones count a little.
    assert 0.75 * 3 / 1.4 < drift([*before, *after], found, noon + 900) < 3 / 1.4
    assert drift(before, speeds(before), noon) == pytest.approx(1)


def test_the_time_between_two_jobs_counts_for_each_that_waits() -> None:
    jobs = [replace(finished(f"a{number}", "score", 4, 4), ended=1e6 + 6 * number) for number in range(5)]
    assert launch_gap(jobs) == pytest.approx(2)
    (*_, waiting) = calibrated([*jobs, Progress("b", "score", (), 4)], 1e6 + 24)
    assert waiting.expected == pytest.approx(4 + 2)
    assert launch_gap(jobs[:1]) == 0


def test_a_job_without_a_count_is_done_in_proportion_to_its_time_but_never_wholly() -> None:
    (early,) = calibrated([running("a", "fetch", 60, 0, 30)])
    (late,) = calibrated([running("a", "fetch", 60, 0, 600)])
    assert early.fraction == 0.5
    assert late.fraction == 0.95


def test_a_training_that_has_counted_nothing_yet_has_done_nothing_however_long_it_takes_to_start() -> None:
    """Guessed by its time it fell from 95 % to 1 % with its first record."""
    (training,) = calibrated([replace(running("a", "pretrain", 10, 0, 50), counted=True)])
    assert training.fraction == 0


def test_the_last_record_of_a_log_tells_how_far_it_is(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    goal = ("num_updates", 400)
    assert fraction_in_log(log, goal) == 0
    log.write_text('... | INFO | train_inner | {"loss": "7.7", "num_updates": "100"}\n')
    assert fraction_in_log(log, goal) == 0.25
    with log.open("a") as file:
        file.write(
            '... | INFO | train | {"train_loss": "7.7", "train_num_updates": "200", "train_wall": "3"}\n{"num_up'
        )
    assert fraction_in_log(log, goal) == 0.5
    with log.open("a") as file:
        file.write('... | INFO | valid | {"valid_pretrain_tokens": 300, "valid_pretrain_tokens_en": 150}\n')
    assert fraction_in_log(log, ("pretrain_tokens", 1200)) == 0.25
    # A pretraining to a further budget begins at the one before.
    assert fraction_in_log(log, ("pretrain_tokens", 1100), start=100) == 0.2
    assert fraction_in_log(log, ("pretrain_tokens", 1200), start=600) == 0
    assert fraction_in_log(log, None) == 0


def test_what_a_run_is_to_reach_is_not_taken_for_what_it_has_reached(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text('... | INFO | fairseq_scaling.tasks | SCALING_RUN {"budgets": [1200], "pretrain_tokens": 1200}\n')
    assert fraction_in_log(log, ("pretrain_tokens", 1200)) == 0
    with log.open("a") as file:
        file.write('... | INFO | train_inner | {"pretrain_tokens": 300, "pretrain_tokens_en": 150}\n')
    assert fraction_in_log(log, ("pretrain_tokens", 1200)) == 0.25


def test_the_count_is_found_at_the_end_of_a_large_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text('{"num_updates": "1"}\n' + "x" * 2_000_000 + '\n{"num_updates": "1.5e+02"}\n')
    assert fraction_in_log(log, ("num_updates", 300)) == 0.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (90, "2 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min"), (273_600, "3 d 4 h")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
