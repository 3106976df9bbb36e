"""HTML is escaped unless it is markup already."""

from __future__ import annotations

from fairseq_scaling.report.render.markup import Markup, escape, join, tag


def test_text_is_escaped_in_content_and_attributes() -> None:
    assert tag("p", "<script>", title='"&') == '<p title="&quot;&amp;">&lt;script&gt;</p>'


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "a < b")) == "<p><b>a &lt; b</b></p>"


def test_joining_markup_with_text_by_hand_escapes_the_text_again() -> None:
    assert join([Markup("<i>"), "<i>", None, ["&"]]) == "<i>&lt;i&gt;&amp;"


def test_control_characters_become_visible() -> None:
    assert escape("a\x00b\x1bc") == "a\ufffdb\ufffdc"


def test_python_words_and_dashes_in_attribute_names() -> None:
    assert tag("div", class_="card", aria_label="x", id=None) == '<div class="card" aria-label="x"></div>'
