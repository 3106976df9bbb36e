"""What a report leaves on disk. Every file is written under a temporary name and renamed when it is whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..whole_files import write_whole
from .document import FORMAT, Document
from .html import render_page
from .run_tables import point_use

if TYPE_CHECKING:
    from .figures import Drawing

POINT_COLUMNS = (
    "curve", "metric", "pretrain_tokens", "value", "held_out", "seed", "pretrain_seed", "mixture", "finetune_tokens",
    "weight", "lower_is_better", "source_lang", "target_lang", "architecture", "parameters", "corpus", "alignment",
    "run_id", "signature", "used", "reason", "origin",
)  # fmt: skip
PREDICTION_COLUMNS = (
    "curve", "metric", "law", "chosen", "pretrain_tokens", "predicted", "lower", "upper", "observed", "held_out",
)  # fmt: skip


def write_data(document: Document, folder: Path) -> list[Path]:
    """Write ``points.csv``, ``fits.json`` and ``predictions.csv`` and return their paths.

    ``points.csv`` is itself a table that ``fit-scaling`` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(folder / "points.csv", _csv(POINT_COLUMNS, point_rows(document))),
        _write(folder / "fits.json", json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"),
        _write(folder / "predictions.csv", _csv(PREDICTION_COLUMNS, prediction_rows(document))),
    ]


def write_report(document: Document, drawings: Sequence[Drawing], folder: Path) -> list[Path]:
    """Write ``figures/*.svg``, ``figures/*.pdf`` and ``report.html`` and return their paths, the report first."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paths = [_write(folder / "report.html", render_page(document, drawings))]
    for drawing in drawings:
        paths.append(_write(figures / f"{drawing.name}.svg", drawing.svg))
        paths.append(_write(figures / f"{drawing.name}.pdf", drawing.pdf))
    return paths


def read_document(path: Path) -> Document:
    """Return the document of a ``fits.json``, from which tables, figures and page can be made again.

    Raises:
        DataError: the file is not one, or of another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a fit file ({error})\n  write one with fit-scaling") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path}: not a fit file of format {FORMAT}\n  write it again with fit-scaling")
    return document


def point_rows(document: Document) -> list[list[Any]]:
    """Return the rows of ``points.csv``: fitted, held-out and baseline points, and those left out."""
    rows = []
    for curve in document["curves"]:
        setting = curve["setting"]
        for point in [*curve["baseline"], *curve["points"], *curve["left_out"]]:
            rows.append(
                [
                    curve["name"],
                    curve["metric"],
                    point["consumed"],
                    point["value"],
                    int(point["held_out"]),
                    point["seed"],
                    point["pretrain_seed"],
                    setting["mixture"] if point["pretrain_tokens"] else "",
                    setting["finetune_tokens"],
                    point["weight"],
                    int(curve["lower_is_better"]),
                    setting["source_lang"],
                    setting["target_lang"],
                    setting["architecture"],
                    setting["parameters"],
                    setting["corpus"],
                    setting["alignment"] if point["pretrain_tokens"] else None,
                    point["run_id"],
                    point["details"].get("signature", ""),
                    point_use(point),
                    point.get("reason", ""),
                    f"{point['file']}:{point['line']}" if point["line"] else point["file"],
                ]
            )
    return rows


def prediction_rows(document: Document) -> list[list[Any]]:
    """Return the rows of ``predictions.csv``: every point and law, then 2, 4 and 10 times the largest D_p."""
    rows = []
    for curve in document["curves"]:
        for law in curve["laws"]:
            head = [curve["name"], curve["metric"], law["name"], int(law["chosen"])]
            for point, *predicted in zip(curve["points"], *_columns(law["at_points"]), strict=True):
                rows.append([*head, *predicted, point["value"], int(point["held_out"])])
            rows += [[*head, *predicted, None, None] for predicted in zip(*_columns(law["extrapolated"]), strict=True)]
    return rows


def _columns(prediction: Document) -> list[list[Any]]:
    return [prediction[key] for key in ("pretrain_tokens", "predicted", "lower", "upper")]


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, content: str | bytes) -> Path:
    try:
        write_whole(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})\n  name another folder with --out") from error
    return path
