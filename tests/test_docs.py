"""The documentation cannot go stale: it names what the code can say, and quotes what the code prints."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from fairseq_scaling import laws
from fairseq_scaling.cli import alignment, convert, fit_scaling, score_translations, study
from fairseq_scaling.laws import priors
from fairseq_scaling.laws.forms.registry import laws_for
from fairseq_scaling.logs.mapping import COLUMNS
from fairseq_scaling.report.points.roles import OPTIONAL, REQUIRED
from fairseq_scaling.report.render.files import POINT_COLUMNS, PREDICTION_COLUMNS
from fairseq_scaling.report.results import Report
from fairseq_scaling.run import RunDescription
from fairseq_scaling.scores.score_file import Interval, score_object
from fairseq_scaling.study.stages import STAGES
from preprocess.__main__ import main as cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ("README.md", "CHANGELOG.md", "docs/*.md", "examples/*/README.md")
NAMES = [path.relative_to(ROOT).as_posix() for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def bold_rows(name: str) -> dict[str, str]:
    """Return first cell in bold -> the rest of the row, of all tables of a page."""
    return dict(re.findall(r"^\| \*\*([\w -]+)\*\*[^|]*\| (.+) \|$", page(name), re.M))


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Return language, file and content of the fenced blocks."""
    return re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", text, re.M | re.S)


# -- the pages as such -------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(page("README.md").splitlines()) <= 160


def test_the_index_names_every_page() -> None:
    index = page("docs/README.md")
    assert [path.name for path in DOCS.glob("*.md") if path.name != "README.md" and f"({path.name})" not in index] == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = re.sub(r"^```.*?^```$", "", page(name), flags=re.M | re.S)
    assert "@@" not in text
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            dead.append(link)
    assert dead == []


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


# -- commands ----------------------------------------------------------------------------------------------------------

PROGRAMS: dict[str, click.Command] = {
    "fit-scaling": fit_scaling.main,
    "score-translations": score_translations.main,
    "scaling-alignment": alignment.main,
    "scaling-convert": convert.main,
    "scaling-study": study.main,
    "scaling-preprocess": cli,
}


def commands_of(text: str) -> list[list[str]]:
    """Return the commands of this project in the fenced blocks, one list of words each."""
    found = []
    for _, _, block in blocks(re.sub(r"^```\n", "```sh\n", text, flags=re.M)):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True) if _is_command(line) else []
            if words:
                found.append(words)
    return found


def _is_command(line: str) -> bool:
    return line.strip().removeprefix("$ ").split(" ")[0] in PROGRAMS


@pytest.mark.parametrize("name", NAMES)
def test_commands_have_the_options_that_a_page_gives_them(name: str) -> None:
    wrong = []
    for program, *words in commands_of(page(name)):
        command: Any = PROGRAMS[program]
        if isinstance(command, click.Group):
            assert words, f"{name}: {program} alone"
            assert words[0] in command.commands, f"{name}: {program} {words[0]}"
            command = command.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        wrong += [f"{program} {option}" for option in given if option not in {*known, "--help", "-h", "--tsv"}]
    assert wrong == []


# -- laws.md and statistics.md -----------------------------------------------------------------------------------------

LAWS, STATISTICS = page("docs/laws.md"), page("docs/statistics.md")


@pytest.mark.parametrize("law", laws.LAWS.values(), ids=lambda law: law.name)
def test_every_law_is_listed_with_its_number_of_coefficients_and_source(law: laws.Law) -> None:
    row = re.search(rf"^\| `{law.name}` \| .* \| (\d) \| (.*?) \| (.*?) \|$", LAWS, re.M)
    assert row is not None
    assert int(row[1]) == len(law.parameters)
    tried = {metric for metric in ("bleu", "cross_entropy", "ter") if law in laws_for(_curve(metric))}
    said = {"scores": {"bleu"}, "scores, TER": {"bleu", "ter"}, "losses, TER": {"cross_entropy", "ter"}}
    assert said.get(row[2], {"bleu", "cross_entropy", "ter"}) == tried
    author = re.search(r"[A-Z][a-z]+(?= et al)", law.source)
    assert author is None or author[0] in row[3]


def _curve(metric: str) -> laws.Curve:
    return laws.Curve("c", metric, [1.0], [1.0])


def test_every_verdict_and_action_is_explained() -> None:
    kinds = {kind.value for kind in laws.VerdictKind} | {action.value for action in laws.Action}
    assert kinds - set(bold_rows("docs/laws.md")) == set()


def test_the_thresholds_are_those_of_the_code() -> None:
    for text in (LAWS, STATISTICS):
        assert re.search(rf"likely\*? \({laws.LIKELY:g}[,)]", text)
        assert re.search(rf"sure\*? \({laws.SURE:g}[,)]", text)
    options = {parameter.name: parameter.default for parameter in fit_scaling.main.params}
    assert (options["likely"], options["sure"]) == (laws.LIKELY, laws.SURE)


def test_the_example_prints_what_the_page_shows() -> None:
    """The middle of 4,000 draws has a standard error of 2 % of their standard deviation, an end of a 95 % interval of
    4 %. Another linear algebra library may turn the draws: 5 % of the interval's width are 0.2 standard deviations."""
    (code,) = [content for language, _, content in blocks(LAWS) if language == "python"]
    (shown,) = [content for language, _, content in blocks(LAWS) if language == "text"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    triple = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")
    assert triple.sub("", shown) == triple.sub("", printed.getvalue())
    for one, other in zip(triple.findall(shown), triple.findall(printed.getvalue()), strict=True):
        width = float(one[2]) - float(one[1])
        assert [float(x) for x in one] == pytest.approx([float(x) for x in other], abs=0.05 * width)


def test_the_python_reference_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for language, _, code in blocks(page("docs/python.md")):
        assert language == "python"
        exec(code, names)
    assert [panel.get_xlabel() for panel in names["axes"]] == ["pretraining tokens"] * 2
    assert names["own"].coefficients["b"].value == pytest.approx((28.1 - 20.1) / math.log(16), rel=0.1)
    assert names["found"].best == "fr"


def test_the_priors_are_those_of_the_code() -> None:
    said: dict[str, str] = {}
    for names, value in re.findall(r"^\| (`[A-Z_]+\..*?) \| ([^|]*?) \|", STATISTICS, re.M):
        first, *others = re.findall(r"`([\w.]+)`", names)
        group = first.partition(".")[0]
        values = value.split(", ") if others else [value]
        for name, one in zip([first, *(f"{group}.{other}" for other in others)], values, strict=True):
            said[name] = one
    groups = {"SHAPE": priors.SHAPE, "NOISE": priors.NOISE, "ROUGHNESS": priors.ROUGHNESS}
    known = {f"{group}.{name}": value for group, made in groups.items() for name, value in vars(made).items()}
    of_losses, others = vars(priors.LOSS_SHAPE), vars(priors.SHAPE)
    known |= {f"LOSS_SHAPE.{name}": value for name, value in of_losses.items() if value != others[name]}
    assert set(said) == set(known)
    for name, value in known.items():
        numbers = [float(x) for x in said[name].split(", ")]
        assert numbers == (list(value) if isinstance(value, tuple) else [value]), name
    assert f"{sum(priors.COUNTS.values()):,}" in STATISTICS


# -- formats.md, logs.md -----------------------------------------------------------------------------------------------

FORMATS = page("docs/formats.md")


def section(text: str, title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found


def test_every_column_and_field_is_on_the_page() -> None:
    wanted = {
        "points.csv": POINT_COLUMNS,
        "predictions.csv": PREDICTION_COLUMNS,
        "fits.json": [field.name for field in fields(Report)],
        "The run line": [field.name for field in fields(RunDescription)],
        "Score files": [*score_object({}, "test", [["x"]], ["r"]), *Interval._fields, "statistics"],
        "The mapping file": COLUMNS,
    }
    for title, names in wanted.items():
        text = section(FORMATS, title)
        assert [name for name in names if f"`{name}`" not in text] == [], title


def test_every_role_of_a_column_is_on_the_page_on_tables() -> None:
    text = page("docs/logs.md")
    assert [role for role in (*REQUIRED, *OPTIONAL) if f"`{role}`" not in text] == []


def test_the_stages_of_a_study_are_listed() -> None:
    assert [stage for stage in STAGES if f"`{stage}`" not in page("docs/study.md")] == []


# -- extending.md ------------------------------------------------------------------------------------------------------

EXTENDING = page("docs/extending.md")


@pytest.mark.parametrize(
    ("title", "shows"),
    [
        ("A metric", ["GLEU", "exact_match|case:mixed"]),
        ("A law", [",parabola,0,"]),
        ("A source of text", ["Le chat dort."]),
        ("A stage of a study", ["checksum of the dictionary"]),
        ("A log format", ["newsdev (1)"]),
    ],
)
def test_what_the_page_adds_works_in_a_copy_of_the_project(title: str, shows: list[str], tmp_path: Path) -> None:
    """``shows``: what each of the page's commands must print."""
    project, work = tmp_path / "project", tmp_path / "work"
    work.mkdir()
    for package in ("fairseq_scaling", "preprocess"):
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "examples/quickstart/study.yaml", work)
    outputs = []
    for language, name, content in blocks(section(EXTENDING, title)):
        if language == "diff":
            _apply(project / name, content)
        elif language == "python":
            assert not (project / name).exists()
            (project / name).write_text(content, encoding="utf-8")
        elif language in ("csv", "text"):
            (work / name).write_text(content, encoding="utf-8")
        else:
            outputs.append("".join(_run(line, project, work) for line in content.splitlines()))
    assert [text in output for text, output in zip(shows, outputs, strict=True)] == [True] * len(shows)


MODULES = {
    "fit-scaling": "fairseq_scaling.cli.fit_scaling",
    "scaling-study": "fairseq_scaling.cli.study",
    "scaling-preprocess": "preprocess.__main__",
    "score-translations": "fairseq_scaling.cli.score_translations",
}


def _apply(path: Path, diff: str) -> None:
    """Change a file as a diff without line numbers says: its old lines must be there once."""
    lines = diff.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} holds {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def _run(line: str, project: Path, work: Path) -> str:
    program, *words = shlex.split(line)
    if program == "cat":
        return "".join(path.read_text("utf-8") for word in words for path in sorted(work.glob(word)))
    code = f"import sys; from {MODULES[program]} import main; sys.argv[0] = {program!r}; main()"
    environment = {**os.environ, "PYTHONPATH": str(project), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_points_csv_of_the_example_has_the_columns_of_the_page() -> None:
    with (ROOT / "examples/quickstart/results/points.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    text = section(FORMATS, "points.csv")
    assert [column for column in columns if f"`{column}`" not in text] == []
