"""What has been done in a study's folder: a small record for each job.

``.study/records/<job>.json`` tells how a job went; ``.study/done/<job>.json`` exists while its result counts, and is
what Snakemake looks at. A job counts as done when it finished with the argv of today and with the inputs of today: its
identity is a hash of its argv and of the results of the jobs it needs. A corpus is identified by its content, so that
a corpus made again with the same bytes lets every training stand; so are the checkpoints that a study is given. A
pretraining has an identity for each of its budgets: a further one lets all that was made of the others stand. The fits
are made again, too, where the code that makes them has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ... import whole_files
from ...errors import DataError
from ...fingerprint import code_fingerprint, fingerprint
from ..plan import choice
from ..plan.jobs import Job, Plan, budget_number
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

    def done_path(self, job_id: str) -> Path:
        return self.private / "done" / f"{job_id}.json"

    def record(self, job_id: str) -> Record | None:
        """Return the record of a job, or None where it never started (or its record is damaged)."""
        try:
            record = json.loads(self._record_path(job_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and "identities" in record else None

    def write_record(self, job_id: str, record: Record) -> None:
        write_whole(self._record_path(job_id), json.dumps(record, indent=1))

    def mark_done(self, job_id: str) -> None:
        write_whole(self.done_path(job_id), "")

    def write_limits(self, limits: Mapping[str, int], settled: Sequence[str] = ()) -> None:
        """Note after how many budgets pretrainings stop (job -> number; none: after the last), and why some do."""
        if limits:
            write_whole(self.sequential_path, json.dumps({"limits": dict(limits), "settled": list(settled)}, indent=1))
        else:
            self.sequential_path.unlink(missing_ok=True)
        self.__dict__.pop("_sequential", None)

    def limit(self, job_id: str) -> int | None:
        """Return after how many budgets a pretraining is to stop, or None: after its last."""
        return self._sequential["limits"].get(job_id)

    @property
    def settled(self) -> list[str]:
        """What a sequential run has decided not to run, and why."""
        return list(self._sequential["settled"])

    @cached_property
    def _sequential(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self.sequential_path.read_text("utf-8"))
        except (OSError, ValueError):
            return {"limits": {}, "settled": []}
        return values

    def corpus(self, plan: Plan) -> Path:
        return self.path / plan.corpus

    def identity(self, plan: Plan, job: Job) -> str:
        """Return the hash of all that decides a job's result."""
        return self.identities(plan, job)[-1]

    def identities(self, plan: Plan, job: Job) -> list[str]:
        """Return the identity of a pretraining at each of its budgets, which no later budget changes; else just one."""
        # Of the corpus its content counts, whoever has made it.
        needs = {need: self._result(plan, need, job) for need in job.needs if not need.startswith("encode/")}
        if "{corpus}" in job.argv and job.stage != "encode":
            needs["corpus"] = self._fingerprint(plan)
        stamps: list[Any] = _stamps(job.argv, Path(plan.source_folder)) if job.stage == "fetch" else []
        stamps += [(place, _content(path)) for place, path in sorted(plan.given_to(job).items())]
        if job.stage == "fit":  # takes seconds: a better version of the laws is to be used on old runs
            stamps.append(("code", code_fingerprint("logs", "scores", "laws", "report")))
        if STAGES[job.stage].trains and (gpus := job.resources.get("gpu", 1)) not in (0, 1):
            stamps.append(("gpus", gpus))  # each takes a batch of its own
        variants = [job.argv_until(number + 1) for number in range(len(job.budgets))] or [job.argv]
        return [
            hashlib.sha256(json.dumps([argv, needs, stamps], sort_keys=True).encode()).hexdigest() for argv in variants
        ]

    def is_done(self, plan: Plan, job: Job) -> bool:
        """Tell whether a job's result counts, its needs being done."""
        return self.done_path(job.id).exists() and self.up_to_date(plan, job)

    def up_to_date(self, plan: Plan, job: Job) -> bool:
        """Tell whether a job finished with today's argv and inputs, and left its files; its mark may be gone."""
        record = self.record(job.id)
        return (
            record is not None
            and self.has_ended(job, record)
            and all((self.path / name).exists() for name in job.writes)
            and is_prefix(self.identities(plan, job), record["identities"])
        )

    def resumable(self, plan: Plan, job: Job) -> bool:
        """Tell whether what a job has left behind is the beginning of what it is to do now.

        That of a pretraining may have ended: at the last budget that it had then.
        """
        record = self.record(job.id)
        had, wanted = record["identities"] if record else [], self.identities(plan, job)
        if record is None or had == wanted:
            # One whose files were removed has nothing left to do: going on would not make them again.
            return record is not None and not self.has_ended(job, record)
        last = (self.path / job.log).with_name("checkpoint_last.pt")
        lost = any(0 < budget_number(name) <= len(had) for name in self.lost(plan, job))
        return bool(had) and is_prefix(had, wanted) and last.exists() and not lost

    def is_paused(self, job: Job) -> bool:
        """Tell whether a pretraining stopped at a budget before its last."""
        record = self.record(job.id)
        return record is not None and record["state"] == "paused"

    def has_ended(self, job: Job, record: Record) -> bool:
        """Tell whether a job has finished, or is a pretraining that stopped at a budget and is not to go on yet.

        So has one that was taken as failed for what it has made: a corpus too small for its study (see ``job.main``).
        """
        limit = self.limit(job.id)
        paused = limit is not None and record["state"] == "paused" and record["budgets"] >= limit
        return paused or record["state"] == "finished" or "made" in record

    def lost(self, plan: Plan, job: Job) -> list[str]:
        """Return the files of ``job`` that are not there although another job still has to read them.

        A reader has to run where its result does not stand, or where a file of its own is lost in the same way: the
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

    def remove(self, job: Job) -> None:
        """Remove what an earlier run of the job with other argv or inputs has left behind."""
        for name in job.owns:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _record_path(self, job_id: str) -> Path:
        return self.private / "records" / f"{job_id}.json"

    def _result(self, plan: Plan, job_id: str, reader: Job) -> str:
        """Return the identity of what ``reader`` gets of a job it needs, as it is there now."""
        if job_id.startswith("choose/"):
            # What was chosen counts, not how: a choice made again with the same outcome lets every training stand.
            return choice.chosen(self.path / plan.by_id[job_id].writes[0]) or ""
        record = self.record(job_id)
        identities: list[str] = record["identities"] if record else []
        return "".join(identities[: _budget_read(reader, job_id) or None][-1:])

    def _has_made(self, plan: Plan, job_id: str, reader: Job) -> bool:
        """Tell whether a pretraining that is pending has made, and will leave, what ``reader`` got of it."""
        number, record = _budget_read(reader, job_id), self.record(job_id)
        if not number or record is None:
            return False
        return record["identities"][:number] == self.identities(plan, plan.by_id[job_id])[:number]

    def _fingerprint(self, plan: Plan) -> str:
        try:
            values = json.loads((self.corpus(plan) / "corpus.json").read_text("utf-8"))
        except (OSError, ValueError):
            return ""
        return str(values.get("fingerprint", ""))


def is_prefix(some: Sequence[str], all_of_them: Sequence[str]) -> bool:
    return list(some) == list(all_of_them[: len(some)])


def check_corpus(folder: StudyFolder, plan: Plan) -> None:
    """Raise DataError where a study names a corpus that is not there; one that the study makes need not be."""
    path = folder.corpus(plan)
    if not plan.of_stage("encode") and not (path / "corpus.json").is_file():
        raise DataError(f"corpus = {path}: no finished corpus (no corpus.json)\n  scaling-preprocess encode makes one.")


def write_whole(path: Path, text: str) -> None:
    """Write a file, and the folders it lies in, so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_files.write_whole(path, text)


def _budget_read(reader: Job, job_id: str) -> int:
    """Return the number of the budget whose checkpoint ``reader`` reads of a pretraining; 0: it reads none."""
    return max((budget_number(name) for name, maker in reader.reads.items() if maker == job_id), default=0)


def _content(path: Path) -> str:
    """Return the fingerprint of a file, or nothing where it cannot be read."""
    try:
        return fingerprint(path)
    except OSError:
        return ""


def _stamps(argv: list[str], folder: Path) -> list[tuple[str, int, int]]:
    """Return (name, bytes, modification time) of every file of the user's that the argv name."""
    stamps = set()
    for word in argv:
        # a name may hold a comma itself
        for part in {word, word.partition("=")[2], *re.split(r"[=:,]", word)}:
            path = folder / part
            if part and path.is_file():
                stamps.add((part, path.stat().st_size, path.stat().st_mtime_ns))
    return sorted(stamps)
