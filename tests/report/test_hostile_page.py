"""No text of a log, a table or a file name becomes markup, wherever it is shown on the page or in a figure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any
from xml.etree import ElementTree

import pytest

from fairseq_scaling.logs import Score
from fairseq_scaling.report.render.figures import draw_all
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.results import Report
from tests.report.example import SIZES, log_law, loss_law, report_of, run
from tests.report.pages import parsed

HOSTILE = "</title></style></text>\"'><script>alert(1)</script><img src=x onerror=alert(1)> & $x_{1}$ --> ]]>"
HARMFUL = {"script", "img", "iframe", "object", "embed", "link", "base", "form"}


def harmless(page: str) -> bool:
    elements = parsed(page)
    own = not [name for name, _ in elements.attributes if name.startswith("on")]
    return elements.open == [] and own and not HARMFUL & set(elements.names)


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a report."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        yield from (text for field in fields(value) for text in texts(getattr(value, field.name)))
    elif isinstance(value, Mapping):
        yield from (text for inner in value.values() for text in texts(inner))
    elif isinstance(value, tuple | list):
        yield from (text for inner in value for text in texts(inner))


def spoilt(value: Any, text: str) -> Any:
    """Return a copy of a report with the hostile text wherever ``text`` was, so that names still refer."""
    if isinstance(value, str):
        return HOSTILE if value == text else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: spoilt(getattr(value, field.name), text) for field in fields(value)})
    if isinstance(value, Mapping):
        return {key: spoilt(inner, text) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        made = [spoilt(inner, text) for inner in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return value


@pytest.fixture(scope="module")
def report() -> Report:
    forgetful = run(SIZES[0], 10.0, 3.1, mixture="en", seed=3, cross_entropies={"test": 3.1, "upstream_en": 4.5})
    runs = [run(tokens, log_law(tokens), loss_law(tokens)) for tokens in SIZES]
    return report_of([*runs, run(0, 2.0, 3.4), forgetful, run(None, 3.0, None)], targets=(("bleu", 30.0),))


@pytest.mark.faults("markup in names, logs and tables, on the page and in figures", lost="nothing; it is shown as text")
def test_every_single_text_of_a_report_is_text_on_the_page(
    report: Report, record_property: Callable[[str, object], None]
) -> None:
    """One after the other, so that none is missed that a later version adds."""
    found = set(texts(report))
    shown = 0
    for text in sorted(found):
        page = render_page(spoilt(report, text), [])
        assert harmless(page), text
        shown += HOSTILE in re.sub(r"\s+", " ", parsed(page).text)
    record_property("faults", len(found))
    assert len(found) > 40
    assert shown >= 25


@pytest.mark.faults("markup in names, logs and tables, on the page and in figures", lost="nothing; it is shown as text")
def test_names_in_logs_are_text_on_the_page_and_in_figures() -> None:
    score = {"bleu": Score(20.0, HOSTILE, {"subset": HOSTILE})}
    runs = [
        run(tokens, None, None, architecture=HOSTILE, file=f"logs/{HOSTILE}/x.log", run_id=f"{HOSTILE}{tokens}",
            scores={"bleu": Score(log_law(tokens), HOSTILE, {"subset": "test"})})
        for tokens in SIZES
    ]  # fmt: skip
    runs += [
        run(None, None, None, file=HOSTILE, scores=score),
        run(SIZES[0], None, None, scores={HOSTILE: Score(1.0, HOSTILE)}),
    ]
    report = report_of(runs)
    drawings = draw_all(report)
    page = render_page(report, drawings)
    assert harmless(page)
    text = parsed(page).text
    for what in ("a problem's file", "a signature", "an architecture"):
        assert HOSTILE in text, what
    assert drawings
    for drawing in drawings:
        names = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing.svg).iter()}
        assert not HARMFUL & names
        assert re.fullmatch(r"[\w.-]+", drawing.name), "a file name"
