"""The documentation cannot go stale: it names what the code can say, and quotes what the code prints."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fairseq_scaling import laws
from fairseq_scaling.laws import advice, comparing
from fairseq_scaling.laws.averaging import AVERAGE
from fairseq_scaling.laws.choosing import _PRIOR, _SCORE_PRIOR
from fairseq_scaling.laws.registry import laws_for
from fairseq_scaling.laws.two_stage import TWO_STAGE
from fairseq_scaling.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "laws.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| \*\*([\w -]+)\*\*[^|]*\| (.+) \|$", PAGE, re.M))
"""First cell in bold -> the rest of the row."""


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """The script that draws the page's figures and prints its numbers."""
    spec = importlib.util.spec_from_file_location("draw_laws", DOCS / "draw_laws.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [*laws.LAWS, *laws.SURFACES, AVERAGE.name, TWO_STAGE.name])
def test_every_law_has_a_section(name: str) -> None:
    assert [line for line in re.findall(r"^### .*$", PAGE, re.M) if f"`{name}`" in line]


@pytest.mark.parametrize("law", laws.LAWS.values(), ids=str)
def test_every_law_is_listed_with_its_number_of_coefficients_and_source(law: laws.Law) -> None:
    row = re.search(rf"^\| `{law.name}` \| (\d) \| (.*?) \|", PAGE, re.M)
    assert row is not None
    assert int(row[1]) == len(law.parameters)
    tried = {metric for metric in ("bleu", "cross_entropy", "ter") if law in laws_for(_curve(metric))}
    said = {"scores": {"bleu"}, "scores, TER": {"bleu", "ter"}, "losses, TER": {"cross_entropy", "ter"}}
    assert said.get(row[2], {"bleu", "cross_entropy", "ter"}) == tried
    author = re.search(r"[A-Z][a-z]+(?= et al)", law.source)
    assert author is not None or "logistic" in law.source
    assert author is None or author[0] in PAGE


def _curve(metric: str) -> laws.Curve:
    return laws.Curve("c", metric, [1.0], [1.0])


@pytest.mark.parametrize("kind", laws.VERDICTS)
def test_every_verdict_is_explained(kind: str) -> None:
    assert ROWS[kind]


def test_every_action_of_an_advice_is_explained() -> None:
    actions = _first_strings_of_pairs(advice)
    assert len(actions) >= 5
    assert actions - set(ROWS) == set()


def test_every_finding_across_metrics_is_explained() -> None:
    calls = [
        n
        for n in ast.walk(_tree(comparing))
        if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "MetricComparison"
    ]
    kinds = {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}
    assert len(kinds) == 5
    assert kinds - set(ROWS) == set()


def test_assumed_noises_and_weights_are_those_of_the_code() -> None:
    (line,) = re.findall(r"^4\. `assumed`: (.*?)$", PAGE, re.M)
    for metric, title in {"bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE", "comet": "COMET", "ter": "TER"}.items():
        number = next(
            n for n, names in re.findall(r"([\d.]+) for ([\w, ]+?)(?=, [\d.]+ for|, in )", line) if title in names
        )
        row = METRICS[metric]
        assert row.scale is not None
        assert float(number) == pytest.approx(row.noise * 100 / row.scale, rel=1e-12)
    for name, weights in (("losses and TER", _PRIOR), ("scores", _SCORE_PRIOR)):
        (row,) = re.findall(rf"^\| {name} \| (.*) \|$", PAGE, re.M)
        said = {
            law: float(number)
            for number, laws in re.findall(r"([\d.]+) for ((?:`\w+`(?: \([a-z ]+\))?(?:, | and )?)+)", row)
            for law in re.findall(r"`(\w+)`", laws)
        }
        assert said == weights


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    headings = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    assert {"laws.svg", "verdicts.svg"} <= set(links)
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
    inside = [link for link in links if not link.startswith("#") and "://" not in link]
    assert [link for link in inside if not (DOCS / link).exists()] == []
    assert "@@" not in PAGE


def test_the_numbers_in_the_box_are_those_that_the_script_prints(drawing: ModuleType) -> None:
    (box,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.S)
    number = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
    printed = "\n".join(drawing.numbers())
    assert number.sub("#", box) == number.sub("#", printed)
    for quoted, now in zip(number.findall(box), number.findall(printed), strict=True):
        assert float(quoted) == pytest.approx(float(now), rel=0.03, abs=0.011)


def test_every_panel_shows_what_its_name_says(drawing: ModuleType) -> None:
    assert list(drawing.LAWS) == list(laws.LAWS)
    for kind in laws.VERDICTS:
        assert laws.diagnose(drawing.verdict_example(kind)).kind == kind
    for name in laws.LAWS:
        fit = laws.fit(drawing.example(name), name)
        assert fit.sigma < 0.02, name


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text("utf-8"))


def _first_strings_of_pairs(module: ModuleType) -> set[str]:
    """Return the actions in ``return "add data", why`` and ``action, why = "add data", why``."""
    pairs = [n.value for n in ast.walk(_tree(module)) if isinstance(n, ast.Return | ast.Assign)]
    firsts = [pair.elts[0] for pair in pairs if isinstance(pair, ast.Tuple) and len(pair.elts) == 2]
    return {first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)}
