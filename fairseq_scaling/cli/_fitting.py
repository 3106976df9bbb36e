"""From the settings of ``fit-scaling`` to its files, once. Imports what is heavy only when called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, SettingError

if TYPE_CHECKING:
    from ..report.document import Document
    from ..report.points import Point


class NothingToFit(DataError):
    """No path holds a run or a row that can be read."""


@dataclass(frozen=True)
class Request:
    """What the command line says; ``targets`` are (metric or nothing, score), ``settings`` those of the analysis."""

    paths: tuple[str, ...]
    out: Path
    mapping: str | None
    metrics: tuple[str, ...]
    targets: tuple[tuple[str, float], ...]
    settings: dict[str, Any]
    remarks: tuple[str, ...]
    with_report: bool
    max_figures: int
    cached: bool


@dataclass(frozen=True)
class Outcome:
    """What was found, the files to name on the terminal, and how many curves were fitted."""

    document: Document
    files: list[Path]
    fitted: int


def fit(request: Request) -> Outcome:
    """Read, fit and write everything.

    Raises:
        NothingToFit: nothing could be read; the message lists why.
        DataError: a path does not exist, or ``out`` can not be written.
        SettingError: a setting does not go with what was read.
    """
    from ..logs import Cache
    from ..report.reading import read_inputs

    points, inputs = read_inputs(request.paths, request.mapping, Cache() if request.cached else None)
    if not points:
        lines = ["no readable run and no readable row: nothing to fit", *map(str, inputs.problems)]
        raise NothingToFit("\n  ".join(lines))
    points = _only(points, request.metrics)

    from ..report.analysis import Settings, analyse
    from ..report.document import build_document
    from ..report.points.curves import collect

    inputs.remarks = list(request.remarks)
    settings = Settings(**request.settings, targets=_settle_targets(request.targets, points))
    collection = collect(points)
    analysis = analyse(collection.curves, settings)
    inputs.problems += collection.problems
    inputs.unplaced = collection.unplaced
    document = build_document(analysis, settings, inputs)
    return Outcome(document, _write(document, request), analysis.fitted)


def _write(document: Document, request: Request) -> list[Path]:
    """Write the files and return those to name on the terminal."""
    from ..report.files import write_data, write_report

    written = write_data(document, request.out)
    if request.with_report:
        from ..report.figures import draw_all

        report, *figures = write_report(document, draw_all(document, request.max_figures), request.out)
        written = [report, *written, *([request.out / "figures"] if figures else [])]
    return written


def _only(points: list[Point], metrics: tuple[str, ...]) -> list[Point]:
    from ..metrics import metric_name

    if not metrics:
        return points
    chosen = [metric_name(metric) for metric in metrics]
    there = list(dict.fromkeys(point.metric for point in points))
    for metric in chosen:
        if metric not in there:
            raise SettingError("--metric", metric, "no point has it", f"there are {', '.join(there)}")
    return [point for point in points if point.metric in chosen]


def _settle_targets(wanted: tuple[tuple[str, float], ...], points: list[Point]) -> tuple[tuple[str, float], ...]:
    """Give targets without a metric the first score there is (BLEU before the others, cross-entropy last)."""
    from ..metrics import metric_name, order

    there = sorted({point.metric for point in points}, key=order)
    settled = []
    for written, value in wanted:
        metric = metric_name(written) if written else there[0]
        if metric not in there:
            raise SettingError(
                "--target-score", f"{written}={value:g}", "no point has it", f"there are {', '.join(there)}"
            )
        settled.append((metric, value))
    return tuple(settled)
