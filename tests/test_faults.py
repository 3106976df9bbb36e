"""The table of docs/faults.md counts what the tests say, and has a row for each kind of fault that they try."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace

from tests.faults import table

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs/faults.md").read_text("utf-8")


def report(what: str, passed: bool, when: str = "call", **properties: object) -> SimpleNamespace:
    user_properties = [("fault", (what, "nothing")), *properties.items()]
    return SimpleNamespace(
        user_properties=user_properties, when=when, passed=passed, skipped=False, nodeid="tests/a/test_b.py::test_c[1]"
    )


def test_faults_are_counted_by_kind_and_survived_where_the_test_passes() -> None:
    unmarked = SimpleNamespace(user_properties=[], when="call", passed=True, skipped=False, nodeid="x")
    reports = [
        report("a", True),
        report("b", True, faults=40),
        report("a", False),
        report("b", True, "setup"),
        unmarked,
    ]
    assert table(iter(reports))[2:] == [
        "| a | 2 | 1 | nothing | [test_b.py](../tests/a/test_b.py) |",
        "| b | 40 | 40 | nothing | [test_b.py](../tests/a/test_b.py) |",
    ]


def test_the_page_has_a_row_for_every_kind_of_fault_and_numbers_for_those_alone() -> None:
    kinds = set()
    for path in TESTS.rglob("test_*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.faults":
                kinds.add(ast.literal_eval(call.args[0]))
    rows = {
        what: (tried, survived)
        for what, tried, survived in re.findall(r"^\| (.+?) \| (\d*) ?\| (\d*) ?\| .* \|$", PAGE, re.M)
    }
    assert kinds <= rows.keys()
    assert {what for what, (tried, _) in rows.items() if tried} <= kinds
    assert all(tried == survived for tried, survived in rows.values())


def test_links_of_the_page_lead_somewhere() -> None:
    assert [link for link in re.findall(r"\]\(([^)\s]+)\)", PAGE) if not (TESTS.parent / "docs" / link).exists()] == []
