"""What a run starts from either fits, or is refused before any of it is used; code in a checkpoint never runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_scaling.data.dictionary import SPECIALS
from fairseq_scaling.errors import CheckpointError, ScalingError, SettingError
from tests.data.tiny import renew
from tests.tasks.hostile import flip, save_checkpoint, small_corpus, with_code
from tests.tasks.runs import FINETUNING, PRETRAINING, fairseq, set_up

CODE = ("zip", "legacy", "pickle", "object")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("pretrained") / "checkpoint1.pt", corpus, PRETRAINING)


@pytest.fixture(scope="module")
def finetuned(corpus: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finetuned") / "checkpoint1.pt"
    return save_checkpoint(path, corpus, FINETUNING, "--finetune-from-model", pretrained)


@pytest.fixture(scope="module")
def converted(corpus: Path, pretrained: Path) -> Path:
    """Return a checkpoint as scaling-convert writes it: with a vocabulary, and without a run."""
    from fairseq_scaling.data.dictionary import read_symbols
    from fairseq_scaling.exchange.checkpoint import complete_settings, write_checkpoint

    state = torch.load(pretrained, weights_only=True)
    settings = complete_settings(state["cfg"]["model"])
    path = pretrained.with_name("converted.pt")
    write_checkpoint(path, state["model"], settings, read_symbols(corpus / "dict.txt"), {})
    return path


def refusal(corpus: Path, task_arguments: Sequence[str], *arguments: object) -> str:
    with pytest.raises(ScalingError) as refused:
        set_up(corpus, task_arguments, *arguments)
    return str(refused.value)


def in_folder(path: Path, folder: Path) -> list[object]:
    """Return the arguments of a run that would go on from a checkpoint as fairseq does by itself."""
    (folder / "checkpoint_last.pt").write_bytes(path.read_bytes())
    return ["--save-dir", folder]


@pytest.mark.faults(
    "a checkpoint with code in it, opened by training, finetuning and fairseq's other commands",
    lost="nothing; the code never ran",
)
@pytest.mark.parametrize("how", CODE)
def test_code_in_a_checkpoint_is_named_and_never_run(
    how: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairseq import checkpoint_utils

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what torch's own message advises
    witness = tmp_path / "run"
    path = with_code(tmp_path / "x.pt", how, witness)
    start = [FINETUNING, "--save-dir", tmp_path / "out"]
    messages = [
        refusal(corpus, *start, "--finetune-from-model", path),
        refusal(corpus, *start, "--restore-file", path),
        refusal(corpus, PRETRAINING, "--save-dir", tmp_path / "out", "--restore-file", path),
    ]
    for load in (checkpoint_utils.load_checkpoint_to_cpu, checkpoint_utils.load_model_ensemble_and_task):
        with pytest.raises(CheckpointError) as refused:  # as fairseq-generate, -validate and -interactive do
            load(str(path) if load is checkpoint_utils.load_checkpoint_to_cpu else [str(path)])
        messages.append(str(refused.value))
    for message in messages:
        assert str(path) in message
        assert "opening it could run any code, so it is not opened" in message
    if how in ("zip", "legacy"):
        assert "posix.system" in messages[0]
    assert not witness.exists()


@pytest.mark.faults(
    "a checkpoint with code in it, opened by training, finetuning and fairseq's other commands",
    lost="nothing; the code never ran",
)
def test_code_in_the_checkpoint_of_a_folder_is_refused_too(corpus: Path, tmp_path: Path) -> None:
    path = with_code(tmp_path / "x.pt", "zip", tmp_path / "run")
    assert "could run any code" in refusal(corpus, PRETRAINING, *in_folder(path, tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.faults(
    "a checkpoint with code in it, opened by training, finetuning and fairseq's other commands",
    lost="nothing; the code never ran",
)
def test_fairseqs_own_command_prints_the_refusal_without_a_traceback(corpus: Path, tmp_path: Path) -> None:
    path = with_code(tmp_path / "x.pt", "zip", tmp_path / "run")
    command = ("validate", corpus, "--task", "scaling_translation", "--batch-size", 1, "--path", path)
    printed = fairseq(*command, fails=True)
    assert f"Error: {path} holds more than data (posix.system)" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.faults("a checkpoint that is cut, changed or something else", lost="nothing; refused before training")
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be read as a fairseq checkpoint: the file is empty"),
        (b"weights\n", "cannot be read as a fairseq checkpoint"),
        ({"weights": 1}, "is no fairseq checkpoint: it holds no model"),
        ([1, 2], "is no fairseq checkpoint: it holds no model"),
        ("cut", "cannot be read as a fairseq checkpoint"),
        ("changed", "is damaged: its content does not agree with its checksums"),
    ],
)
def test_a_file_that_is_no_whole_checkpoint_is_named(
    content: Any, complaint: str, corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(pretrained.read_bytes()[:-500])
    elif content == "changed":
        path.write_bytes(pretrained.read_bytes())
        flip(path)
    else:
        torch.save(content, path)
    message = refusal(corpus, FINETUNING, "--finetune-from-model", path, "--save-dir", tmp_path / "out")
    assert f"{path} {complaint}" in message


def test_a_missing_checkpoint_that_was_asked_for_is_an_error(corpus: Path, tmp_path: Path) -> None:
    # fairseq itself would begin afresh in silence.
    for flag, task in (("restore_file", PRETRAINING), ("continue_once", PRETRAINING), ("restore_file", FINETUNING)):
        option = "--" + flag.replace("_", "-")
        message = refusal(corpus, task, option, tmp_path / "x.pt", "--save-dir", tmp_path / "out")
        assert f"{flag} = {tmp_path / 'x.pt'}: no such file" in message


@pytest.mark.faults("a checkpoint of another model", lost="nothing; the settings that differ are named")
@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--d-model", 48], "d_model 32 there, 48 here"),
        (["--d-ff", 128, "--num-heads", 2], "d_ff 64 there, 128 here; num_heads 4 there, 2 here"),
        (["--encoder-layers", 2], "encoder_layers 1 there, 2 here"),
        (["--feed-forward", "gated-gelu"], "feed_forward relu there, gated-gelu here"),
        (["--output-layer", "untied"], "output_layer tied there, untied here"),
        (["--decoder-start", "<pad>"], "decoder_start </s> there, <pad> here"),
        (["--relative-attention-max-distance", 64], "relative_attention_max_distance 128 there, 64 here"),
        (["--arch", "t5_mini"], "architecture t5_tiny there, t5_mini here"),
    ],
)
@pytest.mark.parametrize("way", ["finetune", "restore"])
def test_another_model_is_refused_by_the_settings_that_differ(
    way: str, flags: list[object], difference: str, corpus: Path, pretrained: Path, finetuned: Path, tmp_path: Path
) -> None:
    if way == "finetune":
        start = ["--finetune-from-model", pretrained, "--save-dir", tmp_path]
    else:
        start = ["--finetune-from-model", pretrained, *in_folder(finetuned, tmp_path)]
    message = refusal(corpus, FINETUNING, *start, *flags)
    assert f"holds another model: {difference}" in message
    assert "the same model settings as in pretraining: --arch t5_tiny" in message


@pytest.mark.faults("a checkpoint of another vocabulary", lost="nothing; what differs is named")
@pytest.mark.parametrize("way", ["finetune", "restore", "generate"])
@pytest.mark.parametrize("what", ["pieces", "tag", "sentinels", "order"])
def test_another_vocabulary_is_refused_by_what_differs(
    way: str, what: str, corpus: Path, pretrained: Path, finetuned: Path, tmp_path: Path
) -> None:
    other = small_corpus(tmp_path / "corpus", pieces=24 if what == "pieces" else 20)
    symbols = (other / "dict.txt").read_text().splitlines(keepends=True)
    added = {"tag": ["<2cc> 1\n"], "sentinels": ["<extra_id_1> 1\n"]}.get(what, [])
    (other / "dict.txt").write_text("".join([*(reversed(symbols) if what == "order" else symbols), *added]))
    renew(other)
    expected = {
        "pieces": "size 25 there, 29 in this corpus",
        "tag": "tags none there, <2cc> in this corpus",
        "sentinels": "sentinels 1 there, 2 in this corpus",
        "order": "as many symbols, but others or in another order",
    }[what]
    if way == "generate":
        _, task, _ = set_up(other, FINETUNING, "--save-dir", tmp_path / "out")
        with pytest.raises(CheckpointError) as refused:
            task.load_state_dict(torch.load(finetuned, weights_only=True)["task_state"])
        message = str(refused.value)
    elif way == "finetune":
        message = refusal(other, FINETUNING, "--finetune-from-model", pretrained, "--save-dir", tmp_path / "out")
    else:
        message = refusal(other, PRETRAINING, *in_folder(pretrained, tmp_path))
    assert "was made with another dictionary" in message
    assert expected in message


def test_finetunings_of_two_models_of_unknown_pretraining_are_two_runs(
    corpus: Path, converted: Path, tmp_path: Path
) -> None:
    """Alike in everything but their weights, which no setting tells; where the same file lies makes no difference."""
    state = torch.load(converted, weights_only=True)
    state["model"]["encoder.norm.weight"] = state["model"]["encoder.norm.weight"] + 1
    changed, moved = tmp_path / "changed.pt", tmp_path / "moved.pt"
    torch.save(state, changed)
    moved.write_bytes(converted.read_bytes())
    said = []
    for path, named in ((converted, ["--start-name", "mt5-small"]), (moved, []), (changed, [])):
        _, task, _ = set_up(corpus, FINETUNING, "--finetune-from-model", path, "--save-dir", tmp_path / "out", *named)
        said.append(task.describe_run())
    assert [run.pretrain_tokens for run in said] == [None] * 3
    assert [run.start.name for run in said] == ["mt5-small", "moved.pt", "changed.pt"]
    assert said[0].run_id == said[1].run_id != said[2].run_id
    assert said[0].start.checksum == said[1].start.checksum != said[2].start.checksum


def test_a_finetuning_of_known_pretraining_names_no_start(corpus: Path, pretrained: Path, tmp_path: Path) -> None:
    _, task, _ = set_up(corpus, FINETUNING, "--finetune-from-model", pretrained, "--save-dir", tmp_path / "out")
    assert task.describe_run().start is None


def test_weights_of_another_size_are_named_where_the_checkpoint_says_nothing_else(
    corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    state = torch.load(pretrained, weights_only=True)
    path = tmp_path / "stock.pt"
    other = {**state, "task_state": {}, "cfg": None}
    shorter = {**state["model"], "encoder.norm.weight": torch.ones(5)}
    torch.save({**other, "model": shorter}, path)
    start = [FINETUNING, "--finetune-from-model", path, "--save-dir", tmp_path / "out"]
    assert "weight encoder.norm.weight has the shape (5,), in the model it has (32,)" in refusal(corpus, *start)
    rows = {name: weight[:-1] if "embed_tokens" in name else weight for name, weight in state["model"].items()}
    torch.save({**other, "model": rows}, path)
    size = len(SPECIALS) + 21
    expected = f"{path} was made for a vocabulary of {size - 1} symbols, this one has {size}"
    assert expected in refusal(corpus, *start)
    _, _, model = set_up(corpus, FINETUNING, "--save-dir", tmp_path / "out")
    with pytest.raises(CheckpointError, match=f"made for a vocabulary of {size - 1} symbols"):
        model.load_state_dict(rows)  # as fairseq-generate does with it


@pytest.mark.faults(
    "a checkpoint of another stage or origin, whose tokens would not be counted",
    lost="nothing; refused before training",
)
def test_a_pretraining_counts_all_that_its_model_has_seen(
    corpus: Path, pretrained: Path, finetuned: Path, converted: Path, tmp_path: Path
) -> None:
    """Without a description of the start, D_p would count what the model has seen from zero."""
    for path in (converted, pretrained):
        message = refusal(corpus, PRETRAINING, "--finetune-from-model", path, "--save-dir", tmp_path / "out")
        assert message.startswith(f"finetune_from_model = {path}: a pretraining is no finetuning")
        assert "--start-from" in message
        assert "--task scaling_translation" in message
    stock = tmp_path / "stock.pt"
    torch.save({**torch.load(pretrained, weights_only=True), "task_state": {}}, stock)
    for path, what in (
        (converted, "was converted: what its model was pretrained on, and how much, is unknown"),
        (finetuned, "is a checkpoint of a finetuning run (scaling_translation)"),
        (stock, "is no checkpoint of scaling_pretraining: what its model has seen is unknown"),
    ):
        for start in (["--restore-file", path], ["--continue-once", path], in_folder(path, tmp_path)):
            message = refusal(corpus, PRETRAINING, "--save-dir", tmp_path / "out", *start)
            assert f"{what}, so no pretraining can be resumed from it" in message
            assert "give it with --start-from" in message


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--reset-dataloader", True, "counted from zero again"),
        ("--reset-optimizer", True, "forgotten its gradients"),
        ("--reset-lr-scheduler", True, "begin again"),
        ("--optimizer-overrides", "{'lr': 1}", "other settings than its description says"),
    ],
)
def test_a_run_is_not_resumed_without_a_part_of_its_state(
    option: str, value: object, problem: str, corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    with pytest.raises(SettingError, match=rf"{name} = .*{problem}"):
        set_up(corpus, PRETRAINING, *in_folder(pretrained, tmp_path), option, value)


@pytest.mark.faults(
    "a checkpoint of another stage or origin, whose tokens would not be counted",
    lost="nothing; refused before training",
)
def test_a_finetuning_goes_on_from_a_finetuning_alone(
    corpus: Path, pretrained: Path, converted: Path, tmp_path: Path
) -> None:
    """fairseq's older way, --restore-file with --reset-optimizer, would call the run a baseline."""
    for path in (pretrained, converted):
        start = ["--restore-file", path, "--reset-optimizer", True, "--reset-dataloader", True]
        message = refusal(corpus, FINETUNING, "--save-dir", tmp_path, *start[:2])
        assert "so no finetuning can be resumed from it" in message
        assert "--finetune-from-model" in message
        assert "reset_dataloader = True" in refusal(corpus, FINETUNING, "--save-dir", tmp_path, *start)


def test_what_fits_is_not_refused(
    corpus: Path, pretrained: Path, finetuned: Path, converted: Path, tmp_path: Path
) -> None:
    set_up(corpus, PRETRAINING, *in_folder(pretrained, tmp_path))
    set_up(corpus, FINETUNING, *in_folder(finetuned, tmp_path))
    for path in (pretrained, converted):
        start = ["--finetune-from-model", path, "--save-dir", tmp_path / "out", "--dropout", 0.3]
        _, task, _ = set_up(corpus, FINETUNING, *start)
        assert task.describe_run().pretrain_tokens == (None if path == converted else 0)
