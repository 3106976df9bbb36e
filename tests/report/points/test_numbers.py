"""Numbers in cells: decimal marks, thousands, units, signs."""

from __future__ import annotations

import pytest

from fairseq_scaling.report.points.numbers import (
    Number,
    column_mark,
    factor_of,
    grouping_mark,
    is_missing,
    parse_number,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", 12.5), ("-3", -3.0), ("\u22123.2", -3.2), ("-.5", -0.5), ("2.5e5", 2.5e5), ("1e-3", 1e-3),
        ("7700779.0", 7700779.0), ("1,234", 1234.0), ("1,234,567", 1234567.0), ("1,234.5", 1234.5),
        ("12,5", 12.5), ("1.234,5", 1234.5), ("1.234.567", 1234567.0), ("0,250", 0.25), ("0.250", 0.25),
        ("250 000", 250000.0), ("250\u00a0000", 250000.0), ("250\u202f000", 250000.0), ("1'250'000", 1250000.0),
        ("1_000", 1000.0), ("10^9", 1e9), ("1.5 \u00d7 10^9", 1.5e9),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    assert parse_number(text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5B", 1.5e9), ("1,5B", 1.5e9), ("300M", 3e8), ("300m tokens", 3e8), ("2.3M", 2_300_000.0),
        ("1.5 Mrd.", 1.5e9), ("2 Mio.", 2e6), ("0.25M", 250_000.0), ("3T", 3e12),
    ],
)  # fmt: skip
def test_units_behind_a_number_are_exact(text: str, value: float) -> None:
    assert parse_number(text) == Number(value, has_unit=True)


def test_a_per_cent_sign_and_an_error_behind_plus_minus_are_kept() -> None:
    assert parse_number("31.2 %") == Number(31.2, is_percent=True)
    assert parse_number("12.5 \u00b1 0.3") == Number(12.5, error=0.3)
    assert parse_number("12.5+-0.3") == Number(12.5, error=0.3)


@pytest.mark.parametrize("text", ["", "many", "2024run", "5e", "1,2,3", "12.5.3,4", "1.5X", "en:0.5"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError):
        parse_number(text)


def test_the_decimal_mark_of_a_column_is_what_its_cells_show() -> None:
    assert column_mark(["1,234", "12,5", "13,75"]) == ","
    assert column_mark(["1,234", "12.5"]) == "."
    assert column_mark(["1,234", "5,678", "7"]) is None
    assert grouping_mark(["7", "1,234"]) == ","
    assert parse_number("1,234", decimal=",").value == 1.234


@pytest.mark.parametrize("text", ["", " ", "-", "n/a", "NA", "None", "null", "\u2013", "?"])
def test_cells_that_say_that_nothing_is_there(text: str) -> None:
    assert is_missing(text)


def test_words_for_powers_of_ten() -> None:
    assert [factor_of(word) for word in ("B", "in billions", "Mio.", "10^9", "1e6", "tokens")] == [
        1e9, 1e9, 1e6, 1e9, 1e6, None,
    ]  # fmt: skip
