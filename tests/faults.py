"""Counts what was tried to break the project, and prints the table of docs/faults.md: ``make faults``.

A test that carries ``@pytest.mark.faults("what", lost="what it cost")`` tries one fault, or as many as it says with
``record_property("faults", number)``; they are survived where the test passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

_MARK = "faults"


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", action="store_true", help="print what faults were tried, as a Markdown table")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{_MARK}(what, lost): tries to break the project; counted in docs/faults.md")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # As a property, the words travel with the report, from other processes too.
    if mark := item.get_closest_marker(_MARK):
        item.user_properties.append(("fault", (*mark.args, mark.kwargs["lost"])))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--faults-table"):
        terminalreporter.write_line("")
        for line in table(report for reports in terminalreporter.stats.values() for report in reports):
            terminalreporter.write_line(line)


def table(reports: Iterator[object]) -> list[str]:
    """Return the lines of the table, one row for each kind of fault, in the order they were tried."""
    rows: dict[str, tuple[str, int, int, set[str]]] = {}
    for report in reports:
        properties = dict(getattr(report, "user_properties", ()))
        if "fault" not in properties or getattr(report, "when", "") != "call" or report.skipped:  # type: ignore[attr-defined]
            continue
        what, lost = properties["fault"]
        tried = int(properties.get("faults", 1))
        file = Path(report.nodeid.split("::")[0]).as_posix()  # type: ignore[attr-defined]
        _, before, survived, files = rows.get(what, (lost, 0, 0, set()))
        passed = report.passed  # type: ignore[attr-defined]
        rows[what] = lost, before + tried, survived + passed * tried, files | {file}
    lines = ["| fault | tried | survived | what was lost | test |", "|---|---:|---:|---|---|"]
    for what, (lost, tried, survived, files) in rows.items():
        tests = ", ".join(f"[{Path(file).name}](../{file})" for file in sorted(files))
        lines.append(f"| {what} | {tried} | {survived} | {lost} | {tests} |")
    return lines
