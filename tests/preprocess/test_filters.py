"""Filters: each rule takes what it names."""

from __future__ import annotations

import pytest

from fairseq_scaling.errors import SettingError
from preprocess.cleaning.filters import reject_language, reject_line, reject_pair
from preprocess.cleaning.profile import LanguageProfile
from preprocess.settings import Limits

LIMITS = Limits(min_words=2, max_words=5, mono_min_words=2, mono_max_words=6)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "empty"),
        ("word", "length"),
        ("one two three four five six seven", "length"),
        ("x" * 1001, "length"),
        ("see http://example.org for more", "code"),
        ("open /usr/share/doc now", "code"),
        ("use --verbose to see", "code"),
        ("call main() first", "code"),
        ("set some_name here", "code"),
        ("12 34 56 78 ok", "few letters"),
        ("%s: %d", "few letters"),
        ("a normal short line", None),
        ("%s was not found", None),
        ("and/or a well-known thing", None),
        ("Ünïcödé wörds här", None),
    ],
)
def test_lines_of_catalogues_are_rejected_by_the_rule_named(line: str, reason: str | None) -> None:
    assert reject_line((line,), LIMITS, catalogue=True) == reason


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ("Open the file", "Ouvrir le fichier", None),
        ("Open the file", "", "empty"),
        ("Open the file", "Ouvrir", "length"),
        ("Linux Kernel", "linux kernel", "equal sides"),
        ("Open %s now", "Ouvrir %s maintenant", None),
        ("Open %s now", "Ouvrir maintenant", "placeholders"),
        ("Open %s and %s now", "Ouvrir %s et %s", "placeholders"),
        ("an ox", "anticonstitutionnellement prononcé", "ratio"),
        ("Open the file", "voir /etc/passwd maintenant", "code"),
    ],
)
def test_pairs_of_catalogues_are_rejected_by_the_rule_named(left: str, right: str, reason: str | None) -> None:
    assert reject_pair((left, right), LIMITS, catalogue=True) == reason


def test_a_line_left_in_another_language_is_found() -> None:
    english = ["the file is not in the list", "a file of the user is open", "this is the end of the list"] * 5
    french = ["le fichier est dans la liste", "un fichier de la liste est ouvert", "la fin de la liste"] * 5
    profile = LanguageProfile({"en": english, "fr": french})
    assert profile.is_other("the end of the file is open", "fr")
    assert not profile.is_other("la liste est dans le fichier", "fr")
    assert not profile.is_other("Zanzibar Timbuktu", "fr")  # words of neither
    assert not profile.is_other("the end of the file", "de")  # a language it knows nothing of
    pair = ("the end of the list", "the end of the file")
    assert reject_language(pair, ("en", "fr"), profile) == "language"


def test_limits_that_no_line_can_meet_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^--min-words = 5: must be 1 to 4"):
        Limits(min_words=5, max_words=4)
