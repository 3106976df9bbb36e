"""The task ``scaling_pretraining``: T5 span corruption on an exactly counted mixture of languages."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from fairseq.data import FairseqDataset
from fairseq.tasks import register_task
from omegaconf import MISSING

from ..data.corpus import Corpus
from ..data.corruption import SpanCorruption
from ..data.dictionary import sentinel_ids
from ..data.pairs import updates_of_batches
from ..data.plan import PretrainingPlan, parse_repeat
from ..errors import DataError, SettingError
from ..mixture import Mixture
from ..quantities import format_tokens, parse_tokens
from ..run import RunDescription, Stage, Start
from . import _run
from ._base import ScalingTask, log_cross_entropy
from ._batches import STANDS_IN, EpochPlan, SpanBatches
from ._blocks import BlockDataset, HeldOutBlocks
from ._starting import read_start
from .checkpoints import LAST, described, read_checkpoint
from .config import ScalingTaskConfig, option

FAR_BELOW_CHANCE = 2 / 3
"""A T5 trained on span corruption has less than half of the loss of chance, ``ln(vocabulary)``; a model that has learnt
the frequencies of the tokens alone has three quarters of it or more."""


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
    repeat: str = field(
        default="1",
        metadata={
            "help": "how often the text may be read: a number for every language, or fr:4,de:2 (the others once); each "
            "pass has another order and other noise"
        },
    )
    start_from: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint whose pretraining is continued with a new optimizer, for example of scaling-convert "
            "from-hf; the budgets then count additional tokens"
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

    With ``--start-from`` the model of a checkpoint is pretrained further: D_p counts the additional tokens.
    """

    stage = Stage.PRETRAINING

    def __init__(
        self, cfg: ScalingPretrainingConfig, corpus: Corpus, dictionary: Any, from_checkpoint: bool = False
    ) -> None:
        super().__init__(cfg, corpus, dictionary, from_checkpoint)
        if not from_checkpoint and cfg.finetune_from_model:
            raise SettingError(
                "finetune_from_model", cfg.finetune_from_model, "a pretraining is no finetuning",
                "to continue this model's pretraining use --start-from, to finetune it --task scaling_translation",
            )  # fmt: skip
        self.mixture = Mixture.parse(cfg.mixture)
        self.budgets = [parse_tokens(budget, "budgets") for budget in str(cfg.budgets).split(",")]
        self.repeat = parse_repeat(cfg.repeat, self.mixture.languages)
        self.corruption = SpanCorruption.for_input_length(cfg.input_length, cfg.noise_density, cfg.mean_span_length)
        self.plan: PretrainingPlan | None = None
        self.start = None if from_checkpoint or not cfg.start_from else self._read_start(Path(cfg.start_from))
        self.consumed = dict.fromkeys(self.mixture.languages, 0)
        self.unique = dict.fromkeys(self.mixture.languages, 0)  # of them, read in the first pass

    def _read_start(self, path: Path) -> Start:
        last = Path(self.cfg.save_dir) / LAST
        if not path.is_file() and last.is_file():  # a run that is resumed needs its start no more
            saved = _run.saved_description(described(read_checkpoint(last)))
            if saved is not None and saved.start is not None:
                return saved.start
        return read_start(path, self.cfg.start_name, "start_from")

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
        block = self.corruption.block_length
        plan = PretrainingPlan(self.mixture, tokens, block, self.budgets, self.cfg.seed, self.repeat)
        self.plan = plan
        sentinels = sentinel_ids(self.dictionary.symbols)
        size = plan.budget_blocks[-1]
        return BlockDataset(streams, plan.at, size, self.corruption, self.dictionary, sentinels, self.cfg.seed)

    def epoch_plan(self, dataset: FairseqDataset, max_tokens: int | None, max_sentences: int | None) -> EpochPlan:
        limits = [max_sentences, max_tokens and max_tokens // self.corruption.input_length]
        size = min(limit for limit in limits if limit is not None)
        if not self.trains_on(dataset) or self.plan is None:
            batches_of_one_language = dataset.language_batches(size)
            return EpochPlan(lambda epoch, ranks: batches_of_one_language)
        ends = (0, *self.plan.budget_blocks)
        return EpochPlan(lambda epoch, ranks: SpanBatches(ends[epoch - 1], ends[epoch], size, ranks), len(ends) - 1)

    # -- counting --------------------------------------------------------------------------------------------------

    def train_step(self, sample: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
        loss, sample_size, output = super().train_step(sample, *args, **kwargs)
        counts = 0 if STANDS_IN in sample else 1
        for name in ("consumed", "unique"):
            output.update({f"{name}_{language}": counts * count for language, count in sample[name].items()})
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
        self._check_objective(logging_outputs)
        for name, counted in (("consumed", self.consumed), ("unique", self.unique)):
            for language in self.mixture.languages:
                counted[language] += sum(int(output[f"{name}_{language}"]) for output in logging_outputs)
        self.log_counts()

    def counts(self) -> dict[str, int]:
        found = {"pretrain_tokens": sum(self.consumed.values())}
        found |= {f"pretrain_tokens_{language}": count for language, count in self.consumed.items()}
        if self._repeats:
            found["pretrain_unique_tokens"] = sum(self.unique.values())
            found |= {f"pretrain_unique_tokens_{language}": count for language, count in self.unique.items()}
        return found

    @property
    def _repeats(self) -> bool:
        return max(self.repeat.values()) > 1

    def shortfall(self, ended: bool) -> str | None:
        assert self.plan is not None
        done, ends = sum(self.consumed.values()) // self.corruption.block_length, self.plan.budget_blocks
        reached = [done >= end for end in ends] if ended else self._reachable()
        missed = [format_tokens(budget) for budget, there in zip(self.budgets, reached, strict=True) if not there]
        if not missed:
            return None
        limits = [name for name in ("max_update", "max_epoch") if self.cfg[name]]
        cause = " and ".join(f"{option(name)} {self.cfg[name]}" for name in limits)
        after = f"after {sum(self.consumed.values())} tokens" if ended else f"with {cause}"
        return f"{after} it does not reach the budgets {', '.join(missed)}, which have no checkpoint"

    def _reachable(self) -> list[bool]:
        """Return for each budget whether the limits on updates and epochs let the run come to it."""
        assert self._batches is not None
        reachable, updates = [], 0
        for epoch in range(1, len(self.budgets) + 1):
            frequencies = list(self.cfg.update_freq)
            frequency = frequencies[min(epoch, len(frequencies)) - 1]
            ranks = self._batches.ranks
            updates += updates_of_batches(len(self._batches.plan.batches(epoch, ranks)), ranks, frequency)
            limits = (self.cfg.max_update or math.inf, self.cfg.max_epoch or math.inf)
            reachable.append(updates <= limits[0] and epoch <= limits[1])
        return reachable

    def _check_objective(self, logging_outputs: list[dict[str, Any]]) -> None:
        """Warn where the start has not learnt this objective: its loss on the first update is near that of chance."""
        if self.start is None or self._updates > 1 or any(self.consumed.values()):
            return
        name = next(name for name in ("cross_entropy", "nll_loss", "loss") if name in logging_outputs[0])
        nats = sum(float(output[name]) for output in logging_outputs)
        loss = nats / sum(int(output["ntokens"]) for output in logging_outputs)
        chance = math.log(len(self.dictionary))
        text = f"the start {self.start.name} has {loss:.3f} nats a token on the first update (chance: {chance:.3f})"
        if loss < FAR_BELOW_CHANCE * chance:
            _run.logger.info(text)
        else:
            remedy = "check --decoder-start and the dictionary of the corpus"
            _run.logger.warning(
                "%s: it was not trained on span corruption with these sentinels, or not on such text; %s", text, remedy
            )

    def post_validate(self, model: Any, stats: dict[str, Any], agg: Any) -> None:
        super().post_validate(model, stats, agg)
        for language in self.mixture.languages:
            if self._subset == "valid" and f"cross_entropy_{language}" in agg:
                self.log_subset(f"valid_{language}", stats, agg, f"_{language}")
        stats.update(self.exact_counts())

    # -- the run description ---------------------------------------------------------------------------------------

    def run_description(self) -> RunDescription:
        repeat = ",".join(f"{language}:{passes}" for language, passes in self.repeat.items())
        return RunDescription(
            stage=self.stage,
            pretrain_tokens=self.budgets[-1],
            mixture=self.mixture,
            finetune_tokens=0,
            finetune_pairs=0,
            seed=self.cfg.seed,
            pretrain_seed=self.cfg.seed,
            architecture=self.architecture,
            parameters=self.parameters,
            corpus=self.corpus.fingerprint[:12],
            budgets=tuple(self.budgets),
            start=self.start,
            hyperparameters={
                "input_length": self.corruption.input_length,
                "block_length": self.corruption.block_length,
                "noise_density": self.cfg.noise_density,
                "mean_span_length": self.cfg.mean_span_length,
                **({"repeat": repeat} if self._repeats else {}),
                **self.hyperparameters(),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["fairseq_scaling"] |= {"consumed": dict(self.consumed), "unique": dict(self.unique)}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._take_counts(state_dict.get("fairseq_scaling", {}))

    def restore_counts(self, saved: dict[str, Any], before: RunDescription) -> None:
        self._take_counts(saved)
        self._check_budgets(before)
        _run.logger.info("resuming after %s pretraining tokens", sum(self.consumed.values()))

    def _take_counts(self, saved: dict[str, Any]) -> None:
        self.consumed, self.unique = (
            {language: int(saved.get(name, {}).get(language, 0)) for language in self.mixture.languages}
            for name in ("consumed", "unique")
        )

    def _check_budgets(self, before: RunDescription) -> None:
        """Budgets ahead may be moved or added; those behind may not change: batches were cut at them."""
        block, done = self.corruption.block_length, sum(self.consumed.values())
        passed, asked = (
            [budget for budget in budgets if budget // block * block <= done]
            for budgets in (before.budgets, self.budgets)
        )
        if passed != asked:
            problem = f"the checkpoint in --save-dir, after {done} tokens, has passed the budgets {passed}, not {asked}"
            remedy = "keep those, or use another --save-dir for another run"
            raise SettingError("budgets", self.cfg.budgets, problem, remedy)


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
    return HeldOutBlocks(streams, corruption, dictionary, sentinel_ids(dictionary.symbols))
