"""Normalisation of single lines."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacremoses import MosesPunctNormalizer

from preprocess.cleaning.normalise import content_key, normalise, normalise_punctuation, remove_accelerator

_NORMALIZERS = {language: MosesPunctNormalizer(language) for language in ("en", "fr", "de", "cs", "ru")}
_ALPHABET = st.one_of(
    st.sampled_from("ab 1.,:;!?()%'\"`´‘’‚„“”«»–—…\u00a0º\r"),
    st.characters(exclude_categories=("Cs",)),
)


@settings(max_examples=300, deadline=None)
@given(st.text(_ALPHABET, max_size=40), st.sampled_from(sorted(_NORMALIZERS)))
def test_the_quick_way_gives_what_sacremoses_gives(text: str, language: str) -> None:
    assert normalise_punctuation(text, language) == _NORMALIZERS[language].normalize(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("_File", "File"),
        ("E&xit", "Exit"),
        ("Sa_ve As...", "Save As..."),
        ("&Öffnen", "Öffnen"),
        ("Datei (_O)", "Datei"),
        ("Ouvrir(&O)...", "Ouvrir..."),
        ("a & b", "a & b"),
        ("R&D", "R&D"),
        ("some_long_name", "some_long_name"),
        ("Save & _Quit", "Save & _Quit"),  # two marks: which is one is not clear
    ],
)
def test_only_marks_of_accelerator_keys_are_removed(text: str, expected: str) -> None:
    assert remove_accelerator(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("<b>Bold</b> and <a href='x'>link</a>", "Bold and link"),
        ("2 < 3 and 4 > 3", "2 < 3 and 4 > 3"),
        ("&lt;b&gt;text&lt;/b&gt; &amp; more", "text & more"),
        ("soft\u00adhyphen and zero\u200bwidth", "softhyphen and zerowidth"),
        ("one\x0btwo\x0cthree\u2028four\x85five\x00six", "one two three four five six"),
        ("Line one.\\nLine two", "Line one. Line two"),
        ("in C:\\new", "in C:\\new"),
        ("it\u2019s  \u00ab\u00a0so\u00a0\u00bb", 'it\'s "so"'),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("  ", ""),
    ],
)
def test_text_of_catalogues_becomes_uniform(text: str, expected: str) -> None:
    assert normalise(text, "en", "moses", catalogue=True)[0] == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_a_normalised_line_is_one_nfc_line_without_outer_or_double_spaces(text: str) -> None:
    line, _ = normalise(text, "fr", "moses", catalogue=True)
    assert unicodedata.is_normalized("NFC", line)
    assert line == " ".join(line.split())
    assert not set(line) & set("\n\r\x00\t\u2028")


def test_copies_have_one_key_whatever_their_case_and_punctuation() -> None:
    assert content_key("Open the File…") == content_key("open THE «file».") == "openthefile"
    assert content_key("Straße") == content_key("STRASSE")
    assert content_key("?!") == ""
    assert content_key("की") != content_key("का")  # vowel signs are content
