"""The task ``scaling_pretraining``: T5 span corruption on an exactly counted mixture of languages."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq import metrics
from fairseq.data import FairseqDataset
from fairseq.tasks import register_task
from omegaconf import MISSING

from ..data.corpus import Corpus
from ..data.corruption import SpanCorruption
from ..data.plan import PretrainingPlan
from ..errors import DataError, SettingError
from ..mixture import Mixture
from ..quantities import parse_tokens
from . import _run
from ._base import ScalingTask, log_cross_entropy, sentinel_ids
from ._batches import STANDS_IN, EpochPlan, SpanBatches
from ._blocks import BlockDataset, HeldOutBlocks
from ._config import ScalingTaskConfig


@dataclass
class ScalingPretrainingConfig(ScalingTaskConfig):
    mixture: str = field(
        default=MISSING, metadata={"help": "language:share pairs that sum to one, for example en:0.5,fr:0.5"}
    )
    budgets: str = field(
        default=MISSING,
        metadata={
            "help": "numbers of pretraining tokens at which a checkpoint is taken, rising, for example 0.25M,0.5M,1M; "
            "each ends an epoch, and the last one ends the run"
        },
    )
    input_length: int = field(
        default=512, metadata={"help": "positions of the encoder input, filled exactly: blocks hold some more tokens"}
    )
    noise_density: float = field(default=0.15, metadata={"help": "share of a block's tokens that is masked"})
    mean_span_length: float = field(default=3.0, metadata={"help": "mean number of tokens in a masked span"})
    max_source_positions: int = field(default=1024, metadata={"help": "longest encoder input, in tokens"})
    max_target_positions: int = field(default=1024, metadata={"help": "longest decoder target, in tokens"})


@register_task("scaling_pretraining", dataclass=ScalingPretrainingConfig)
class ScalingPretrainingTask(ScalingTask):
    """Pretrains on blocks of text whose languages, order and noise follow from the settings alone.

    An epoch ends at each budget, so ``--save-interval 1`` (fairseq's default) leaves ``checkpoint1.pt`` at the first
    budget, ``checkpoint2.pt`` at the second, and so on; the run ends by itself after the last one.
    """

    stage = "pretraining"

    def __init__(
        self, cfg: ScalingPretrainingConfig, corpus: Corpus, dictionary: Any, from_checkpoint: bool = False
    ) -> None:
        super().__init__(cfg, corpus, dictionary, from_checkpoint)
        if not from_checkpoint and cfg.finetune_from_model:
            raise SettingError(
                "finetune_from_model", cfg.finetune_from_model,
                "a pretraining begins with new weights: D_p would not count what this model has seen",
                "leave it out, or finetune the model with --task scaling_translation",
            )  # fmt: skip
        self.mixture = Mixture.parse(cfg.mixture)
        self.budgets = [parse_tokens(budget, "budgets") for budget in str(cfg.budgets).split(",")]
        self.corruption = SpanCorruption.for_input_length(cfg.input_length, cfg.noise_density, cfg.mean_span_length)
        self.plan: PretrainingPlan | None = None
        self.consumed = dict.fromkeys(self.mixture.languages, 0)

    # -- data ------------------------------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **unused: Any) -> None:
        """Load ``train``; ``valid`` (every language of the mixture); or ``valid_xx`` (language xx alone)."""
        if split == "train":
            self.datasets[split] = self._training_blocks()
        elif split == "valid" or split.startswith("valid_"):
            languages = self.mixture.languages if split == "valid" else (split.removeprefix("valid_"),)
            self.datasets[split] = upstream_validation(self.corpus, languages, self.corruption, self.dictionary)
        else:
            raise SettingError(
                "subset", split, "no such subset", "there are train, valid and valid_xx for a language xx"
            )

    def _training_blocks(self) -> BlockDataset:
        streams = {language: self.corpus.mono(language, "train") for language in self.mixture.languages}
        tokens = {language: file.tokens for language, file in streams.items()}
        plan = PretrainingPlan(self.mixture, tokens, self.corruption.block_length, self.budgets, self.cfg.seed)
        self.plan = plan
        sentinels = sentinel_ids(self.dictionary)
        size = plan.budget_blocks[-1]
        return BlockDataset(streams, plan.at, size, self.corruption, self.dictionary, sentinels, self.cfg.seed)

    def epoch_plan(self, dataset: FairseqDataset, max_tokens: int | None, max_sentences: int | None) -> EpochPlan:
        limits = [max_sentences, max_tokens and max_tokens // self.corruption.input_length]
        size = min((limit for limit in limits if limit is not None), default=0)
        if size < 1:
            raise SettingError(
                "max_tokens", max_tokens, f"holds no block of {self.corruption.input_length} positions", "raise it"
            )
        if dataset is not self.datasets.get("train") or self.plan is None:
            batches_of_one_language = dataset.language_batches(size)
            return EpochPlan(lambda epoch, ranks: batches_of_one_language)
        ends = (0, *self.plan.budget_blocks)

        return EpochPlan(
            lambda epoch, ranks: SpanBatches(ends[epoch - 1], ends[epoch], size, ranks),
            epochs=len(self.plan.budget_blocks),
        )

    # -- counting --------------------------------------------------------------------------------------------------

    def train_step(self, sample: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
        loss, sample_size, output = super().train_step(sample, *args, **kwargs)
        counts = 0 if STANDS_IN in sample else 1
        output.update({f"consumed_{language}": counts * count for language, count in sample["consumed"].items()})
        return loss, sample_size, output

    def valid_step(self, sample: Any, model: Any, criterion: Any) -> tuple[Any, Any, dict[str, Any]]:
        loss, sample_size, output = super().valid_step(sample, model, criterion)
        for language, tokens in sample["consumed"].items():  # a validation batch holds one language
            output[f"nats_{language}"] = output["nats"] if tokens else 0.0
            output[f"target_tokens_{language}"] = output["target_tokens"] if tokens else 0
        return loss, sample_size, output

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: Any) -> None:
        """Count what was consumed. The trainer calls this only after an update: skipped batches are not counted."""
        super().reduce_metrics(logging_outputs, criterion)
        if not criterion.training:
            for language in self.mixture.languages:
                log_cross_entropy(logging_outputs, f"_{language}")
            return
        for language in self.mixture.languages:
            self.consumed[language] += sum(int(output[f"consumed_{language}"]) for output in logging_outputs)
        for name, value in self._consumed_columns().items():
            metrics.log_scalar(name, value, weight=0, priority=25)

    def _consumed_columns(self) -> dict[str, torch.Tensor]:
        # fairseq prints numbers with six digits, but a tensor without dimensions as it is.
        columns = {"pretrain_tokens": sum(self.consumed.values())}
        columns |= {f"pretrain_tokens_{language}": count for language, count in self.consumed.items()}
        return {name: torch.tensor(value) for name, value in columns.items()}

    def post_validate(self, model: Any, stats: dict[str, Any], agg: Any) -> None:
        super().post_validate(model, stats, agg)
        for language in self.mixture.languages:
            if self._subset == "valid" and f"cross_entropy_{language}" in agg:
                self.log_subset(f"valid_{language}", stats, agg, f"_{language}")
        stats.update(self._consumed_columns())

    # -- the run description ---------------------------------------------------------------------------------------

    def run_description(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "pretrain_tokens": self.budgets[-1],
            "mixture": {language: str(share) for language, share in self.mixture.items()},
            "alignment": None,
            "finetune_tokens": 0,
            "finetune_pairs": 0,
            "source_lang": None,
            "target_lang": None,
            "seed": self.cfg.seed,
            "pretrain_seed": self.cfg.seed,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "corpus": self.corpus.fingerprint[:12],
            "budgets": self.budgets,
            "pretrain_run_id": None,
            "hyperparameters": {
                "input_length": self.corruption.input_length,
                "block_length": self.corruption.block_length,
                "noise_density": self.cfg.noise_density,
                "mean_span_length": self.cfg.mean_span_length,
                **self.hyperparameters(),
            },
        }

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["fairseq_scaling"]["consumed"] = dict(self.consumed)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._restore_consumed(state_dict)

    def set_checkpoint_dict(self, state_dict: dict[str, Any]) -> None:
        super().set_checkpoint_dict(state_dict)
        self._restore_consumed(state_dict)
        self._check_same_run(state_dict["fairseq_scaling"]["run"])
        _run.logger.info("going on after %s pretraining tokens", sum(self.consumed.values()))

    def _check_same_run(self, saved: dict[str, Any]) -> None:
        self.refuse_another_run(saved, ("mixture", "seed", "corpus"), ("block_length", "noise_density"))
        # Budgets ahead may be moved or added; those behind us may not change: batches were cut at them.
        block, done = self.corruption.block_length, sum(self.consumed.values())
        passed, asked = (
            [budget for budget in budgets if budget // block * block <= done]
            for budgets in (saved["budgets"], self.budgets)
        )
        if passed != asked:
            raise SettingError(
                "budgets",
                self.cfg.budgets,
                f"the checkpoint in --save-dir, after {done} tokens, has passed the budgets {passed}, not {asked}",
                "keep those, or use another --save-dir for another run",
            )
        if done not in [budget // block * block for budget in passed]:
            self.refuse_another_run(saved, (), ("batch_size", "max_tokens"))

    def _restore_consumed(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("fairseq_scaling", {}).get("consumed", {})
        self.consumed = {language: int(saved.get(language, 0)) for language in self.mixture.languages}


def upstream_validation(
    corpus: Corpus, languages: tuple[str, ...], corruption: SpanCorruption, dictionary: Any
) -> HeldOutBlocks:
    """Return the validation text of ``languages`` as corrupted blocks, the same for every run on this corpus.

    Raises:
        DataError: a language has less validation text than one block.
    """
    streams = {language: corpus.mono(language, "valid") for language in languages}
    for language, file in streams.items():
        if file.tokens < corruption.block_length:
            raise DataError(
                f"{file.path_prefix}: {file.tokens} tokens of validation text in {language!r} do not fill one block of "
                f"{corruption.block_length}; take a smaller --input-length or set aside more text"
            )
    return HeldOutBlocks(streams, corruption, dictionary, sentinel_ids(dictionary))
