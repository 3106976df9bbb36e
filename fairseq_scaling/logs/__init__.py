"""fairseq logs and fairseq-generate output -> run records. Needs neither torch nor fairseq."""

from __future__ import annotations

from .cache import Cache
from .reader import read_runs
from .record import Origin, Problem, Reading, RunRecord, Score

__all__ = ["Cache", "Origin", "Problem", "Reading", "RunRecord", "Score", "read_runs"]
