"""fairseq's commands on a toy corpus, run as a user runs them."""

from __future__ import annotations

import atexit
import copy
import functools
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_scaling.study.run.programs import SERVERS_VARIABLE, run_program

ROOT = Path(__file__).parents[2]

PRETRAINING = shlex.split("""
--task scaling_pretraining --arch t5_tiny --encoder-layers 1 --decoder-layers 1 --d-model 32 --d-ff 64 --dropout 0.1
--criterion t5_cross_entropy --optimizer t5_adafactor --lr 0.01 --lr-scheduler t5_inverse_sqrt --constant-updates 5
--mixture aa:0.5,bb:0.5 --budgets 3k,5k,8k --input-length 32 --batch-size 8 --seed 1 --num-workers 0
--log-format json --log-interval 1
""")
FINETUNING = shlex.split("""
--task scaling_translation -s aa -t bb --arch t5_tiny --encoder-layers 1 --decoder-layers 1 --d-model 32 --d-ff 64
--dropout 0.1 --criterion t5_cross_entropy --optimizer t5_adafactor --lr 0.01 --lr-scheduler fixed
--finetune-tokens 3k --max-tokens 400 --max-update 12 --seed 1 --num-workers 0 --log-format json --log-interval 1
--save-interval 1000 --validate-interval 1000 --no-epoch-checkpoints
""")


def fairseq(command: str, corpus: Path, *arguments: object, fails: bool = False, cwd: Path | None = None) -> str:
    """Run ``fairseq-<command> corpus --user-dir fairseq_scaling ...`` and return everything it printed.

    Trainings and translations are forked from one process that has imported fairseq, as those of a study are.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", SERVERS_VARIABLE: _servers()}
    with tempfile.TemporaryFile() as file:
        code = run_program(_line(command, corpus, *arguments), file, file, cwd or ROOT, environment)
        file.seek(0)
        printed = file.read().decode("utf-8", "replace")
    assert (code != 0) == fails, printed[-4000:]
    return printed


@functools.cache
def _servers() -> str:
    folder = tempfile.mkdtemp(prefix="fairseq-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def train_on_two_ranks(corpus: Path, *arguments: object) -> str:
    """Run ``fairseq-train`` in two processes that share every update (gloo), and return what the first one printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = ["--ddp-backend", "legacy_ddp", "--distributed-backend", "gloo", "--distributed-no-spawn",
                "--distributed-world-size", 2, "--distributed-init-method", f"tcp://127.0.0.1:{port}"]  # fmt: skip
    ranks = [
        subprocess.Popen(
            _line("train", corpus, *arguments, *together, "--distributed-rank", rank),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        printed = [process.communicate(timeout=300)[0] for process in ranks]
    finally:
        for process in ranks:
            process.kill()  # where one failed the other waits for it
    assert [process.returncode for process in ranks] == [0, 0], printed[0][-4000:] + printed[1][-4000:]
    return printed[0]


def _line(command: str, corpus: Path, *arguments: object) -> list[str]:
    program = str(Path(sys.executable).parent / f"fairseq-{command}")
    return [program, str(corpus), "--user-dir", str(ROOT / "fairseq_scaling"), *map(str, arguments)]


def assert_equal_but_for_rounding(one: Path, other: Path, logs: Sequence[str]) -> None:
    """Raise unless two runs agree in the tokens and losses of every update, in scores and weights, to 1e-5 and better.

    Sums in another order err by 2^-24 = 6e-8 for each term: with some dozen terms in a sum, a few updates give less.
    Losses are compared as ``cross_entropy``, which stands in the log unrounded; ``loss`` has three decimals.

    Args:
        one: the last checkpoint of the one run.
        other: of the other.
        logs: what the two printed.
    """
    for tag, exact in (("train_inner", "num_updates wpb bsz pretrain_tokens"), ("SCALING_SCORES", "subset updates")):
        records_of = [records(log, tag) for log in logs]
        assert len(records_of[0]) == len(records_of[1]) > 0
        for first, second in zip(*records_of, strict=True):
            assert [first.get(name) for name in exact.split()] == [second.get(name) for name in exact.split()]
            assert first["cross_entropy"] == pytest.approx(second["cross_entropy"], rel=1e-6)
    weights = [torch.load(path, weights_only=True)["model"] for path in (one, other)]
    for name, weight in weights[0].items():
        assert (weight - weights[1][name]).abs().max() <= 1e-5 * weight.abs().max(), name


def records(log: str, tag: str) -> list[dict[str, Any]]:
    """Return the JSON records of a log whose tag (``train_inner``, ``valid``, ``SCALING_RUN``) is this."""
    found = []
    for line in log.splitlines():
        before, _, payload = line.partition(" {")
        if payload and before.endswith((f"| {tag} |", f" {tag}", f":{tag}")):
            found.append(json.loads("{" + payload))
    return found


def set_up(corpus: Path, task_arguments: Sequence[str], *arguments: object) -> tuple[Any, Any, Any]:
    """Do in this process what ``fairseq-train`` does before it loads anything; return settings, task and model.

    Args:
        corpus: the corpus folder.
        task_arguments: PRETRAINING or FINETUNING; parsed once, for that takes fairseq half a second.
        arguments: further options of model and checkpoints, each with its value (True for a switch).
    """
    from fairseq import tasks

    cfg = copy.deepcopy(_settings(tuple(task_arguments)))
    cfg.task.data = str(corpus)
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        name = str(option).removeprefix("--").replace("-", "_")
        if name == "arch":
            cfg.model._name = value
        for section in (cfg.checkpoint, cfg.model, cfg.task):  # the task has copies of what it needs
            if name in section:
                section[name] = str(value) if isinstance(value, Path) else value
    task = tasks.setup_task(cfg.task)
    return cfg, task, task.build_model(cfg.model)


@functools.cache
def _settings(arguments: tuple[str, ...]) -> Any:
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    import fairseq_scaling.models.criterion
    import fairseq_scaling.models.t5
    import fairseq_scaling.tasks.scaling_pretraining
    import fairseq_scaling.tasks.scaling_translation  # noqa: F401  --user-dir does this in fairseq's own commands

    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, ["corpus", *arguments]))


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def same(one: object, other: object) -> bool:
    """Whether two states of a run are equal bit for bit."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def assert_same_run(one: Path, other: Path) -> None:
    states = [load(path) for path in (one, other)]
    for part in ("model", "last_optimizer_state", "task_state"):
        assert same(states[0][part], states[1][part]), part
    # But for the best validation loss, which fairseq notes after it has saved and which no schedule here reads.
    last = [{**state["optimizer_history"][-1], "lr_scheduler_state": {}} for state in states]
    assert last[0] == last[1]
