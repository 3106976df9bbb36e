"""fairseq logs and fairseq-generate output -> run records. Needs neither torch nor fairseq."""

from __future__ import annotations

from ..alignment_file import Alignment
from ..problems import Problem
from ..scores.score_file import Score
from .kinds import LogProblem
from .reader import read_runs
from .record import Origin, Reading, RunRecord, Scored

__all__ = ["Alignment", "LogProblem", "Origin", "Problem", "Reading", "RunRecord", "Score", "Scored", "read_runs"]
