"""The table of metrics: what each row promises, how names are found, and that a new metric is one new row."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fairseq_scaling import laws, metrics
from fairseq_scaling.cli.fit_scaling import main
from fairseq_scaling.metrics import METRICS, Metric, describe, find, has_direction, metric_name, order, split_name


@pytest.mark.parametrize(
    ("name", "lower", "upper", "lower_is_better", "is_loss"),
    [
        ("bleu", 0, 100, False, False), ("chrf", 0, 100, False, False), ("rouge_l", 0, 100, False, False),
        ("ter", 0, math.inf, True, False), ("wer", 0, math.inf, True, False),
        ("comet", -math.inf, math.inf, False, False),
        ("cross_entropy", 0, math.inf, True, True), ("perplexity", 1, math.inf, True, True),
        ("loss", 0, math.inf, True, True), ("error", 0, math.inf, True, True), ("accuracy", 0, 1, False, False),
    ],
)  # fmt: skip
def test_every_metric_has_its_range_and_direction(name, lower, upper, lower_is_better, is_loss):
    row = METRICS[name]
    assert (row.lower, row.upper, row.lower_is_better, row.is_loss) == (lower, upper, lower_is_better, is_loss)


def test_scores_have_absolute_noise_and_losses_relative_noise():
    assert all(row.noise_is_relative == row.is_loss for row in METRICS.values())
    assert METRICS["bleu"].noise_at(5) == METRICS["bleu"].noise_at(50) == 0.5
    assert METRICS["cross_entropy"].noise_at(4) == 2 * METRICS["cross_entropy"].noise_at(2)


def test_no_name_title_or_alias_belongs_to_two_metrics():
    for row in METRICS.values():
        for name in (row.name, row.title, *row.aliases):
            assert find(name) is row


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("BLEU", "bleu"), ("sacreBLEU", "bleu"), ("rougeL", "rouge_l"), ("ROUGE-L", "rouge_l"), ("ce", "cross_entropy"),
        ("cross-entropy", "cross_entropy"), ("ppl", "perplexity"), ("acc", "accuracy"), ("chrF++", "chrf_pp"),
        ("Error rate", "error"), (" speed ", "speed"),
    ],
)  # fmt: skip
def test_a_metric_is_stored_under_one_name(written, name):
    assert metric_name(written) == name


@pytest.mark.parametrize(
    ("written", "name", "rest"),
    [
        ("newstest2014_bleu", "bleu", "newstest2014"), ("eval/loss", "loss", "eval"),
        ("acc_norm,none", "accuracy_norm", "none"),
        ("hellaswag acc", "accuracy", "hellaswag"), ("acc", "accuracy", ""), ("BLEU en-fr", "bleu", "en_fr"),
        ("valid_nll_loss", "loss", "valid"), ("val/ppl", "perplexity", "val"),
    ],
)  # fmt: skip
def test_a_longer_name_is_a_metric_on_a_test_set(written, name, rest):
    found = split_name(written)
    assert found is not None
    assert (found[0].name, found[1]) == (name, rest)


@pytest.mark.parametrize("written", ["step", "tokens", "bleuish", "glossary", ""])
def test_other_names_are_no_metric(written):
    assert split_name(written) is None


def test_a_longer_name_has_the_kind_of_its_metric():
    row = describe("valid_loss")
    assert (row.title, row.is_loss, row.lower_is_better, row.lower) == ("valid_loss", True, True, 0.0)
    assert has_direction("valid_loss")
    assert not has_direction("speed")


def test_a_metric_without_a_row_has_no_bounds_and_the_given_direction():
    row = describe("speed", True)
    assert (row.lower_is_better, row.lower, row.upper, row.is_loss) == (True, -math.inf, math.inf, False)
    assert row.noise_at(-200.0) == 2.0


def test_a_metric_is_known_at_another_scale():
    percent = describe("accuracy", scale=100)
    assert (percent.upper, percent.noise, percent.decimals, percent.unit) == (100.0, 1.0, 2, "0-100")
    share = describe("bleu", scale=1)
    assert (share.upper, share.noise, share.decimals, share.unit) == (1.0, 0.005, 4, "0-1")
    assert describe("cross_entropy", scale=100) is METRICS["cross_entropy"]


def test_the_scale_of_a_curve_is_that_of_its_metric_and_never_of_its_values():
    small = laws.Curve("c", "bleu", [1e6, 2e6, 3e6, 4e6, 5e6, 6e6], [0.31, 0.52, 0.45, 0.8, 0.95, 1.32])
    assert small.about.noise_at(0.5) == METRICS["bleu"].noise
    percent = laws.Curve("c", "accuracy", [1e6], [45.0], attributes={"scale": 100})
    assert (percent.ceiling, percent.about.noise_at(45.0)) == (100.0, 1.0)


def test_a_new_metric_is_one_new_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    row = Metric("gleu", "GLEU", "0-9", True, 0.0, 9.0, 0.25, False, 1, ("google_bleu",), 9.0)
    monkeypatch.setitem(metrics.METRICS, "gleu", row)
    curve = laws.Curve("c", "gleu", np.geomspace(1e6, 3e7, 6), [8.0, 7, 6, 5, 4, 3])
    assert curve.lower_is_better
    assert curve.ceiling == 9.0
    assert laws.forecast(curve)[0].margin == 2 * 0.25
    assert laws.default_law(curve).name == "log_law"
    assert order("bleu") < order("gleu") < order("no row")
    table = tmp_path / "scores.csv"
    rows = [f"c,google_bleu,{10**6 * 2**i},{8 - i}" for i in range(6)]
    table.write_text("\n".join(["curve,metric,pretrain_tokens,value", *rows]))
    out = tmp_path / "out"
    result = CliRunner().invoke(main, [str(table), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "GLEU" in (out / "report.html").read_text(encoding="utf-8")
    assert "gleu,1000000,8" in (out / "points.csv").read_text().replace("1000000.0", "1000000")
