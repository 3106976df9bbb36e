"""The folder of a study: where its files are, the records of its jobs, and the study.yaml that it was last run with.

Whether a job has to run is not kept here: Snakemake tells it (see ``pending``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import whole_files
from ...errors import DataError
from ..plan.jobs import Job, Plan

Record = dict[str, Any]


class StudyFolder:
    """The folder of one study.

    Raises:
        DataError: an older version of this package has made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.private = self.path / ".study"
        self.plan_path = self.private / "plan.json"
        self.to_do_path = self.private / "to-do.json"
        self.settings_path = self.private / "study.yaml"
        self.source_path = self.private / "source.json"
        self.sequential_path = self.private / "sequential.json"
        self.lock_path = self.private / "lock"
        self.snakemake_log = self.path / "logs/snakemake.log"
        self.fork_server_log = self.path / "logs/fork-server.log"
        self.report = self.path / "results/report.html"
        self.table = self.path / "results/table.txt"
        self.interim = self.path / "interim"
        if (self.private / "done").is_dir():
            raise DataError(
                f"{self.path}: an older version of this package has run this study, and keeps its checkpoints under "
                "other names\n  Name a new folder: --out. fit-scaling and scaling-report still read the runs in this "
                "one."
            )

    def corpus(self, plan: Plan) -> Path:
        return self.path / plan.corpus

    # -- records ---------------------------------------------------------------------------------------------------

    def record(self, job_id: str) -> Record | None:
        """Return the record of a job, or None where it never started (or its record is damaged)."""
        try:
            record = json.loads(self._record_path(job_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and "argv" in record else None

    def write_record(self, job_id: str, record: Record) -> None:
        write_whole(self._record_path(job_id), json.dumps(record, indent=1))

    def _record_path(self, job_id: str) -> Path:
        return self.private / "records" / f"{job_id}.json"

    def has_made(self, job: Job) -> bool:
        """Tell whether a job has finished with its present command, or has made a corpus too small for its study."""
        record = self.record(job.id) or {}
        ended = record.get("state") == "finished" or "too_little" in record
        return ended and record.get("argv") == job.argv

    # -- sequential runs -------------------------------------------------------------------------------------------

    def write_limits(self, limits: Mapping[str, int], settled: Sequence[str] = ()) -> None:
        """Note the number of budgets after which mixtures stop (none: after the last), and why some do."""
        if limits:
            write_whole(self.sequential_path, json.dumps({"limits": dict(limits), "settled": list(settled)}, indent=1))
        else:
            self.sequential_path.unlink(missing_ok=True)

    @property
    def limits(self) -> dict[str, int]:
        """Mixture -> number of budgets after which it stops for now; mixtures that go to their last are left out."""
        return dict(self._sequential()["limits"])

    @property
    def settled(self) -> list[str]:
        """What a sequential run has decided not to run, and why."""
        return list(self._sequential()["settled"])

    def _sequential(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self.sequential_path.read_text("utf-8"))
        except (OSError, ValueError):
            return {"limits": {}, "settled": []}
        return values


@dataclass(frozen=True)
class Source:
    """A study.yaml and the ``--set`` settings that replace or add values.

    Attributes:
        file: the absolute path of study.yaml.
        settings: ``KEY=VALUE`` each.
    """

    file: Path
    settings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of study.yaml with the settings in it (DataError where it cannot be read)."""
        from ..settings.config import settings_text

        return settings_text(self.file, self.settings)

    def keep(self, folder: StudyFolder) -> None:
        """Write the text, and where it comes from, into a study's folder."""
        write_whole(folder.settings_path, self.text)
        write_whole(folder.source_path, json.dumps({"file": str(self.file), "settings": self.settings}))

    @classmethod
    def kept(cls, folder: StudyFolder) -> Source | None:
        """Return what the last run kept, or None where it kept nothing."""
        try:
            values = json.loads(folder.source_path.read_text("utf-8"))
            return cls(Path(values["file"]), tuple(values["settings"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has_changed(self, folder: StudyFolder) -> bool:
        """Tell whether study.yaml is there and says something else than when the study was last run."""
        try:
            return self.text != folder.settings_path.read_text("utf-8")
        except (OSError, DataError):
            return False


def check_corpus(folder: StudyFolder, plan: Plan) -> None:
    """Raise DataError where a study names a corpus that is not there; one that the study makes need not be."""
    path = folder.corpus(plan)
    if not plan.of_stage("encode") and not (path / "corpus.json").is_file():
        raise DataError(f"corpus = {path}: no finished corpus (no corpus.json)\n  scaling-preprocess encode makes one.")


def write_whole(path: Path, text: str) -> None:
    """Write a file, and the folders it lies in, so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_files.write_whole(path, text)
