"""The folder of a study, and what is done in it.

``.study/records/<job>.json`` tells how a job ended. ``.study/done/<job>.json`` exists while its result is valid;
Snakemake looks at this file.

A job is up to date when it finished with the present command and the present inputs: the record holds its *identity*, a
hash of the command and of the results of the jobs that it needs. Snakemake compares modification times and commands.
The identity compares content, which Snakemake cannot do for a result that is made again: a corpus made again with the
same bytes, or a learning rate chosen again, leaves every training valid. So do given checkpoints that were copied. The
fits are made again when the code that makes them has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import whole_files
from ...errors import DataError
from ...fingerprint import code_fingerprint, fingerprint
from ..plan import choice
from ..plan.jobs import Job, Plan
from ..stages import STAGES

Record = dict[str, Any]


class StudyFolder:
    """The folder of one study: where its files are, and the records of its jobs."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.private = self.path / ".study"
        self.plan_path = self.private / "plan.json"
        self.settings_path = self.private / "study.yaml"
        self.source_path = self.private / "source.json"
        self.sequential_path = self.private / "sequential.json"
        self.lock_path = self.private / "lock"
        self.snakemake_log = self.path / "logs/snakemake.log"
        self.fork_server_log = self.path / "logs/fork-server.log"
        self.report = self.path / "results/report.html"
        self.table = self.path / "results/table.txt"
        self.interim = self.path / "interim"

    def corpus(self, plan: Plan) -> Path:
        return self.path / plan.corpus

    def done_path(self, job_id: str) -> Path:
        return self.private / "done" / f"{job_id}.json"

    # -- records ---------------------------------------------------------------------------------------------------

    def record(self, job_id: str) -> Record | None:
        """Return the record of a job, or None where it never started (or its record is damaged)."""
        try:
            record = json.loads(self._record_path(job_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and "identity" in record else None

    def write_record(self, job_id: str, record: Record) -> None:
        write_whole(self._record_path(job_id), json.dumps(record, indent=1))

    def mark_done(self, job_id: str) -> None:
        write_whole(self.done_path(job_id), "")

    def _record_path(self, job_id: str) -> Path:
        return self.private / "records" / f"{job_id}.json"

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

    # -- what is done ----------------------------------------------------------------------------------------------

    def identity(self, plan: Plan, job: Job) -> str:
        """Return the hash of all that decides a job's result."""
        # Of the corpus its content counts, whoever has made it.
        needs = {need: self._result(plan, need) for need in job.needs if not need.startswith("encode/")}
        if "{corpus}" in job.argv and job.stage != "encode":
            needs["corpus"] = self._corpus_fingerprint(plan)
        stamps: list[Any] = _stamps(job.argv, Path(plan.source_folder)) if job.stage == "fetch" else []
        stamps += [(place, _content(path)) for place, path in sorted(plan.given_to(job).items())]
        if job.stage == "fit":  # takes seconds: a better version of the laws is to be used on old runs
            stamps.append(("code", code_fingerprint("logs", "scores", "laws", "report")))
        if STAGES[job.stage].trains and (gpus := job.resources.get("gpu", 1)) not in (0, 1):
            stamps.append(("gpus", gpus))  # each takes a batch of its own
        text = json.dumps([job.deciding_argv, needs, stamps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def is_done(self, plan: Plan, job: Job) -> bool:
        """Tell whether a job's result is valid, if those of its needs are."""
        return self.done_path(job.id).exists() and self.up_to_date(plan, job)

    def up_to_date(self, plan: Plan, job: Job) -> bool:
        """Tell whether a job finished with the present command and inputs, and left its files."""
        record = self.record(job.id)
        return (
            record is not None
            and has_ended(record)
            and all((self.path / name).exists() for name in job.writes)
            and record["identity"] == self.identity(plan, job)
        )

    def resumable(self, plan: Plan, job: Job) -> bool:
        """Tell whether what lies in a job's folder is the beginning of what it is to do now.

        That is so where an earlier attempt of it was stopped. The pretraining of a further budget continues from the
        budget before, unless the folder holds what later budgets, or other settings, have left.
        """
        record, identity = self.record(job.id), self.identity(plan, job)
        if record is not None and (has_ended(record) or record["identity"] != identity):
            return False
        before = self.earlier_budgets(plan, job)
        if record is None and not before:
            return False
        known = {one.id for one in before if self.up_to_date(plan, one)} | {job.id}
        others = [one for one in self._recorded_beside(job) if one not in known]
        last = (self.path / job.log).with_name("checkpoint_last.pt")
        return len(known) == len(before) + 1 and not others and (not before or last.exists())

    def earlier_budgets(self, plan: Plan, job: Job) -> list[Job]:
        """Return the jobs that pretrain to the earlier budgets in the same folder."""
        return [plan.by_id[need] for need in plan.chain(job)]

    def lost(self, plan: Plan, job: Job) -> list[str]:
        """Return the files of ``job`` that are missing although another job still has to read them.

        A reader has to run where it is not up to date, or where a file of its own is lost in the same way: the
        translation that needs a removed finetuned model needs the pretrained checkpoint that made it, too.
        """
        return [
            name
            for reader in plan.jobs
            for name, maker in reader.reads.items()
            if maker == job.id
            and not (self.path / name).exists()
            and (not self.up_to_date(plan, reader) or self.lost(plan, reader))
        ]

    def pending(self, plan: Plan, jobs: list[Job]) -> list[Job]:
        """Return those of ``jobs`` (in order, with all they need) that are not done, or need one that is not.

        A job that is done but whose files have been removed is pending where a pending job reads them.
        """
        waiting = {job.id for job in jobs if not self.is_done(plan, job)}
        while True:
            before = len(waiting)
            for job in jobs:
                if job.id in waiting:
                    waiting |= {maker for name, maker in job.reads.items() if not (self.path / name).exists()}
                elif any(need in waiting and not self._has_made(plan, need, job) for need in job.needs):
                    waiting.add(job.id)
            if len(waiting) == before:
                return [job for job in jobs if job.id in waiting]

    def remove(self, plan: Plan, job: Job) -> None:
        """Remove what an earlier run of the job with another command or other inputs has left behind.

        Later budgets in the same folder lose their records with it. Those of earlier budgets stay valid: the job makes
        their checkpoints again on its way.
        """
        for name in job.owns:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for other in self._recorded_beside(job):
            if other not in (*plan.chain(job), job.id):
                self._record_path(other).unlink(missing_ok=True)
                self.done_path(other).unlink(missing_ok=True)

    def _recorded_beside(self, job: Job) -> list[str]:
        """Return the ids of all pretrainings of a job's folder that have a record, also of budgets planned earlier."""
        if job.stage != "pretrain" or job.candidate:
            return []
        folder = self._record_path(job.id).parent
        return [str(path.relative_to(self.private / "records").with_suffix("")) for path in folder.glob("*.json")]

    def _result(self, plan: Plan, job_id: str) -> str:
        """Return the identity of the result of a job, as it is there now."""
        if job_id.startswith("choose/"):
            # The chosen value counts, not how it was chosen.
            return choice.chosen(self.path / plan.by_id[job_id].writes[0]) or ""
        record = self.record(job_id)
        return str(record["identity"]) if record else ""

    def _has_made(self, plan: Plan, job_id: str, reader: Job) -> bool:
        """Tell whether a pending pretraining has made, and will make again, the checkpoint that ``reader`` has read."""
        maker, record = plan.by_id[job_id], self.record(job_id)
        if maker.stage != "pretrain" or reader.stage in ("pretrain", "choose", "fit") or record is None:
            return False
        return has_ended(record) and record["identity"] == self.identity(plan, maker)

    def _corpus_fingerprint(self, plan: Plan) -> str:
        try:
            values = json.loads((self.corpus(plan) / "corpus.json").read_text("utf-8"))
        except (OSError, ValueError):
            return ""
        return str(values.get("fingerprint", ""))


def has_ended(record: Record) -> bool:
    """Tell whether a job has finished, or has made a corpus that is too small for its study (see ``job.main``)."""
    return record["state"] == "finished" or "made" in record


def check_corpus(folder: StudyFolder, plan: Plan) -> None:
    """Raise DataError where a study names a corpus that is not there; one that the study makes need not be."""
    path = folder.corpus(plan)
    if not plan.of_stage("encode") and not (path / "corpus.json").is_file():
        raise DataError(f"corpus = {path}: no finished corpus (no corpus.json)\n  scaling-preprocess encode makes one.")


def write_whole(path: Path, text: str) -> None:
    """Write a file, and the folders it lies in, so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_files.write_whole(path, text)


def _content(path: Path) -> str:
    """Return the fingerprint of a file, or nothing where it cannot be read."""
    try:
        return fingerprint(path)
    except OSError:
        return ""


def _stamps(argv: list[str], folder: Path) -> list[tuple[str, int, int]]:
    """Return (name, bytes, modification time) of every file of the user's that a command names."""
    stamps = set()
    for argument in argv:
        # a name may hold a comma itself
        for part in {argument, argument.partition("=")[2], *re.split(r"[=:,]", argument)}:
            path = folder / part
            if part and path.is_file():
                stamps.add((part, path.stat().st_size, path.stat().st_mtime_ns))
    return sorted(stamps)
