"""What a folder of logs holds, on one screen: for those who meet it for the first time."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..problems import Problem, count_problems

if TYPE_CHECKING:
    from ..logs import Reading, RunRecord

_MOST = 12
"""Problems that are listed."""


def overview(reading: Reading, paths: Sequence[str], problems: Iterable[Problem]) -> list[str]:
    """Return the lines that say what was read and what the runs lack."""
    runs = reading.runs
    trained = [run for run in runs if run.finished is not None]
    scored = [run for run in runs if run.extra["scores_by_subset"]]
    lines = [f"read {', '.join(paths)}: {_number(reading.files, 'file')}, {_number(len(runs), 'run')}"]
    if trained:
        states = Counter(map(_state, trained))
        parts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        lines.append(f"  training    {_number(len(trained), 'run')}: {parts}")
    if scored:
        metrics = Counter(metric for run in scored for metric in _metrics(run))
        lines.append(f"  scores      {_number(len(scored), 'run')}: {_counted(metrics)}")
    pretraining = sum(run.stage == "pretraining" for run in runs)
    if pretraining:
        lines.append(f"  stages      {len(runs) - pretraining} finetuning, {pretraining} pretraining")
    languages = Counter(f"{run.source_lang}-{run.target_lang}" for run in runs if run.source_lang and run.target_lang)
    unknown = sum(run.stage == "finetuning" and not run.source_lang for run in trained)
    if unknown:
        languages["unknown"] = unknown
    if languages:
        lines.append(f"  languages   {_counted(languages)}")
    subsets = Counter(subset for run in runs for subset in {*run.cross_entropies, *run.extra["scores_by_subset"]})
    if subsets:
        lines.append(f"  subsets     {_counted(subsets)}")
    counted = count_problems(problems)
    for group in counted[:_MOST]:
        # of several only the count, of one the place too
        place = f"{group.first.place}: " if len(group.problems) == 1 and group.first.place else ""
        lines.append(f"- {place}{group.message}")
    if len(counted) > _MOST:
        lines.append(f"- and {len(counted) - _MOST} more kinds of problem")
    return lines


def next_step(runs: Sequence[RunRecord], paths: Sequence[str], mapping: str | None) -> str:
    """Return the one thing to do next where no run has a place on a curve."""
    logs = shlex.join(paths)
    finetuning = [run for run in runs if run.stage == "finetuning"]
    lacking = [run for run in finetuning if run.pretrain_tokens is None]
    if lacking and mapping is None:
        return (
            f"fit-scaling {logs} --write-mapping mapping.csv, fill in the column pretrain_tokens, "
            f"then fit-scaling {logs} --mapping mapping.csv"
        )
    if lacking:
        return f"fill in the column pretrain_tokens of {mapping}: {_number(len(lacking), 'run')} without it"
    if not finetuning:
        return "add the logs of finetuning runs: a curve is made of what they score"
    return "see what was left out above"


def _state(run: RunRecord) -> str:
    return "diverged" if run.diverged else "finished" if run.finished else "not finished"


def _metrics(run: RunRecord) -> set[str]:
    return {f"{metric} of {subset}" for subset, found in run.extra["scores_by_subset"].items() for metric in found}


def _counted(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} ({count})" for name, count in ordered)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
