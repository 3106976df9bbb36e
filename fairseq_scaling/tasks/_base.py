"""What the two tasks share: corpus, dictionary, batches, cross-entropy, and the description of the run."""

from __future__ import annotations

import atexit
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq import metrics
from fairseq.data import Dictionary, FairseqDataset
from fairseq.tasks import FairseqTask

from .. import optim  # noqa: F401  registers them: fairseq looks into tasks/ and models/ only
from ..data.corpus import Corpus
from ..data.dictionary import check_signature, signature
from ..errors import SettingError
from ..run import Change, RunDescription, Stage
from . import _run
from ._batches import STANDS_IN, EpochPlan, PlannedBatches
from ._fairseq import install
from ._resuming import changes_on_resume
from ._sentencepiece import CorpusSentencePiece
from ._starting import check_model, check_stage, starting_point
from .checkpoints import LAST, check_whole, described, mend_last, read_checkpoint
from .config import option, plain, refuse_bf16, settings_of

install()


class ScalingTask(FairseqTask):
    """A task on a corpus folder, whose checkpoints and logs say which run they are of."""

    stage: Stage

    def __init__(self, cfg: Any, corpus: Corpus, dictionary: Dictionary, from_checkpoint: bool = False) -> None:
        super().__init__(cfg)
        self.corpus = corpus
        self.dictionary = dictionary
        self.architecture: str | None = None
        self.parameters = 0
        self._model: dict[str, Any] = {}
        self._criterion: dict[str, Any] = {}
        self._restored: RunDescription | None = None  # of a checkpoint that was opened for use
        self._changes: tuple[Change, ...] = ()
        self._batches: PlannedBatches | None = None  # of the training set
        self._logged = False
        self._subset = ""
        self._updates = 0

    @classmethod
    def setup_task(cls, cfg: Any, from_checkpoint: bool = False, **kwargs: Any) -> ScalingTask:
        """Return the task; ``from_checkpoint`` says that the settings are those a checkpoint was saved with."""
        if not from_checkpoint:
            refuse_bf16(cfg.bf16)
        corpus = Corpus.open(cfg.data)
        torch.set_float32_matmul_precision(str(cfg.matmul_precision))
        return cls(cfg, corpus, Dictionary.load(str(corpus.dictionary_path)), from_checkpoint)

    @property
    def source_dictionary(self) -> Dictionary:
        return self.dictionary

    @property
    def target_dictionary(self) -> Dictionary:
        return self.dictionary

    def max_positions(self) -> tuple[int, int]:
        return (self.cfg.max_source_positions, self.cfg.max_target_positions)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if not from_checkpoint:  # training, which will look for a checkpoint to resume
            several = torch.distributed.is_available() and torch.distributed.is_initialized()
            if not several or torch.distributed.get_rank() == 0:
                mend_last(Path(self.cfg.save_dir))
            if several:
                torch.distributed.barrier()
        model = super().build_model(cfg, from_checkpoint)
        self.architecture = str(cfg._name)
        self._model = settings_of(cfg)
        self._model.pop("checkpoint_activations", None)  # saves memory and changes no number: the run is the same
        # A tied embedding is one parameter: parameters() yields it once.
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        if not from_checkpoint:
            self._check_start(model)
        return model

    def _check_start(self, model: Any) -> None:
        """Refuse a checkpoint that is about to be loaded and that does not fit, or would run code."""
        start = starting_point(self.cfg)
        if start is None:
            return
        path, state = start.path, read_checkpoint(start.path)
        if path != Path(self.cfg.save_dir) / LAST:  # that one was checked when it was mended
            check_whole(path)
        noted = described(state)
        if start.resumes:
            check_stage(path, noted, self.stage)
        if "dictionary" in noted:
            check_signature(noted["dictionary"], self.dictionary.symbols, path)
        check_model(path, state, noted, model, self._model)
        if start.setting == "start_from":  # of --finetune-from-model fairseq loads the weights
            model.load_state_dict(state["model"])

    def build_criterion(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        self._criterion = settings_of(cfg)
        return super().build_criterion(cfg, from_checkpoint)

    def build_bpe(self, args: Any) -> Any:
        """Return the tokenizer asked for; where none is, the corpus's SentencePiece model."""
        chosen = super().build_bpe(args)
        return CorpusSentencePiece(self.corpus.sentencepiece_path) if chosen is None else chosen

    # -- batches ---------------------------------------------------------------------------------------------------

    def epoch_plan(self, dataset: FairseqDataset, max_tokens: int | None, max_sentences: int | None) -> EpochPlan:
        """Return the batches of a dataset. By default one epoch, sorted by length, of every sentence."""
        batches = dataset.batch_by_size(
            dataset.ordered_indices(),
            max_tokens=max_tokens,
            max_sentences=max_sentences,
            required_batch_size_multiple=1,
        )
        batches = [[int(index) for index in batch] for batch in batches]
        return EpochPlan(lambda epoch, ranks: batches)

    def get_batch_iterator(
        self,
        dataset: FairseqDataset,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        max_positions: Any = None,
        ignore_invalid_inputs: bool = False,
        required_batch_size_multiple: int = 1,
        seed: int = 1,
        num_shards: int = 1,
        shard_id: int = 0,
        num_workers: int = 0,
        epoch: float = 1,
        data_buffer_size: int = 0,
        disable_iterator_cache: bool = False,
        skip_remainder_batch: bool = False,
        **unused: Any,
    ) -> PlannedBatches:
        """Return an iterator over all of the dataset: nothing is dropped to make batches even."""
        if skip_remainder_batch:
            raise SettingError(
                "skip_remainder_batch", True,
                "what is left over at the end of an epoch, or before a budget, would not be trained on", "leave it out",
            )  # fmt: skip
        self._check_lengths(dataset, max_positions)
        self._check_max_tokens(dataset, max_tokens)
        plan = self.epoch_plan(dataset, max_tokens, max_sentences)
        batches = PlannedBatches(
            dataset, plan, epoch, shard_id, num_shards, num_workers, data_buffer_size, self._has_made_all_updates
        )
        if self.trains_on(dataset):
            self._batches = batches
        return batches

    def trains_on(self, dataset: FairseqDataset) -> bool:
        return dataset is self.datasets.get("train")

    def _check_max_tokens(self, dataset: FairseqDataset, max_tokens: int | None) -> None:
        """Raise SettingError where a batch cannot hold the longest sample; fairseq itself fails an assertion."""
        if max_tokens is None or not len(dataset):
            return
        sizes = getattr(dataset, "sizes", None)
        longest = dataset.num_tokens(0) if sizes is None else int(sizes.max())  # blocks are all of one length
        if longest > max_tokens:
            shared = self.trains_on(dataset) or self.cfg.max_tokens_valid in (None, self.cfg.max_tokens)
            name = "max_tokens" if shared else "max_tokens_valid"
            what = "a block" if sizes is None else "the longest sentence"
            problem = f"{what} has {longest} tokens, more than a batch"
            raise SettingError(option(name), max_tokens, problem, f"give at least {longest}")

    def train_step(
        self, sample: Any, model: Any, criterion: Any, optimizer: Any, update_num: int, ignore_grad: bool = False
    ) -> tuple[Any, Any, dict[str, Any]]:
        ignored = ignore_grad or STANDS_IN in sample
        result = super().train_step(sample, model, self._autocasting(criterion), optimizer, update_num, ignored)
        self._updates = update_num + 1
        return _counted(sample, *result)

    def _autocasting(self, criterion: Any) -> Any:
        """Return the criterion, or where the run asks for bfloat16, one that computes in it."""
        if not self.cfg.bf16_autocast:
            return criterion

        def computed(model: Any, sample: Any) -> Any:
            # Around the criterion itself: on GPUs fairseq's train_step switches autocast off around its call.
            with torch.autocast(sample["target"].device.type, torch.bfloat16):
                return criterion(model, sample)

        return computed

    def _has_made_all_updates(self) -> bool:
        # fairseq checks --max-update after an update only: a finished run, started again, would make one more.
        return 0 < self.cfg.max_update <= self._updates

    def _check_lengths(self, dataset: FairseqDataset, max_positions: Any) -> None:
        sizes = getattr(dataset, "sizes", None)
        if max_positions is None or sizes is None or not len(sizes):
            return
        longest = np.atleast_1d(sizes.max(axis=0))  # fairseq-interactive has no targets
        for name, length, limit in zip(("source", "target"), longest, max_positions, strict=False):
            if limit is not None and length > limit:
                raise SettingError(
                    f"max_{name}_positions", limit, f"the corpus holds a {name} of {int(length)} tokens",
                    "raise it (T5's positions are relative: memory is the only limit), and --max-tokens with it",
                )  # fmt: skip

    # -- cross-entropy in nats, exact ------------------------------------------------------------------------------

    def begin_valid_epoch(self, epoch: int, model: Any) -> None:
        super().begin_valid_epoch(epoch, model)
        self._log_run_once()

    def valid_step(self, sample: Any, model: Any, criterion: Any) -> tuple[Any, Any, dict[str, Any]]:
        loss, sample_size, output = super().valid_step(sample, model, self._autocasting(criterion))
        loss, sample_size, output = _counted(sample, loss, sample_size, output)
        # t5_cross_entropy sums in float64; of other criterions nll_loss is the one without label smoothing.
        output["nats"] = float(output.get("cross_entropy", output.get("nll_loss", output["loss"])))
        output["target_tokens"] = int(output["ntokens"])
        return loss, sample_size, output

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: Any) -> None:
        super().reduce_metrics(logging_outputs, criterion)
        if not criterion.training:
            log_cross_entropy(logging_outputs)

    def post_validate(self, model: Any, stats: dict[str, Any], agg: Any) -> None:
        """Log the cross-entropy of a subset in full precision, beside fairseq's rounded valid line."""
        self.log_subset(self._subset, stats, agg)

    def log_subset(self, subset: str, stats: dict[str, Any], agg: Any, suffix: str = "") -> None:
        run_id, updates = self.describe_run().run_id, int(stats["num_updates"])
        cross_entropy, tokens = float(agg[f"cross_entropy{suffix}"].avg), int(agg[f"target_tokens{suffix}"].sum)
        _run.log_scores(run_id, subset, updates, cross_entropy, tokens, self.counts())

    def dataset(self, split: str) -> FairseqDataset:
        self._subset = split  # fairseq's validate() does not tell post_validate which subset it has just done
        return super().dataset(split)

    # -- what was read ---------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return what the updates so far have read, by the name of its column in logs."""
        raise NotImplementedError

    def log_counts(self) -> None:
        for name, value in self.exact_counts().items():
            metrics.log_scalar(name, value, weight=0, priority=25)

    def exact_counts(self) -> dict[str, torch.Tensor]:
        # fairseq prints numbers with six digits, but a tensor without dimensions as it is.
        return {name: torch.tensor(value) for name, value in self.counts().items()}

    def shortfall(self, ended: bool) -> str | None:
        """Return what of its data a run leaves unread, None where it reads all that it was asked to.

        Args:
            ended: the run is over; else it is about to begin, and the limits on its updates and epochs decide.
        """
        raise NotImplementedError

    def _warn_of_shortfall(self, ended: bool) -> None:
        message = self.shortfall(ended)
        if message is not None:
            _run.logger.warning("%s %s", "this run has ended early:" if ended else "this run will end early:", message)

    # -- the run description ---------------------------------------------------------------------------------------

    def run_description(self) -> RunDescription:
        """Return what makes this run, without run_id, changes and versions."""
        raise NotImplementedError

    def hyperparameters(self) -> dict[str, Any]:
        """Return every setting that another outcome may come from: two runs that differ in one are two runs."""
        names = (
            "lr", "clip_norm", "max_update", "update_freq", "batch_size", "max_tokens", "world_size", "fp16", "bf16",
            "bf16_autocast", "matmul_precision",
        )  # fmt: skip
        return {
            **{name: plain(self.cfg[name]) for name in names},
            **({"amp": True} if self.cfg.amp else {}),
            "model": self._model,
            "criterion": self._criterion,
            "optimizer": settings_of(self.cfg.optimizer_settings),
            "lr_scheduler": settings_of(self.cfg.lr_scheduler_settings),
        }

    def describe_run(self) -> RunDescription:
        """Return the complete description: of the checkpoint where one was opened for use, else of this run."""
        if self._restored is not None:
            return self._restored
        return replace(_run.complete(self.run_description()), changes=self._changes)

    def begin_epoch(self, epoch: int, model: Any) -> None:
        super().begin_epoch(epoch, model)
        self._log_run_once()

    def _log_run_once(self) -> None:
        if self._logged:
            return
        self._logged = True
        _run.logger.info(self.describe_run().line())
        if self._batches is not None and self._batches.rank == 0:
            self._warn_of_shortfall(ended=False)
            atexit.register(self._warn_of_shortfall, ended=True)

    def state_dict(self) -> dict[str, Any]:
        return {
            "fairseq_scaling": {
                "run": self.describe_run().to_json(),
                "dictionary": signature(self.dictionary.symbols),
                "updates": self._updates,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called by fairseq-generate, -interactive and -validate with the state of the checkpoint they use."""
        saved = state_dict.get("fairseq_scaling")
        if not saved:
            return
        check_signature(saved["dictionary"], self.dictionary.symbols, "the checkpoint")
        self._restored = _run.saved_description(saved)
        if self._restored is not None:  # a converted checkpoint has no run
            self._logged = True
            _run.logger.info(self._restored.line())

    def get_checkpoint_dict(self) -> dict[str, Any]:
        """Called by fairseq when a checkpoint is written; its counterpart when training resumes from it."""
        return {type(self).__name__: self.state_dict()}

    def set_checkpoint_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict["fairseq_scaling"]
        check_signature(saved["dictionary"], self.dictionary.symbols, "the checkpoint")
        self._updates = int(saved.get("updates", 0))
        before = _run.saved_description(saved)
        if before is None:
            return
        self.restore_counts(saved, before)
        changes = changes_on_resume(before, _run.complete(self.run_description()), self._updates)
        self._changes = (*before.changes, *changes)
        for change in changes:
            _run.logger.info(
                "resumed after %d updates with %s = %s (before: %s)",
                change.updates, change.setting, change.after, change.before,
            )  # fmt: skip

    def restore_counts(self, saved: dict[str, Any], before: RunDescription) -> None:
        """Take over what a run had read when its checkpoint was written.

        Args:
            saved: what the task noted in the checkpoint.
            before: the description of the run in it.
        """
        raise NotImplementedError


def _counted(sample: Any, loss: Any, sample_size: Any, output: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return what a step reports: of a stand-in, that a rank without a batch of its own computed, nothing but zeros."""
    if STANDS_IN not in sample:
        return loss, sample_size, output
    return 0 * loss, 0 * sample_size, {name: 0 * value for name, value in output.items()}


def log_cross_entropy(logging_outputs: list[dict[str, Any]], suffix: str = "") -> None:
    """Add the cross-entropy in nats per target token to fairseq's metrics, from ``nats`` and ``target_tokens``."""
    tokens = sum(int(output.get(f"target_tokens{suffix}", 0)) for output in logging_outputs)
    nats = sum(float(output.get(f"nats{suffix}", 0.0)) for output in logging_outputs)
    if tokens:
        metrics.log_scalar(f"cross_entropy{suffix}", nats / tokens, tokens, priority=30)
        metrics.log_scalar_sum(f"target_tokens{suffix}", tokens, priority=31)
