"""10,000 damaged logs: no traceback, no invented number, nothing left out without being listed.

``make test-torture`` runs this (minutes) and prints what was tried; ``make test`` does some hundred of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.logs.fuzzing import KINDS
from tests.logs.judging import case, judge

CASES = 10_000


@pytest.mark.faults("logs spoilt at random", lost="what was spoilt, and that is listed")
def test_ten_thousand_damaged_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    tried: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    faulty: list[str] = []
    for number in range(CASES):
        kind = KINDS[number % len(KINDS)]
        mutant = case(kind, number // len(KINDS))
        try:
            reading, faults = judge(mutant, tmp_path / "logs", monkeypatch, number // len(KINDS))
        except Exception as error:
            found[kind]["tracebacks"] += 1
            faulty.append(f"{kind} {number // len(KINDS)}: {error!r}")
            continue
        tried.update(mutant.kinds)
        found[kind].update(
            cases=1, runs=len(reading.runs), listed=len(reading.problems), faults=bool(faults),
            losses=sum(len(run.extra["validations"]) for run in reading.runs),
            diverged=sum(run.diverged for run in reading.runs),
        )  # fmt: skip
        faulty += [f"{kind} {number // len(KINDS)}: {fault}" for fault in faults]
    columns = ("cases", "runs", "losses", "diverged", "listed", "faults", "tracebacks")
    print(f"\n{'first done':16}{''.join(f'{name:>12}' for name in columns)}{'done at all':>14}")
    for kind, counts in [*found.items(), ("all", sum(found.values(), Counter()))]:
        total = sum(tried.values()) if kind == "all" else tried[kind]
        print(f"{kind:16}{''.join(f'{counts[name]:12}' for name in columns)}{total:14}")
    record_property("faults", CASES)
    assert not faulty, "\n".join(faulty[:20])
    assert all(counts["runs"] and counts["listed"] for counts in found.values())
