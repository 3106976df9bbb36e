"""What of a study can be removed: checkpoints whose work is done, each of which training can make again.

Logs, scores, translations, results, text, and whatever the study has not made itself are never removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..plan.jobs import Job, Plan, mixture_of
from ..run.state import StudyFolder


@dataclass(frozen=True)
class Removable:
    """Files of one kind, and what it costs to have them again; ``seconds`` of training on one core, as planned."""

    what: str
    remedy: str
    files: list[Path]
    seconds: float

    @property
    def size(self) -> int:
        """Bytes on disk; a link counts as itself."""
        return sum(path.lstat().st_size for path in self.files)


def removable(plan: Plan, folder: StudyFolder, pretrained: bool) -> list[Removable]:
    """Return what can be removed, the cheapest to have again first.

    - the checkpoints of finetuned models that are translated and scored,
    - of finished pretrainings, what they would go on from,
    - with ``pretrained``, the checkpoints at the budgets, where every run that starts from them is finished.
    """
    waiting = {job.id for job in folder.pending(plan, plan.jobs)}
    finetuned = [job for job in plan.of_stage("finetune") if _readers_done(plan, job, waiting)]
    # Not those that a sequential run has stopped at a budget, or that have further budgets: they would continue.
    limits, last = folder.limits, {job.owns[0]: job.id for job in plan.of_stage("pretrain")}
    trained = [
        job
        for job in plan.of_stage("pretrain")
        if last[job.owns[0]] == job.id and job.id not in waiting and mixture_of(job) not in limits
    ]
    budgets = {name for job in plan.jobs for name in job.reads if name.endswith(".pt")}
    resumable = [path for job in trained for path in _checkpoints(folder, job) if _name(folder, path) not in budgets]
    kinds = [
        Removable(
            "finetuned models that are translated and scored", "finetuning again",
            [path for job in finetuned for path in _checkpoints(folder, job)], sum(job.seconds for job in finetuned),
        ),
        Removable("what finished pretrainings would go on from", "needed for a further budget alone", resumable, 0.0),
    ]  # fmt: skip
    if pretrained:
        used_up = [job for job in trained if _readers_done(plan, job, waiting)]
        files = [path for job in used_up for path in _checkpoints(folder, job) if _name(folder, path) in budgets]
        chains = {name for job in used_up for name in (*plan.chain(job), job.id)}
        seconds = sum(plan.by_id[name].seconds for name in chains)
        kinds.append(Removable("pretrained checkpoints that no run needs", "pretraining again", files, seconds))
    return [kind for kind in kinds if kind.files]


def _readers_done(plan: Plan, job: Job, waiting: set[str]) -> bool:
    """Tell whether nothing that still has to run needs the job, directly or through others."""
    below = {job.id, *plan.chain(job)}
    for other in plan.jobs:
        if below & set(other.needs) and other.stage != "fit":
            below.add(other.id)
    return not below & waiting


def _checkpoints(folder: StudyFolder, job: Job) -> list[Path]:
    return sorted((folder.path / job.log).parent.glob("checkpoint*.pt"))


def _name(folder: StudyFolder, path: Path) -> str:
    return str(path.relative_to(folder.path))
