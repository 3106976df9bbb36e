"""What of a study can be removed: checkpoints whose work is done, each of which training can make again.

Logs, scores, translations, results, text, and whatever the study has not made itself are never removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..plan.jobs import Job, Plan, mixture_of
from ..run.folder import StudyFolder
from ..run.pending import pending_jobs


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
    - with ``pretrained``, those of the budgets, where every run that starts from them is finished.
    """
    waiting = {job.id for job in pending_jobs(plan, folder)}
    # Not where a sequential run has stopped: its mixtures may go on.
    limits = folder.limits
    finetuned = [job for job in plan.of_stage("finetune") if _readers_done(plan, job, waiting)]
    trained = [
        job for job in plan.reported("pretrain")
        if pretrained and mixture_of(job) not in limits and _readers_done(plan, job, waiting)
    ]  # fmt: skip
    kinds = [
        _kind(folder, "finetuned models that are translated and scored", "finetuning again", finetuned),
        _kind(folder, "pretrained checkpoints that no run needs", "pretraining again", trained),
    ]
    return [kind for kind in kinds if kind.files]


def _readers_done(plan: Plan, job: Job, waiting: set[str]) -> bool:
    """Tell whether nothing that still has to run needs the job, directly or through others."""
    below = {job.id}
    for other in plan.jobs:
        if below & set(other.needs) and other.stage != "fit":
            below.add(other.id)
    return not below & waiting


def _kind(folder: StudyFolder, what: str, remedy: str, jobs: list[Job]) -> Removable:
    made = [(job, folder.path / job.checkpoint) for job in jobs]
    there = [(job, path) for job, path in made if path.is_file()]
    return Removable(what, remedy, [path for _, path in there], sum(job.seconds for job, _ in there))
