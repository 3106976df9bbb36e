"""What the choice of test sentences adds: the interval of each score, and the paired bootstrap of two mixtures."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU, TER
from sacrebleu.significance import PairedTest

from fairseq_scaling.report.analysis import analyse
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.reading import read_inputs
from fairseq_scaling.report.render.figures import draw_all
from fairseq_scaling.report.render.files import write_data
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.render.tables import all_tables
from fairseq_scaling.report.results import Report
from fairseq_scaling.scores.score_file import score_object
from fairseq_scaling.scores.scoring import score_translations
from tests.logs.samples import run_object
from tests.report.pages import parsed

SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
WORDS = "the a cat dog house of on in sleeps runs near green old and with by river every day".split()  # noqa: SIM905
DRAW = random.Random(1)
REFERENCES = [" ".join(DRAW.choice(WORDS) for _ in range(DRAW.randint(5, 15))) + "." for _ in range(80)]
MIXTURES = {"en": 0.05, "en:1/2,fr:1/2": 0.0}
"""Mixture -> the share of words that it translates worse."""


def translations(mixture: str, tokens: int, seed: int = 1) -> list[str]:
    """Return translations that get better with the size: fewer of their words are replaced."""
    draw = random.Random(f"{mixture} {tokens} {seed}")
    share = 0.5 - 0.1 * SIZES.index(tokens) + MIXTURES[mixture]
    return [
        " ".join(draw.choice(WORDS) if draw.random() < share else word for word in text.split()) for text in REFERENCES
    ]


def write_scores(folder: Path, mixture: str, tokens: int, seed: int = 1, metric: str = "bleu") -> None:
    shares = {"fr": "1/2", "en": "1/2"} if ":" in mixture else {mixture: "1"}
    name = f"{len(mixture)}-{tokens}-{seed}"
    run = run_object(f"{abs(len(mixture)):02x}{tokens:09x}{seed}"[:12], seed=seed, mixture=shares)
    run |= {"pretrain_tokens": tokens, "pretrain_tokens_by_language": dict.fromkeys(shares, tokens // len(shares))}
    scores = score_translations(translations(mixture, tokens, seed), [REFERENCES], [metric])
    content = score_object(scores, "test", [REFERENCES], ["test.fr"], run, checkpoint="checkpoint_last.pt")
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def report_of(*paths: Path) -> Report:
    points, inputs = read_inputs([str(path) for path in paths])
    collection = collect(points)
    inputs.problems += collection.problems
    return analyse(collection.curves, inputs=inputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the score files of two mixtures at four sizes."""
    folder = tmp_path_factory.mktemp("scores")
    for mixture in MIXTURES:
        for tokens in SIZES:
            write_scores(folder, mixture, tokens)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return report_of(folder)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_points_csv_holds_sacrebleus_interval_of_each_score(report: Report, tmp_path: Path) -> None:
    rows = rows_of(write_data(report, tmp_path)[0])
    assert len(rows) == 2 * len(SIZES)
    for row in rows:
        mixture = "en:1/2,fr:1/2" if "fr" in row["mixture"] else "en"
        hypotheses = translations(mixture, int(row["pretrain_tokens"]))
        expected = BLEU().corpus_score(hypotheses, [REFERENCES], n_bootstrap=1000)
        lower, upper = float(row["score_lower"]), float(row["score_upper"])
        assert float(row["value"]) == expected.score
        # sacrebleu says half the width; it sums in single precision: 100 * 2^-24 * a few operations
        assert (upper - lower) / 2 == pytest.approx(expected._ci, abs=1e-4)
        assert lower < expected.score < upper


def test_points_csv_read_back_is_the_same_table_but_for_its_origin(report: Report, tmp_path: Path) -> None:
    first = write_data(report, tmp_path / "first")[0]
    again = write_data(report_of(first), tmp_path / "again")[0]
    kept = ("curve", "metric", "pretrain_tokens", "value", "score_lower", "score_upper", "mixture", "seed", "run_id")
    assert [[row[name] for name in kept] for row in rows_of(again)] == [
        [row[name] for name in kept] for row in rows_of(first)
    ]


def test_a_score_without_an_interval_leaves_the_cells_empty(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for path in folder.iterdir():
        content = json.loads(path.read_text("utf-8"))
        for name in ("lower", "upper", "level", "n_bootstrap", "statistics"):
            del content["scores"]["bleu"][name]
        (old / path.name).write_text(json.dumps(content), encoding="utf-8")
    report = report_of(old)
    rows = rows_of(write_data(report, tmp_path / "out")[0])
    assert {(row["score_lower"], row["score_upper"]) for row in rows} == {("", "")}
    drawings = draw_all(report)
    assert "test sentences" not in parsed(render_page(report, drawings)).text
    assert "test sentences" not in drawings[0].caption


def test_the_page_says_what_the_lines_at_the_scores_are(report: Report) -> None:
    drawings = draw_all(report)
    said = "the spread from the choice of test sentences, not between two runs"
    assert said in drawings[0].caption
    assert said in parsed(render_page(report, drawings)).text


def test_the_figure_has_a_thin_line_for_each_score_with_an_interval(report: Report, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    from fairseq_scaling.report.render.panels import draw_panel
    from fairseq_scaling.report.render.wording import short_name

    axes = plt.figure().subplots()
    draw_panel(axes, report.curves, [short_name(curve) for curve in report.curves])
    lines = [line for part in axes.collections if isinstance(part, LineCollection) for line in part.get_segments()]
    drawn = sorted((x, low, high) for (x, low), (_, high) in lines)
    wanted = sorted((p.pretrain_tokens, p.score_lower, p.score_upper) for c in report.curves for p in c.points)
    assert drawn == [pytest.approx(one) for one in wanted]


# -- two mixtures on the same sentences --------------------------------------------------------------------------------


def paired_test(metric: str, tokens: int) -> tuple[float, float]:
    """Return sacrebleu's difference, 50 en + 50 fr less en, and its p-value."""
    systems = [(mixture, translations(mixture, tokens)) for mixture in MIXTURES]
    scorer = {"bleu": BLEU, "ter": TER}[metric]
    _, results = PairedTest(systems, {metric: scorer()}, [REFERENCES], test_type="bs", n_samples=1000)()
    one, two = next(results[name] for name in results if name != "System")
    return two.score - one.score, two.p_value


def test_two_mixtures_have_sacrebleus_paired_bootstrap_at_the_largest_common_size(report: Report) -> None:
    (pair,) = report.mixture_comparisons
    assert pair.sentences is not None
    difference, p_value = paired_test("bleu", SIZES[-1])
    sign = 1 if "fr" in pair.names[0] else -1
    assert pair.sentences.difference.value == pytest.approx(sign * difference)
    # a resample on the border may fall to either side of it in sacrebleu's single precision
    assert pair.sentences.p_value == pytest.approx(p_value, abs=2 / 1001)
    assert pair.sentences.difference.lower < pair.sentences.difference.value < pair.sentences.difference.upper
    assert (pair.sentences.sentences, pair.sentences.runs, pair.sentences.pretrain_tokens) == (80, (1, 1), SIZES[-1])


def test_the_size_is_one_that_both_have_and_seeds_are_averaged(tmp_path: Path) -> None:
    for mixture in MIXTURES:
        for tokens in SIZES[: 4 if mixture == "en" else 3]:
            write_scores(tmp_path, mixture, tokens)
    write_scores(tmp_path, "en", SIZES[2], seed=2)
    (pair,) = report_of(tmp_path).mixture_comparisons
    assert pair.sentences is not None
    assert (pair.sentences.pretrain_tokens, sorted(pair.sentences.runs)) == (SIZES[2], [1, 2])
    en = [BLEU().corpus_score(translations("en", SIZES[2], seed), [REFERENCES]).score for seed in (1, 2)]
    both = BLEU().corpus_score(translations("en:1/2,fr:1/2", SIZES[2]), [REFERENCES]).score
    assert abs(pair.sentences.difference.value) == pytest.approx(abs(both - sum(en) / 2))


def test_where_lower_is_better_the_difference_is_above_zero_for_the_better_mixture(tmp_path: Path) -> None:
    for mixture in MIXTURES:
        for tokens in SIZES[1:]:
            write_scores(tmp_path, mixture, tokens, metric="ter")
    (pair,) = report_of(tmp_path).mixture_comparisons
    assert pair.sentences is not None
    difference, _ = paired_test("ter", SIZES[-1])
    sign = 1 if "fr" in pair.names[0] else -1
    assert pair.sentences.difference.value == pytest.approx(-sign * difference)


def test_the_page_says_what_the_paired_bootstrap_covers_and_what_not(report: Report, folder: Path) -> None:
    (pair,) = report.mixture_comparisons
    assert pair.sentences is not None
    table = all_tables(report)["mixtures"]
    titles = [column.title for column in table.columns]
    row = dict(zip(titles, table.rows[0], strict=True))
    assert row["Test sentences"].startswith(f"{pair.sentences.difference.value:+.2f} [".replace("-", "\u2212"))
    assert float(row["p"]) == pytest.approx(pair.sentences.p_value, rel=0.05)
    text = parsed(render_page(report, [])).text
    assert "(paired bootstrap over 80 test sentences; says nothing of another run)" in text
    assert "It does not cover another pretraining or finetuning" in text


def changed(folder: Path, to: Path, **changes: object) -> Report:
    """Return the report of the score files after the scores of one mixture were changed."""
    to.mkdir()
    for path in folder.iterdir():
        content = json.loads(path.read_text("utf-8"))
        if "fr" in content["run"]["mixture"]:
            content["reference_sha256"] = changes.get("reference_sha256", content["reference_sha256"])
            if "statistics" in changes:
                content["scores"]["bleu"]["statistics"] = changes["statistics"]
        (to / path.name).write_text(json.dumps(content), encoding="utf-8")
    return report_of(to)


@pytest.mark.parametrize("change", [{"reference_sha256": "another"}, {"statistics": None}])
def test_scores_that_do_not_compare_have_none(folder: Path, tmp_path: Path, change: dict[str, object]) -> None:
    report = changed(folder, tmp_path / "changed", **change)
    assert [pair.sentences for pair in report.mixture_comparisons] == [None]
    assert "paired bootstrap" not in parsed(render_page(report, [])).text
    assert report.problems == ()


def test_damaged_counts_are_listed_and_the_rest_of_the_report_is_made(folder: Path, tmp_path: Path) -> None:
    report = changed(folder, tmp_path / "changed", statistics={"data": "???"})
    assert [pair.sentences for pair in report.mixture_comparisons] == [None]
    assert [problem.kind.name for problem in report.problems] == ["DAMAGED"]
    assert report.fitted == 2
