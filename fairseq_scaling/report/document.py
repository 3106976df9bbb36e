"""The report as one plain document: what ``fits.json`` holds, and what tables, figures and the page are made from.

Everything drawn or printed comes from this document, so that a figure can be drawn again from the file alone.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import __version__, laws
from ..alignment_file import Alignment
from ..logs import Problem, Reading
from ..metrics import CROSS_ENTROPY
from ..problems import count_problems
from .alignment import match, rank_agreements
from .analysis import Analysis, CurveAnalysis, Settings
from .points import Point, mixture_label
from .points.curves import CurvePoints, Unplaced
from .run_points import Forgetting

FORMAT = 1
PAPER_LAWS = ("log_law", "cross_entropy_law")
EXTRAPOLATIONS = (2.0, 4.0, 10.0)
_LINE_POINTS = 61

Document = dict[str, Any]


@dataclass
class Inputs:
    """What was read, for the page's last section."""

    paths: list[str] = field(default_factory=list)
    finetuning_runs: int = 0
    pretraining_runs: int = 0
    tables: int = 0
    problems: list[Problem] = field(default_factory=list)
    forgetting: list[Forgetting] = field(default_factory=list)
    alignments: list[Alignment] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the user says of the runs, or a study of those that it did not make."""
    reading: Reading | None = None
    """What the logs hold, None where only tables were read."""


def build_document(analysis: Analysis, settings: Settings, inputs: Inputs) -> Document:
    """Return the report as nested lists, dicts, strings and finite numbers (None where there is none)."""
    matched = match([curve.data for curve in analysis.curves], inputs.alignments)
    document = {
        "format": FORMAT,
        "signature": signature(settings),
        "versions": versions(),
        "settings": asdict(settings),
        "inputs": {
            "paths": inputs.paths,
            "finetuning_runs": inputs.finetuning_runs,
            "pretraining_runs": inputs.pretraining_runs,
            "tables": inputs.tables,
            "alignments": len(inputs.alignments),
        },
        "curves": [_curve(curve, settings, matched.by_curve.get(curve.data.name)) for curve in analysis.curves],
        "metric_comparisons": [comparison.to_dict() for comparison in analysis.comparisons],
        "mixture_comparisons": [comparison.to_dict() for comparison in analysis.mixtures],
        "alignment_agreements": rank_agreements(analysis.curves, matched),
        "unplaced": [_unplaced(group) for group in inputs.unplaced],
        "forgetting": [asdict(row) for row in inputs.forgetting],
        "remarks": inputs.remarks,
        "problems": [
            counted.as_json() for counted in count_problems([*inputs.problems, *analysis.problems, *matched.problems])
        ],
    }
    return plain(document)


def versions() -> dict[str, str]:
    """Return the versions that a number in the report may depend on."""
    import scipy

    return {
        "fairseq_scaling": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def signature(settings: Settings) -> str:
    """Return one line that says how the fits were made, in the manner of sacrebleu's signatures."""
    parts = {
        "law": settings.law,
        "protocol": settings.protocol,
        "delta": "paper" if settings.delta is None else f"{settings.delta:g}",
        "interval": settings.interval + (f":{settings.n_boot}" if settings.interval in ("case", "parametric") else ""),
        "level": f"{settings.level:g}",
        "seed": settings.seed,
        **versions(),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


def plain(value: Any) -> Any:
    """Return ``value`` in JSON types only; NaN and infinities, which JSON does not know, become None."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return str(value)


def _curve(analysis: CurveAnalysis, settings: Settings, overlap: Alignment | None) -> Document:
    data = analysis.data
    choice = analysis.choice
    largest = max((point.pretrain_tokens for point in data.points), default=0.0)
    return {
        "name": data.name,
        "metric": data.metric,
        "lower_is_better": data.lower_is_better,
        "setting": _setting(data),
        "overlap": _overlap(overlap) if overlap else None,
        "points": _points(analysis),
        "baseline": [_point(point) for point in data.baselines],
        "left_out": [{**_point(point), "reason": reason} for point, reason in data.left_out],
        "largest_pretrain_tokens": largest,
        "chosen": choice.law.name if choice else None,
        "choice": {"reason": choice.reason, "sure": choice.sure} if choice else None,
        "laws": [_law(candidate, choice, analysis, largest) for candidate in choice.candidates] if choice else [],
        "verdict": analysis.verdict.to_dict() if analysis.verdict else None,
        "advice": analysis.advice.to_dict() if analysis.advice else None,
        "tokens_wanted": [
            {"target": target, **estimate.to_dict()} for target, estimate in analysis.tokens_wanted.items()
        ],
        "problem": analysis.problem,
    }


def _unplaced(group: Unplaced) -> Document:
    """Return points without D_p (null in JSON), each with the name of the model that was finetuned."""
    first = group.points[0]
    names = ("metric", "lower_is_better", "task", "finetune_tokens", "architecture", "parameters", "corpus")
    return {
        **{name: getattr(first, name) for name in names},
        "points": [{"start": point.start, **_point(point)} for point in group.points],
        "baseline": [_point(point) for point in group.baselines],
    }


def _setting(data: CurvePoints) -> Document:
    shown = {"task": data.first.task, "apart": data.first.apart}
    return {**data.attributes(), **shown, "mixture_label": mixture_label(data.first.mixture)}


def _overlap(measured: Alignment) -> Document:
    """Return what scaling-alignment measured of a curve's mixture and task."""
    return {"measures": measured.measures, "sample_tokens": measured.sample_tokens, "file": measured.file}


def _point(point: Point) -> Document:
    return {
        "pretrain_tokens": point.pretrain_tokens,
        "consumed": point.consumed,
        "value": point.value,
        "held_out": point.held_out,
        "seed": point.seed,
        "pretrain_seed": point.pretrain_seed,
        "weight": point.weight,
        "run_id": point.run_id,
        "learning_rate": point.settings.get("lr"),
        "file": point.file,
        "line": point.line,
        "details": dict(point.details),
    }


def _points(analysis: CurveAnalysis) -> list[Document]:
    """Return the points with what the chosen fit did with each: fitted, held out (by whom) or left out (why)."""
    fit = analysis.choice.fit if analysis.choice else None
    reasons = {left.index: left.reason for left in fit.left_out} if fit else {}
    rows = []
    for index, point in enumerate(analysis.data.points):
        used = bool(fit.used[index]) if fit else False
        judged = bool(fit.judged[index]) if fit else point.held_out
        reason = "" if used or judged else reasons.get(index, analysis.problem)
        rows.append({**_point(point), "held_out": judged, "used": used, "reason": reason})
    return rows


def _law(candidate: laws.Candidate, choice: laws.Choice | None, analysis: CurveAnalysis, largest: float) -> Document:
    fit = candidate.fit
    assert choice is not None
    assert analysis.curve is not None
    budgets = analysis.curve.pretrain_tokens
    ahead = largest * np.array(EXTRAPOLATIONS)
    line = np.geomspace(budgets.min() / 1.15, largest * 4.2, _LINE_POINTS)
    # One call for all: an average's intervals come from draws, which cost more than the points.
    predicted = fit.predict(np.concatenate([budgets, ahead, line]))
    return {
        "name": fit.law.name,
        "title": fit.law.title,
        "formula": fit.law.formula,
        "latex": fit.law.latex,
        "source": fit.law.source,
        "chosen": fit.law.name == choice.law.name,
        "coefficients": {name: estimate.to_dict() for name, estimate in fit.coefficients.items()},
        "parameters": len(fit.law.parameters),
        "meanings": {parameter.name: parameter.meaning for parameter in fit.law.parameters},
        "objective": fit.objective,
        "delta": fit.delta,
        "protocol": fit.protocol,
        "interval": fit.interval,
        "level": fit.level,
        "used": [bool(flag) for flag in fit.used],
        "residuals": fit.residuals,
        "degrees_of_freedom": fit.degrees_of_freedom,
        "sigma": fit.sigma,
        "condition_number": fit.condition_number,
        "identified": fit.identified,
        "reasons": list(fit.reasons),
        "notes": list(fit.notes),
        "held_out": fit.held_out.to_dict() if fit.held_out else None,
        "rolling_origin_rmsle": candidate.error,
        "splits": candidate.n_splits,
        "weight": candidate.weight,
        "reason": candidate.reason,
        "converged": fit.converged,
        "iterations": fit.iterations,
        "elasticity": float(np.asarray(fit.elasticity(np.array([largest])))[0]),
        "at_points": _part(predicted, slice(None, len(budgets))),
        "extrapolated": _part(predicted, slice(len(budgets), len(budgets) + len(ahead))),
        "line": _part(predicted, slice(-len(line), None), _rounded),
    }


def _part(prediction: laws.Prediction, part: slice, write: Callable[[np.ndarray], Any] = list) -> Document:
    columns = {
        "pretrain_tokens": prediction.pretrain_tokens,
        "predicted": prediction.value,
        "lower": prediction.lower,
        "upper": prediction.upper,
    }
    return {name: write(values[part]) for name, values in columns.items()}


def _rounded(values: np.ndarray) -> list[float]:
    """Return values with seven digits: as much as a figure can show, and half the size in the file."""
    return [float(f"{value:.7g}") for value in values]


def chosen_law(curve: Document) -> Document | None:
    """Return the law of a document's curve that the tool stands behind, or None."""
    return next((law for law in curve["laws"] if law["chosen"]), None)


def single_laws(curve: Document) -> list[Document]:
    """Return the laws whose coefficients are worth reading: the best single law, and the paper's where it is another.

    An average of laws has weights, no coefficients of its own.
    """
    singles = [law for law in curve["laws"] if law["parameters"]]
    papers = [law for law in singles[1:] if law["name"] in PAPER_LAWS]
    return singles[:1] + papers


def settings_in_order(document: Document) -> list[list[Document]]:
    """Return the document's curves grouped by name (one group: all metrics of one mixture, task and D_f), in order."""
    groups: dict[str, list[Document]] = {}
    for curve in document["curves"]:
        groups.setdefault(curve["name"], []).append(curve)
    return list(groups.values())


def leading(curves: Sequence[Document]) -> Document:
    """Return the curve whose metric decides: the first score; cross-entropy only where there is no score."""
    scores = [curve for curve in curves if curve["metric"] != CROSS_ENTROPY]
    fitted = [curve for curve in scores if curve["chosen"]]
    return (fitted or scores or list(curves))[0]
