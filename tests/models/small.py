"""Small T5 models and the task they are built for, for tests and benchmarks; pytest is not needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from fairseq import models as fairseq_models
from fairseq.data import Dictionary
from omegaconf import OmegaConf

from fairseq_scaling.models.t5 import T5Config, T5Model

PAD, EOS = 1, 2


def make_task(vocabulary: int) -> Any:
    """Return what building a model needs of a task: one dictionary of that many entries for both sides."""
    dictionary = Dictionary()
    for number in range(vocabulary - len(dictionary)):
        dictionary.add_symbol(f"w{number}")
    return SimpleNamespace(
        source_dictionary=dictionary, target_dictionary=dictionary, src_dict=dictionary, tgt_dict=dictionary
    )


def make_model(vocabulary: int, name: str = "t5", **settings: Any) -> T5Model:
    """Build a model the way fairseq does: from a structured configuration that carries the architecture's name."""
    cfg = OmegaConf.structured(T5Config(**settings))
    cfg._name = name
    return fairseq_models.build_model(cfg, make_task(vocabulary))


def random_tokens(vocabulary: int, batch: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """Return [batch, length] tokens that are no special symbol."""
    return torch.randint(4, vocabulary, (batch, length), generator=generator)
