"""Points from run records: which value of a run enters a curve, and which runs can not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..logs import Problem, RunRecord
from ..metrics import CROSS_ENTROPY, METRICS, describe, metric_name
from ..quantities import short_tokens
from .points import Point, mixture_label
from .starts import Starts, start_of


@dataclass(frozen=True)
class Forgetting:
    """The upstream loss of one run before and after finetuning, in nats per token; None where no log says it."""

    run_id: str
    task: str
    mixture: str
    pretrain_tokens: int
    finetune_tokens: int | None
    seed: int | None
    subset: str
    before: float | None
    after: float
    architecture: str = ""
    parameters: int | None = None
    corpus: str = ""


@dataclass
class RunPoints:
    """The points of the finetuning runs, the runs that gave none and why, and what finetuning made them forget."""

    points: list[Point] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    forgetting: list[Forgetting] = field(default_factory=list)
    pretraining_runs: int = 0
    finetuning_runs: int = 0


def points_of_runs(runs: Iterable[RunRecord]) -> RunPoints:
    """Return the points of all finetuning runs.

    A run without D_p gives points only where it says itself that D_p is unknown, because a published model was
    finetuned; they are on no curve. Where nothing is said, a mapping is missing. Cross-entropy is compared on one
    subset only: for every task, D_f, model and corpus the test set if all its runs have it, else valid if all have
    that, else whichever more runs have.
    """
    runs = list(runs)
    finetuning = [run for run in runs if run.stage == "finetuning"]
    pretraining = [run for run in runs if run.stage != "finetuning"]
    result = RunPoints(pretraining_runs=len(pretraining), finetuning_runs=len(finetuning))
    starts = Starts(finetuning)
    groups: dict[tuple[object, ...], list[RunRecord]] = {}
    for run in finetuning:
        if run.pretrain_tokens is None and not starts.is_baseline(run):
            result.problems.append(
                _problem(run, "pretrain_tokens", "D_p is unknown, the run is on no curve; say it with --mapping")
            )
            if run.run_id not in starts.names:
                continue
        if run.diverged:
            # What was scored or validated before, or after, says nothing of this D_p.
            result.problems.append(_problem(run, "run_id", "its training diverged: on no curve"))
        else:
            model = (run.architecture, run.parameters, _said(run, "corpus", str))
            groups.setdefault((run.source_lang, run.target_lang, run.finetune_tokens, *model), []).append(run)
    for group in groups.values():
        subset = _common_subset(group)
        for run in group:
            _add_scores(run, result)
            _add_cross_entropy(run, subset, result)
    result.points = starts.placed(result.points)
    result.forgetting = _forgetting(finetuning, pretraining)
    return result


def _add_scores(run: RunRecord, result: RunPoints) -> None:
    for written, score in run.scores.items():
        metric = metric_name(written)
        if metric not in METRICS:
            result.problems.append(
                _problem(
                    run,
                    f"scores.{written}",
                    f"metric {written!r} is unknown; give it in a CSV table with the column lower_is_better",
                )
            )
        elif not math.isfinite(score.value):
            result.problems.append(_problem(run, f"scores.{written}", f"{written} is {score.value}; left out"))
        else:
            details = {**score.details, "signature": score.signature}
            result.points.append(_point(run, metric, score.value, details, f"scores.{written}", written))
    if "bleu" not in {metric_name(written) for written in run.scores}:
        has = "cross-entropy" if run.cross_entropies or run.cross_entropy is not None else "no score at all"
        other = ", ".join(describe(metric_name(name)).title for name in run.scores) or has
        result.problems.append(
            _problem(
                run,
                "scores",
                f"no BLEU, only {other}" if other != "no score at all" else "no score and no cross-entropy",
            )
        )


def _add_cross_entropy(run: RunRecord, subset: str | None, result: RunPoints) -> None:
    value = run.cross_entropies.get(subset) if subset else run.cross_entropy
    if value is None:
        if run.cross_entropy is not None:
            message = f"cross-entropy on {subset} is missing, where the runs beside it have it; left out of that curve"
            result.problems.append(_problem(run, "cross_entropy", message))
    elif not math.isfinite(value):
        result.problems.append(_problem(run, "cross_entropy", f"cross-entropy is {value}: diverged; left out"))
    elif run.finished is False:
        message = "training did not end (log cut?): its cross-entropy is of fewer updates; left out"
        result.problems.append(_problem(run, "cross_entropy", message))
    else:
        details = {"subset": subset} if subset else {}
        result.points.append(
            _point(run, CROSS_ENTROPY, value, details, f"cross_entropies.{subset}", "cross_entropy", "cross_entropies")
        )


def _point(run: RunRecord, metric: str, value: float, details: dict[str, Any], *fields: str) -> Point:
    file, line = _origin(run, *fields)
    alignment = run.alignment
    if alignment is None and run.mixture is not None and run.source_lang and run.target_lang:
        alignment = run.mixture.alignment(run.source_lang, run.target_lang)
    return Point(
        metric=metric,
        pretrain_tokens=math.nan if run.pretrain_tokens is None else float(run.pretrain_tokens),
        value=float(value),
        seed=run.seed,
        lower_is_better=describe(metric).lower_is_better,
        mixture=str(run.mixture) if run.mixture is not None else "",
        source_lang=run.source_lang or "",
        target_lang=run.target_lang or "",
        finetune_tokens=run.finetune_tokens,
        architecture=run.architecture or "",
        parameters=run.parameters,
        corpus=_said(run, "corpus", str) or "",
        pretrain_seed=_said(run, "pretrain_seed", int),
        settings=_flat(_said(run, "hyperparameters", dict) or {}),
        alignment=alignment,
        run_id=run.run_id,
        file=file,
        line=line,
        details=details,
    )


def _said(run: RunRecord, name: str, kind: type) -> Any:
    """Return what the run's SCALING_RUN object says, or None where it is silent or says something of another kind."""
    described = run.extra.get("run")
    value = described.get(name) if isinstance(described, dict) else None
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, str]:
    """Return nested settings as ``optimizer.lr`` -> value as text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{name}.")
        else:
            alone = value[0] if isinstance(value, list) and len(value) == 1 else value
            flat[above + name] = alone if isinstance(alone, str) else json.dumps(alone)
    return flat


def _common_subset(runs: Sequence[RunRecord]) -> str | None:
    """Return the subset on which the runs' cross-entropies compare; None where none is named."""
    counts = {name: sum(name in run.cross_entropies for run in runs) for name in ("test", "valid")}
    best = max(counts.values())
    return next(name for name, count in counts.items() if count == best) if best else None


def _forgetting(finetuning: Sequence[RunRecord], pretraining: Sequence[RunRecord]) -> list[Forgetting]:
    """Return upstream losses after finetuning, joined to the pretraining loss at the same D_p where a log has it."""
    before: dict[tuple[str, int, str], float] = {}
    for run in pretraining:
        for tokens, subset, loss in run.extra.get("upstream_curve", ()):
            before[str(run.run_id), int(tokens), str(subset)] = float(loss)
    rows = []
    for run in finetuning:
        parent = str(run.extra.get("run", {}).get("pretrain_run_id") or "")
        for subset, after in sorted(run.cross_entropies.items()):
            if not subset.startswith("upstream_") or not run.pretrain_tokens or not math.isfinite(after):
                continue
            language = subset.removeprefix("upstream_")
            known = next(
                (
                    before[parent, run.pretrain_tokens, name]
                    for name in (subset, language, f"valid_{language}", "valid")
                    if (parent, run.pretrain_tokens, name) in before
                ),
                None,
            )
            rows.append(
                Forgetting(
                    run_id=run.run_id,
                    task=f"{run.source_lang}-{run.target_lang}",
                    mixture=str(run.mixture) if run.mixture is not None else "",
                    pretrain_tokens=run.pretrain_tokens,
                    finetune_tokens=run.finetune_tokens,
                    seed=run.seed,
                    subset=language,
                    before=known,
                    after=after,
                    architecture=run.architecture or "",
                    parameters=run.parameters,
                    corpus=_said(run, "corpus", str) or "",
                )
            )
    return rows


def _origin(run: RunRecord, *fields: str) -> tuple[str, int]:
    for name in fields:
        if name in run.origin:
            return run.origin[name].file, run.origin[name].line
    files = run.extra.get("files", ())
    if files:
        return str(next(iter(files))), 0
    first = next(iter(run.origin.values()), None)
    return (first.file, 0) if first else ("", 0)


def _problem(run: RunRecord, field_name: str, message: str) -> Problem:
    file, line = _origin(run, field_name)
    start = start_of(run)
    nothing = "no pretraining" if run.pretrain_tokens == 0 else start.name if start else mixture_label("")
    mixture = mixture_label(str(run.mixture)) if run.mixture is not None else nothing
    tokens = "D_p unknown" if run.pretrain_tokens is None else f"D_p {short_tokens(run.pretrain_tokens)}"
    task = f"{run.source_lang}-{run.target_lang} " if run.source_lang and run.target_lang else ""
    return Problem(file, line, f"run {run.run_id} ({task}{mixture}, {tokens}): {message}")
