"""No text of a log, a table or a file name becomes markup, wherever it stands on the page or in a figure."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from fairseq_scaling.logs import Score
from fairseq_scaling.report.document import Document
from fairseq_scaling.report.figures import draw_all
from fairseq_scaling.report.html import render_page
from tests.report.example import SIZES, document_of, log_law, loss_law, run
from tests.report.test_page import parsed

HOSTILE = "</title></style></text>\"'><script>alert(1)</script><img src=x onerror=alert(1)> & $x_{1}$ --> ]]>"
HARMFUL = {"script", "img", "iframe", "object", "embed", "link", "base", "form"}


def harmless(page: str) -> bool:
    elements = parsed(page)
    own = not [name for name, _ in elements.attributes if name.startswith("on")]
    return elements.open == [] and own and not HARMFUL & set(elements.names)


def leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every text in a document."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*place, key))
    elif isinstance(value, str):
        yield place


@pytest.fixture(scope="module")
def document() -> Document:
    forgetful = run(SIZES[0], 10.0, 3.1, mixture="en", seed=3, cross_entropies={"test": 3.1, "upstream_en": 4.5})
    runs = [run(tokens, log_law(tokens), loss_law(tokens)) for tokens in SIZES]
    return document_of([*runs, run(0, 2.0, 3.4), forgetful, run(None, 3.0, None)], targets=(("bleu", 30.0),))


@pytest.mark.faults("markup in names, logs and tables, on the page and in figures", lost="nothing; it is shown as text")
def test_every_single_text_of_a_document_is_text_on_the_page(
    document: Document, record_property: Callable[[str, object], None]
) -> None:
    """One after the other, so that none is missed that a later version adds; some are words the page looks up."""
    kinds = {tuple("#" if isinstance(key, int) else key for key in place): place for place in leaves(document)}
    shown, looked_up = 0, 0
    for place in itertools.islice(kinds.values(), 0, None, 2):  # each page takes a moment
        spoilt = copy.deepcopy(document)
        inner: Any = spoilt
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = HOSTILE
        try:
            page = render_page(spoilt, [])
        except (KeyError, ValueError, StopIteration):
            looked_up += 1  # such as the name of a law or a verdict: this project's own words
            continue
        assert harmless(page), place
        shown += HOSTILE in re.sub(r"\s+", " ", parsed(page).text)
    record_property("faults", (len(kinds) + 1) // 2 - looked_up)
    assert len(kinds) > 60
    assert shown >= 10
    assert looked_up < 15


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
    document = document_of(runs)
    drawings = draw_all(document)
    page = render_page(document, drawings)
    assert harmless(page)
    text = parsed(page).text
    for what in ("a problem's file", "a signature", "an architecture"):
        assert HOSTILE in text, what
    assert drawings
    for drawing in drawings:
        names = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing.svg).iter()}
        assert not HARMFUL & names
        assert re.fullmatch(r"[\w.-]+", drawing.name), "a file name"
