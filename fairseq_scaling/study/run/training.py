"""The folder ``.unfinished`` in which a training works, until Snakemake knows its outputs.

Snakemake removes the outputs of a job before it starts, and when it was killed. So a training trains here and resumes
from here, and its outputs are links to what it has left here. When Snakemake has taken them over, the folder goes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..plan import choice
from ..plan.jobs import Job, Plan
from ..stages import STAGES
from .folder import StudyFolder, write_whole
from .pending import content, corpus_content, decided_by


def begin(folder: StudyFolder, plan: Plan, job: Job) -> bool:
    """Prepare the folder of a training; tell whether it has ended there, and only its outputs are missing.

    What is there is resumed if it was begun with the present settings, corpus, learning rate and checkpoint.
    """
    place = _place(folder, job)
    settings = json.loads(json.dumps(_settings(folder, plan, job)))
    found = _noted(place)
    if found.get("settings") != settings:
        shutil.rmtree(place, ignore_errors=True)
        found = {"settings": settings}
        write_whole(place / "settings.json", json.dumps(found, indent=1))
    return bool(found.get("ended"))


def end(folder: StudyFolder, job: Job) -> None:
    """Make the outputs of a training that has ended, and remove all else.

    A run that only tries a learning rate leaves an empty checkpoint where no job reads it, or where it diverged. Where
    the checkpoint of another one is missing, there will be no output, and the next start begins afresh.
    """
    place = _place(folder, job)
    result = place / job.result if job.result else None
    if job.candidate and (result is None or not result.exists()):
        result = place / "empty.pt"
        result.touch()
    if result is None or not result.exists():
        (place / "settings.json").unlink(missing_ok=True)
        return
    log = folder.path / job.log
    write_whole(place / "settings.json", json.dumps({**_noted(place), "ended": True}, indent=1))
    for made, name in ((log, job.writes[0]), (result, job.writes[1])):
        _link(made, folder.path / name)
    for path in place.iterdir():
        if path not in (log, result, place / "settings.json"):
            path.unlink()


def tidy(folder: StudyFolder, jobs: Iterable[Job]) -> None:
    """Remove the folders of trainings whose outputs Snakemake has taken over."""
    for job in jobs:
        if STAGES[job.stage].trains:
            shutil.rmtree(_place(folder, job), ignore_errors=True)


def _place(folder: StudyFolder, job: Job) -> Path:
    return (folder.path / job.log).parent


def _settings(folder: StudyFolder, plan: Plan, job: Job) -> list[Any]:
    words = [choice.filled(word, folder.path) for word in job.deciding_argv]
    starts = [content(folder.path / name) for name in job.reads if name.endswith(".pt")]
    return [decided_by(plan, job), words, corpus_content(folder.corpus(plan)), starts]


def _noted(place: Path) -> dict[str, Any]:
    try:
        noted = json.loads((place / "settings.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _link(made: Path, output: Path) -> None:
    output.unlink(missing_ok=True)
    try:
        os.link(made, output)
    except OSError:  # a file system without hard links
        shutil.copyfile(made, output)
