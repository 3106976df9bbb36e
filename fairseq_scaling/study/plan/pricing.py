"""What a study costs: weights, floating-point operations and bytes of a T5, and the hours they take. Pure arithmetic.

A multiplication and an addition count as two operations. Counted are the matrix products, attention scores included,
and the output layer over the whole vocabulary; looking up an embedding costs none, normalisation and softmax are left
out (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1; Hoffmann et al. 2022,
https://arxiv.org/abs/2203.15556, appendix F, who differ by counting embeddings as products). The usual 6 N D does not
fit an encoder-decoder, whose two halves see different numbers of positions, so they are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import SettingError
from ...models.presets import PRESETS
from . import flags
from .jobs import Work

if TYPE_CHECKING:
    from ...data.corruption import SpanCorruption
    from ...mixture import Mixture
    from ..settings.config import Study

CORRUPTION_FLAGS = ("noise-density", "mean-span-length")
# Forward and backward: the gradients of inputs and of weights cost as much as the forward pass each.
_TRAINING = 3
_BUCKETS = 32  # of relative positions, in each half of the model
# Symbols that encoding adds to the pieces of SentencePiece: 100 sentinels and fairseq's own, less the unknown piece.
_ADDED_SYMBOLS = 103
_DEFAULT_PIECES = 2000
# Guesses, as long as no corpus is there: positions of a sentence, and of a test set on either side.
_SENTENCE = flags.PAIR_TOKENS
_TEST_POSITIONS = 80_000

# Dense peak of one device in FLOP/s, in the type that training uses there (bfloat16; float16 on T4 and V100; tensor
# cores, without sparsity), from the makers' data sheets: NVIDIA T4, V100 (SXM2), A100 (SXM4), L4, H100 (SXM5), GeForce
# RTX 4090 (Ada white paper, float32 accumulation); Google Cloud's pages on TPU v3 and v4 (per chip).
PEAKS = {
    "t4": 65e12, "v100": 125e12, "a100": 312e12, "l4": 121e12, "h100": 989e12, "rtx4090": 165e12,
    "tpu-v3": 123e12, "tpu-v4": 275e12,
}  # fmt: skip
# Large trainings reached 21 to 46 % of the peak (Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311, table 3).
UTILISATION = 0.3


@dataclass(frozen=True)
class Shape:
    """The dimensions of a T5, named as in ``models.t5``; ``vocabulary`` counts the rows of the embedding."""

    d_model: int
    d_kv: int
    d_ff: int
    encoder_layers: int
    decoder_layers: int
    num_heads: int
    feed_forward: str
    output_layer: str
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Number of weights."""
        attention, feed_forward = 4 * self._projection, self._feed_forward
        encoder = self.encoder_layers * (attention + feed_forward + 2 * self.d_model)
        decoder = self.decoder_layers * (2 * attention + feed_forward + 3 * self.d_model)
        ends = 2 * (self.d_model + _BUCKETS * self.num_heads)
        return encoder + decoder + ends + self.vocabulary * self.d_model * (1 if self.output_layer == "tied" else 2)

    def forward(self, source: int, target: int) -> Work:
        """Return the work of one forward pass over ``source`` encoder and ``target`` decoder positions.

        The keys and values that the decoder makes of the encoder's output count for the decoder.
        """
        inner = self.num_heads * self.d_kv
        layer = 8 * self._projection + 2 * self._feed_forward
        encoder = self.encoder_layers * source * (layer + 4 * inner * source)
        own = target * (layer + 4 * inner * target)
        across = (target + source) * 4 * self._projection + 4 * inner * target * source
        logits = 2 * target * self.d_model * self.vocabulary
        return Work(source, target, encoder, self.decoder_layers * (own + across) + logits)

    @property
    def _projection(self) -> int:
        return self.d_model * self.num_heads * self.d_kv

    @property
    def _feed_forward(self) -> int:
        return (3 if self.feed_forward == "gated-gelu" else 2) * self.d_model * self.d_ff


class Hardware(NamedTuple):
    """What a study is to run on.

    Attributes:
        name: what the person calls it.
        speed: FLOP/s that one device reaches, not its peak.
        devices: how many work at the same time.
        price: of one device for one hour, in any currency; None: not asked.
    """

    name: str
    speed: float
    devices: int = 1
    price: float | None = None

    def hours(self, work: Work) -> float:
        """Return the device-hours of some work."""
        return work.flops / self.speed / 3600


def hardware(name: str | None, peak: float | None, utilisation: float, devices: int, price: float | None) -> Hardware:
    """Return the hardware of a name in ``PEAKS``, or of a ``peak`` of one's own (FLOP/s of one device).

    Raises:
        SettingError: the name is unknown and no peak is given.
    """
    if peak is None and name not in PEAKS:
        raise SettingError(
            "--hardware", name, "not a device whose peak is known here",
            f"known: {', '.join(PEAKS)}; for another one give its peak: --flops 312e12",
        )  # fmt: skip
    peak = PEAKS[str(name)] if peak is None else peak
    return Hardware(f"{name or 'device'} at {utilisation:.0%} of {peak:.3g} FLOP/s", peak * utilisation, devices, price)


def shape_of(study: Study, vocabulary: int) -> Shape | None:
    """Return the dimensions of a study's model, or None where its architecture is none of ours."""
    preset = PRESETS.get(study.model.arch)
    if preset is None:
        return None
    own = {name.replace("-", "_"): value for name, value in study.model.fairseq.items()}
    known = {name: type(value)(own[name]) for name, value in preset.items() if own.get(name) is not None}
    return Shape(**{**preset, **known}, vocabulary=vocabulary)


def expected_vocabulary(study: Study) -> int:
    """Return the size that the dictionary of a study's text will have; a guess where that is made elsewhere."""
    if study.text is None or study.text.vocabulary is not None:
        return _DEFAULT_PIECES
    pieces = study.text.sentencepiece.get("vocab-size", _DEFAULT_PIECES)
    return int(pieces) + _ADDED_SYMBOLS + len(study.text.languages)


def corruption(input_length: int, settings: Mapping[str, Any]) -> SpanCorruption:
    """Return how the blocks of a pretraining with these flags are cut and masked."""
    from ...data.corruption import SpanCorruption

    chosen = {
        name.replace("-", "_"): float(settings[name]) for name in CORRUPTION_FLAGS if settings.get(name) is not None
    }
    return SpanCorruption.for_input_length(input_length, **chosen)


def pretraining(study: Study, shape: Shape, mixture: Mixture, budget: int) -> Work:
    """Return the work of a pretraining up to ``budget`` tokens: whole blocks, nothing padded."""
    blocks = corruption(study.pretraining.input_length, flags.pretraining_settings(study, mixture))
    one = shape.forward(blocks.input_length, blocks.target_length)
    return one.times(budget // blocks.block_length, _TRAINING)


def finetuning(shape: Shape, positions: int) -> Work:
    """Return the work of a finetuning that reads ``positions`` on either side."""
    return shape.forward(_SENTENCE, _SENTENCE).times(positions / _SENTENCE, _TRAINING)


def translation(shape: Shape, beam: int) -> Work:
    """Return the work of translating a test set of the guessed size; every hypothesis of the beam costs."""
    one = shape.forward(_SENTENCE, _SENTENCE)
    searched = one._replace(decoder_flops=one.decoder_flops * beam)
    return searched.times(_TEST_POSITIONS / _SENTENCE)


def corpus_bytes(study: Study, vocabulary: int) -> int:
    """Return the least that a study's encoded text takes: every token that some run reads, once.

    Raw and clean text, some four or five bytes a token each, come on top of it.
    """
    from ...data.tokenfile import token_dtype

    needed: dict[str, float] = {}
    for mixture in study.pretraining.mixtures:
        for language, share in mixture.items():
            tokens = float(share) * study.pretraining.budgets_of(mixture)[-1]
            needed[language] = max(needed.get(language, 0.0), tokens)
    pairs = {frozenset(task): study.finetuning.sizes(task)[-1] for task in study.finetuning.tasks}
    return round(token_dtype(vocabulary).itemsize * (sum(needed.values()) + sum(pairs.values())))


def checkpoint_bytes(shape: Shape, settings: dict[str, Any]) -> int:
    """Return the size of one checkpoint: weights and the optimizer's state.

    Adam keeps two numbers for each weight; Adafactor's factored second moments (one for each row and column) are left
    out, as they are below a hundredth of the weights in all but tiny models.
    """
    half = any(settings.get(flag) for flag in ("fp16", "bf16"))
    moments = 8 if settings.get("optimizer") == "adam" else 0
    return shape.parameters * ((2 if half else 4) + moments)
