"""Every layout in which a T5 was published gives the same checkpoint; what is no such T5 is refused by its name."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sentencepiece
import torch
import transformers
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from fairseq_scaling.cli.convert import main
from fairseq_scaling.exchange.convert import from_hf
from fairseq_scaling.exchange.sentencepiece_file import model_of_tokenizer
from fairseq_scaling.exchange.settings import from_config, model_kind

from .samples import LAYOUTS, OLD_BIAS, TEXT, lay_out_anew, publish, save_weights, train_sentencepiece, weights_of

QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
KEPT = {"of 2020": {"relative_attention_max_distance": 128}}


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def convert(folder: Path, out: Path) -> Result:
    return CliRunner().invoke(main, ["from-hf", str(folder), "--out", str(out)])


def checkpoint(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return kind -> model folder as the tests find it: safetensors and spiece.model."""
    folder = tmp_path_factory.mktemp("published")
    return {kind: publish(folder / kind, kind) for kind in ("t5", "t5-v1_1", "mt5")}


@pytest.fixture(scope="module")
def plain(published: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return kind -> checkpoint of the published folder."""
    folder = tmp_path_factory.mktemp("plain")
    return {kind: from_hf(original, folder / kind / "model.pt").out for kind, original in published.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_model(
    layout: str, plain: dict[str, Path], tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published["t5"], tmp_path / "original")
    lay_out_anew(original, layout)
    result = convert(original, tmp_path / "ours/model.pt")
    assert result.exit_code == 0, result.output
    expected, found = checkpoint(plain["t5"]), checkpoint(tmp_path / "ours/model.pt")
    assert found["model"].keys() == expected["model"].keys()
    for name, tensor in expected["model"].items():
        stored = tensor.to(found["model"][name].dtype)
        assert torch.equal(found["model"][name], stored), name
    settings = expected["cfg"]["model"] | KEPT.get(layout, {})
    assert found["cfg"]["model"] == settings
    same = (tmp_path / "ours/dict.txt").read_text() == (plain["t5"].parent / "dict.txt").read_text()
    assert same


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "data parallel"])
def test_transformers_opens_these_layouts_as_the_same_model(
    layout: str, tmp_path: Path, published: dict[str, Path]
) -> None:
    plain = copy(published["t5"], tmp_path / "plain")
    original = copy(published["t5"], tmp_path / "original")
    lay_out_anew(original, layout)
    tokens = torch.arange(3, 12)[None]
    logits = []
    for folder in (plain, original):
        model = transformers.T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        model.config.decoder_start_token_id = 0
        logits.append(model(input_ids=tokens, labels=tokens).logits)
    if layout == "of 2020":
        return  # another relative_attention_max_distance, T5's default
    # of the stored precision, 8 or 11 bits; the logits are below 10
    tolerance = {"bfloat16": 10 * 2**-7, "float16": 10 * 2**-10}.get(layout, 0)
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=tolerance)


def test_what_t5_does_not_use_is_left_out_and_listed_and_the_precision_is_said(
    tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published["t5"], tmp_path / "original")
    lay_out_anew(original, "of 2020")
    output = convert(original, tmp_path / "ours/model.pt").output
    assert f"Left out, as transformers leaves them out: {OLD_BIAS}\n" in output
    assert " in float32\n" in output
    other = copy(published["t5"], tmp_path / "other")
    lay_out_anew(other, "float16")
    weights = torch.load(other / "pytorch_model.bin", weights_only=True)
    single = sum(name.endswith("wo.weight") for name in weights)
    output = convert(other, tmp_path / "half/model.pt").output
    assert f"weights: {len(weights) - single} in float16, {single} in float32\n" in output


def test_the_readmes_mt5_small_is_converted_from_its_pickle(
    plain: dict[str, Path], tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published["mt5"], tmp_path / "mt5-small")
    weights = weights_of(original)
    (original / "model.safetensors").unlink()
    save_weights(original, weights, "bin")
    result = convert(original, tmp_path / "mt5/mt5-small.pt")
    assert result.exit_code == 0, result.output
    expected, found = (checkpoint(path)["model"] for path in (plain["mt5"], tmp_path / "mt5/mt5-small.pt"))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_v1_1_without_its_output_layer_takes_the_embedding_and_says_so(
    tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published["t5-v1_1"], tmp_path / "original")
    weights = weights_of(original)
    del weights["lm_head.weight"]
    save_file(weights, original / "model.safetensors")
    result = convert(original, tmp_path / "ours/model.pt")
    assert "Note: the model has no output layer: the embedding takes its place, as in transformers 5" in result.output
    found = checkpoint(tmp_path / "ours/model.pt")["model"]
    assert torch.equal(found["decoder.head"], found["encoder.embed_tokens.weight"])


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_the_sentencepiece_model_is_rebuilt_from_tokenizer_json(
    kind: str, tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published[kind], tmp_path / "original")
    train_sentencepiece(original / "nfkc.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    for file in ("spiece.model", "nfkc.model"):
        (original / "spiece.model").write_bytes((original / file).read_bytes())
        theirs = transformers.T5Tokenizer.from_pretrained(original)
        theirs.save_pretrained(tmp_path / file)
        content = json.loads((tmp_path / file / "tokenizer.json").read_text())
        rebuilt = sentencepiece.SentencePieceProcessor(model_proto=model_of_tokenizer(content, tmp_path))
        published = sentencepiece.SentencePieceProcessor(model_file=str(original / file))
        for text in [*TEXT[::9], "  two  spaces ", "\u2460 \ufb01 \u4e2d", ""]:
            assert rebuilt.encode(text) == published.encode(text), text
            assert rebuilt.decode(rebuilt.encode(text)) == published.decode(published.encode(text))


def pickled_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"shared.weight": SimpleNamespace(a=1)}, folder / "pytorch_model.bin")


def bare_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"shared.weight": SimpleNamespace(a=1)}))


def cut_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    save_weights(folder, weights_of_all(folder), "bin")
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[: len(content) // 2])


def weights_of_all(folder: Path) -> dict[str, torch.Tensor]:
    return {"shared.weight": torch.zeros(100, 24), QUERY: torch.zeros(15, 24)}


def changed_pickle(folder: Path) -> None:
    cut_pickle(folder)
    save_weights(folder, weights_of_all(folder), "bin")
    content = bytearray((folder / "pytorch_model.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "pytorch_model.bin").write_bytes(content)


def pointer(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1200\n"
        (folder / name).write_text(text)

    return write


def page(folder: Path) -> None:
    (folder / "model.safetensors").write_text("<!doctype html><html><title>Sign in</title></html>")


def only(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"0123")

    return write


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        found = weights_of(folder)
        change(found)
        save_file(found, folder / "model.safetensors")

    return write


def setting(**changes: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return write


def adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "config.json").unlink()
    content = {"peft_type": "LORA", "base_model_name_or_path": "google/flan-t5-base"}
    (folder / "adapter_config.json").write_text(json.dumps(content))


def without_decoder(found: dict[str, torch.Tensor]) -> None:
    for name in [name for name in found if name.startswith(("decoder", "lm_head"))]:
        del found[name]


def nan(found: dict[str, torch.Tensor]) -> None:
    found["shared.weight"][3, 3] = float("nan")


def infinite(found: dict[str, torch.Tensor]) -> None:
    found["encoder.block.1.layer.0.SelfAttention.q.weight"][0, 0] = float("inf")


def quantised(found: dict[str, torch.Tensor]) -> None:
    found[QUERY] = found[QUERY].to(torch.int8)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled_code, "pytorch_model.bin holds more than data (types.SimpleNamespace): opening it could run any code"),
        (bare_pickle, "pytorch_model.bin holds a pickle that torch.save did not write: opening it could run any code"),
        (cut_pickle, "pytorch_model.bin cannot be read as a file of weights"),
        (changed_pickle, "pytorch_model.bin is damaged: its content does not agree with its checksums"),
        (pointer("model.safetensors"), "model.safetensors is a git-lfs pointer, not the file itself"),
        (pointer("spiece.model"), "spiece.model is a git-lfs pointer"),
        (pointer("config.json"), "config.json is a git-lfs pointer"),
        (page, "model.safetensors is a web page, not the file itself"),
        (only("tf_model.h5"), "holds neither model.safetensors nor pytorch_model.bin, but config.json"),
        (adapter, "holds a PEFT adapter (LORA) of google/flan-t5-base, not a whole model"),
        (weights(without_decoder), "holds an encoder alone (T5EncoderModel): it cannot translate"),
        (setting(is_encoder_decoder=False), "the model is an encoder alone (T5EncoderModel)"),
        (weights(nan), "the weight shared.weight holds NaN"),
        (weights(infinite), "the weight encoder.block.1.layer.0.SelfAttention.q.weight holds infinite numbers"),
        (
            weights(quantised),
            f"holds quantised weights: {QUERY} is of the type int8",
        ),
        (setting(quantization_config={"quant_method": "bitsandbytes"}), "the weights are quantised (bitsandbytes)"),
        (setting(model_type="umt5"), "of another architecture, umt5"),
        (setting(model_type=None, architectures=["BartModel"]), "of another architecture, BartModel"),
        (setting(dense_act_fn="silu"), "dense_act_fn is 'silu', not gelu_new"),
    ],
)
def test_what_is_no_whole_t5_is_refused_by_its_name(
    spoil: Callable[[Path], None], said: str, tmp_path: Path, published: dict[str, Path]
) -> None:
    original = copy(published["t5-v1_1"], tmp_path / "original")
    spoil(original)
    result = convert(original, tmp_path / "ours/model.pt")
    assert result.exit_code == 2, result.output
    assert said in result.output, result.output
    assert "\n  " in result.output, "no remedy"
    assert not [path for path in tmp_path.glob("ours/*") if path.is_file()]


def test_settings_that_are_missing_are_those_of_the_class() -> None:
    assert from_config({}, separate_head=False)["d_ff"] == 2048
    mt5 = from_config({"architectures": ["MT5ForConditionalGeneration"]}, separate_head=True)
    assert (mt5["d_ff"], mt5["encoder_layers"], mt5["num_heads"], mt5["feed_forward"]) == (1024, 8, 6, "gated-gelu")
    general = {"hidden_size": 96, "num_attention_heads": 3, "num_hidden_layers": 2, "head_dim": 7}
    settings = from_config({"model_type": "t5", **general}, separate_head=False)
    assert [settings[name] for name in ("d_model", "num_heads", "encoder_layers", "d_kv")] == [96, 3, 2, 7]
    assert model_kind({"architectures": ["T5WithLMHeadModel"]}) == "t5"


@pytest.mark.parametrize(("module", "package"), [("torch", "torch"), ("google.protobuf.message", "protobuf")])
def test_without_a_package_one_message_says_what_to_install(
    module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("fairseq_scaling.exchange")]:
        monkeypatch.delitem(sys.modules, name)  # as in a process that has not imported it yet
    monkeypatch.setitem(sys.modules, module, None)
    done = convert(tmp_path, tmp_path / "model.pt")
    assert done.exit_code == 2
    assert f"scaling-convert needs the package {package}, which is not installed\n  pip install" in done.output
