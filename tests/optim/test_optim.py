"""Adafactor against its paper's formula and PyTorch's; the schedule against its formula."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fairseq import optim as fairseq_optim
from fairseq.optim import lr_scheduler as fairseq_schedules
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_scaling.errors import SettingError
from fairseq_scaling.optim import T5Adafactor, T5InverseSquareRootSchedule, adafactor
from fairseq_scaling.optim.adafactor import Adafactor, T5AdafactorConfig
from fairseq_scaling.optim.schedule import T5InverseSquareRootConfig


def formula(weights: np.ndarray, gradients: list[np.ndarray], rates: list[float]) -> np.ndarray:
    """Algorithms 4 and 5 of Shazeer and Stern (2018) with sums instead of means, in float64.

    Matrices are factored, vectors are not; the step size of update t is ``rates[t] * max(1e-3, RMS(weights))``.
    """
    x = weights.astype(np.float64)
    rows = columns = entries = 0.0
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        squared = gradient.astype(np.float64) ** 2 + 1e-30
        beta = 1 - t**-0.8
        if x.ndim == 2:
            rows = beta * rows + (1 - beta) * squared.sum(1)
            columns = beta * columns + (1 - beta) * squared.sum(0)
            second = np.outer(rows, columns) / rows.sum()
        else:
            second = entries = beta * entries + (1 - beta) * squared
        update = gradient / np.sqrt(second)
        update /= max(1.0, np.sqrt((update**2).mean()))
        x = x - rate * max(1e-3, np.sqrt((x**2).mean())) * update
    return x


def draw(shape: tuple[int, ...], updates: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return weights and gradients whose rows and columns differ in scale by orders of magnitude."""
    generator = torch.Generator().manual_seed(len(shape) + updates)
    scale = torch.ones(shape)
    for axis, size in enumerate(shape):
        powers = torch.linspace(-2, 1, size).view([-1 if a == axis else 1 for a in range(len(shape))])
        scale = scale * 10**powers
    gradients = [torch.randn(shape, generator=generator) * scale for _ in range(updates)]
    return torch.randn(shape, generator=generator) * 0.3, gradients


@pytest.mark.parametrize("shape", [(9, 14), (20, 3), (11,), (1,)])
def test_adafactor_follows_the_paper(shape: tuple[int, ...]) -> None:
    weights, gradients = draw(shape, 12)
    rates = [0.3 / (1 + t) for t in range(12)]  # beyond 1/sqrt(t) nowhere, changing everywhere
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = Adafactor([parameter], lr=0.0, factored_size=1)
    for gradient, rate in zip(gradients, rates, strict=True):
        parameter.grad = gradient.clone()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    expected = formula(weights.numpy(), [g.numpy() for g in gradients], rates)
    # 12 updates in float32, each of about ten operations that err by 2^-24: 120 * 2^-24 = 7e-6 of a step of up to 0.3.
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adafactor_equals_that_of_torch(weight_decay: float) -> None:
    pairs = []
    for shape in ((9, 14), (30, 7), (5,)):
        weights, gradients = draw(shape, 20)
        pairs.append((torch.nn.Parameter(weights.clone()), torch.nn.Parameter(weights.clone()), gradients))
    ours = Adafactor([pair[0] for pair in pairs], lr=0.05, factored_size=1, weight_decay=weight_decay)
    theirs = torch.optim.Adafactor([pair[1] for pair in pairs], lr=0.05, weight_decay=weight_decay)
    for update in range(20):
        for mine, other, gradients in pairs:
            mine.grad, other.grad = gradients[update].clone(), gradients[update].clone()
        ours.step(), theirs.step()
    for mine, other, _ in pairs:
        # 20 updates, each of about ten operations that err by 2^-24: 200 * 2^-24 = 1.2e-5 of a step of at most 0.05.
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_equal_parameters_take_equal_steps() -> None:
    # fairseq's own Adafactor with an external rate moves them by 5e-4, 2.5e-5 and 1.3e-6 (its adafactor.py:224)
    parameters = [torch.nn.Parameter(torch.full((4, 4), 0.5)) for _ in range(3)]
    for parameter in parameters:
        parameter.grad = torch.ones(4, 4)
    Adafactor(parameters, lr=1e-3).step()
    for parameter in parameters:
        torch.testing.assert_close(parameter.detach(), torch.full((4, 4), 0.5 - 1e-3 * 0.5))


def test_small_matrices_keep_a_second_moment_per_entry() -> None:
    large, small = torch.nn.Parameter(torch.ones(128, 200)), torch.nn.Parameter(torch.ones(32, 8))
    large.grad, small.grad = torch.ones(128, 200), torch.ones(32, 8)
    optimizer = Adafactor([large, small], lr=1e-3)
    optimizer.step()
    assert {name: tuple(v.shape) for name, v in optimizer.state[large].items() if name != "step"} == {
        "rows": (128,),
        "columns": (200,),
    }
    assert optimizer.state[small]["entries"].shape == (32, 8)


def test_rows_without_a_gradient_stay_where_they_are() -> None:
    weights, gradients = draw((140, 130), 5)
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = Adafactor([parameter], lr=0.1)
    for gradient in gradients:
        gradient[3] = 0.0
        parameter.grad = gradient
        optimizer.step()
    assert torch.equal(parameter[3], weights[3])
    assert torch.isfinite(parameter).all()


def test_state_survives_a_checkpoint(tmp_path: Path) -> None:
    cfg = OmegaConf.structured(T5AdafactorConfig(lr=[0.1], adafactor_factored_size=4))
    cfg._name = "t5_adafactor"
    weights, gradients = draw((6, 5), 6)

    def build(start: torch.Tensor) -> tuple[torch.nn.Parameter, Any]:
        parameter = torch.nn.Parameter(start.clone())
        return parameter, fairseq_optim.build_optimizer(cfg, [parameter])

    whole, optimizer = build(weights)
    assert isinstance(optimizer, T5Adafactor)
    for update, gradient in enumerate(gradients):
        if update == 3:
            torch.save({"weights": whole.detach(), "state": optimizer.state_dict()}, tmp_path / "optimizer.pt")
        whole.grad = gradient.clone()
        optimizer.step()
    saved = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    resumed, optimizer = build(saved["weights"])
    optimizer.load_state_dict(saved["state"], optimizer.optimizer_config)
    for gradient in gradients[3:]:
        resumed.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(resumed, whole)


def drawn_model(device: str = "cpu", layers: int = 1) -> list[torch.nn.Parameter]:
    """Return parameters of several shapes with gradients, ``layers`` times: 4 factored matrices, 2 others."""
    parameters = []
    for number, shape in enumerate([(9, 14), (14, 9), (30, 7), (8, 8), (3, 5), (11,)] * layers):
        parameter = torch.nn.Parameter(draw(shape, number)[0].to(device))
        parameter.grad = draw(shape, number + 1)[0].to(device)
        parameters.append(parameter)
    return parameters


def test_many_parameters_stepped_at_once_are_those_stepped_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a bit differs."""
    results = []
    for entries in (1, 10_000):
        monkeypatch.setattr(adafactor, "_TOGETHER", {"cpu": entries})
        parameters = drawn_model()
        optimizer = Adafactor(parameters, lr=0.3, factored_size=7, weight_decay=0.01)
        optimizer.step()
        parameters[2].grad = None  # it makes one update less than the others
        optimizer.step()
        for number, parameter in enumerate(parameters):
            parameter.grad = draw(tuple(parameter.shape), number + 7)[0]
        optimizer.step()
        assert [optimizer.state[parameter]["step"] for parameter in parameters] == [3, 3, 2, 3, 3, 3]
        state = [optimizer.state[p][name] for p in parameters for name in sorted(optimizer.state[p]) if name != "step"]
        results.append([*parameters, *state])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_as_many_parameters_are_stepped_at_once_as_have_so_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adafactor, "_TOGETHER", {"cpu": 9, "elsewhere": 10})
    for device, sizes in (("meta", [[4, 6], [3], [50], [7, 3]]), ("cpu", [[4], [6, 3], [50], [7], [3]])):
        parameters = [torch.empty(size, device=device) for size in (4, 6, 3, 50, 7, 3)]
        portions = list(adafactor._portions(parameters))
        assert [[tensor.numel() for tensor in portion] for portion in portions] == sizes
        stepped = [tensor for portion in portions for tensor in portion]
        assert all(one is other for one, other in zip(stepped, parameters, strict=True))


class Operations(TorchDispatchMode):
    """Counts the operations that PyTorch is asked for; one on a whole list counts once."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_on_a_gpu_a_step_asks_for_few_operations_for_each_parameter() -> None:
    counts = []
    for layers in (1, 11):
        parameters = drawn_model("meta", layers)
        optimizer = Adafactor(parameters, lr=0.3, factored_size=7)
        optimizer.step()  # makes the state
        with Operations() as operations:
            optimizer.step()
        counts.append(operations.count)
    # 4 factored matrices and 2 others; one after the other they took 24 operations each, and 14.
    assert counts[1] - counts[0] <= 10 * (4 * 8 + 2 * 2)


def make_schedule(**settings: Any) -> tuple[T5InverseSquareRootSchedule, SimpleNamespace]:
    optimizer = SimpleNamespace(rate=None)
    optimizer.set_lr = lambda rate: setattr(optimizer, "rate", rate)
    optimizer.get_lr = lambda: optimizer.rate
    cfg = OmegaConf.structured(T5InverseSquareRootConfig(**settings))
    cfg._name = "t5_inverse_sqrt"
    wanted = fairseq_schedules.LR_SCHEDULER_REGISTRY["t5_inverse_sqrt"]
    # fairseq accepts only its own optimizers
    real = T5Adafactor(OmegaConf.structured(T5AdafactorConfig(lr=[1.0])), [torch.nn.Parameter(torch.ones(1))])
    schedule = wanted(cfg, real)
    return schedule, SimpleNamespace(get_lr=real.get_lr)


def test_schedule_is_that_of_t5() -> None:
    schedule, optimizer = make_schedule(lr=[1.0])
    assert optimizer.get_lr() == 0.01, "before the first update"
    expected = {0: 0.01, 1: 0.01, 10_000: 0.01, 40_000: 0.005, 1_000_000: 0.001}
    for updates, rate in expected.items():
        assert schedule.step_update(updates) == pytest.approx(rate, rel=1e-12)
        assert optimizer.get_lr() == pytest.approx(rate, rel=1e-12)
    assert schedule.step(epoch=3) == optimizer.get_lr(), "the end of an epoch changes nothing"


def test_warm_up_grows_linearly_into_the_schedule() -> None:
    schedule, _ = make_schedule(lr=[2.0], constant_updates=100, warmup_updates=4)
    rates = [schedule.step_update(updates) for updates in (0, 1, 2, 3, 4, 400)]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.1], rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lr": [1.0, 2.0]}, "--lr"),
        ({"lr": [1.0], "constant_updates": 0}, "--constant-updates"),
        ({"lr": [1.0], "warmup_updates": -1}, "--warmup-updates"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        make_schedule(**settings)


def test_impossible_optimizer_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="--adafactor-clip"):
        Adafactor([torch.nn.Parameter(torch.ones(1))], lr=0.1, clip=0.0)


def test_settings_are_flags_of_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    T5Adafactor.add_args(parser)
    T5InverseSquareRootSchedule.add_args(parser)
    parsed = parser.parse_args(["--adafactor-decay", "0.7", "--constant-updates", "500"])
    assert (parsed.adafactor_decay, parsed.constant_updates, parsed.warmup_updates) == (0.7, 500, 0)
