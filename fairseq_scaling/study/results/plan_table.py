"""The plan of a study for people: how many runs of what, their tokens, operations, bytes, hours and price."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ...quantities import format_tokens
from ..plan.jobs import Job, Plan, Work
from ..plan.pricing import Hardware
from ..plan.text_check import unread
from ..run.folder import StudyFolder
from ..run.lock import is_running
from ..run.pending import pending_jobs
from ..run.progress import Progress, format_duration, seconds_left
from ..run.scheduling import Capacity
from ..run.workflow import observe_jobs

if TYPE_CHECKING:
    from ...data.corpus import Corpus

_WIDTH_OF_A_FILE = 160  # no cell is cut where the table goes into a file or pipe


class _Column(NamedTuple):
    title: str
    values: list[str]


def print_plan(
    plan: Plan,
    folder: StudyFolder,
    capacity: Capacity,
    hardware: Hardware | None,
    every_job: bool,
    corpus: Corpus | None = None,
) -> None:
    """Print one row for each group of jobs (or each job), their sum, and how long what is left takes.

    Args:
        plan: the jobs.
        folder: what is done of them stands there.
        capacity: what the jobs share, for the duration.
        hardware: what hours and price are computed for; None: no such columns.
        every_job: one row for each job.
        corpus: where it is made, from which it is counted what finetunings cannot read.
    """
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    pending = {job.id for job in pending_jobs(plan, folder)}
    groups: dict[str, list[Job]] = {}
    for job in plan.jobs:
        groups.setdefault(job.label if every_job else job.group, []).append(job)
    rows = [*groups.items(), ("all", plan.jobs)]
    table = Table(title=f"Study {plan.name}")
    table.add_column("what", min_width=12)
    columns = [column for column in _columns([jobs for _, jobs in rows], pending, hardware) if any(column.values)]
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for number, (name, _) in enumerate(rows):
        if number == len(rows) - 1:
            table.add_section()
        table.add_row(name, *(column.values[number] for column in columns))
    console.print(table)
    for line in [*unread(plan, corpus), *closing_lines(plan, folder, pending, capacity, hardware)]:
        console.print(line, soft_wrap=True, highlight=False)


def _columns(rows: Sequence[Sequence[Job]], pending: set[str], hardware: Hardware | None) -> list[_Column]:
    works = [Work.total(job.work for job in jobs) for jobs in rows]
    columns = [
        _Column("jobs", [str(len(jobs)) for jobs in rows]),
        _Column("to do", [str(sum(job.id in pending for job in jobs) or "done") for jobs in rows]),
        _Column("tokens", [_number(sum(job.tokens for job in jobs)) for jobs in rows]),
        _Column("encoder\nFLOPs", [_flops(work.encoder_flops) for work in works]),
        _Column("decoder\nFLOPs", [_flops(work.decoder_flops) for work in works]),
        _Column("disk", [decimal(size) if size else "" for size in (sum(job.kept for job in jobs) for jobs in rows)]),
    ]
    if hardware is None:
        return [*columns, _Column("about", [format_duration(sum(job.seconds for job in jobs)) for jobs in rows])]
    hours = [hardware.hours(work) for work in works]
    columns.append(_Column("device\nhours", [_hours(value) if value else "" for value in hours]))
    if hardware.price is not None:
        columns.append(_Column("price", [_whole(value * hardware.price, 2) for value in hours]))
    return columns


def closing_lines(
    plan: Plan, folder: StudyFolder, pending: set[str], capacity: Capacity, hardware: Hardware | None
) -> list[str]:
    jobs = observe_jobs(plan, folder, plan.jobs, pending, live=is_running(folder))
    lines: list[str] = []
    trained, seconds = _measured(plan, jobs)
    left = Work.total(job.work for job in plan.jobs if job.id in pending)
    if seconds and trained:
        speed = trained / seconds
        price = "" if hardware is None else _price(left.flops / speed / 3600, hardware)
        lines.append(
            f"Measured: {speed:.3g} FLOP/s of one device in the trainings that are done; at that speed what is left "
            f"takes {format_duration(left.flops / speed)} of one device{price}."
        )
    what = f"{len(pending)} of {len(plan.jobs)} jobs to do"
    if hardware is None:
        basis = "from the speed of the jobs that are done" if seconds else "a guess until the first jobs are done"
        takes = {job.id: capacity.taken_by(job) for job in plan.jobs}
        duration = format_duration(seconds_left(jobs, capacity.whole, takes))
        return [*lines, f"{what}, about {duration} {capacity} ({basis})."]
    hours = hardware.hours(left)
    taken = f"{_hours(hours)} device hours{_price(hours, hardware)}"
    duration = format_duration(hours * 3600 / hardware.devices)
    busy = f"{hardware.devices} devices" if hardware.devices > 1 else "one device"
    return [
        *lines,
        f"{what}: {taken}; {duration} with {busy} always busy ({hardware.name}). "
        "Text, scores and fits are not counted, nor what translations take beyond their operations."
    ]  # fmt: skip


def _price(hours: float, hardware: Hardware) -> str:
    return "" if hardware.price is None else f", price {_whole(hours * hardware.price, 2) or 0}"


def _measured(plan: Plan, jobs: Sequence[Progress]) -> tuple[float, float]:
    """Return the operations of the trainings that are done, and the seconds that devices ran for them.

    A device is a GPU, or where a job asks for none all that it runs on.
    """
    done = [job for job in jobs if job.state == "finished" and job.stage in ("pretrain", "finetune")]
    return (
        sum(plan.by_id[job.id].work.flops * job.measured_fraction for job in done),
        sum(job.measured * max(1, int(plan.by_id[job.id].resources.get("gpu", 1))) for job in done),
    )


def _number(tokens: int) -> str:
    return format_tokens(tokens) if tokens else ""


def _flops(value: float) -> str:
    return f"{value:.3g}" if value else ""


def _hours(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else _whole(value)


def _whole(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits if value < 999.5 else 0}f}" if value else ""
