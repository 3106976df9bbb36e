"""The report on the terminal: readable in 100 columns, and when piped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from .document import Document, leading, settings_in_order
from .html import headline
from .run_tables import left_out_table, unplaced_table
from .sentences import loud_findings, say
from .table import Table, without_empty_columns
from .tables import summary_tables
from .wording import display_names

WIDTH_WHEN_PIPED = 100
_MOST_PROBLEMS = 15
_STYLES = {
    "follows the law": "green",
    "saturated": "cyan",
    "breakthrough": "cyan",
    "too few points": "dim",
    "add data": "green",
    "change the data": "bold red",
    "run more points": "blue",
}


def make_console() -> Console:
    """Return a console that is 100 columns wide when nobody's terminal says otherwise."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WHEN_PIPED)
    return console


def print_report(document: Document, console: Console, files: Sequence[Path] = ()) -> None:
    """Print the verdicts, the advice, what was left out, and where the files are. Names are never read as markup."""
    labels = display_names(document["curves"])
    console.print(Text(headline(document), style="bold"))
    for table in summary_tables(document):
        console.print()
        console.print(Text(table.title, style="bold"))
        console.print(_rich_table(table))
    unplaced = without_empty_columns(unplaced_table(document))
    if unplaced.rows:
        console.print()
        console.print(Text(unplaced.title, style="bold"))
        console.print(_rich_table(unplaced))
        console.print(Text(unplaced.note))
    for heading, findings in loud_findings(document).items():
        lines = "\n".join(f"{label}: {sentence}" for label, sentence in findings)
        console.print(Panel(Text(lines), title=heading, border_style="red", box=box.HEAVY, title_align="left"))
    _print_advice(document, labels, console)
    _print_problems(document, console)
    if files:
        console.print()
        for path in files:
            console.print(Text(f"wrote {path}"), soft_wrap=True)


def _rich_table(table: Table) -> RichTable:
    """Return the summary for a narrow screen: without the columns that only the page has room for."""
    shown = [i for i, column in enumerate(table.columns) if column.title not in ("n", "D_p")]
    shown = [i for i in shown if table.columns[i].title != "Held out" or any(row[i] != "\u2013" for row in table.rows)]
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for i in shown:
        column = table.columns[i]
        rich.add_column(
            column.title,
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=column.title in ("Metric", "Gain at 4x"),
        )
    for row in table.rows:
        cells = [_brief_law(row[i]) if table.columns[i].title == "Law" else row[i] for i in shown]
        rich.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    return rich


def _brief_law(label: str) -> str:
    """Return ``log`` for ``log_law`` and ``average`` for ``average (log_law)``; the page has the whole."""
    return label.partition(" (")[0].removesuffix("_law")


def _print_advice(document: Document, labels: dict[str, str], console: Console) -> None:
    groups = settings_in_order(document)
    if groups:
        console.print()
    for curves in groups:
        curve = leading(curves)
        sentence = curve["advice"]["sentence"] if curve["advice"] else f"not fitted: {curve['problem']}"
        said = say(sentence, labels, curve["name"])
        console.print(Text.assemble((labels[curve["name"]], "bold"), ": ", said))


def _print_problems(document: Document, console: Console) -> None:
    for remark in document.get("remarks", ()):
        console.print()
        console.print(Text(remark), soft_wrap=True)
    rows = left_out_table(document).rows
    if not rows:
        return
    console.print()
    console.print(Text(f"Left out, or worth knowing ({len(rows)})", style="bold"))
    for where, message in rows[:_MOST_PROBLEMS]:
        console.print(Text(f"- {where}: {message}" if where else f"- {message}"))
    if len(rows) > _MOST_PROBLEMS:
        console.print(Text(f"  and {len(rows) - _MOST_PROBLEMS} more, all in report.html and fits.json"))
