from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fairseq_scaling.errors import SettingError
from fairseq_scaling.models.presets import PRESETS
from fairseq_scaling.study.plan import flags, pricing
from fairseq_scaling.study.plan.jobs import Work
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.plan.pricing import Shape
from fairseq_scaling.study.settings.config import load_study
from tests.models.small import make_model, random_tokens

Write = Callable[[dict[str, Any] | str], Path]
SMALL = {"d_model": 24, "d_kv": 6, "d_ff": 40, "num_heads": 2, "encoder_layers": 3, "decoder_layers": 2}
KINDS = [{"feed_forward": "relu", "output_layer": "tied"}, {"feed_forward": "gated-gelu", "output_layer": "untied"}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_operations_are_what_pytorch_counts_in_a_training_step(kind: dict[str, str]) -> None:
    """torch.utils.flop_counter looks at every matrix product as it is done, forward and backward."""
    model = make_model(97, **SMALL, **kind)
    generator = torch.Generator().manual_seed(1)
    source, target = random_tokens(97, 5, 17, generator), random_tokens(97, 5, 11, generator)
    with FlopCounterMode(display=False) as counter:
        logits, _ = model(source, None, target)
        forward = counter.get_total_flops()
        logits.sum().backward()
    work = Shape(**SMALL, **kind, vocabulary=97).forward(17, 11)
    assert work.times(5).flops == forward
    assert work.times(5, 3).flops == counter.get_total_flops()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_encoder_and_decoder_are_counted_apart(kind: dict[str, str]) -> None:
    model = make_model(97, **SMALL, **kind)
    tokens = random_tokens(97, 1, 17, torch.Generator().manual_seed(1))
    with FlopCounterMode(display=False) as counter:
        model.encoder(tokens, None)
    assert Shape(**SMALL, **kind, vocabulary=97).forward(17, 11).encoder_flops == counter.get_total_flops()


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "t5"])
def test_weights_are_those_of_the_model(name: str) -> None:
    with torch.device("meta"):
        model = make_model(32_128, name)
    shape = Shape(**PRESETS[name], vocabulary=32_128)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_checkpoint_is_as_large_as_what_pytorch_writes() -> None:
    model = make_model(4000, **SMALL)
    optimizer = torch.optim.Adam(model.parameters())
    model(*(random_tokens(4000, 2, 5, torch.Generator().manual_seed(1)), None), torch.full((2, 3), 5))[
        0
    ].sum().backward()
    optimizer.step()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    shape = Shape(**SMALL, **KINDS[0], vocabulary=4000)
    assert pricing.checkpoint_bytes(shape, {"optimizer": "adam"}) == pytest.approx(file.tell(), rel=0.1)
    assert pricing.checkpoint_bytes(shape, {"optimizer": "t5_adafactor", "fp16": True}) == 2 * shape.parameters


def test_a_training_leaves_one_checkpoint(values: dict[str, Any], write_study: Write) -> None:
    study = load_study(write_study(values))
    shape = pricing.shape_of(study, 4000)
    assert shape is not None
    size = pricing.checkpoint_bytes(shape, {"optimizer": "t5_adafactor"})
    trained = [job for job in make_plan(study, 4000).jobs if job.stage in ("pretrain", "finetune")]
    assert {job.kept for job in trained} == {size}


def test_an_update_has_the_batches_of_all_gpus(values: dict[str, Any], write_study: Write) -> None:
    values["pretraining"] |= {"input_length": 128, "fairseq": {"max-tokens": 1300, "update-freq": 3}}
    values["resources"] = {"pretrain": {"gpus": 2}}
    study = load_study(write_study(values))
    settings = flags.pretraining_settings(study, study.pretraining.mixtures[0])
    assert flags.batches_in_update(study, "pretrain", settings) == 6


def test_the_papers_pretraining_has_256_times_512_times_a_million_positions(
    values: dict[str, Any], write_study: Write
) -> None:
    """Isik et al. 2025: batch 256, 512 positions, 1,000,000 steps; our budgets count tokens before corruption."""
    blocks = 256 * 1_000_000
    values["model"] = {"arch": "t5_3b"}
    values["pretraining"] |= {"input_length": 512, "budgets": [blocks * 568], "mixtures": ["en"]}
    (job,) = make_plan(load_study(write_study(values))).of_stage("pretrain")
    assert job.work.encoder_positions == 256 * 512 * 1_000_000
    # 85 masked tokens in 28 spans: their sentinels and the end of sentence.
    assert job.work.decoder_positions == blocks * (85 + 28 + 1)


def test_the_rule_of_6_n_d_holds_for_each_half_of_the_papers_model() -> None:
    """Kaplan et al. 2020: six operations for each weight and position, where attention scores weigh little."""
    shape = Shape(**PRESETS["t5_3b"], vocabulary=250_112)
    work = shape.forward(512, 114)
    encoder = 24 * (4 * 1024 * 4096 + 2 * 1024 * 16384)
    assert work.times(1, 3).encoder_flops == pytest.approx(6 * encoder * 512, rel=0.1)


def test_dimensions_set_by_flags_are_priced(values: dict[str, Any], write_study: Write) -> None:
    values["model"] = {"arch": "t5_tiny", "fairseq": {"d-ff": 1024, "encoder_layers": "6"}}
    shape = pricing.shape_of(load_study(write_study(values)), 1000)
    assert shape is not None
    assert (shape.d_ff, shape.encoder_layers, shape.decoder_layers) == (1024, 6, 3)


def test_another_architecture_has_no_price(values: dict[str, Any], write_study: Write) -> None:
    values["model"] = {"arch": "transformer"}
    plan = make_plan(load_study(write_study(values)))
    assert {job.work for job in plan.jobs} == {Work()}
    assert all(job.seconds > 0 for job in plan.jobs)


def test_hours_are_operations_over_speed() -> None:
    device = pricing.hardware("a100", None, 0.5, 8, 2.0)
    assert device.hours(Work(encoder_flops=156e12 * 3600)) == pytest.approx(1)
    assert pricing.hardware(None, 1e12, 1.0, 1, None).hours(Work(decoder_flops=3.6e15)) == pytest.approx(1)


def test_an_unknown_device_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingError, match=r"known: t4, v100, a100.*--flops"):
        pricing.hardware("a1000", None, 0.3, 1, None)


def test_the_corpus_holds_what_the_hungriest_run_reads_of_each_language(
    values: dict[str, Any], write_study: Write
) -> None:
    values["pretraining"] |= {"mixtures": ["en:0.5,fr:0.5", "en", "de"], "budgets": ["1M", "4M"]}
    values["pretraining"]["overrides"] = [{"mixture": "de", "budgets": ["1M"]}]
    study = load_study(write_study(values))
    tokens = 4_000_000 + 2_000_000 + 1_000_000 + 200_000  # en, fr, de, the pairs
    assert pricing.corpus_bytes(study, 32_000) == 2 * tokens
    assert pricing.corpus_bytes(study, 250_112) == 4 * tokens
