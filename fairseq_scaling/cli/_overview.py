"""What was found where nothing can be fitted yet, what is missing, and the next command: for a first contact."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..problems import Problem, count_problems

if TYPE_CHECKING:
    from ..logs import Reading, RunRecord
    from ..report.reading import Inputs

_MOST = 12
"""Problems that are listed."""


def first_contact(inputs: Inputs, paths: Sequence[str], mapping: str | None) -> list[str]:
    """Return the lines for someone whose files hold no point of a curve: found, missing, next, and the details."""
    runs = inputs.reading.runs if inputs.reading is not None else []
    if inputs.reading is None or not runs:
        found, missing = (
            "no readable run and no readable row of a table",
            "runs, or rows of a table, that say a size and a score",
        )
        step = "see below; fit-scaling takes fairseq logs, fairseq-generate output, score files and tables (--help)"
        details = _problems(inputs.problems)
    else:
        found = f"{_number(len(runs), 'run')} in {_number(inputs.reading.files, 'file')}"
        missing, step = _next_step(runs, paths, mapping)
        details = overview(inputs.reading, paths, inputs.problems)
    return [f"Found:   {found}", f"Missing: {missing}", f"Next:    {step}", "", *details]


def overview(reading: Reading, paths: Sequence[str], problems: Iterable[Problem]) -> list[str]:
    """Return the lines that say what was read and what the runs lack."""
    runs = reading.runs
    trained = [run for run in runs if run.finished is not None]
    scored = [run for run in runs if run.extra["scores_by_subset"]]
    pretraining = sum(run.stage == "pretraining" for run in runs)
    languages = Counter(f"{run.source_lang}-{run.target_lang}" for run in runs if run.source_lang and run.target_lang)
    if unknown := sum(run.stage == "finetuning" and not run.source_lang for run in trained):
        languages["unknown"] = unknown
    counts = {
        "training": Counter(map(_state, trained)),
        "scores": Counter(metric for run in scored for metric in _metrics(run)),
        "stages": Counter({"finetuning": len(runs) - pretraining, "pretraining": pretraining} if pretraining else {}),
        "languages": languages,
        "subsets": Counter(s for run in runs for s in {*run.cross_entropies, *run.extra["scores_by_subset"]}),
    }
    lines = [f"read {', '.join(paths)}: {_number(reading.files, 'file')}, {_number(len(runs), 'run')}"]
    lines += [f"  {title:<11} {_counted(count)}" for title, count in counts.items() if count]
    return lines + _problems(problems)


def _next_step(runs: Sequence[RunRecord], paths: Sequence[str], mapping: str | None) -> tuple[str, str]:
    """Return what is missing where no run has a place on a curve, and the one thing to do next."""
    logs = shlex.join(paths)
    finetuning = [run for run in runs if run.stage == "finetuning"]
    lacking = [run for run in finetuning if run.pretrain_tokens is None]
    missing = "pretrain_tokens: the logs do not say on how many tokens each model was pretrained"
    if lacking and mapping is None:
        return missing, (
            f"fit-scaling {logs} --write-mapping mapping.csv\n"
            "         then fill in the column pretrain_tokens of mapping.csv (0: no pretraining)\n"
            f"         then fit-scaling {logs} --mapping mapping.csv"
        )
    if lacking:
        step = f"fill in the column pretrain_tokens of {mapping}: {_number(len(lacking), 'run')} without it"
        return missing, step
    if not finetuning:
        return "finetuning runs: a curve is made of what they score", "add the logs of finetuning runs"
    return "a score that can be used", "see below what was left out, and why"


def _problems(problems: Iterable[Problem]) -> list[str]:
    counted = count_problems(problems)
    lines = []
    for group in counted[:_MOST]:
        # of several only the count, of one the place too
        place = f"{group.first.place}: " if len(group.problems) == 1 and group.first.place else ""
        lines.append(f"- {place}{group.message}")
    return [*lines, f"- and {len(counted) - _MOST} more kinds of problem"] if len(counted) > _MOST else lines


def _state(run: RunRecord) -> str:
    return "diverged" if run.diverged else "finished" if run.finished else "not finished"


def _metrics(run: RunRecord) -> set[str]:
    return {f"{metric} of {subset}" for subset, found in run.extra["scores_by_subset"].items() for metric in found}


def _counted(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} ({count})" for name, count in ordered)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
