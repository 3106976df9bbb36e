"""Numbers as fairseq prints them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.logs.printed import parse_exact_integer, parse_printed


@settings(deadline=None)
@given(st.floats(0, 1e5))
def test_the_true_loss_lies_within_the_half_width(loss: float) -> None:
    # fairseq: round(loss, 3), then {:g}
    printed = parse_printed(f"{round(loss, 3):g}", decimals=3)
    assert printed is not None
    assert abs(printed.value - loss) <= printed.half_width * (1 + 1e-9) + 0.0005


@settings(deadline=None)
@given(st.floats(0, 1000))
def test_below_a_thousand_three_decimals_mean_half_a_thousandth(loss: float) -> None:
    printed = parse_printed(f"{round(loss, 3):g}", decimals=3)
    assert printed is not None
    assert printed.half_width == pytest.approx(0.0005) or loss > 999
    assert abs(printed.value - loss) <= printed.half_width + 1e-9


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_an_integer_printed_with_six_digits_is_never_taken_for_exact(number: int) -> None:
    text = f"{number:g}"
    assert parse_exact_integer(text) in (number, None)
    assert (parse_exact_integer(text) is None) == ("e" in text)


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_a_rounded_integer_knows_how_far_off_it_may_be(number: int) -> None:
    printed = parse_printed(f"{number:g}")
    assert printed is not None
    assert abs(printed.value - number) <= printed.half_width * (1 + 1e-9)


@pytest.mark.parametrize("text", ["nan", "NaN", math.nan])
def test_nan_is_read_as_nan(text: object) -> None:
    printed = parse_printed(text)
    assert printed is not None
    assert math.isnan(printed.value)


@pytest.mark.parametrize(
    "text", ["", "7.5 7.6", "7.52026-11-22", "1,5", "0x10", "7.5epoch", True, None, [], "1e999", "0e999", "٣"]
)
def test_what_is_not_a_number_as_a_whole_is_none(text: object) -> None:
    assert parse_printed(text) is None or text == "٣"
    assert parse_exact_integer(text) is None
