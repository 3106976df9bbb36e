"""Laws of two inputs: D_p with D_f, and D_p with the size of the model, are found where there are three sizes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.fit_scaling import main
from fairseq_scaling.logs import RunRecord
from fairseq_scaling.quantities import FINETUNE_TOKENS, PARAMETERS
from fairseq_scaling.report.render.tables import all_tables
from tests.benchmarks.laws.curves import load_chinchilla
from tests.report.example import SIZES, report_of, run

ALPHA, BETA, E = 0.15, 0.25, 1.2
FINETUNED = (200_000, 800_000, 3_200_000)


def loss(tokens: float, finetuned: float) -> float:
    return E + 60.0 / (tokens**ALPHA * finetuned**BETA)


def runs(*sizes: int) -> list[RunRecord]:
    return [run(tokens, None, loss(tokens, size), finetune_tokens=size) for size in sizes for tokens in SIZES]


def test_the_law_over_both_is_that_of_the_points() -> None:
    (joint,) = report_of(runs(*FINETUNED)).joint
    assert (joint.law, joint.second, joint.sizes) == ("joint", FINETUNE_TOKENS, FINETUNED)
    assert joint.size_exponent is None
    # the points are exact, so only the solver's tolerance is left
    assert joint.coefficients["alpha"].value == pytest.approx(ALPHA, rel=1e-3)
    assert joint.coefficients["beta"].value == pytest.approx(BETA, rel=1e-3)
    assert joint.coefficients["E"].value == pytest.approx(E, rel=1e-3)
    largest = SIZES[-1], FINETUNED[-1]
    for name, factors in {"pretrain_tokens": (2, 1), "finetune_tokens": (1, 2), "both": (2, 2)}.items():
        gain = loss(*largest) - loss(*(size * factor for size, factor in zip(largest, factors, strict=True)))
        assert joint.doubled[name].value == pytest.approx(gain, rel=0.01)
    assert math.isclose(joint.residual, 0, abs_tol=1e-4)


def test_two_finetuning_sizes_are_too_few_for_it() -> None:
    report = report_of(runs(*FINETUNED[:2]))
    assert report.joint == ()
    assert "joint" not in all_tables(report)


def test_the_page_has_a_table_of_it() -> None:
    (row,) = all_tables(report_of(runs(*FINETUNED)))["joint"].rows
    assert row[:4] == ["50 en + 50 fr, en-fr", "cross-entropy", "D_f", "200k, 800k, 3.2M"]


def test_three_model_sizes_give_the_law_of_size_and_data() -> None:
    sizes = (1_000_000, 4_000_000, 16_000_000)

    def of(tokens: float, parameters: float) -> float:
        return E + 40.0 / parameters**0.3 + 60.0 / tokens**0.35

    runs = [run(tokens, None, of(tokens, size), parameters=size) for size in sizes for tokens in SIZES]
    report = report_of(runs)
    (joint,) = report.joint
    assert (joint.law, joint.second, joint.sizes) == ("L_ND", PARAMETERS, sizes)
    for name, true in {"E": E, "alpha": 0.3, "beta": 0.35}.items():
        assert joint.coefficients[name].value == pytest.approx(true, rel=1e-2)
    assert joint.size_exponent is not None
    assert joint.size_exponent.value == pytest.approx(0.35 / 0.65, rel=1e-2)
    gain = of(SIZES[-1], sizes[-1]) - of(SIZES[-1], 2 * sizes[-1])
    assert joint.doubled["parameters"].value == pytest.approx(gain, rel=0.05)
    (row,) = all_tables(report)["joint"].rows
    assert row[:4] == ["50 en + 50 fr, en-fr", "cross-entropy", "N", "1M, 4M, 16M"]
    assert report_of([one for one in runs if one.parameters != sizes[0]]).joint == ()


def test_chinchilla_from_a_table_as_a_user_has_it(tmp_path: Path) -> None:
    """Besiroglu et al. (2024): E 1.8172, alpha 0.3478, beta 0.3658, so that the best size grows as C^0.51."""
    size, tokens, loss = load_chinchilla(Path(__file__).parents[1] / "laws" / "data" / "chinchilla.csv")
    rows = "".join(f"{n:.0f},{d:.0f},{value:.6f}\n" for n, d, value in zip(size, tokens, loss, strict=True))
    table = tmp_path / "chinchilla.csv"
    table.write_text(f"parameters,tokens,loss\n{rows}", encoding="utf-8")
    done = CliRunner().invoke(main, [str(table), "--out", str(tmp_path), "--no-report", "--law", "power_law"])
    assert done.exit_code == 0, done.output
    (joint,) = json.loads((tmp_path / "fits.json").read_text("utf-8"))["joint"]
    assert joint["law"] == "L_ND"
    for name, published in {"E": 1.8172, "alpha": 0.3478, "beta": 0.3658}.items():
        assert joint["coefficients"][name]["value"] == pytest.approx(published, rel=0.04)
    assert joint["size_exponent"]["value"] == pytest.approx(0.5126, abs=0.02)
    assert "the best size grows as C^0.51" in " ".join(done.output.split())
