"""What a report leaves on disk. Every file is written under a temporary name and renamed when it is whole."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from ...laws import Prediction
from ...metrics import Metric, describe
from ...problems import count_problems
from ...quantities import Quantity
from ...whole_files import write_whole
from ..curve_result import Forecast, LawResult, PointResult
from ..results import Report
from .limits import limits
from .page import render_page
from .wording import answer, kind_sentence

if TYPE_CHECKING:
    from .figures import Drawing

FORMAT = 2
"""Version of ``fits.json``; 1 had the weighted average of laws in place of the forecast."""
POINT_COLUMNS = (
    "curve", "metric", "pretrain_tokens", "value", "held_out", "seed", "pretrain_seed", "mixture", "finetune_tokens",
    "stderr", "score_lower", "score_upper", "test_set", "scale", "lower_is_better", "source_lang",
    "target_lang", "architecture", "parameters", "corpus", "alignment", "unique_tokens", "start", "run_id",
    "signature", "used", "reason", "origin",
)  # fmt: skip
"""Columns of ``points.csv``; over another quantity than D_p the third one bears the name of that quantity."""
_POINT_FIELDS = (
    "pretrain_tokens", "consumed", "value", "use", "reason", "seed", "pretrain_seed", "stderr",
    "score_lower", "score_upper", "unique_tokens", "start", "run_id", "file", "line", "details",
)  # fmt: skip
"""Fields of a point in ``fits.json``; its curve says the others."""
PREDICTION_COLUMNS = (
    "curve", "metric", "law", "chosen", "pretrain_tokens", "predicted", "lower", "upper", "observed", "held_out",
)  # fmt: skip


def write_data(report: Report, folder: Path) -> list[Path]:
    """Write ``points.csv``, ``fits.json`` and ``predictions.csv`` and return their paths.

    ``points.csv`` is itself a table that ``fit-scaling`` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report_to_json(report), ensure_ascii=False, indent=1, allow_nan=False)
    return [
        _write(folder / "points.csv", _csv(*_point_table(report))),
        _write(folder / "fits.json", text + "\n"),
        _write(folder / "predictions.csv", _csv(PREDICTION_COLUMNS, prediction_rows(report))),
    ]


def _point_table(report: Report) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of ``points.csv``; the quantity on the x axis has one column."""
    x = POINT_COLUMNS.index("pretrain_tokens")
    kept = [i for i, name in enumerate(POINT_COLUMNS) if i == x or name != report.x.name]
    columns = [report.x.name if i == x else POINT_COLUMNS[i] for i in kept]
    return columns, [[row[i] for i in kept] for row in point_rows(report)]


def write_page(report: Report, drawings: Sequence[Drawing], folder: Path) -> list[Path]:
    """Write ``report.html``, ``figures/*.svg`` and ``figures/*.pdf`` and return their paths, the page first."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paths = [_write(folder / "report.html", render_page(report, drawings))]
    for drawing in drawings:
        paths.append(_write(figures / f"{drawing.name}.svg", drawing.svg))
        paths.append(_write(figures / f"{drawing.name}.pdf", drawing.pdf))
    return paths


def report_to_json(report: Report) -> dict[str, Any]:
    """Return the report in JSON types: every field under its name, kinds as their values, NaN and infinity as null.

    Verdict and advice of a curve also carry their sentence, as the page shows it.
    """
    document: dict[str, Any] = {"format": FORMAT, **_plain(report)}
    document["limits"] = limits(report)
    document["problems"] = [counted.as_json() for counted in count_problems(report.problems)]
    for curve, written in zip(report.curves, document["curves"], strict=True):
        written["lower_is_better"] = curve.metric.lower_is_better
        written["largest_pretrain_tokens"] = _plain(curve.largest)
        written["chosen"] = curve.forecast.name if curve.forecast else None
        if curve.verdict and curve.advice:
            written["verdict"]["sentence"] = kind_sentence(curve)
            written["advice"]["sentence"] = answer(curve)
    return document


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Metric | Quantity):
        return value.name
    if isinstance(value, Prediction):
        names = {"pretrain_tokens": "pretrain_tokens", "value": "predicted", "lower": "lower", "upper": "upper"}
        # Seven digits are more than a reader or a figure can use, and half the size in the file.
        return {new: _plain(np.array([float(f"{x:.7g}") for x in getattr(value, old)])) for old, new in names.items()}
    if isinstance(value, PointResult):
        return {name: _plain(getattr(value, name)) for name in _POINT_FIELDS}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {f"{key:g}" if isinstance(key, float) else str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value if isinstance(value, int) else str(value)


def point_rows(report: Report) -> list[list[Any]]:
    """Return the rows of ``points.csv``: fitted, held-out and baseline points, and those left out."""
    rows = []
    for curve in report.curves:
        scale = curve.metric.scale if curve.metric != describe(curve.metric.name) else None
        for point in (*curve.baseline, *curve.points, *curve.left_out):
            cells = {name: getattr(point, name, None) for name in POINT_COLUMNS}
            cells |= {"curve": curve.name, "pretrain_tokens": point.consumed, "held_out": int(point.held_out)}
            cells |= {"scale": scale, "lower_is_better": int(point.lower_is_better), "used": point.use.value}
            cells["signature"] = point.details.get("signature", "")
            if point.pretrain_tokens == 0:
                cells |= {"mixture": "", "alignment": None}
            rows.append([cells[name] for name in POINT_COLUMNS])
    return rows


def prediction_rows(report: Report) -> list[list[Any]]:
    """Return the rows of ``predictions.csv``: every point and law, then 2, 4 and 10 times the largest D_p.

    The forecast (``chosen`` 1) comes first, for this run, continued.
    """
    rows = []
    for curve in report.curves:
        if curve.forecast is None:
            continue
        predictors: list[Forecast | LawResult] = [curve.forecast, *curve.laws]
        for law in predictors:
            chosen = int(law.name == curve.forecast.name)
            head = [curve.name, curve.metric.name, law.name, chosen]
            for point, *predicted in zip(curve.points, *_columns(law.at_points), strict=True):
                rows.append([*head, *predicted, _plain(point.value), int(point.held_out)])
            rows += [[*head, *predicted, None, None] for predicted in zip(*_columns(law.ahead), strict=True)]
    return rows


def _columns(prediction: Prediction) -> list[list[Any]]:
    columns = (prediction.pretrain_tokens, prediction.value, prediction.lower, prediction.upper)
    return [_plain(column) for column in columns]


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _write(path: Path, content: str | bytes) -> Path:
    try:
        write_whole(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})\n  name another folder with --out") from error
    return path
