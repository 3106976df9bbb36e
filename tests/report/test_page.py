"""The page and the tables made of run records: everything a reader is promised stands there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fairseq_scaling.logs import RunRecord, Score
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.alignment_tables import alignment_table
from fairseq_scaling.report.analysis import Settings, analyse
from fairseq_scaling.report.document import Document, Inputs, build_document
from fairseq_scaling.report.figures import Drawing, draw_all
from fairseq_scaling.report.files import write_data
from fairseq_scaling.report.html import headline, render_page
from fairseq_scaling.report.limits import limits
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.points.tables import read_table
from fairseq_scaling.report.run_tables import precisions_table
from fairseq_scaling.report.tables import all_tables, summary_tables
from tests.report.example import BLEU_SIGNATURE, SIZES, document_of, log_law, loss_law, run, study

HOSTILE_FILE = 'logs/"><img src=x onerror=alert(1)>/train.log'


@pytest.fixture(scope="module")
def document() -> Document:
    parent = RunRecord(
        "pretraining", "p1", SIZES[-1], mixture=Mixture.parse("en"), extra={"upstream_curve": [(SIZES[0], "en", 4.0)]}
    )
    forgetful = run(
        SIZES[0], 10.0, 3.1, mixture="en", seed=3, extra={"run": {"pretrain_run_id": "p1"}},
        cross_entropies={"test": 3.1, "upstream_en": 4.5},
    )  # fmt: skip
    unknown = run(None, 3.0, None, file=HOSTILE_FILE)
    return document_of([*study(), parent, forgetful, unknown], targets=(("bleu", 30.0),))


@pytest.fixture(scope="module")
def drawings(document: Document) -> list[Drawing]:
    return draw_all(document)


@pytest.fixture(scope="module")
def page(document: Document, drawings: list[Drawing]) -> str:
    return render_page(document, drawings)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def test_every_element_is_closed(page: str) -> None:
    assert parsed(page).open == []


def test_the_sections_stand_in_the_order_of_a_reader(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == [
        "verdicts", "figures", "answers", "alignment", "precisions", "forgetting", "coefficients", "limits",
        "left-out", "made",
    ]  # fmt: skip


def test_file_names_from_logs_are_text(page: str) -> None:
    elements = parsed(page)
    assert HOSTILE_FILE in elements.text
    assert "img" not in elements.names
    assert not [name for name, _ in elements.attributes if name.startswith("on")]


def test_the_verdict_of_each_mixture_leads_with_its_advice(document: Document, page: str) -> None:
    kinds = {(c["setting"]["mixture"], c["metric"]): c["verdict"]["kind"] for c in document["curves"]}
    assert kinds["en:0.5,fr:0.5", "bleu"] == "follows the law"
    assert kinds["en:1", "bleu"] in ("inverse", "non-monotonic")
    assert "change the data" in page
    assert page.index("50 en + 50 fr") < page.index("en only", page.index('class="cards"'))


def test_a_card_goes_from_the_mean_of_the_seeds_to_the_mean_of_the_seeds(page: str) -> None:
    assert f"{log_law(SIZES[0]):.2f} \u2192 {log_law(SIZES[-1]):.2f}" in parsed(page).text


def test_the_law_predicts_beyond_the_points_what_the_true_law_says(document: Document) -> None:
    for metric, truth in (("bleu", log_law), ("cross_entropy", loss_law)):
        curve = next(c for c in document["curves"] if c["metric"] == metric and c["setting"]["mixture"] != "en:1")
        law = next(
            law for law in curve["laws"] if law["name"] == ("log_law" if metric == "bleu" else "cross_entropy_law")
        )
        ahead = law["extrapolated"]
        assert ahead["pretrain_tokens"][0] == 2 * SIZES[-1]
        assert ahead["predicted"][0] == pytest.approx(truth(2 * SIZES[-1]), rel=0.02)
        assert ahead["lower"][0] < ahead["predicted"][0] < ahead["upper"][0]


def test_alignment_stands_beside_what_pretraining_brought(document: Document) -> None:
    table = alignment_table(document)
    assert [row[:2] for row in table.rows] == [["50 en + 50 fr", "1"], ["en only", "0.7"]]
    row = dict(zip([column.title for column in table.columns], table.rows[0], strict=True))
    assert row["No pretraining"] == "2.10"
    assert row["Difference"] == f"{log_law(SIZES[-1]) - 2.1:+.2f}"
    assert row["Law's gain"] == f"{log_law(SIZES[-1]) - log_law(SIZES[0]):+.2f}"


def test_brevity_penalty_and_precisions_are_shown_for_baseline_and_points(document: Document) -> None:
    rows = precisions_table(document).rows
    assert rows[0] == ["50 en + 50 fr", "none", "2.10", "0.990", "40.0", "20.0", "10.0", "5.0"]
    assert len(rows) == 2 * (1 + len(SIZES))


def test_forgetting_shows_before_and_after(document: Document) -> None:
    table = dict(all_tables(document))["forgetting"]
    assert table.rows[0][-3:] == ["4.000", "4.500", "+0.500"]


def test_forgetting_of_two_models_is_not_averaged() -> None:
    losses = {1000: 4.0, 2000: 5.0}
    runs = [
        run(500_000, 1.0, None, parameters=size, cross_entropies={"upstream_en": loss}) for size, loss in losses.items()
    ]
    table = dict(all_tables(document_of(runs)))["forgetting"]
    assert [row[-1] for row in table.rows] == ["4.000", "5.000"]
    assert [row[1] for row in table.rows] == ["t5_tiny, 1,000 parameters", "t5_tiny, 2,000 parameters"]


def test_the_page_says_how_it_was_made(document: Document, page: str) -> None:
    text = parsed(page).text
    assert document["signature"] in text
    assert BLEU_SIGNATURE in text
    for law in document["curves"][0]["laws"]:
        assert law["formula"] in text
        assert law["source"] in text


def test_the_limits_are_those_of_the_data(document: Document) -> None:
    said = " ".join(limits(document))
    assert "one architecture, t5_tiny (2.1M parameters)" in said
    assert "one finetuning size, 200k tokens" in said
    assert "a factor of 32" in said
    assert "single measurement" not in said
    lonely = document_of([run(tokens, log_law(tokens), None) for tokens in SIZES])
    said = " ".join(limits(lonely))
    assert "Every point is a single measurement" in said
    assert "No curve has a baseline" in said
    assert "one metric, BLEU" in said


def test_figures_say_in_words_what_they_show(drawings: list[Drawing], page: str) -> None:
    assert [drawing.name for drawing in drawings] == ["scaling-en-fr-t5-tiny", "metrics-en-fr-t5-tiny"]
    for drawing in drawings:
        assert "no pretraining" in drawing.svg or drawing.name.startswith("metrics")
        assert drawing.pdf.startswith(b"%PDF")
    assert page.count('role="img"') == 2
    assert re.search(r'aria-label="en-fr, t5_tiny\. BLEU of [^"]*follows the law', page)


def test_inline_figures_follow_light_and_dark(page: str) -> None:
    figure = page[page.index("<svg") : page.index("</svg>")]
    assert "var(--s1)" in figure
    assert "var(--ink)" in figure
    assert not re.search(r"#[0-9a-f]{6}", figure)


def test_finetuning_sizes_stand_side_by_side(document: Document) -> None:
    runs = [run(tokens, log_law(tokens), loss_law(tokens)) for tokens in SIZES]
    runs += [run(tokens, 1.5 * log_law(tokens), loss_law(tokens) - 0.2, finetune_tokens=2_000_000) for tokens in SIZES]
    both = document_of(runs)
    (scaling, _) = draw_all(both)
    assert "finetuned on 200k tokens" in scaling.svg
    assert "finetuned on 2M tokens" in scaling.svg
    assert [table.title for table in summary_tables(both)] == [
        "en-fr, finetuned on 200k tokens, t5_tiny",
        "en-fr, finetuned on 2M tokens, t5_tiny",
    ]
    assert len({row[0] for table in all_tables(both) if table[0] == "gains" for row in table[1].rows if row[0]}) == 2


@pytest.mark.parametrize("from_table", [False, True], ids=["runs", "their points.csv"])
def test_model_sizes_stand_in_tables_and_figures_of_their_own(tmp_path: Path, from_table: bool) -> None:
    runs = [run(tokens, log_law(tokens), None, parameters=2_000_000) for tokens in SIZES]
    runs += [run(tokens, 1.5 * log_law(tokens), None, parameters=9_000_000) for tokens in SIZES]
    both = document_of(runs)
    if from_table:
        again = collect(read_table(write_data(both, tmp_path)[0]).points)
        both = build_document(analyse(again.curves, Settings(law="best")), Settings(law="best"), Inputs())
    assert [table.title for table in summary_tables(both)] == [
        f"en-fr, finetuned on 200k tokens, t5_tiny, {size}M parameters" for size in (2, 9)
    ]
    assert [drawing.title for drawing in draw_all(both)] == [f"en-fr, t5_tiny, {size}M parameters" for size in (2, 9)]
    rows = dict(all_tables(both))["gains"].rows
    assert [row[0] for row in rows] == [f"50 en + 50 fr, {size}M parameters" for size in (2, 9)]


def test_consumed_tokens_are_shown_as_their_budget_and_written_exactly(tmp_path: Path) -> None:
    sizes = (299_934, 599_995, 1_249_935, 2_499_985)
    runs = [
        run(tokens - seed, log_law(tokens), None, run_id=f"{tokens}-{seed}", extra={"run": {"pretrain_seed": seed}})
        for tokens in sizes
        for seed in (1, 2)
    ]
    document = document_of(runs)
    shown = dict(all_tables(document))["points"].rows
    assert [row[2] for row in shown] == ["300k", "300k", "600k", "600k", "1.25M", "1.25M", "2.5M", "2.5M"]
    assert "299." not in parsed(render_page(document, [])).text
    read = read_table(write_data(document, tmp_path)[0])
    assert read.problems == []
    assert [(p.pretrain_tokens, p.pretrain_seed, p.run_id) for p in read.points] == [
        (tokens - seed, seed, f"{tokens}-{seed}") for tokens in sizes for seed in (1, 2)
    ]


def with_ter(tokens: int, bleu: float, ter: float, brevity_penalty: float = 0.99) -> RunRecord:
    details = {"subset": "test", "brevity_penalty": brevity_penalty}
    scores = {"bleu": Score(bleu, BLEU_SIGNATURE, details), "ter": Score(ter, "nrefs:1", {"subset": "test"})}
    return run(tokens, None, loss_law(tokens), scores=scores)


def test_one_score_that_strays_is_no_headline_where_the_deciding_one_improves() -> None:
    strays = (92.0, 60.0, 92.0, 60.0, 92.0, 91.0)
    document = document_of([with_ter(size, log_law(size), ter) for size, ter in zip(SIZES, strays, strict=True)])
    kinds = {curve["metric"]: curve["verdict"]["kind"] for curve in document["curves"]}
    assert (kinds["bleu"], kinds["ter"]) == ("follows the law", "non-monotonic")
    page = render_page(document, [])
    assert "misleads" not in page
    assert 'class="loud"' not in page
    assert "BLEU improves with cross-entropy, but not TER (non-monotonic)." in page


def test_a_deciding_score_that_does_not_follow_cross_entropy_is_the_headline(document: Document) -> None:
    assert headline(document) == "1 of 2 curves follows the law; on 1, cross-entropy misleads"


def test_outputs_of_unequal_length_are_among_the_limits() -> None:
    penalties = (0.83, 0.70, 0.87, 0.80, 0.85, 0.80)
    runs = [with_ter(size, log_law(size), 8e7 / size, short) for size, short in zip(SIZES, penalties, strict=True)]
    said = " ".join(limits(document_of(runs)))
    assert "brevity penalty 0.70 to 0.87" in said
    equal = [with_ter(size, log_law(size), 8e7 / size) for size in SIZES]
    assert "brevity penalty" not in " ".join(limits(document_of(equal)))


def test_a_page_without_a_single_curve_says_so() -> None:
    page = render_page(document_of([run(None, 3.0, None)]), [])
    text = parsed(page).text
    assert "Nothing could be fitted" in text
    assert "D_p is unknown" in text


def test_learning_rates_stand_beside_the_points_where_they_differ() -> None:
    def rates(*given: str) -> list[str] | None:
        runs = [
            run(
                tokens,
                log_law(tokens),
                None,
                extra={"run": {"hyperparameters": {"lr": [float(given[i % len(given)])]}}},
            )
            for i, tokens in enumerate(SIZES)
        ]
        points = dict(all_tables(document_of(runs)))["points"]
        heads = [column.title for column in points.columns]
        place = heads.index("Learning rate") if "Learning rate" in heads else None
        return None if place is None else [row[place] for row in points.rows]

    assert rates("0.001", "0.003") == ["0.001", "0.003"] * (len(SIZES) // 2)
    assert rates("0.001") is None
