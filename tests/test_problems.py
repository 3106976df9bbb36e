"""Problems: a kind with fields, words made when shown, repeats counted."""

from __future__ import annotations

import json

import pytest

from fairseq_scaling.problems import ProblemKind, count_problems, in_order


class Kind(ProblemKind):
    OTHER_LACKS = "lacks {missing}", "", "give it with --mapping"
    LACKS = "lacks {missing}", "", "give it with --mapping"
    CUT = "the record is cut", "it ends with {end!r}"


def test_the_words_of_a_problem_are_its_kind_with_the_fields_put_in() -> None:
    problem = Kind.CUT.at("train.log", 7, end="loss")
    assert str(problem) == "train.log:7: the record is cut; it ends with 'loss'"
    assert (
        Kind.LACKS.at("a.log", run="r1", missing="mixture").message == "run r1: lacks mixture; give it with --mapping"
    )


def test_repeated_problems_are_counted_and_keep_their_places() -> None:
    lacking = [Kind.LACKS.at(f"{n}.log", run=f"r{n}", missing="pretrain_tokens") for n in range(59)]
    other = Kind.LACKS.at("x.log", run="x", missing="mixture")
    first, second = count_problems([*lacking, other, lacking[0]])
    assert first.message == "lacks pretrain_tokens: 59 runs; give it with --mapping"
    assert second.message == other.message
    shown = first.as_json()
    assert (shown["kind"], shown["count"], shown["places"][58], shown["runs"][0]) == ("lacks", 59, "58.log", "r0")
    assert json.loads(json.dumps(second.as_json())) == {
        "kind": "lacks", "file": "x.log", "line": 0, "message": other.message,
    }  # fmt: skip


def test_lines_and_files_are_counted_where_no_run_is_named() -> None:
    cut = [Kind.CUT.at(name, line, end="x") for name, line in (("a", 1), ("a", 2), ("b", 1))]
    assert count_problems(cut[:2])[0].message == "the record is cut: 2 lines"
    assert count_problems(cut)[0].message == "the record is cut: 3 lines in 2 files"
    assert (
        count_problems([Kind.CUT.at("a", end="x"), Kind.CUT.at("b", end="y")])[0].message
        == "the record is cut: 2 files"
    )


def test_problems_are_ordered_by_place_and_listed_once() -> None:
    two, one = Kind.CUT.at("a", 2, end="x"), Kind.CUT.at("a", 1, end="x")
    assert in_order([two, one, two]) == [one, two]


def test_a_kind_refuses_fields_that_its_words_do_not_name() -> None:
    with pytest.raises(TypeError, match="missing"):
        Kind.LACKS.at("a.log")
    with pytest.raises(TypeError, match="end"):
        Kind.LACKS.at("a.log", missing="mixture", end="x")


def test_kinds_of_the_same_words_are_two_kinds() -> None:
    one, two = (kind.at("a.log", missing="mixture") for kind in (Kind.LACKS, Kind.OTHER_LACKS))
    assert one.kind is not two.kind
    assert len(count_problems([one, two])) == 2
