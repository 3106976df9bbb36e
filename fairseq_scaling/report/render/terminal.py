"""The report on the terminal: the table fits 80 columns; off a terminal no sentence and no path is broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..results import Report, Task
from .numbers import Table
from .run_tables import left_out_table, unplaced_table
from .tables import outcome_table
from .wording import (
    answer,
    condition,
    finding_sentence,
    headline,
    joint_sentence,
    mixture_sentence,
    next_sentence,
    note,
    reasons,
    short_name,
    worth_sentences,
)

WIDTH_WHEN_PIPED = 80
_MOST_PROBLEMS = 15
_TERMINAL_COLUMNS = ("Mixture", "Curve", "Metric", "Now", "Kind", "Gain at 4x")


def make_console() -> Console:
    """Return a console that is 80 columns wide where the output is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_WHEN_PIPED)


def print_report(report: Report, console: Console, files: Sequence[Path] = ()) -> None:
    """Print forecasts, advice, what was left out, and where the files are. Names are never read as markup."""
    _line(console, Text(headline(report), style="bold"))
    for task in report.tasks:
        _print_task(report, task, console)
    for joint in report.joint:
        _line(console, Text(f"\n{joint_sentence(joint)}"))
    if report.fitted:
        _line(console, Text(f"\n{note(report)}"))
    unplaced = unplaced_table(report).without_empty_columns()
    if unplaced.rows:
        _line(console, Text(f"\n{unplaced.title}", style="bold"))
        console.print(_rich_table(unplaced))
        _line(console, Text(unplaced.note))
    _print_problems(report, console)
    if files:
        console.print()
    for path in files:
        console.print(Text(f"wrote {path}"), soft_wrap=True)


def _print_task(report: Report, task: Task, console: Console) -> None:
    _line(console, Text("\n" + (condition(task.setting) or "Curves"), style="bold"))
    console.print(_rich_table(outcome_table(report, task)))
    for entry in task.entries:
        curve = entry.lead
        sentences = [answer(curve), *reasons(report, curve), next_sentence(curve)]
        _line(console, Text.assemble("\n", (short_name(entry), "bold"), ": ", " ".join(filter(None, sentences))))
        finding = report.finding(entry.name)
        if finding and (text := finding_sentence(finding)):
            _line(console, Text(text, style="bold red" if finding.misleads else ""))
    for sentence in filter(None, [mixture_sentence(task, report.settings.likely), *worth_sentences(task)]):
        _line(console, Text(f"\n{sentence}"))


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=not console.is_terminal)


def _rich_table(table: Table) -> RichTable:
    """Return the table for a narrow screen: without the columns that only the page has room for."""
    wanted = [column for column in table.columns if column.title in _TERMINAL_COLUMNS]
    shown = [i for i, column in enumerate(table.columns) if column in wanted or not wanted]
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for i in shown:
        column = table.columns[i]
        rich.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(row[i]) for i in shown))
    return rich


def _print_problems(report: Report, console: Console) -> None:
    for remark in report.remarks:
        console.print(Text(f"\n{remark}"), soft_wrap=True)
    rows = left_out_table(report).rows
    if not rows:
        return
    _line(console, Text(f"\nLeft out, or worth a look ({len(rows)})", style="bold"))
    for where, message in rows[:_MOST_PROBLEMS]:
        _line(console, Text(f"- {where}: {message}" if where else f"- {message}"))
    if len(rows) > _MOST_PROBLEMS:
        _line(console, Text(f"  and {len(rows) - _MOST_PROBLEMS} more, all in report.html and fits.json"))
