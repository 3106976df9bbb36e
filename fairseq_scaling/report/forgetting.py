"""What finetuning made the runs forget: the upstream loss before and after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..logs import RunRecord


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


def forgetting_of(finetuning: Sequence[RunRecord], pretraining: Sequence[RunRecord]) -> list[Forgetting]:
    """Return upstream losses after finetuning, joined to the pretraining loss at the same D_p where a log has it."""
    before: dict[tuple[str, int, str], float] = {}
    for run in pretraining:
        for tokens, subset, loss in run.extra.get("upstream_curve", ()):
            before[str(run.run_id), int(tokens), str(subset)] = float(loss)
    rows = []
    for run in finetuning:
        parent = (run.description.pretrain_run_id or "") if run.description is not None else ""
        for subset, after in sorted(run.cross_entropies.items()):
            if not subset.startswith("upstream_") or not run.pretrain_tokens or not math.isfinite(after):
                continue
            language = subset.removeprefix("upstream_")
            names = (subset, language, f"valid_{language}", "valid")
            places = [(parent, run.pretrain_tokens, name) for name in names]
            rows.append(
                Forgetting(
                    run_id=run.run_id,
                    task=f"{run.source_lang}-{run.target_lang}",
                    mixture=str(run.mixture) if run.mixture is not None else "",
                    pretrain_tokens=run.pretrain_tokens,
                    finetune_tokens=run.finetune_tokens,
                    seed=run.seed,
                    subset=language,
                    before=next((before[place] for place in places if place in before), None),
                    after=after,
                    architecture=run.architecture or "",
                    parameters=run.parameters,
                    corpus=(run.description.corpus or "") if run.description is not None else "",
                )
            )
    return rows
