"""The last job of a study: the laws on all that it has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..settings.given import fitting_options
from ..stages import STAGES
from .flags import options
from .jobs import Job

if TYPE_CHECKING:
    from ..settings.config import Study


def fit_job(study: Study, jobs: Sequence[Job]) -> Job:
    """Return the fit over the runs that are reported. Candidates, and runs of earlier settings, are left out.

    The job runs in the study's folder, so that the results name the runs in the same way wherever the study lies.
    """
    reported = [job for job in jobs if job.stage in ("pretrain", "finetune", "score") and not job.candidate]
    makers = {job.writes[0]: job.id for job in reported}
    folders = dict.fromkeys(path.rsplit("/", 1)[0] for path in makers)  # several files of scores in one folder
    alignment = {job.writes[0]: job.id for job in jobs if job.stage == "alignment"}
    makers |= alignment
    return Job(
        id="fit/results",
        stage="fit",
        label="fit the laws",
        argv=["fit-scaling", *folders, *alignment, "--out", "results", *options(fitting_options(study))],
        needs=list(makers.values()),
        reads=makers,
        writes=["results"],
        output="results/table.txt",
        log="logs/fit.log",
        seconds=STAGES["fit"].seconds,
        group="fit the laws",
    )
