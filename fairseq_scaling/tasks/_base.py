"""What the two tasks share: corpus, dictionary, batches, cross-entropy and the description of the run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from fairseq import metrics
from fairseq.data import Dictionary, FairseqDataset
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf

from ..data.corpus import Corpus
from ..data.dictionary import IS_TAG, SENTINEL
from ..errors import CheckpointError, SettingError
from . import _run
from ._batches import STANDS_IN, EpochPlan, PlannedBatches
from ._checkpoints import LAST, check_whole, described, mend_last, read_checkpoint
from ._config import refuse_bf16
from ._sentencepiece import CorpusSentencePiece
from ._starting import check_model, check_stage, starting_point


class ScalingTask(FairseqTask):
    """A task on a corpus folder, whose runs can be told from their checkpoints and logs."""

    stage: str  # "pretraining" or "finetuning", as run descriptions say

    def __init__(self, cfg: Any, corpus: Corpus, dictionary: Dictionary, from_checkpoint: bool = False) -> None:
        super().__init__(cfg)
        self.corpus = corpus
        self.dictionary = dictionary
        self.architecture: str | None = None
        self.parameters = 0
        self._model: dict[str, Any] = {}
        self._criterion: dict[str, Any] = {}
        self._restored: dict[str, Any] | None = None  # the description read from a checkpoint
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
        return cls(cfg, corpus, load_dictionary(corpus), from_checkpoint)

    @property
    def source_dictionary(self) -> Dictionary:
        return self.dictionary

    @property
    def target_dictionary(self) -> Dictionary:
        return self.dictionary

    def max_positions(self) -> tuple[int, int]:
        return (self.cfg.max_source_positions, self.cfg.max_target_positions)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if not from_checkpoint:  # training, which will look for a checkpoint to go on from
            self._mend_last_checkpoint()
        model = super().build_model(cfg, from_checkpoint)
        self.architecture = str(cfg._name)
        self._model = _settings(cfg)
        # A tied embedding is one parameter: parameters() yields it once.
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        if not from_checkpoint:
            self._check_start(model)
        return model

    def _check_start(self, model: Any) -> None:
        """Refuse a checkpoint that fairseq is about to load and that does not fit, or would run code."""
        path, goes_on = starting_point(self.cfg)
        if path is None:
            return
        state = read_checkpoint(path)
        if path != Path(self.cfg.save_dir) / LAST:  # every byte of that one was looked at when it was mended
            check_whole(path)
        noted = described(state)
        if goes_on:
            check_stage(path, noted, self.stage)
        if "dictionary" in noted:
            check_dictionary(noted["dictionary"], self.dictionary, path)
        check_model(path, state, noted, model, self._model)

    def _mend_last_checkpoint(self) -> None:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not several or torch.distributed.get_rank() == 0:
            mend_last(Path(self.cfg.save_dir))
        if several:
            torch.distributed.barrier()

    def build_criterion(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        self._criterion = _settings(cfg)
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
        plan = self.epoch_plan(dataset, max_tokens, max_sentences)
        return PlannedBatches(
            dataset, plan, epoch, shard_id, num_shards, num_workers, data_buffer_size, self._has_made_all_updates
        )

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
        # fairseq looks at --max-update after an update only: a finished run, started again, would make one more.
        return 0 < self.cfg.max_update <= self._updates

    def _check_lengths(self, dataset: FairseqDataset, max_positions: Any) -> None:
        sizes = getattr(dataset, "sizes", None)
        if sizes is None or max_positions is None:
            return
        limits = max_positions if isinstance(max_positions, tuple) else (max_positions,)
        longest = sizes.max(axis=0) if len(sizes) else []
        for name, length, limit in zip(
            ("source", "target"), torch.as_tensor(longest).reshape(-1), limits, strict=False
        ):
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
        run_id, updates = self.describe_run()["run_id"], int(stats["num_updates"])
        cross_entropy, tokens = float(agg[f"cross_entropy{suffix}"].avg), int(agg[f"target_tokens{suffix}"].sum)
        _run.log_scores(run_id, subset, updates, cross_entropy, tokens)

    def dataset(self, split: str) -> FairseqDataset:
        self._subset = split  # fairseq's validate() does not tell post_validate which subset it has just done
        return super().dataset(split)

    # -- the run description ---------------------------------------------------------------------------------------

    def run_description(self) -> dict[str, Any]:
        """Return what makes this run, without run_id and versions."""
        raise NotImplementedError

    def hyperparameters(self) -> dict[str, Any]:
        """Return every setting that another outcome may come from: two runs that differ in one are two runs."""
        names = (
            "lr",
            "clip_norm",
            "max_update",
            "update_freq",
            "batch_size",
            "max_tokens",
            "world_size",
            "fp16",
            "bf16",
            "bf16_autocast",
            "matmul_precision",
        )
        return {
            **{name: plain(self.cfg[name]) for name in names},
            "model": self._model,
            "criterion": self._criterion,
            "optimizer": _settings(self.cfg.optimizer_settings),
            "lr_scheduler": _settings(self.cfg.lr_scheduler_settings),
        }

    def describe_run(self) -> dict[str, Any]:
        """Return the complete description: of the checkpoint where one was opened for use, else of this run."""
        return self._restored if self._restored is not None else _run.complete(self.run_description())

    def begin_epoch(self, epoch: int, model: Any) -> None:
        super().begin_epoch(epoch, model)
        self._log_run_once()

    def _log_run_once(self) -> None:
        if not self._logged:
            self._logged = True
            _run.log_run(self.describe_run())

    def state_dict(self) -> dict[str, Any]:
        return {
            "fairseq_scaling": {
                "run": self.describe_run(),
                "dictionary": dictionary_signature(self.dictionary),
                "updates": self._updates,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called by fairseq-generate, -interactive and -validate with the state of the checkpoint they use."""
        saved = state_dict.get("fairseq_scaling")
        if saved:
            check_dictionary(saved["dictionary"], self.dictionary, "the checkpoint")
        if saved and saved["run"] is not None:  # a converted checkpoint knows of no run
            self._restored = saved["run"]
            self._logged = True
            _run.log_run(saved["run"])

    def get_checkpoint_dict(self) -> dict[str, Any]:
        """Called by fairseq when a checkpoint is written; its counterpart when training goes on from it."""
        return {type(self).__name__: self.state_dict()}

    def set_checkpoint_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict["fairseq_scaling"]
        check_dictionary(saved["dictionary"], self.dictionary, "the checkpoint")
        self._updates = int(saved.get("updates", 0))

    def refuse_another_run(self, saved: dict[str, Any], names: Iterable[str], settings: Iterable[str] = ()) -> None:
        """Refuse to go on with a checkpoint of a run with other data: its log would claim what it has not seen.

        Args:
            saved: the run description in the checkpoint.
            names: what must agree in the descriptions.
            settings: what must agree in their hyperparameters.
        """
        now = self.run_description()
        pairs = [(name, saved.get(name), now[name]) for name in names]
        old, new = saved["hyperparameters"], now["hyperparameters"]
        pairs += [(name, old.get(name), new[name]) for name in settings]
        for name, before, after in pairs:
            if before != after:
                raise SettingError(
                    name,
                    after,
                    f"the checkpoint in --save-dir was trained with {before}",
                    "use another --save-dir for another run",
                )


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


def load_dictionary(corpus: Corpus) -> Dictionary:
    """Return fairseq's dictionary of the corpus, pieces, language tags and sentinels in their places."""
    return Dictionary.load(str(corpus.dictionary_path))


def sentinel_ids(dictionary: Dictionary) -> list[int]:
    """Return the ids of ``<extra_id_0>``, ``<extra_id_1>``, ... as far as they go."""
    ids: list[int] = []
    while (index := dictionary.index(SENTINEL.format(len(ids)))) != dictionary.unk():
        ids.append(index)
    return ids


def dictionary_signature(dictionary: Dictionary) -> dict[str, Any]:
    """Return size, number of sentinels, language tags and a hash of the symbols in their order."""
    symbols = "\n".join(dictionary.symbols).encode()
    return {
        "size": len(dictionary),
        "sentinels": len(sentinel_ids(dictionary)),
        "tags": " ".join(symbol for symbol in dictionary.symbols if IS_TAG.fullmatch(symbol)) or "none",
        "sha256": hashlib.sha256(symbols).hexdigest(),
    }


def check_dictionary(saved: dict[str, Any], dictionary: Dictionary, where: str | Path) -> None:
    """Raise unless a checkpoint was made with this dictionary.

    Raises:
        CheckpointError: naming what differs.
    """
    now = dictionary_signature(dictionary)
    # Older checkpoints say less.
    differences = [
        f"{name} {saved[name]} there, {value} in this corpus"
        for name, value in now.items()
        if saved.get(name, value) != value
    ]
    if differences:
        if len(differences) == 1 and saved.get("sha256") != now["sha256"]:
            differences.insert(0, "as many symbols, but others or in another order")
        raise CheckpointError(
            f"{where} was made with another dictionary: {'; '.join(differences)}.\n"
            "  Use the corpus folder it was trained on, or encode the new text with that folder's SentencePiece model "
            "and the same languages and sentinels."
        )


def _settings(cfg: Any) -> dict[str, Any]:
    """Return a part of fairseq's configuration as a plain dictionary, ``_name`` first."""
    if cfg is None or isinstance(cfg, str):
        return {"_name": cfg}
    container: Any = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else vars(cfg)
    return {str(name): plain(value) for name, value in container.items()}


def plain(value: Any) -> Any:
    """Return a setting as JSON can hold it (hydra hands over containers of its own)."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    try:
        return [plain(item) for item in value]
    except TypeError:
        return str(value)
