"""The task ``scaling_translation``: finetuning on a controlled number of translation pairs, and generation."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset, LanguagePairDataset
from fairseq.tasks import register_task
from numpy.typing import NDArray
from omegaconf import MISSING

from ..data.corpus import Corpus, TokenFile
from ..data.corruption import SpanCorruption
from ..data.pairs import epoch_batches, training_pairs, updates_of_batches
from ..errors import CheckpointError, SettingError
from ..quantities import parse_tokens
from ..run import RunDescription, Stage, read_description
from . import _run
from ._base import ScalingTask
from ._batches import STANDS_IN, EpochPlan
from ._blocks import HeldOutBlocks
from ._pairs import PairDataset, Sentences
from ._starting import read_start
from .checkpoints import described, read_checkpoint
from .config import ScalingTaskConfig
from .scaling_pretraining import upstream_validation


@dataclass
class ScalingTranslationConfig(ScalingTaskConfig):
    source_lang: str = field(default=MISSING, metadata={"help": "source language", "argparse_alias": "-s"})
    target_lang: str = field(default=MISSING, metadata={"help": "target language", "argparse_alias": "-t"})
    finetune_tokens: str = field(
        default="all",
        metadata={"help": "tokens of the training pairs, source and target together: a number such as 0.2M, or 'all'"},
    )
    source_prefix: str = field(
        default="",
        metadata={"help": "text put before every source sentence, for example 'translate English to French:'"},
    )
    max_source_positions: int = field(default=1024, metadata={"help": "longest source, in tokens"})
    max_target_positions: int = field(default=1024, metadata={"help": "longest target, in tokens"})


@register_task("scaling_translation", dataclass=ScalingTranslationConfig)
class ScalingTranslationTask(ScalingTask):
    """Finetunes on the first pairs of a seeded permutation of the training pairs, up to a number of tokens.

    D_p, mixture and seed of the pretraining are read from the checkpoint given by ``--finetune-from-model``; without
    one the run is the baseline, D_p = 0.
    """

    stage = Stage.FINETUNING

    def __init__(
        self, cfg: ScalingTranslationConfig, corpus: Corpus, dictionary: Any, from_checkpoint: bool = False
    ) -> None:
        super().__init__(cfg, corpus, dictionary, from_checkpoint)
        self.source, self.target = cfg.source_lang, cfg.target_lang
        corpus.pair(self.source, self.target, "train")  # names the pairs there are where this one is not
        self.finetune_tokens = self._budget()
        self.finetune_tokens_used = 0
        self.finetune_pairs = 0
        self.tokens_read: int | None = 0  # None: resumed from an older checkpoint, which does not say it
        self.pretraining: RunDescription | None = None
        self.source_prefix = cfg.source_prefix
        # A finetuned checkpoint holds the description of its pretraining, whose own file may be gone.
        if cfg.finetune_from_model and not from_checkpoint:
            self.pretraining = self._read_pretraining(Path(cfg.finetune_from_model))

    def _budget(self) -> int:
        total = sum(file.tokens for file in self.corpus.pair(self.source, self.target, "train"))
        if str(self.cfg.finetune_tokens) == "all":
            return total
        budget = parse_tokens(self.cfg.finetune_tokens, "finetune_tokens")
        if not 0 < budget <= total:
            raise SettingError(
                "finetune_tokens", self.cfg.finetune_tokens,
                f"the corpus holds {total} tokens of {self.source}-{self.target} training pairs", "or write 'all'",
            )  # fmt: skip
        return budget

    # -- data ------------------------------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **unused: Any) -> None:
        """Load a split of the pair (``train``, ``valid``, ``test``, ``test1``, ...) or ``upstream_xx``.

        The latter is validation text of the pretraining, for forgetting.
        """
        if split.startswith("upstream_"):
            self.datasets[split] = self._upstream(split.removeprefix("upstream_"))
            return
        files = self.corpus.pair(self.source, self.target, split)
        pairs = self._training_pairs(files) if split == "train" else np.arange(len(files[0]))
        source, target = (
            Sentences(file, pairs, prefix) for file, prefix in zip(files, (self._prefix(), []), strict=True)
        )
        self.datasets[split] = PairDataset(source, target, self.dictionary)

    def _training_pairs(self, files: tuple[TokenFile, TokenFile]) -> NDArray[np.int64]:
        sizes = files[0].sizes.astype(np.int64) + files[1].sizes
        taken = training_pairs(sizes, self.finetune_tokens, self.cfg.seed)
        self.finetune_pairs, self.finetune_tokens_used = len(taken), int(sizes[taken].sum())
        return taken

    def _prefix(self) -> list[int]:
        if not self.source_prefix:
            return []
        pieces = self.build_bpe(None).encode(self.source_prefix)
        ids = self.dictionary.encode_line(pieces, add_if_not_exist=False, append_eos=False)
        return ids.tolist()

    def _upstream(self, language: str) -> HeldOutBlocks:
        if self.pretraining is None:
            raise SettingError(
                "valid_subset", f"upstream_{language}", "a run without pretraining has nothing to forget",
                "leave it out, or start from a checkpoint with --finetune-from-model",
            )  # fmt: skip
        geometry = self.pretraining.hyperparameters
        if not geometry:
            problem = "the checkpoint does not say how its pretraining text was corrupted"
            raise SettingError("valid_subset", f"upstream_{language}", problem, "leave it out")
        corruption = SpanCorruption.for_block(
            geometry["block_length"], geometry["noise_density"], geometry["mean_span_length"]
        )
        return upstream_validation(self.corpus, (language,), corruption, self.dictionary)

    def epoch_plan(self, dataset: FairseqDataset, max_tokens: int | None, max_sentences: int | None) -> EpochPlan:
        if not self.trains_on(dataset):
            return super().epoch_plan(dataset, max_tokens, max_sentences)
        lengths = np.asarray(dataset.sizes)
        return EpochPlan(lambda epoch, ranks: epoch_batches(lengths, self.cfg.seed, epoch, max_tokens, max_sentences))

    def build_dataset_for_inference(
        self, src_tokens: list[torch.Tensor], src_lengths: list[int], **kwargs: Any
    ) -> LanguagePairDataset:
        prefix = torch.tensor(self._prefix(), dtype=torch.long)
        with_prefix = [torch.cat([prefix, tokens]) for tokens in src_tokens]
        lengths = [len(tokens) for tokens in with_prefix]
        return LanguagePairDataset(with_prefix, lengths, self.dictionary, left_pad_source=False, **kwargs)

    # -- what was read ---------------------------------------------------------------------------------------------

    def train_step(self, sample: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
        loss, sample_size, output = super().train_step(sample, *args, **kwargs)
        output["read"] = 0 if STANDS_IN in sample else sample["read"]
        return loss, sample_size, output

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: Any) -> None:
        """Count what was read. The trainer calls this only after an update: skipped batches are not counted."""
        super().reduce_metrics(logging_outputs, criterion)
        if criterion.training and self.tokens_read is not None:
            self.tokens_read += sum(int(output["read"]) for output in logging_outputs)
            self.log_counts()

    def counts(self) -> dict[str, int]:
        if not self.tokens_read:
            return {}
        return {
            "finetune_tokens_read": self.tokens_read,
            "finetune_passes": self.tokens_read // self.finetune_tokens_used,
        }

    def post_validate(self, model: Any, stats: dict[str, Any], agg: Any) -> None:
        super().post_validate(model, stats, agg)
        stats.update(self.exact_counts())

    def shortfall(self, ended: bool) -> str | None:
        read = self.tokens_read if ended else self._readable_tokens()
        if read is None or read >= self.finetune_tokens_used:
            return None
        limit = "" if ended or not self.cfg.max_update else f"with --max-update {self.cfg.max_update} "
        return (
            f"{limit}it reads {read} of the {self.finetune_tokens_used} tokens of its finetuning set, less than once; "
            f"its D_f is not the {self.finetune_tokens} of --finetune-tokens"
        )

    def _readable_tokens(self) -> int | None:
        """Return how many tokens the updates read, None where they come to the end of the first epoch."""
        assert self._batches is not None
        batches, ranks = self._batches.plan.batches(1, self._batches.ranks), self._batches.ranks
        updates, frequency = self.cfg.max_update, next(iter(self.cfg.update_freq))
        if not 0 < updates < updates_of_batches(len(batches), ranks, frequency):
            return None
        dataset = self.datasets["train"]
        return sum(dataset.tokens_of(batch) for batch in batches[: updates * ranks * frequency])

    # -- what the run started from ---------------------------------------------------------------------------------

    def _read_pretraining(self, path: Path) -> RunDescription:
        """Return the pretraining run's description as of that checkpoint, from the checkpoint itself."""
        if not path.is_file():
            raise SettingError("finetune_from_model", path, "no such file")
        saved = described(read_checkpoint(path))
        run = _run.saved_description(saved)
        if run is None:
            _run.logger.warning("%s does not say what its model was pretrained on: pretrain_tokens is unknown", path)
            start = read_start(path, self.cfg.start_name, "finetune_from_model")
            return RunDescription(Stage.PRETRAINING, start.checksum, start=start)
        if run.stage != Stage.PRETRAINING:
            raise CheckpointError(
                f"{path} is a checkpoint of a {run.stage} run; finetuning starts from a pretraining one"
            )
        consumed, unique = saved["consumed"], saved["unique"]
        return replace(
            run,
            pretrain_tokens=sum(consumed.values()),
            pretrain_tokens_by_language=consumed,
            pretrain_unique_tokens_by_language=unique if unique != consumed else {},
        )

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["fairseq_scaling"]["pretraining"] = None if self.pretraining is None else self.pretraining.to_json()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self._restored is None:
            return
        self.pretraining = _saved_pretraining(state_dict["fairseq_scaling"])
        trained_with = self._restored.hyperparameters.get("source_prefix", "")
        if self.source_prefix not in ("", trained_with):
            raise CheckpointError(
                f"the model was trained with the source prefix {trained_with!r}, not {self.source_prefix!r}\n"
                "  leave --source-prefix out: the checkpoint holds it"
            )
        self.source_prefix = trained_with

    def restore_counts(self, saved: dict[str, Any], before: RunDescription) -> None:
        self.tokens_read = before.finetune_tokens_read
        if self.cfg.finetune_from_model is None:
            self.pretraining = _saved_pretraining(saved)  # a resumed run need not name its start again

    def run_description(self) -> RunDescription:
        before = self.pretraining or RunDescription(Stage.PRETRAINING, pretrain_tokens=0)
        counts = self.counts()
        return RunDescription(
            stage=self.stage,
            pretrain_tokens=before.pretrain_tokens,
            pretrain_tokens_by_language=before.pretrain_tokens_by_language,
            pretrain_unique_tokens_by_language=before.pretrain_unique_tokens_by_language,
            mixture=before.mixture,
            alignment=None if before.mixture is None else before.mixture.alignment(self.source, self.target),
            finetune_tokens=self.finetune_tokens,
            finetune_tokens_used=self.finetune_tokens_used,
            finetune_pairs=self.finetune_pairs,
            finetune_tokens_read=counts.get("finetune_tokens_read"),
            finetune_passes=counts.get("finetune_passes"),
            source_lang=self.source,
            target_lang=self.target,
            seed=self.cfg.seed,
            pretrain_seed=before.seed,
            architecture=self.architecture,
            parameters=self.parameters,
            corpus=self.corpus.fingerprint[:12],
            pretrain_run_id=before.run_id or None,
            start=before.start,
            hyperparameters={"source_prefix": self.source_prefix, **self.hyperparameters()},
        )


def _saved_pretraining(saved: dict[str, Any]) -> RunDescription | None:
    """Return the description of the pretraining that a finetuned checkpoint holds."""
    content = saved.get("pretraining")
    return read_description(content)[0] if content else None
