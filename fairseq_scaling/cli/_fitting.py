"""From the settings of ``fit-scaling`` to its files, once. Imports what is heavy only when called."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, SettingError

if TYPE_CHECKING:
    from ..report.points import Point
    from ..report.points.roles import TableOptions
    from ..report.reading import Inputs
    from ..report.results import Report


@dataclass(frozen=True)
class Request:
    """What the command line says.

    Attributes:
        targets: (metric or nothing, score).
        settings: those of the analysis.
        subsets: metric -> the subset that it is taken from; the empty metric stands for all others.
        unfinished: runs whose training did not end give points too.
    """

    paths: tuple[str, ...]
    out: Path
    mapping: str | None
    metrics: tuple[str, ...]
    targets: tuple[tuple[str, float], ...]
    settings: dict[str, Any]
    remarks: tuple[str, ...]
    with_report: bool
    max_figures: int
    subsets: Mapping[str, str] = field(default_factory=dict)
    unfinished: bool = False
    tables: TableOptions | None = None
    noise: tuple[tuple[str, float], ...] = ()


def fit(request: Request) -> tuple[Report, list[Path]]:
    """Read, fit and write everything; return the report, and the files to name on the terminal.

    Raises:
        DataError: nothing could be read (the message lists why), a path does not exist, or ``out`` cannot be written.
        SettingError: a setting does not go with what was read.
    """
    from ..report.reading import read_inputs
    from ..report.run_points import Choice

    choice = Choice(request.subsets, request.unfinished)
    points, inputs = read_inputs(request.paths, request.mapping, choice, request.tables)
    if not points:
        raise _nothing_to_fit(request, inputs)
    points = _only(points, request.metrics)

    from ..report.analysis import analyse
    from ..report.fitting import Settings
    from ..report.points.curves import collect

    inputs.remarks = list(request.remarks)
    settings = Settings(**request.settings, targets=_settle_targets(request.targets, points))
    collection = collect(points, _noise(request.noise, points))
    inputs.problems += collection.problems
    inputs.unplaced = collection.unplaced
    report = analyse(collection.curves, settings, inputs)
    return report, _write(report, request)


def write_mapping(request: Request, path: Path) -> list[str]:
    """Write a mapping table to fill in, and return the lines that say what the logs hold and what to do next.

    Raises:
        DataError: no path holds a run, or the table cannot be written.
        SettingError: the mapping is malformed.
    """
    from ..logs.mapping import write_table
    from ..report.reading import read_inputs
    from ..report.run_points import Choice
    from ._overview import overview

    choice = Choice(request.subsets, request.unfinished)
    _, inputs = read_inputs(request.paths, request.mapping, choice, request.tables)
    if inputs.reading is None or not inputs.reading.runs:
        raise _nothing_to_fit(request, inputs)
    rows = write_table(inputs.reading.runs, path)
    lines = overview(inputs.reading, request.paths, inputs.problems)
    logs = shlex.join(request.paths)
    lines.append(f"wrote {path}: {rows} row{'' if rows == 1 else 's'}, one for each run")
    return [*lines, f"next: fill in the column pretrain_tokens, then fit-scaling {logs} --mapping {path}"]


def _nothing_to_fit(request: Request, inputs: Inputs) -> DataError:
    """Return the error that says what was read all the same, what it lacks, and the one next step."""
    from ..problems import count_problems
    from ._overview import next_step, overview

    if inputs.reading is not None and inputs.reading.runs:
        lines = overview(inputs.reading, request.paths, inputs.problems)
        step = next_step(inputs.reading.runs, request.paths, request.mapping)
        return DataError("\n  ".join(["nothing to fit: no run has a place on a curve", *lines, f"next: {step}"]))
    shown = [f"{group.first.place}: {group.message}" for group in count_problems(inputs.problems)]
    return DataError("\n  ".join(["no readable run and no readable row: nothing to fit", *shown]))


def _write(report: Report, request: Request) -> list[Path]:
    """Write the files and return those to name on the terminal."""
    from ..report.render.files import write_data, write_page

    written = write_data(report, request.out)
    if request.with_report:
        from ..report.render.figures import draw_all

        page, *figures = write_page(report, draw_all(report, request.max_figures), request.out)
        written = [page, *written, *([request.out / "figures"] if figures else [])]
    return written


def _only(points: list[Point], metrics: tuple[str, ...]) -> list[Point]:
    chosen = [_among("--metric", metric, points) for metric in metrics]
    return [point for point in points if point.metric in chosen] if chosen else points


def _noise(given: tuple[tuple[str, float], ...], points: list[Point]) -> dict[str, float]:
    """Return metric -> standard deviation of one run."""
    return {_among("--noise", metric, points): value for metric, value in given}


def _settle_targets(wanted: tuple[tuple[str, float], ...], points: list[Point]) -> tuple[tuple[str, float], ...]:
    """Give targets without a metric the first score there is (BLEU before the others, cross-entropy last)."""
    from ..metrics import order

    first = min((point.metric for point in points), key=order)
    return tuple((_among("--target-score", metric or first, points), value) for metric, value in wanted)


def _among(flag: str, metric: str, points: list[Point]) -> str:
    """Return the name of a metric that a flag names; SettingError where no point has it."""
    from ..metrics import metric_name, order

    name, known = metric_name(metric), sorted({point.metric for point in points}, key=order)
    if name not in known:
        raise SettingError(flag, metric, "no point has it", f"there are {', '.join(known)}")
    return name
