"""Runs that began with the weights of another model: which one, and the baseline of continued pretraining."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..logs import RunRecord
from ..run import Start
from .points import Point


class Starts:
    """The starts of some runs.

    Attributes:
        names: run id -> name of its start; starts of one name and different weights are told apart by their checksum.
    """

    def __init__(self, runs: Iterable[RunRecord]) -> None:
        self._runs = {run.run_id: run for run in runs}
        described = {run_id: run.description for run_id, run in self._runs.items() if run.description is not None}
        starts = {run_id: said.start for run_id, said in described.items() if said.start is not None}
        self._starts: Mapping[str, Start] = starts
        contents: dict[str, set[str]] = defaultdict(set)
        for start in starts.values():
            contents[start.name].add(start.checksum)
        self.names = {
            run_id: start.name if len(contents[start.name]) == 1 else f"{start.name} ({start.checksum})"
            for run_id, start in starts.items()
        }
        continued = [run_id for run_id in starts if self._runs[run_id].pretrain_tokens]
        self._continued = {starts[run_id].checksum: self.names[run_id] for run_id in continued}
        self._known = {
            (starts[run_id].run_id, starts[run_id].pretrain_tokens): self.names[run_id]
            for run_id in continued
            if starts[run_id].run_id
        }

    def is_baseline(self, run: RunRecord) -> bool:
        """Return whether a run finetuned directly what others pretrained further: their D_p = 0."""
        start = self._starts.get(run.run_id)
        return run.pretrain_tokens is None and start is not None and start.checksum in self._continued

    def placed(self, points: Iterable[Point]) -> list[Point]:
        """Return the points with their starts; those of baselines at D_p = 0 of the curves of their start.

        A pretraining of this project that others continued is both: a point of its own curve, and their baseline.
        """
        found = []
        for point in points:
            run = self._runs[point.run_id]
            if self.is_baseline(run):
                point = replace(point, pretrain_tokens=0.0)
            found.append(replace(point, start=self.names.get(point.run_id, "")))
            parent = None if run.description is None else run.description.pretrain_run_id
            name = self._known.get((parent, run.pretrain_tokens))
            if name is not None:
                found.append(replace(point, pretrain_tokens=0.0, mixture="", alignment=None, start=name))
        return found
