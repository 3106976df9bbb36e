"""Labels at the right edge never overlap, and are whole."""

from __future__ import annotations

import pytest

from fairseq_scaling.report.render.panels import spread, wrapped


def overlaps(centres: list[float], sizes: list[float]) -> bool:
    edges = [(centre - size / 2, centre + size / 2) for centre, size in zip(centres, sizes, strict=True)]
    return any(above[0] < below[1] - 1e-9 for below, above in zip(edges, edges[1:], strict=False))


@pytest.mark.parametrize(
    "centres", [[50.0] * 6, [0.0, 1.0, 2.0, 99.0, 100.0, 100.0], [10.0, 20.0, 30.0, 70.0, 80.0, 90.0]]
)
def test_labels_do_not_overlap(centres: list[float]) -> None:
    sizes = [20.0] * 6
    assert not overlaps(spread(centres, sizes, 200.0), sizes)


def test_labels_with_room_stay_where_their_lines_end() -> None:
    assert spread([20.0, 60.0, 100.0], [10.0] * 3, 120.0) == [20.0, 60.0, 100.0]


def test_labels_pushed_over_the_top_push_the_others_down() -> None:
    placed = spread([95.0, 98.0, 100.0], [20.0] * 3, 100.0)
    assert placed == sorted(placed)
    assert placed[-1] <= 100.0


def test_a_long_label_has_two_lines_and_loses_nothing() -> None:
    assert wrapped("gc only, from gd-model, repeated", 21) == "gc only, from\ngd-model, repeated"
    assert wrapped("a label for which two lines are far too short", 12) == "a label for\nwhich two\u2026"
