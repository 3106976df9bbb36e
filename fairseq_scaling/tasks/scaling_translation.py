"""The task ``scaling_translation``: finetuning on a controlled number of translation pairs, and generation."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset, LanguagePairDataset
from fairseq.tasks import register_task
from numpy.typing import NDArray
from omegaconf import MISSING

from ..data import hashing
from ..data.corpus import Corpus, TokenFile
from ..data.corruption import SpanCorruption
from ..data.permutation import Permutation
from ..errors import CheckpointError, SettingError
from ..fingerprint import fingerprint
from ..mixture import Mixture
from ..quantities import parse_tokens
from . import _run
from ._base import ScalingTask
from ._batches import EpochPlan
from ._blocks import HeldOutBlocks
from ._checkpoints import described, read_checkpoint
from ._config import ScalingTaskConfig
from ._pairs import PairDataset, Sentences
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
    start_name: str = field(
        default="",
        metadata={
            "help": "what logs and reports call the checkpoint of --finetune-from-model where it does not say what its "
            "model was pretrained on  [default: its file's name]"
        },
    )
    max_source_positions: int = field(default=1024, metadata={"help": "longest source, in tokens"})
    max_target_positions: int = field(default=1024, metadata={"help": "longest target, in tokens"})


@register_task("scaling_translation", dataclass=ScalingTranslationConfig)
class ScalingTranslationTask(ScalingTask):
    """Finetunes on the first pairs of a seeded permutation of the training pairs, up to a number of tokens.

    What came before (D_p, mixture, seed) is read from the checkpoint given by ``--finetune-from-model``; without one
    the run is the baseline, D_p = 0.
    """

    stage = "finetuning"

    def __init__(
        self, cfg: ScalingTranslationConfig, corpus: Corpus, dictionary: Any, from_checkpoint: bool = False
    ) -> None:
        super().__init__(cfg, corpus, dictionary, from_checkpoint)
        self.source, self.target = cfg.source_lang, cfg.target_lang
        corpus.pair(self.source, self.target, "train")  # names the pairs there are where this one is not
        self.finetune_tokens = self._budget()
        self.finetune_tokens_used = 0
        self.finetune_pairs = 0
        self.pretraining: dict[str, Any] | None = None
        self.source_prefix = cfg.source_prefix
        # A finetuned checkpoint brings the description of its pretraining along: that one's file may be gone.
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
        geometry = self.pretraining["hyperparameters"]
        if not geometry:
            raise SettingError(
                "valid_subset",
                f"upstream_{language}",
                "the checkpoint does not say how its pretraining text was corrupted",
                "leave it out",
            )
        corruption = SpanCorruption.for_block(
            geometry["block_length"], geometry["noise_density"], geometry["mean_span_length"]
        )
        return upstream_validation(self.corpus, (language,), corruption, self.dictionary)

    def epoch_plan(self, dataset: FairseqDataset, max_tokens: int | None, max_sentences: int | None) -> EpochPlan:
        if dataset is not self.datasets.get("train"):
            return super().epoch_plan(dataset, max_tokens, max_sentences)
        sizes = np.asarray(dataset.sizes)

        def batches(epoch: int, ranks: int) -> list[list[int]]:
            """Pairs of like length together, another composition and order in every epoch."""
            order = self._shuffled(len(sizes), "finetuning pairs of an epoch", epoch)
            order = order[np.lexsort((sizes[order, 0], sizes[order, 1]))]
            formed = dataset.batch_by_size(
                order, max_tokens=max_tokens, max_sentences=max_sentences, required_batch_size_multiple=1
            )
            places = self._shuffled(len(formed), "finetuning batches of an epoch", epoch)
            return [[int(index) for index in formed[place]] for place in places]

        return EpochPlan(batches)

    def _shuffled(self, size: int, *purpose: object) -> NDArray[np.int64]:
        return Permutation(size, hashing.key(self.cfg.seed, *purpose))(np.arange(size))

    def build_dataset_for_inference(
        self, src_tokens: list[torch.Tensor], src_lengths: list[int], **kwargs: Any
    ) -> LanguagePairDataset:
        prefix = torch.tensor(self._prefix(), dtype=torch.long)
        with_prefix = [torch.cat([prefix, tokens]) for tokens in src_tokens]
        lengths = [len(tokens) for tokens in with_prefix]
        return LanguagePairDataset(with_prefix, lengths, self.dictionary, left_pad_source=False, **kwargs)

    # -- where the run comes from ----------------------------------------------------------------------------------

    def _read_pretraining(self, path: Path) -> dict[str, Any]:
        """Return the pretraining run's description as of that checkpoint, from the checkpoint itself."""
        if not path.is_file():
            raise SettingError("finetune_from_model", path, "no such file")
        saved = described(read_checkpoint(path))
        run = saved.get("run")
        if run is None:
            _run.logger.warning("%s says nothing of its pretraining data: pretrain_tokens is unknown", path)
            return {
                "pretrain_tokens": None,
                "mixture": {},
                "seed": None,
                # No run's, but without it two models of one shape would be finetuned in one and the same run.
                "run_id": fingerprint(path)[:12],
                "hyperparameters": {},
                "start": self.cfg.start_name or path.name,
            }
        if run["stage"] != "pretraining":
            raise CheckpointError(
                f"{path} is a checkpoint of a {run['stage']} run; finetuning starts from a pretraining one"
            )
        return {**run, "pretrain_tokens": sum(saved["consumed"].values()), "by_language": saved["consumed"]}

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["fairseq_scaling"]["pretraining"] = self.pretraining
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        saved = state_dict.get("fairseq_scaling")
        if not saved or saved["run"] is None:
            return
        self.pretraining = saved.get("pretraining")
        trained_with = saved["run"]["hyperparameters"].get("source_prefix", "")
        if self.source_prefix not in ("", trained_with):
            raise CheckpointError(
                f"the model was trained with the source prefix {trained_with!r}, not {self.source_prefix!r}\n"
                "  leave --source-prefix out: the checkpoint knows it"
            )
        self.source_prefix = trained_with

    def set_checkpoint_dict(self, state_dict: dict[str, Any]) -> None:
        super().set_checkpoint_dict(state_dict)
        data = ("pretrain_run_id", "pretrain_tokens", "finetune_tokens", "source_lang", "target_lang", "seed", "corpus")
        saved = state_dict["fairseq_scaling"]["run"]
        self.refuse_another_run(saved, data, ("source_prefix", "batch_size", "max_tokens"))

    def run_description(self) -> dict[str, Any]:
        before = self.pretraining or {"pretrain_tokens": 0, "mixture": {}, "seed": None, "run_id": None}
        mixture = before["mixture"]
        return {
            "stage": self.stage,
            "pretrain_tokens": before["pretrain_tokens"],
            "pretrain_tokens_by_language": before.get("by_language", {}),
            "mixture": mixture,
            "alignment": _alignment(mixture, self.source, self.target),
            "finetune_tokens": self.finetune_tokens,
            "finetune_tokens_used": self.finetune_tokens_used,
            "finetune_pairs": self.finetune_pairs,
            "source_lang": self.source,
            "target_lang": self.target,
            "seed": self.cfg.seed,
            "pretrain_seed": before["seed"],
            "architecture": self.architecture,
            "parameters": self.parameters,
            "corpus": self.corpus.fingerprint[:12],
            "pretrain_run_id": before["run_id"],
            **{name: before[name] for name in ("start",) if name in before},
            "hyperparameters": {
                "source_prefix": self.source_prefix,
                **self.hyperparameters(),
            },
        }


def training_pairs(sizes: NDArray[np.int64], finetune_tokens: int, seed: int) -> NDArray[np.int64]:
    """Return the pairs of a training subset: the first of a permutation, so that a smaller D_f is a prefix of a larger.

    Args:
        sizes: tokens of every pair, source and target together.
        finetune_tokens: D_f; as many pairs are taken as fit.
        seed: of the permutation.
    """
    order = Permutation(len(sizes), hashing.key(seed, "finetuning pairs"))(np.arange(len(sizes)))
    taken = int(np.searchsorted(np.cumsum(sizes[order]), finetune_tokens, side="right"))
    if taken == 0:
        raise SettingError("finetune_tokens", finetune_tokens, f"the first pair has {int(sizes[order[0]])} tokens")
    return order[:taken]


def _alignment(mixture: dict[str, str], source: str, target: str) -> float | None:
    if not mixture:
        return None
    return Mixture.parse(",".join(f"{language}:{share}" for language, share in mixture.items())).alignment(
        source, target
    )
