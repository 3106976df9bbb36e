"""``fit-scaling`` as a user runs it: files out, messages, exit codes, and a quick --help."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.cli.fit_scaling import main
from tests.report.example import SIZES, log_law, loss_law, wiggle

HOSTILE = 'a<script>alert("1")</script>&$x_{1}$'
HEADER = "curve,metric,pretrain_tokens,value,held_out"


def fit_scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def write_table(path: Path, rows: list[tuple[object, ...]], header: str = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lawful(name: str = "good", held_out: int = 2) -> list[tuple[object, ...]]:
    """Rows of both metrics that follow the paper's laws, the largest sizes held out."""
    rows: list[tuple[object, ...]] = []
    for step, tokens in enumerate(SIZES):
        judged = int(step >= len(SIZES) - held_out)
        rows.append((name, "bleu", tokens, log_law(tokens) * wiggle(step, 0.002), judged))
        rows.append((name, "cross_entropy", tokens, loss_law(tokens) * wiggle(step, 0.001), judged))
    return rows


def falling(name: str) -> list[tuple[object, ...]]:
    """Rows whose BLEU falls for good while their cross-entropy improves."""
    rows: list[tuple[object, ...]] = []
    for step, tokens in enumerate(SIZES):
        rows.append((name, "bleu", tokens, 20.0 - 3 * step + (4 if step == 2 else 0), 0))
        rows.append((name, "cross_entropy", tokens, loss_law(tokens) * wiggle(step, 0.001), 0))
    return rows


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One run over a table with a lawful curve, a hostile name, a short curve, a baseline and broken rows."""
    folder = tmp_path_factory.mktemp("fit")
    rows = [*lawful(), ("good", "bleu", 0, 2.0, 0), *falling(HOSTILE), ("short", "bleu", 1e6, 3.0, 0)]
    table = write_table(folder / "scores.csv", [*rows, ("good", "bleu", "many", 1.0, 0)])
    result = fit_scaling(table, "--out", folder / "out")
    return folder / "out", result


def test_all_files_are_written(done: tuple[Path, Result]) -> None:
    out, result = done
    assert result.exit_code == 0, result.output
    names = {path.name for path in out.iterdir()}
    assert names == {"points.csv", "fits.json", "predictions.csv", "report.html", "figures"}
    figures = sorted(path.name for path in (out / "figures").iterdir())
    assert figures == [
        "metrics-all-curves.pdf",
        "metrics-all-curves.svg",
        "scaling-all-curves.pdf",
        "scaling-all-curves.svg",
    ]


def test_points_name_the_file_and_line_they_came_from(done: tuple[Path, Result]) -> None:
    out, _ = done
    points = rows_of(out / "points.csv")
    assert len(points) == 4 * len(SIZES) + 2
    first = next(
        row for row in points if row["curve"] == "good" and row["metric"] == "bleu" and row["used"] == "fitted"
    )
    assert float(first["value"]) == pytest.approx(log_law(SIZES[0]) * wiggle(0, 0.002), rel=1e-12)
    assert first["origin"].endswith("scores.csv:2")
    uses = [row["used"] for row in points if row["curve"] == "good" and row["metric"] == "bleu"]
    assert uses == ["baseline"] + ["fitted"] * 4 + ["held out"] * 2


def test_predictions_have_a_row_per_point_and_law_and_three_beyond(done: tuple[Path, Result]) -> None:
    out, _ = done
    rows = rows_of(out / "predictions.csv")
    assert list(rows[0]) == [
        "curve", "metric", "law", "chosen", "pretrain_tokens", "predicted", "lower", "upper", "observed", "held_out",
    ]  # fmt: skip
    mine = [row for row in rows if row["curve"] == "good" and row["metric"] == "bleu"]
    for law in {row["law"] for row in mine}:
        sizes = [float(row["pretrain_tokens"]) for row in mine if row["law"] == law]
        assert sizes == [*SIZES, 2 * SIZES[-1], 4 * SIZES[-1], 10 * SIZES[-1]]
        assert [row["observed"] != "" for row in mine if row["law"] == law] == [True] * len(SIZES) + [False] * 3
        assert [row["held_out"] for row in mine if row["law"] == law] == ["0"] * 4 + ["1"] * 2 + [""] * 3
    assert len({row["law"] for row in mine if row["chosen"] == "1"}) == 1


def test_held_out_points_are_predicted(done: tuple[Path, Result]) -> None:
    out, _ = done
    rows = [row for row in rows_of(out / "predictions.csv") if row["curve"] == "good" and row["held_out"] == "1"]
    for law, metric in (("log_law", "bleu"), ("cross_entropy_law", "cross_entropy")):
        for row in rows:
            if row["law"] == law and row["metric"] == metric:
                assert float(row["predicted"]) == pytest.approx(float(row["observed"]), rel=0.05)


def test_the_fit_file_is_complete(done: tuple[Path, Result]) -> None:
    out, _ = done
    document = json.loads((out / "fits.json").read_text(encoding="utf-8"))
    assert document["format"] == 2
    assert set(document["versions"]) == {"fairseq_scaling", "numpy", "scipy", "python"}
    assert f"numpy:{document['versions']['numpy']}" in document["signature"]
    curve = next(c for c in document["curves"] if c["name"] == "good" and c["metric"] == "cross_entropy")
    law = next(entry for entry in curve["laws"] if entry["name"] == "cross_entropy_law")
    assert set(law["coefficients"]) >= {"E", "alpha"}
    for key in (
        "objective",
        "delta",
        "held_out_rmsle",
        "identified",
        "reasons",
        "at_points",
        "ahead",
        "sigma",
    ):
        assert key in law
    assert law["delta"] == 0.001
    assert curve["verdict"]["kind"]
    assert curve["advice"]["action"]
    assert [point["use"] for point in curve["points"]] == ["fitted"] * 4 + ["held out"] * 2


def test_exact_laws_are_recovered(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = []
    for tokens in (1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 3e9):
        rows.append(("c", "bleu", tokens, log_law(tokens), 0))
        rows.append(("c", "cross_entropy", tokens, loss_law(tokens), 0))
    table = write_table(tmp_path / "t.csv", rows)
    found = {}
    for law in ("log_law", "cross_entropy_law"):
        metric = "bleu" if law == "log_law" else "cross_entropy"
        result = fit_scaling(table, "--law", law, "--metric", metric, "--no-report", "--out", tmp_path / law)
        assert result.exit_code == 0, result.output
        (curve,) = json.loads((tmp_path / law / "fits.json").read_text())["curves"]
        (fit,) = curve["laws"]
        found[law] = {name: estimate["value"] for name, estimate in fit["coefficients"].items()}
        ahead = dict(zip(fit["ahead"]["pretrain_tokens"], fit["ahead"]["predicted"], strict=True))
        truth = log_law if law == "log_law" else loss_law
        assert ahead[30_000_000_000] == pytest.approx(truth(3e10), rel=1e-3)
    assert found["log_law"]["alpha"] == pytest.approx(0.9, rel=0.02)
    assert found["log_law"]["beta"] == pytest.approx(1.6, rel=0.02)
    assert found["cross_entropy_law"]["E"] == pytest.approx(1.5, rel=1e-3)
    assert found["cross_entropy_law"]["alpha"] == pytest.approx(0.3, rel=1e-3)


class Tags(HTMLParser):
    """Collects the names of the elements, their attributes and the visible text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_hostile_names_are_text_on_the_page(done: tuple[Path, Result]) -> None:
    out, _ = done
    page = (out / "report.html").read_text(encoding="utf-8")
    tags = parsed(page)
    assert "script" not in tags.names
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert HOSTILE in tags.text
    for figure in (out / "figures").glob("*.svg"):
        names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(figure).iter()}
        assert "script" not in names


def test_the_page_needs_nothing_beside_it(done: tuple[Path, Result]) -> None:
    out, _ = done
    tags = parsed((out / "report.html").read_text(encoding="utf-8"))
    links = [value or "" for name, value in tags.attributes if name in ("src", "href", "xlink:href", "data")]
    assert all(link.startswith("#") for link in links), links
    assert not {"link", "img", "iframe", "object", "script"} & set(tags.names)
    assert len(tags.ids) == len(set(tags.ids))
    assert {link[1:] for link in links} <= set(tags.ids)


def test_the_page_leads_with_the_misleading_cross_entropy(done: tuple[Path, Result]) -> None:
    out, result = done
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 0 < page.index('class="loud"') < page.index('class="cards"')
    assert "Cross-entropy improves while BLEU gets worse" in result.output


def test_what_was_left_out_is_said_on_the_terminal_and_on_the_page(done: tuple[Path, Result]) -> None:
    out, result = done
    said = " ".join(result.output.split())
    text = parsed((out / "report.html").read_text(encoding="utf-8")).text
    for message in ("pretrain_tokens is not a number of tokens; it is 'many'", "too few points: 1 size to fit"):
        assert message in said
        assert message in text


def test_a_remark_stands_wherever_the_results_do(tmp_path: Path) -> None:
    said = ["de:1 is settled: not pretrained beyond 8M.\n  Saved: <b>8M</b> tokens.", "a second one"]
    words = [word for text in said for word in ("--remark", text)]
    result = fit_scaling(write_table(tmp_path / "table.csv", lawful()), "--out", tmp_path / "out", *words)
    assert result.exit_code == 0
    assert all(text in result.stdout for text in said)
    assert json.loads((tmp_path / "out/fits.json").read_text())["remarks"] == said
    page = (tmp_path / "out/report.html").read_text()
    (section,) = re.findall(r'<section id="left-out">(.*?)</section>', page, re.DOTALL)
    assert "&lt;b&gt;8M&lt;/b&gt; tokens." in section
    assert "<li>a second one</li>" in section


def test_off_a_terminal_tables_fit_80_columns_and_no_path_or_sentence_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / ("a folder with a long name " * 4).strip()
    folder.mkdir()
    table = write_table(folder / "scores.csv", [*lawful(), ("good", "bleu", "many", 1.0, 0)])
    result = fit_scaling(table, "--out", folder / "out")
    lines = result.output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().split()[:2] == ["Curve", "Metric"])
    rows = lines[start : next(i for i in range(start, len(lines)) if not lines[i].strip())]
    assert len(rows) == 4
    assert max(map(len, rows)) <= 80
    assert f"wrote {folder / 'out' / 'report.html'}" in lines
    assert any(line.startswith(f"- {table}:") and "many" in line for line in lines)
    assert "\x1b" not in result.output


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [*lawful(), *falling("bad")])
    for name in ("one", "two"):
        assert fit_scaling(table, "--out", tmp_path / name).exit_code == 0
    first = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    second = sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file())
    assert first == second
    for path in first:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_the_points_file_is_a_table_that_gives_the_same_predictions(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [*lawful(), ("good", "bleu", 0, 2.0, 0)])
    assert fit_scaling(table, "--out", tmp_path / "one", "--no-report").exit_code == 0
    again = fit_scaling(tmp_path / "one" / "points.csv", "--out", tmp_path / "two", "--no-report")
    assert again.exit_code == 0, again.output
    one, two = (tmp_path / name / "predictions.csv" for name in ("one", "two"))
    assert one.read_text() == two.read_text()


def test_the_fit_file_holds_what_is_needed_to_draw_the_figure_again(done: tuple[Path, Result]) -> None:
    out, _ = done
    document = json.loads((out / "fits.json").read_text(encoding="utf-8"))
    curve = next(c for c in document["curves"] if c["name"] == "good" and c["metric"] == "bleu")
    line = curve["forecast"]["continued"]
    assert line["pretrain_tokens"][0] <= SIZES[0]
    assert line["pretrain_tokens"][-1] >= 4 * SIZES[-1]
    for lower, value, upper in zip(line["lower"], line["predicted"], line["upper"], strict=True):
        assert lower <= value <= upper


def test_the_papers_protocol_fits_four_sizes_and_judges_the_others(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", lawful(held_out=0))
    assert fit_scaling(table, "--protocol", "paper", "--no-report", "--out", tmp_path / "o").exit_code == 0
    for curve in json.loads((tmp_path / "o" / "fits.json").read_text())["curves"]:
        assert [point["use"] for point in curve["points"]] == ["fitted"] * 4 + ["held out"] * 2
        assert all(law["held_out_rmsle"] > 0 for law in curve["laws"])


def test_tokens_for_a_wanted_score(tmp_path: Path) -> None:
    rows = [("c", "bleu", tokens, log_law(tokens), 0) for tokens in (1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 3e9)]
    table = write_table(tmp_path / "t.csv", rows)
    goal = log_law(1e10)
    result = fit_scaling(
        table, "--law", "log_law", "--target-score", f"bleu={goal}", "--no-report", "--out", tmp_path / "o"
    )
    assert result.exit_code == 0, result.output
    (curve,) = json.loads((tmp_path / "o" / "fits.json").read_text())["curves"]
    (wanted,) = curve["wanted"]
    tokens = wanted["tokens"]
    assert tokens["lower"] < 1e10 < tokens["upper"]
    # Three times the largest size, by another family of shapes than the law that made the points.
    assert tokens["value"] == pytest.approx(1e10, rel=0.3)


def test_a_curve_with_too_few_points_alone_ends_with_3_and_writes_all_the_same(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [("c", "bleu", 1e6, 1.0, 0), ("c", "bleu", 2e6, 2.0, 0)])
    result = fit_scaling(table, "--out", tmp_path / "o")
    assert result.exit_code == 3
    assert "too few points: 2 sizes to fit" in " ".join(result.output.split())
    assert (tmp_path / "o" / "report.html").exists()
    assert len(rows_of(tmp_path / "o" / "points.csv")) == 2
    assert rows_of(tmp_path / "o" / "predictions.csv") == []


def test_a_folder_without_a_run_ends_with_2_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "notes.txt").write_text("nothing of fairseq\n")
    result = fit_scaling(tmp_path / "logs", "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert result.output.startswith("Found:   no readable run")
    assert not (tmp_path / "o").exists()


def test_a_folder_without_a_run_does_not_keep_a_table_from_being_fitted(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "notes.txt").write_text("nothing of fairseq\n")
    table = write_table(tmp_path / "t.csv", lawful())
    result = fit_scaling(tmp_path / "logs", table, "--no-report", "--out", tmp_path / "o")
    assert result.exit_code == 0
    # a narrow terminal breaks lines
    assert "".join(str(tmp_path / "logs").split()) in "".join(result.output.split())


def test_tables_in_a_folder_are_found_and_own_results_are_not_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    write_table(folder / "t.csv", lawful())
    for _ in range(2):
        result = fit_scaling(folder, "--out", folder / "results")
        assert result.exit_code == 0, result.output
        assert "Left out" not in result.output
        assert len(rows_of(folder / "results" / "points.csv")) == 2 * len(SIZES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--level", "2"], "--level"),
        (["--law", "no_such_law"], "choose from auto, log_law"),
        (["--metric", "meteor"], "there are bleu, cross_entropy"),
        (["--target-score", "high"], "--target-score"),
        (["--target-score", "chrf=3"], "there are bleu, cross_entropy"),
        (["missing.csv"], "there is no such file"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_fault(tmp_path: Path, arguments: list[str], said: str) -> None:
    table = write_table(tmp_path / "t.csv", lawful())
    result = fit_scaling(table, "--out", tmp_path / "o", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "o").exists()


def test_no_temporary_file_is_left(done: tuple[Path, Result]) -> None:
    out, _ = done
    assert not [path for path in out.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=True)


def test_help_imports_nothing_heavy() -> None:
    heavy = "torch|fairseq|pandas|matplotlib|scipy|numpy|rich"
    timing = python("-X", "importtime", "-m", "fairseq_scaling.cli.fit_scaling", "--help").stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in timing.splitlines() if "|" in line}
    assert "click" in imported
    assert not {name for name in imported if re.fullmatch(heavy, name)}


def test_help_answers_at_once() -> None:
    # Processor time, not the clock: on a machine that is busy with trainings the clock measures the trainings.
    fastest = math.inf
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = python("-m", "fairseq_scaling.cli.fit_scaling", "--help").stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        fastest = min(fastest, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "fit-scaling logs/" in text
    assert "Exit codes" in text
    assert fastest < 0.3


def test_without_the_report_nothing_that_draws_is_imported(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", lawful())
    arguments = [str(table), "--no-report", "--out", str(tmp_path / "o")]
    code = (
        "import sys; from fairseq_scaling.cli.fit_scaling import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print(sorted({'matplotlib', 'torch', 'pandas', 'sacrebleu'} & set(sys.modules)))"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"
