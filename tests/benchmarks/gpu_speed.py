"""Speed and memory on a GPU, for check_gpu.py: tokens per second beside two peers, and the largest batch that fits."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from fairseq_scaling.data.corruption import SpanCorruption
from fairseq_scaling.models.presets import PRESETS
from fairseq_scaling.study.plan.pricing import PEAKS, Shape
from tests.models.small import PAD, make_model, make_task, random_tokens

if TYPE_CHECKING:
    from tests.benchmarks.check_gpu import Check

VOCABULARY, SOURCE, TARGET = 32_128, 512, 114
# Sequences in a batch for the comparison: about 16,000 encoder positions, and less for the large model.
BATCHES = {"t5_base": 32, "t5_small": 64, "t5_large": 16}
LARGEST = ("t5_large", "t5_3b")
WARM, STEPS = 5, 15
Contender = tuple[Any, Callable[..., Any]]  # a model, and the function of its loss on (source, target)
# H200 has the arithmetic of H100 and more memory.
_PEAKS = {"H200": "h100", "H100": "h100", "A100": "a100", "L4": "l4", "V100": "v100", "T4": "t4", "4090": "rtx4090"}
_DIMENSIONS = (
    "d_model", "d_kv", "d_ff", "encoder_layers", "decoder_layers", "num_heads", "feed_forward", "output_layer",
)  # fmt: skip


def throughput(check: Check) -> None:
    """Part 5: each model's step in bfloat16, beside Hugging Face's T5 and fairseq's transformer of its size."""
    if check.has(30):
        attention_kernels(check)
    peak = next((PEAKS[key] for name, key in _PEAKS.items() if name in torch.cuda.get_device_name()), None)
    corruption = SpanCorruption.for_input_length(SOURCE)
    for arch, batch in BATCHES.items():
        if not check.has(60):
            check.add(5, f"{arch}: tokens per second", "skipped", "no time left")
            continue
        operations = 3 * batch * shape(arch).forward(SOURCE, TARGET).flops
        rates: dict[str, float] = {}
        for name, make in contenders(arch).items():
            try:
                seconds, memory = measure(make, batch, check.device)
            except torch.cuda.OutOfMemoryError:
                check.add(5, f"{arch}, {name}", "", "out of memory")
                continue
            except ImportError as error:
                check.add(5, f"{arch}, {name}", "skipped", f"needs {error.name}")
                continue
            rates[name] = batch * corruption.block_length / seconds
            share = f", {operations / seconds / peak:.0%} of the peak" if peak and name == "fairseq_scaling" else ""
            detail = f"{rates[name]:,.0f} tokens/s, {1000 * seconds:.0f} ms a step, {memory / 2**30:.1f} GiB{share}"
            check.add(5, f"{arch}, batch {batch}, {name}", "", detail)
        for peer, goal in (("Hugging Face T5, eager", 1.5), ("Hugging Face T5, compiled", 1.0)):
            if arch == "t5_base" and peer in rates and "fairseq_scaling" in rates:
                ratio = rates["fairseq_scaling"] / rates[peer]
                check.add(5, f"{arch}: times {peer}", ratio >= goal, f"{ratio:.2f}, goal {goal}")
        through_fairseq(check, arch, batch, rates.get("fairseq_scaling"))


def contenders(arch: str) -> dict[str, Callable[[], Contender]]:
    """Return name -> function that makes a model and the function of its loss."""
    return {
        "fairseq_scaling": lambda: _ours(arch),
        "fairseq_scaling, layers compiled": lambda: _compiled(arch),
        "Hugging Face T5, eager": lambda: _hugging_face(arch, compiled=False),
        "Hugging Face T5, compiled": lambda: _hugging_face(arch, compiled=True),
        "fairseq transformer": lambda: _transformer(arch),
    }


def shape(arch: str) -> Shape:
    """Return the dimensions of an architecture with the vocabulary of T5."""
    return Shape(**{name: PRESETS[arch][name] for name in _DIMENSIONS}, vocabulary=VOCABULARY)


def measure(make: Callable[[], Contender], batch: int, device: str, steps: int = STEPS) -> tuple[float, int]:
    """Return the seconds of a training step in bfloat16 with Adam, and the largest memory in bytes (0 on a CPU)."""
    on_gpu = device == "cuda"
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with torch.device(device):  # a CPU would take minutes to draw the weights of the largest
        model, loss = make()
    model = model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=on_gpu)
    generator = torch.Generator().manual_seed(0)
    source, target = (random_tokens(VOCABULARY, batch, size, generator).to(device) for size in (SOURCE, TARGET))

    def timed(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16):
                value = loss(source, target)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    timed(min(WARM, steps))
    return timed(steps), torch.cuda.max_memory_allocated() if on_gpu else 0


def through_fairseq(check: Check, arch: str, batch: int, rate: float | None) -> None:
    """Add the tokens per second of fairseq-train itself, and what all besides the model's step costs there."""
    try:
        found = pretraining_rate(check, arch, batch, "0")
    except RuntimeError as error:
        check.add(5, f"{arch} through fairseq-train", "FAIL", str(error).strip().splitlines()[-1][:120])
        return
    beside = f", {found / rate:.0%} of the step alone" if rate else ""
    check.add(5, f"{arch} through fairseq-train, --bf16-autocast", "", f"{found:,.0f} tokens/s{beside}")


def pretraining_rate(check: Check, arch: str, batch: int, name: str) -> float:
    """Return the pretraining tokens per second of fairseq-train, its first updates left out."""
    from tests.benchmarks.check_gpu import train

    block = SpanCorruption.for_input_length(SOURCE).block_length
    tokens = (WARM + STEPS) * batch * block
    records = train(
        check, f"speed-{arch}-{name}", "--task", "scaling_pretraining", "--mixture", "aa:1", "--input-length", SOURCE,
        "--batch-size", batch, "--lr-scheduler", "t5_inverse_sqrt", "--budgets", tokens, "--arch", arch,
        "--encoder-layers", PRESETS[arch]["encoder_layers"], "--decoder-layers", PRESETS[arch]["decoder_layers"],
        "--bf16-autocast", "--no-save", "--num-workers", 2, corpus=large_corpus(check.folder / "large-corpus"),
    )  # fmt: skip
    kept = records[WARM:]
    return (len(kept) - 1) * batch * block / (kept[-1]["clock"] - kept[0]["clock"])


def large_corpus(folder: Path) -> Path:
    """Return a corpus with the vocabulary of T5 and text enough for the longest run here; it is written once."""
    from tests.benchmarks.check_gpu import SENTINELS, make_corpus

    if not folder.exists():
        tokens = (WARM + STEPS) * max(BATCHES.values()) * SpanCorruption.for_input_length(SOURCE).block_length
        special = len(make_task(4).source_dictionary)
        make_corpus(folder, VOCABULARY - special - SENTINELS, tokens // 16)
    return folder


def jobs_at_once(check: Check, number: int) -> list[float]:
    """Return the tokens per second of each of so many fairseq-train processes on one GPU."""
    large_corpus(check.folder / "large-corpus")
    with ThreadPoolExecutor(number) as pool:
        jobs = [pool.submit(pretraining_rate, check, "t5_small", 16, f"{number}-{job}") for job in range(number)]
        return [job.result() for job in jobs]


def attention_kernels(check: Check, batch: int = 32, heads: int = 12, size: int = 64) -> None:
    """Add lines: what attention with a bias that is trained costs in each of PyTorch's kernels, in bfloat16."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=generator) * 0.1
        return values.to(check.device, torch.bfloat16).requires_grad_()

    inputs = [*(drawn(batch, heads, SOURCE, size) for _ in range(3)), drawn(1, heads, SOURCE, SOURCE)]

    def gradients() -> tuple[torch.Tensor, ...]:
        mixed = torch.nn.functional.scaled_dot_product_attention(*inputs[:3], attn_mask=inputs[3], scale=1.0)
        return torch.autograd.grad(mixed.square().sum(), inputs)

    def timed(kernel: AbstractContextManager[None]) -> tuple[float, torch.Tensor]:
        with kernel:
            for count in (2, STEPS):
                start = time.perf_counter()
                for _ in range(count):
                    found = gradients()
                if check.device == "cuda":
                    torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - start) / count, found[3].float()

    unfused, exact = timed(sdpa_kernel(SDPBackend.MATH))
    what = f"attention {batch}x{heads}x{SOURCE}x{size}, trained bias"
    check.add(5, f"{what}: unfused", "", f"{unfused:.2f} ms")
    for name, kernel in (
        ("memory-efficient", sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION)),
        ("PyTorch's choice", nullcontext()),
    ):
        try:
            found, of_bias = timed(kernel)
        except RuntimeError as error:  # no such kernel for these tensors
            check.add(5, f"{what}: {name}", "skipped", str(error).splitlines()[0][:80])
            continue
        difference = float((of_bias - exact).abs().max() / exact.abs().max())
        # Each entry is a sum over the batch of products that were rounded to 8 bits.
        detail = f"{found:.2f} ms, gradient of the bias differs by {difference:.1e} of the largest"
        check.add(5, f"{what}: {name}", difference < 0.05, detail)


def largest_batch(check: Check) -> None:
    """Part 6: the largest batch of 512 positions, doubled until memory is full, and the price that follows."""
    for arch in LARGEST:
        for again in (False, True):
            name = f"{arch}, --checkpoint-activations" if again else arch
            batch, best = 4, None
            while check.has(45):
                try:
                    make = partial(_ours, arch, checkpoint_activations=again)
                    best = (batch, *measure(make, batch, check.device, steps=5))
                except torch.cuda.OutOfMemoryError:
                    break
                batch *= 2
            if best is None:
                check.add(6, f"{name}: largest batch", "", "not one of 4 fits, or no time left")
                continue
            size, seconds, memory = best
            speed = 3 * size * shape(arch).forward(SOURCE, TARGET).flops / seconds
            tokens = size * SpanCorruption.for_input_length(SOURCE).block_length / seconds
            hours = f"{1e9 / tokens / 3600:.1f} h for 1e9 tokens"
            detail = f"{size}: {memory / 2**30:.0f} GiB, {tokens:,.0f} tokens/s, {hours}"
            check.add(6, f"{name}: largest batch (doubling)", "", detail)
            check.add(6, f"{name}: for scaling-study plan", "", f"--peak {speed:.3g} --utilisation 1")


def _ours(arch: str, **settings: Any) -> Contender:
    model = make_model(VOCABULARY, arch, dropout=0.1, **settings)
    return model, lambda source, target: model(source, None, target, targets=target, padded=False)[0]


def _compiled(arch: str) -> Contender:
    model, loss = _ours(arch)
    for layer in (*model.encoder.layers, *model.decoder.layers):
        layer.compile()
    return model, loss


def _hugging_face(arch: str, compiled: bool) -> Contender:
    from tests.benchmarks.peers import dimensions, hugging_face

    model = hugging_face(dimensions(arch, 0.1), VOCABULARY)
    called = torch.compile(model) if compiled else model
    return (
        model,
        lambda source, target: (
            called(input_ids=source, attention_mask=source.ne(PAD), decoder_input_ids=target, labels=target).loss
        ),
    )


def _transformer(arch: str) -> Contender:
    from argparse import Namespace

    import torch.nn.functional as F
    from fairseq.models.transformer import TransformerModel, base_architecture

    from tests.benchmarks.peers import dimensions, transformer_settings

    sizes = transformer_settings(dimensions(arch, 0.1))
    settings = Namespace(**sizes, max_source_positions=1024, max_target_positions=1024)
    base_architecture(settings)
    model = TransformerModel.build_model(settings, make_task(VOCABULARY))

    def loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((len(source),), source.size(1), device=source.device)
        logits = model(source, lengths, target)[0]
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), ignore_index=PAD)

    return model, loss
