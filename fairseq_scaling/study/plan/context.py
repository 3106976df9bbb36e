"""What the jobs of all stages of a study are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..stages import STAGES
from . import pricing
from .jobs import Work

if TYPE_CHECKING:
    from ..settings.config import Study

# First guesses, until the progress line has measured: FLOP/s of one core, and tokens a second of a model of unknown
# dimensions.
_CORE_SPEED = 5e10
_UNKNOWN_MODEL_SPEED = 1000


@dataclass(frozen=True)
class Context:
    """What the jobs of all stages are made from.

    Attributes:
        study: the settings.
        shape: the dimensions of the model; None where they are unknown.
        corpus_bytes: of the encoded text.
        after_corpus: the job that makes the corpus; none where the study is given one.
    """

    study: Study
    shape: pricing.Shape | None
    corpus_bytes: int
    after_corpus: list[str]

    @classmethod
    def of(cls, study: Study, vocabulary: int) -> Context:
        after = ["encode/text"] if study.text is not None else []
        return cls(study, pricing.shape_of(study, vocabulary), pricing.corpus_bytes(study, vocabulary), after)

    def seconds(self, stage: str, work: Work, tokens: int) -> float:
        """Return a first guess of the duration of a training or translation."""
        busy = work.flops / _CORE_SPEED if work.flops else tokens / _UNKNOWN_MODEL_SPEED
        return STAGES[stage].start + busy / (self.study.resources_of[stage].threads or 1)
