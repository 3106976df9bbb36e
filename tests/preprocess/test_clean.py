"""Cleaning: nothing that is held out is trained on, nothing vanishes uncounted, the same input gives the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError, SettingError
from preprocess.buckets import Buckets, digest
from preprocess.clean import clean
from preprocess.cleaning.normalise import content_key
from preprocess.settings import CleanSettings, Limits
from tests.preprocess.samples import sentence

SMALL = CleanSettings(valid=20, test=30, mono_valid=25)
WriteRaw = Callable[..., Path]


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text(encoding="utf-8").split("\n")[:-1]


def training_keys(folder: Path) -> set[str]:
    files = [path.name for path in folder.glob("*.train.*txt")]
    assert files
    return {content_key(line) for name in files for line in lines(folder, name)}


def held_out_keys(folder: Path) -> set[str]:
    files = [path.name for split in ("valid", "test") for path in folder.glob(f"*.{split}.*txt")]
    return {content_key(line) for name in files for line in lines(folder, name)}


def test_nothing_of_a_valid_or_test_set_is_in_any_training_text(write_raw: WriteRaw, tmp_path: Path) -> None:
    pairs = [sentence(7 * number) for number in range(400)]
    rng = random.Random(1)
    # Copies in disguise: other case, other punctuation, marks of keys, in the other language's text, in another pair.
    disguised = [rng.choice([str.upper, str.lower, "« {} »".format, "_{}".format, "<b>{}</b>!".format])(side)
                 for pair in pairs for side in pair]  # fmt: skip
    further = [sentence(7 * number + 3) for number in range(300)]
    raw = write_raw(
        {"en": disguised + [pair[0] for pair in further], "fr": disguised + [pair[1] for pair in further]},
        {"en-fr": pairs + [(left.upper(), "Autre " + right) for left, right in pairs],
         "en-de": [(left, "Das " + right) for left, right in pairs] + [(right, left) for left, right in further]},
    )  # fmt: skip
    clean(raw, tmp_path / "clean", CleanSettings(valid=20, test=30, mono_valid=25, language_check=False))
    held_out = held_out_keys(tmp_path / "clean")
    assert len(held_out) >= 2 * (20 + 30) + 2 * 25
    assert held_out & {content_key(line) for line in disguised}  # else the test would show nothing
    assert not held_out & training_keys(tmp_path / "clean")


def test_valid_and_test_sets_have_no_sentence_in_common(toy_raw: Path, tmp_path: Path) -> None:
    clean(toy_raw, tmp_path / "clean", SMALL)
    splits = {
        (split, language): [
            content_key(line) for line in lines(tmp_path / "clean", f"pairs.en-fr.{split}.{language}.txt")
        ]
        for split in ("valid", "test")
        for language in ("en", "fr")
    }
    assert [len(keys) for keys in splits.values()] == [20, 20, 30, 30]
    for language in ("en", "fr"):
        keys = splits["valid", language] + splits["test", language]
        assert len(keys) == len(set(keys))


def test_a_given_test_set_stays_as_it_is_and_out_of_training(write_raw: WriteRaw, tmp_path: Path) -> None:
    pairs = [sentence(number) for number in range(300)]
    given = [(f"“{left}” …", f"« {right} »") for left, right in pairs[:10]]
    further = [("So new " + pairs[0][0], pairs[0][1]), (pairs[1][0], "Bien " + pairs[1][1])]
    raw = write_raw({"en": [left for left, _ in pairs]}, {"en-fr": pairs + further}, {("en-fr", "test"): given})
    manifest = clean(raw, tmp_path / "clean", CleanSettings(valid=20, test=30, mono_valid=5))
    sides = [lines(tmp_path / "clean", f"pairs.en-fr.test.raw.{language}.txt") for language in ("en", "fr")]
    assert list(zip(*sides, strict=True)) == given
    assert manifest["pairs"]["en-fr"]["test"] == 10
    assert manifest["filters"]["pairs en-fr"]["taken as valid"] == 20  # and no test set
    keys = training_keys(tmp_path / "clean")
    assert not keys & {content_key(side) for pair in pairs[:10] for side in pair}
    assert content_key(further[0][0]) not in keys  # its French side is held out
    assert content_key(further[1][1]) not in keys  # its English side is


def test_pairs_stay_aligned(toy_raw: Path, tmp_path: Path) -> None:
    counts = clean(toy_raw, tmp_path / "clean", SMALL)["filters"]["pairs en-fr"]
    translations = dict(sentence(7 * number) for number in range(600))
    total = 0
    for split in ("train", "valid", "test"):
        sides = (lines(tmp_path / "clean", f"pairs.en-fr.{split}.{language}.txt") for language in ("en", "fr"))
        for left, right in zip(*sides, strict=True):
            assert translations[left] == right
            total += 1
    assert total == 600 - counts["held out"] == counts["train"] + 50


def test_every_line_is_accounted_for(write_raw: WriteRaw, tmp_path: Path) -> None:
    good = [sentence(number) for number in range(60)]
    bad = [("", "x"), ("same thing", "same thing"), ("see http://x.org", "voir http://x.org"), good[3], good[4]]
    english = [left for left, _ in good] + [sentence(number)[0] for number in range(1000, 1020)]
    raw = write_raw({"en": english + ["", "Word one.", "word ONE"]}, {"en-fr": good + bad}, catalogue=True)
    manifest = clean(raw, tmp_path / "clean", CleanSettings(valid=5, test=6, mono_valid=4))
    assert manifest["filters"]["pairs en-fr"] == {
        "read": 65,
        "empty": 1,
        "equal sides": 1,
        "code": 1,
        "duplicate": 2,
        "held out": 60 - 11 - len(lines(tmp_path / "clean", "pairs.en-fr.train.en.txt")),
        "taken as valid and test": 11,
        "train": len(lines(tmp_path / "clean", "pairs.en-fr.train.fr.txt")),
    }
    # The eleven held-out pairs stand in the monolingual text too.
    assert manifest["filters"]["mono en"] == {
        "read": 83,
        "empty": 1,
        "duplicate": 1,
        "held out": 11,
        "taken as valid": 4,
        "train": 83 - 1 - 1 - 11 - 4,
    }
    assert json.loads((tmp_path / "clean" / "clean.json").read_text()) == manifest


def test_the_result_depends_on_the_text_and_the_seed_alone(write_raw: WriteRaw, tmp_path: Path) -> None:
    pairs = [sentence(7 * number) for number in range(200)]
    shuffled = random.Random(3).sample(pairs, len(pairs))
    folders = {}
    for name, text, workers, seed in (
        ("one", pairs, 1, 1),
        ("two", pairs, 2, 1),
        ("other order", shuffled, 1, 1),
        ("other seed", pairs, 1, 2),
    ):
        raw = write_raw({"en": [left for left, _ in pairs]}, {"en-fr": text}, name=f"raw {name}")
        settings = CleanSettings(valid=20, test=20, mono_valid=20, seed=seed)
        clean(raw, tmp_path / name, settings, workers)
        folders[name] = {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.txt")}
    assert folders["one"] == folders["two"] == folders["other order"]
    assert folders["one"] != folders["other seed"]
    test_sets = [folders[name]["pairs.en-fr.test.en.txt"] for name in ("one", "other seed")]
    assert test_sets[0] != test_sets[1]


def test_monolingual_text_keeps_its_order(write_raw: WriteRaw, tmp_path: Path) -> None:
    text = [sentence(7 * number)[0] for number in range(600)]
    raw = write_raw({"en": [*text, *text[:50]]}, {"en-fr": [sentence(7 * number) for number in range(600, 700)]})
    clean(raw, tmp_path / "clean", CleanSettings(valid=20, test=20, mono_valid=75))
    place = {line: number for number, line in enumerate(text)}
    train = [place[line] for line in lines(tmp_path / "clean", "mono.en.train.txt")]
    assert train == sorted(set(train))
    # The valid set is a stretch of 50 lines and half of another.
    valid = [place[line] for line in lines(tmp_path / "clean", "mono.en.valid.txt")]
    assert len(valid) == 75
    assert sum(later == earlier + 1 for earlier, later in pairwise(valid)) >= 73


def test_training_pairs_are_shuffled(toy_raw: Path, tmp_path: Path) -> None:
    clean(toy_raw, tmp_path / "clean", SMALL)
    numbers = {sentence(7 * number)[0]: number for number in range(600)}
    order = [numbers[line] for line in lines(tmp_path / "clean", "pairs.en-fr.train.en.txt")]
    rising = sum(left < right for left, right in pairwise(order))
    assert 0.4 < rising / (len(order) - 1) < 0.6  # a random order rises half the time


def test_simple_words_keep_pairs_of_frequent_words(write_raw: WriteRaw, tmp_path: Path) -> None:
    pairs = [sentence(number) for number in range(100)] + [("The axolotl sleeps.", "Un axolotl dort là.")]
    raw = write_raw({}, {"en-fr": pairs})
    settings = CleanSettings(valid=5, test=5, simple_words=20)
    counts = clean(raw, tmp_path / "clean", settings)["filters"]["pairs en-fr"]
    text = " ".join(lines(tmp_path / "clean", "pairs.en-fr.train.en.txt"))
    assert "axolotl" not in text
    assert len(set(text.lower().replace(".", "").split())) <= 20
    assert counts["not simple"] >= 1


def test_unique_sides_leave_a_sentence_in_one_pair_only(write_raw: WriteRaw, tmp_path: Path) -> None:
    pairs = [sentence(number) for number in range(40)]
    doubled = (
        pairs + [(left, "Bien " + right) for left, right in pairs] + [("So " + left, right) for left, right in pairs]
    )
    raw = write_raw({}, {"en-fr": doubled})
    train = {}
    for unique in (True, False):
        clean(raw, tmp_path / str(unique), CleanSettings(valid=1, test=1, unique_sides=unique))
        train[unique] = [lines(tmp_path / str(unique), f"pairs.en-fr.train.{side}.txt") for side in ("en", "fr")]
    for side in train[True]:
        assert len(side) == len(set(side))
    assert len(train[False][0]) > len(train[True][0])


def test_broken_files_are_named(write_raw: WriteRaw, tmp_path: Path) -> None:
    latin = write_raw({"fr": "un\ndeux\ntrois étés\n".encode("latin-1")}, {}, name="latin")
    with pytest.raises(DataError, match=r"mono\.fr\.txt, line 3: not UTF-8.*\n.*iconv"):
        clean(latin, tmp_path / "clean", SMALL)
    uneven = write_raw({}, {"en-fr": [sentence(1), sentence(2)]}, name="uneven")
    with open(uneven / "pairs.en-fr.fr.txt", "a") as stream:
        stream.write("Une de trop.\n")
    with pytest.raises(
        DataError, match=r"pairs\.en-fr\.fr\.txt has more lines than .*en\.txt, which ends after line 2"
    ):
        clean(uneven, tmp_path / "clean", SMALL)
    with pytest.raises(DataError, match=r"holds no raw\.json.*\n.*scaling-preprocess fetch first"):
        clean(tmp_path, tmp_path / "clean", SMALL)
    assert not (tmp_path / "clean").exists()
    assert not list(tmp_path.glob("clean.part"))


def test_odd_bytes_do_not_break_or_shift_lines(write_raw: WriteRaw, tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfFirst line here\r\nSecond\x1f line\x0b here\nlost\x00 line\r\n\r\nThird\xe2\x80\xa8line here\n"
    text += b"last line here"
    raw = write_raw({"en": text}, {})
    manifest = clean(raw, tmp_path / "clean", CleanSettings(mono_valid=1))
    found = lines(tmp_path / "clean", "mono.en.train.txt") + lines(tmp_path / "clean", "mono.en.valid.txt")
    assert sorted(found) == ["First line here", "Second line here", "Third line here", "last line here"]
    assert manifest["filters"]["mono en"]["empty"] == 1
    assert manifest["filters"]["mono en"]["NUL bytes"] == 1


def test_too_little_text_for_the_splits_is_an_error(write_raw: WriteRaw, tmp_path: Path) -> None:
    raw = write_raw({}, {"en-fr": [sentence(number) for number in range(10)]})
    with pytest.raises(
        DataError,
        match=r"en-fr: 4 clean pairs are left for a valid set of 5 \(10 read, left out: none\)\n.*lower --valid",
    ):
        clean(raw, tmp_path / "clean", CleanSettings(valid=5, test=6))
    raw = write_raw({"en": [sentence(number)[0] for number in range(10)]}, {}, name="mono")
    with pytest.raises(DataError, match=r"en: 10 clean lines .* of 11"):
        clean(raw, tmp_path / "clean", CleanSettings(mono_valid=11))


def test_a_finished_result_is_replaced_only_when_told_to(toy_raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean"
    clean(toy_raw, out, SMALL)
    with pytest.raises(SettingError, match=r"exists\n.*--overwrite"):
        clean(toy_raw, out, SMALL)
    clean(toy_raw, out, CleanSettings(Limits(), valid=5, test=5, mono_valid=5), overwrite=True)
    assert len(lines(out, "pairs.en-fr.test.en.txt")) == 5
    (out / "clean.json").unlink()  # as a workflow manager does before it runs a step again
    clean(toy_raw, out, SMALL, overwrite=True)
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(SettingError, match=r"holds other files, for example thesis\.tex"):
        clean(toy_raw, out, SMALL, overwrite=True)
    assert (out / "thesis.tex").exists()


def test_buckets_give_all_records_in_the_order_of_their_digests(tmp_path: Path) -> None:
    texts = [f"line {number}" for number in range(200)] * 2
    buckets = Buckets(tmp_path / "b", expected_bytes=300 << 20)
    assert len(list(tmp_path.iterdir())) == 8  # of 64 MB each
    with buckets:
        for place, text in enumerate(texts):
            buckets.add(digest(text, 5), text, str(place))
    records = list(buckets)
    assert [key for key, _ in records] == sorted(digest(text, 5) for text in texts)
    assert sorted(text for _, (text, _) in records) == sorted(texts)
    for (_, first), (_, second) in zip(records[::2], records[1::2], strict=True):
        assert first[0] == second[0]
        assert int(first[1]) < int(second[1])  # copies in the order they came
    buckets.delete()
    assert not list(tmp_path.iterdir())


def test_digests_depend_on_the_seed() -> None:
    assert digest("a", 1) == digest("a", 1) != digest("a", 2)
    assert 0 <= digest("", 0) < 1 << 64
