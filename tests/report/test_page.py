"""The page, the tables and the figures made of run records: everything a reader is promised is there."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from fairseq_scaling.laws import Action, Estimate, VerdictKind
from fairseq_scaling.laws.numerics import predicting
from fairseq_scaling.logs import RunRecord, Score
from fairseq_scaling.metrics import METRICS
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.analysis import analyse
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.points.tables import read_table
from fairseq_scaling.report.render.figures import Drawing, draw_all
from fairseq_scaling.report.render.files import write_data
from fairseq_scaling.report.render.limits import limits
from fairseq_scaling.report.render.mixture_tables import alignment_table
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.render.run_tables import precisions_table
from fairseq_scaling.report.render.tables import all_tables, outcome_table
from fairseq_scaling.report.render.wording import change, headline, labels, next_sentence
from fairseq_scaling.report.results import Report
from tests.report.example import BLEU_SIGNATURE, SIZES, curve_of, log_law, loss_law, report_of, run, study
from tests.report.pages import parsed

HOSTILE_FILE = 'logs/"><img src=x onerror=alert(1)>/train.log'
BALANCED, ENGLISH = "en:0.5,fr:0.5", "en:1"


@pytest.fixture(scope="module")
def report() -> Report:
    parent = RunRecord(
        "pretraining", "p1", SIZES[-1], mixture=Mixture.parse("en"), extra={"upstream_curve": [(SIZES[0], "en", 4.0)]}
    )
    forgetful = run(
        SIZES[0], None, None, mixture="en", seed=3, extra={"run": {"pretrain_run_id": "p1"}},
        cross_entropies={"upstream_en": 4.5},
    )  # fmt: skip
    unknown = run(None, 3.0, None, file=HOSTILE_FILE)
    return report_of([*study(), parent, forgetful, unknown], targets=(("bleu", 30.0),))


@pytest.fixture(scope="module")
def drawings(report: Report) -> list[Drawing]:
    return draw_all(report)


@pytest.fixture(scope="module")
def page(report: Report, drawings: list[Drawing]) -> str:
    return render_page(report, drawings)


def text_of_limits(report: Report) -> str:
    return " ".join(limits(report))


def test_every_element_is_closed(page: str) -> None:
    assert parsed(page).open == []


def test_the_forecast_comes_first_and_problems_last(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == [
        "forecast", "mixtures", "wanted", "values", "alignment", "laws", "precisions", "forgetting", "limits",
        "left-out", "made",
    ]  # fmt: skip


def test_file_names_from_logs_are_text(page: str) -> None:
    elements = parsed(page)
    assert HOSTILE_FILE in elements.text
    assert "img" not in elements.names
    assert not [name for name, _ in elements.attributes if name.startswith("on")]


def test_each_mixture_has_a_card_with_its_advice_the_best_aligned_first(report: Report, page: str) -> None:
    assert curve_of(report, BALANCED).kind is VerdictKind.FOLLOWS
    falling = curve_of(report, ENGLISH)
    assert falling.kind is VerdictKind.INVERSE
    assert falling.advice is not None
    assert falling.advice.action is Action.CHANGE_DATA
    cards = page[page.index('class="cards"') :]
    assert cards.index("50 en + 50 fr") < cards.index("en only")
    assert "change the data" in cards


def test_a_card_names_the_means_of_the_first_and_the_last_size(page: str) -> None:
    assert f"{log_law(SIZES[0]):.2f} at 250k, {log_law(SIZES[-1]):.2f} at 8M" in parsed(page).text


def test_gains_say_which_question_they_answer(page: str) -> None:
    text = parsed(page).text
    assert re.search(r"With twice as many pretraining tokens BLEU is forecast to be .*? \(this run, continued\)", text)
    assert "(this mixture, run again)" in text


def test_over_another_quantity_no_word_speaks_of_pretraining_tokens(tmp_path: Path) -> None:
    rows = [f"transformer,{10e6 * 2**step:.0f},{1.7 + 140 / (10e6 * 2**step) ** 0.3}" for step in range(7)]
    (tmp_path / "sizes.csv").write_text("\n".join(["model,parameters,loss", *rows]))
    report = analyse(collect(read_table(tmp_path / "sizes.csv").points).curves)
    text = parsed(render_page(report, draw_all(report))).text
    assert "More parameters help: twice as many parameters (1.28B) improve loss by at least" in text
    assert "more parameters" in text
    for word in ("pretraining tokens", "Continue pretraining", "add data", "D_p"):
        assert word not in text, word


def test_gains_where_lower_is_better_are_worded_as_better_or_worse() -> None:
    runs = [with_ter(size, log_law(size), 95.0 - step) for step, size in enumerate(SIZES)]
    only_ter = [RunRecord(**{**vars(one), "scores": {"ter": one.scores["ter"]}}) for one in runs]
    text = parsed(render_page(report_of(only_ter), [])).text
    assert re.search(r"TER is forecast to be [\d.]+ better \(95% interval: .* better\)", text)


@pytest.mark.parametrize("metric", ["bleu", "ter"])
@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((1.5, -0.14, 4.06), "1.50 better (0.14 worse to 4.06 better)"),
        ((-2.6, -12.47, 6.96), "2.60 worse (12.47 worse to 6.96 better)"),
        ((1.7, 0.46, 2.74), "1.70 better (0.46 to 2.74 better)"),
        ((-1.7, -2.74, -0.46), "1.70 worse (0.46 to 2.74 worse)"),
        ((0.001, -0.2, 0.3), "unchanged (0.20 worse to 0.30 better)"),
        ((0.5, 0.001, 1.0), "0.50 better (unchanged to 1.00 better)"),
        ((0.5, math.nan, math.nan), "0.50 better"),
    ],
)
def test_a_gain_and_its_interval_say_better_or_worse_with_each_number(
    gain: tuple[float, float, float], said: str, metric: str
) -> None:
    assert change(Estimate(*gain), METRICS[metric]) == said


def test_the_card_says_where_the_gain_comes_from_that_counts(report: Report, page: str) -> None:
    forecast = curve_of(report, BALANCED).forecast
    assert forecast is not None
    least = f"{forecast.worthwhile:.2f}"
    assert f"by at least {least}" in page
    assert f"{least} BLEU is taken as the smallest gain worth the cost: 1 % of the score" in page
    given = report_of([run(size, log_law(size), None) for size in SIZES], worthwhile=0.3)
    assert "0.30 BLEU is the smallest gain worth the cost, as --worthwhile says." in render_page(given, [])
    assert "1 % of the score" not in render_page(given, [])


def test_single_laws_predict_beyond_the_points_what_the_true_law_says(report: Report) -> None:
    for metric, name, truth in (("bleu", "log_law", log_law), ("cross_entropy", "cross_entropy_law", loss_law)):
        law = next(law for law in curve_of(report, BALANCED, metric).laws if law.name == name)
        assert law.ahead.pretrain_tokens[0] == 2 * SIZES[-1]
        assert law.ahead.value[0] == pytest.approx(truth(2 * SIZES[-1]), rel=0.02)
        assert law.ahead.lower[0] < law.ahead.value[0] < law.ahead.upper[0]


def test_alignment_is_beside_what_pretraining_brought(report: Report) -> None:
    table = alignment_table(report)
    assert [row[:2] for row in table.rows] == [["50 en + 50 fr", "1"], ["en only", "0.7"]]
    row = dict(zip([column.title for column in table.columns], table.rows[0], strict=True))
    assert row["Baseline"] == "2.10"
    assert row["Difference"] == f"{log_law(SIZES[-1]) - 2.1:+.2f}"
    gain = log_law(SIZES[-1]) - log_law(SIZES[0])
    assert float(row["Gain over the range"]) == pytest.approx(gain, rel=0.05)  # the scatter of the seeds is 1 % of it


def test_brevity_penalty_and_precisions_are_shown_for_baseline_and_points(report: Report) -> None:
    rows = precisions_table(report).rows
    assert rows[0] == ["50 en + 50 fr", "no pretraining", "2.10", "0.990", "40.0", "20.0", "10.0", "5.0"]
    assert len(rows) == 2 * (1 + len(SIZES))


def test_forgetting_shows_before_and_after(report: Report) -> None:
    assert all_tables(report)["forgetting"].rows[0][-3:] == ["4.000", "4.500", "+0.500"]


def test_forgetting_of_two_models_is_not_averaged() -> None:
    losses = {1000: 4.0, 2000: 5.0}
    runs = [
        run(500_000, 1.0, None, parameters=size, cross_entropies={"upstream_en": loss}) for size, loss in losses.items()
    ]
    table = all_tables(report_of(runs))["forgetting"]
    assert [row[-1] for row in table.rows] == ["4.000", "5.000"]
    assert [row[1] for row in table.rows] == ["t5_tiny, 1,000 parameters", "t5_tiny, 2,000 parameters"]


def test_the_page_says_how_it_was_made(report: Report, page: str) -> None:
    text = parsed(page).text
    assert report.signature in text
    assert BLEU_SIGNATURE in text
    for law in report.curves[0].laws:
        assert law.formula in text
        assert law.source in text


def test_the_limits_are_those_of_the_data(report: Report) -> None:
    text = text_of_limits(report)
    assert "one model, t5_tiny (2.1M parameters)" in text
    assert "one finetuning size, 200k tokens" in text
    assert "a factor of 32 (250k to 8M)" in text
    assert "one measurement" not in text
    lonely = text_of_limits(report_of([run(tokens, log_law(tokens), None) for tokens in SIZES]))
    assert "Each point of 1 of 1 curves is one measurement" in lonely
    assert "1 of 1 curves have no baseline" in lonely
    assert "one metric, BLEU" in lonely


def test_figures_say_in_words_what_they_show(drawings: list[Drawing], page: str) -> None:
    assert [drawing.name for drawing in drawings] == ["scaling-en-fr-t5-tiny", "metrics-en-fr-t5-tiny"]
    assert "no pretraining" in drawings[0].svg
    for drawing in drawings:
        assert drawing.pdf.startswith(b"%PDF")
    assert page.count('role="img"') == 2
    assert re.search(r'aria-label="BLEU: en-fr, t5_tiny\. BLEU of [^"]*follows the law', page)


def test_inline_figures_follow_light_and_dark(page: str) -> None:
    figure = page[page.index("<svg") : page.index("</svg>")]
    assert "var(--s1)" in figure
    assert "var(--ink)" in figure
    assert not re.search(r"#[0-9a-f]{6}", figure)


def test_ids_of_inline_figures_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    referenced = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert set(referenced) <= set(ids)


def test_equal_reports_give_equal_figures(report: Report, drawings: list[Drawing]) -> None:
    assert draw_all(report) == drawings


def test_finetuning_sizes_are_side_by_side() -> None:
    runs = [run(tokens, log_law(tokens), loss_law(tokens)) for tokens in SIZES]
    runs += [run(tokens, 1.5 * log_law(tokens), loss_law(tokens) - 0.2, finetune_tokens=2_000_000) for tokens in SIZES]
    both = report_of(runs)
    (scaling, _) = draw_all(both)
    assert "finetuned on 200k tokens" in scaling.svg
    assert "finetuned on 2M tokens" in scaling.svg
    assert [outcome_table(both, task).title for task in both.tasks] == [
        "en-fr, finetuned on 200k tokens, t5_tiny",
        "en-fr, finetuned on 2M tokens, t5_tiny",
    ]
    assert len(both.sections) == 1
    assert sorted(labels(both).values()) == ["50 en + 50 fr, D_f 200k", "50 en + 50 fr, D_f 2M"]


@pytest.mark.parametrize("from_table", [False, True], ids=["runs", "their points.csv"])
def test_model_sizes_have_tables_and_figures_of_their_own(tmp_path: Path, from_table: bool) -> None:
    runs = [run(tokens, log_law(tokens), None, parameters=2_000_000) for tokens in SIZES]
    runs += [run(tokens, 1.5 * log_law(tokens), None, parameters=9_000_000) for tokens in SIZES]
    both = report_of(runs)
    if from_table:
        both = analyse(collect(read_table(write_data(both, tmp_path)[0]).points).curves)
    assert [outcome_table(both, task).title for task in both.tasks] == [
        f"en-fr, finetuned on 200k tokens, t5_tiny, {size}M parameters" for size in (2, 9)
    ]
    assert [one.title for one in draw_all(both)] == [f"BLEU: en-fr, t5_tiny, {size}M parameters" for size in (2, 9)]
    assert list(labels(both).values()) == [f"50 en + 50 fr, {size}M parameters" for size in (2, 9)]


def test_consumed_tokens_are_shown_as_their_budget_and_written_exactly(tmp_path: Path) -> None:
    sizes = (299_934, 599_995, 1_249_935, 2_499_985)
    runs = [
        run(tokens - seed, log_law(tokens), None, run_id=f"{tokens}-{seed}", extra={"run": {"pretrain_seed": seed}})
        for tokens in sizes
        for seed in (1, 2)
    ]
    report = report_of(runs)
    assert "299." not in parsed(render_page(report, [])).text
    read = read_table(write_data(report, tmp_path)[0])
    assert read.problems == []
    assert [(p.pretrain_tokens, p.pretrain_seed, p.run_id) for p in read.points] == [
        (tokens - seed, seed, f"{tokens}-{seed}") for tokens in sizes for seed in (1, 2)
    ]


def with_ter(tokens: int, bleu: float, ter: float, brevity_penalty: float = 0.99) -> RunRecord:
    details = {"subset": "test", "brevity_penalty": brevity_penalty}
    scores = {"bleu": Score(bleu, BLEU_SIGNATURE, details), "ter": Score(ter, "nrefs:1", {"subset": "test"})}
    return run(tokens, None, loss_law(tokens), scores=scores)


def test_one_score_that_strays_is_no_alarm_where_the_deciding_one_improves() -> None:
    strays = (92.0, 60.0, 92.0, 60.0, 92.0, 91.0)
    report = report_of([with_ter(size, log_law(size), ter) for size, ter in zip(SIZES, strays, strict=True)])
    page = render_page(report, [])
    assert "misleads" not in page
    assert 'class="loud"' not in page


def test_a_deciding_score_that_does_not_follow_cross_entropy_is_in_the_headline(report: Report) -> None:
    assert headline(report) == "Add data: 50 en + 50 fr; Change the data: en only; on 1, cross-entropy misleads"


def test_of_two_mixtures_with_one_advice_the_heading_names_the_one_that_is_ahead() -> None:
    pairs = [("en:0.5,fr:0.5", 0.0), ("en", -3.0)]
    runs = [run(size, log_law(size) + less, None, mixture=mixture) for mixture, less in pairs for size in SIZES]
    assert headline(report_of(runs)) == "Add data: 50 en + 50 fr (ahead) and en only"
    more = [run(size, log_law(size) - 5, None, mixture=mixture) for mixture in ("de", "fr") for size in SIZES]
    assert headline(report_of(runs + more)) == "Add data for 4 of 4 curves; 50 en + 50 fr is ahead"


def test_outputs_of_unequal_length_are_among_the_limits() -> None:
    penalties = (0.83, 0.70, 0.87, 0.80, 0.85, 0.80)
    runs = [with_ter(size, log_law(size), 8e7 / size, short) for size, short in zip(SIZES, penalties, strict=True)]
    assert "brevity penalty 0.70 to 0.87" in text_of_limits(report_of(runs))
    equal = [with_ter(size, log_law(size), 8e7 / size) for size in SIZES]
    assert "brevity penalty" not in text_of_limits(report_of(equal))


def test_a_page_without_a_single_curve_says_so() -> None:
    text = parsed(render_page(report_of([run(None, 3.0, None)]), [])).text
    assert "Nothing could be fitted" in text
    assert "D_p is unknown" in text


def test_a_curve_that_cannot_be_fitted_says_why_on_its_card() -> None:
    text = parsed(render_page(report_of([run(tokens, log_law(tokens), None) for tokens in SIZES[:2]]), [])).text
    assert "Not fitted: too few points: 2 sizes to fit" in text


def test_after_which_mixture_the_page_says_what_to_run_next_of_the_one_ahead() -> None:
    pairs = [("en:0.5,fr:0.5", 0.0), ("en", -3.0)]
    runs = [run(size, log_law(size) + less, None, mixture=mixture) for mixture, less in pairs for size in SIZES]
    both, one = report_of(runs), report_of(runs[: len(SIZES)])
    step = next_sentence(both.entries[0].lead).replace("Measure", "measure")
    text = parsed(render_page(both, [])).text
    assert re.search(
        rf"Which mixture: At \w+ tokens 50 en \+ 50 fr is ahead .*What next: 50 en \+ 50 fr: {re.escape(step)}",
        text,
        re.S,
    )
    assert text.count("would tell most") == 1
    assert f"What next: {next_sentence(one.entries[0].lead)}" in parsed(render_page(one, [])).text


def test_the_laws_intervals_are_traced_together_not_curve_by_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """``fitting`` asks for the same places as ``analysis``; a place that was not traced would be traced alone."""

    def alone(*_: object) -> None:
        raise AssertionError("traced alone")

    monkeypatch.setattr(predicting, "trace", alone)
    report = report_of([run(size, log_law(size) + step % 2, None) for step, size in enumerate(SIZES)])
    assert {law.interval for curve in report.curves for law in curve.laws} == {"profile"}
