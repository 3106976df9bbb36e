"""fairseq logs and fairseq-generate output -> run records. Needs neither torch nor fairseq."""

from __future__ import annotations

from .reader import read_runs
from .record import Alignment, Origin, Problem, Reading, RunRecord, Score

__all__ = ["Alignment", "Origin", "Problem", "Reading", "RunRecord", "Score", "read_runs"]
