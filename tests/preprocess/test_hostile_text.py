"""Text as it should not be: an error names file and line, or a filter counts it; two sides never shift."""

from __future__ import annotations

import gzip
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.errors import DataError, ScalingError, SettingError
from preprocess.clean import clean
from preprocess.fetch import fetch
from preprocess.folders import FORMAT
from preprocess.lines import LONGEST, count_lines, read_lines, read_pairs, text_batches, write_pairs
from preprocess.settings import CleanSettings, Limits
from preprocess.sources.files import FilesSource
from tests.preprocess.samples import files_source, sentence

WriteRaw = Callable[..., Path]
SMALL = CleanSettings(Limits(), valid=5, test=5, mono_valid=5)
PAIRS = [sentence(7 * number) for number in range(60)]
# What Python's splitlines takes for the end of a line, and a text file does not.
INSIDE = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXT = "Le fleuve est grand.\nLa nuit est calme.\n"


def pair_of(folder: Path, left: bytes, right: bytes) -> FilesSource:
    for name, content in (("a.en", left), ("a.fr", right)):
        (folder / name).write_bytes(content)
    return files_source(f"{folder}/a.en,{folder}/a.fr")


@pytest.mark.faults("text in another encoding, or with endless lines", lost="nothing; file and line are named")
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (TEXT.encode("utf-16"), "line 1: UTF-16 or UTF-32, not UTF-8"),
        (TEXT.encode("utf-16-le"), "line 1: UTF-16 or UTF-32, not UTF-8"),
        (TEXT.encode("utf-16-be"), "line 1: UTF-16 or UTF-32, not UTF-8"),
        (TEXT.encode("utf-32"), "line 1: UTF-16 or UTF-32, not UTF-8"),
        (TEXT.encode() + "été\n".encode("latin-1"), "line 3: not UTF-8"),
        (TEXT.encode() + b"un \xed\xa0\x80 deux\n", "line 3: not UTF-8"),  # half a surrogate pair
        (TEXT.encode() + b"cut in a letter \xc3", "line 3: not UTF-8"),
        (TEXT.encode() + b"x" * (LONGEST + 1), f"line 3: longer than {LONGEST:,} bytes"),
        (b"x" * (LONGEST + 1) + b"\n" + TEXT.encode(), f"line 1: longer than {LONGEST:,} bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_text_that_cannot_be_read_is_named_with_its_line(
    content: bytes, complaint: str, packed: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    with pytest.raises(DataError) as refused:
        list(read_lines(path))
    assert str(refused.value).startswith(f"{path}, {complaint}")
    assert "\n  " in str(refused.value)  # what to do


@pytest.mark.faults("a packed text that is cut or changed", lost="nothing; file and line are named")
def test_a_packed_file_that_is_cut_or_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress("".join(f"line {number}\n" for number in range(9000)).encode())
    for content in (whole[:-9], whole[:-2], b"plain text\n", whole[:-8] + b"\0\0\0\0" + whole[-4:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz, after line \d+: cannot be unpacked"):
            list(read_lines(path))


@pytest.mark.faults(
    "separators that are no line ends, in the lines of a pair", lost="nothing; the two sides never shift"
)
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.text(st.sampled_from(f"ab é\ufeff\0{INSIDE}"), max_size=6).filter(bool)] * 2), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_two_sides_never_shift(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], end: str, last: bool, mark: bool
) -> None:
    """Whatever separators stand inside the lines, with or without a byte order mark and a last line end."""
    folder = tmp_path_factory.mktemp("sides")
    paths = [folder / side for side in ("left", "right")]
    sides = []
    for side, path in enumerate(paths):
        text = end.join(pair[side] for pair in pairs) + (end if last and pairs else "")
        path.write_bytes((b"\xef\xbb\xbf" if mark and text else b"") + text.encode())
        lines = text.split("\n")[: len(pairs)]
        sides.append([line.removesuffix("\r") for line in lines])
    expected = list(zip(*sides, strict=True))
    if any("\0" in line for pair in expected for line in pair):
        return  # so short a line counts as UTF-16
    if expected and not mark:
        expected[0] = tuple(line.removeprefix("\ufeff") for line in expected[0])
    read = list(read_pairs(*paths))
    assert read == expected
    assert [count_lines(path) for path in paths] == [len(expected)] * 2
    assert write_pairs(folder / "l", folder / "r", read) == len(expected)
    assert [(folder / name).read_bytes().count(b"\n") for name in ("l", "r")] == [len(expected)] * 2


@pytest.mark.faults(
    "separators that are no line ends, in the lines of a pair", lost="nothing; the two sides never shift"
)
def test_odd_separators_stay_inside_their_line_through_the_whole_cleaning(write_raw: WriteRaw, tmp_path: Path) -> None:
    odd = [(f"{left} x{mark}y", f"{right} x{mark}y") for mark, (left, right) in zip(INSIDE, PAIRS, strict=False)]
    given = [(f"{left}{mark}x", f"{right}{mark}y") for mark, (left, right) in zip(INSIDE, PAIRS[30:], strict=False)]
    raw = write_raw({}, {"en-fr": PAIRS[20:] + odd}, {("en-fr", "test"): given})
    manifest = clean(raw, tmp_path / "clean", SMALL)
    for split, count in manifest["pairs"]["en-fr"].items():
        sides = [(tmp_path / f"clean/pairs.en-fr.{split}.{side}.txt").read_text().split("\n") for side in ("en", "fr")]
        assert [len(side) - 1 for side in sides] == [count, count]
        french = dict(PAIRS)
        for left, right in zip(*sides, strict=True):
            assert right.removesuffix(" x y").removesuffix(" y") == french.get(
                left.removesuffix(" x y").removesuffix(" x"), ""
            )


@pytest.mark.faults("NUL bytes in text", lost="the lines that hold them, counted; a given test set is refused")
def test_nul_bytes_are_counted_and_refused_in_a_given_set(write_raw: WriteRaw, tmp_path: Path) -> None:
    spoilt = [(left + "\0", right) for left, right in PAIRS[:3]] + [(left, "\0" + right) for left, right in PAIRS[3:5]]
    mono = [left for left, _ in PAIRS] + ["The end of a damaged\0\0 block"]
    manifest = clean(write_raw({"en": mono}, {"en-fr": spoilt + PAIRS[5:]}), tmp_path / "clean", SMALL)
    assert manifest["filters"]["pairs en-fr"]["NUL bytes"] == 5
    assert manifest["filters"]["mono en"]["NUL bytes"] == 1
    given = write_raw({}, {"en-fr": PAIRS}, {("en-fr", "test"): spoilt}, name="given")
    with pytest.raises(DataError, match="given test set of en-fr has NUL bytes in line 1"):
        clean(given, tmp_path / "other", SMALL)


@pytest.mark.faults("sides of a pair that do not belong together", lost="nothing; refused before anything is written")
@pytest.mark.parametrize("longer", ["en", "fr"])
def test_two_sides_of_unequal_length_are_refused_with_the_line_where_one_ends(longer: str, tmp_path: Path) -> None:
    sides = [b"one\ntwo\nthree\n", b"un\ndeux"]
    source = pair_of(tmp_path, *(sides if longer == "en" else reversed(sides)))
    with pytest.raises(DataError, match=rf"a\.{longer} has more lines than .*, which ends after line 2"):
        fetch(lambda: [source], [], ["en-fr"], tmp_path / "raw")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.faults("sides of a pair that do not belong together", lost="nothing; refused before anything is written")
def test_the_same_text_on_both_sides_is_refused(write_raw: WriteRaw, tmp_path: Path) -> None:
    text = "".join(left + "\n" for left, _ in PAIRS).encode()
    (tmp_path / "a.en").write_bytes(text)
    with pytest.raises(SettingError, match="is given as both sides of a pair"):
        files_source(f"{tmp_path}/a.en,{tmp_path}/a.en")
    fetch(lambda: [pair_of(tmp_path, text, text)], [], ["en-fr"], tmp_path / "copies")
    with pytest.raises(DataError, match=r"0 clean pairs are left .* \(60 read, left out: equal sides 60\)"):
        clean(tmp_path / "copies", tmp_path / "clean", SMALL)
    same = [(left, left) for left, _ in PAIRS[:4]]
    with pytest.raises(DataError, match="given test set of en-fr has the same text on both sides"):
        clean(write_raw({}, {"en-fr": PAIRS}, {("en-fr", "test"): same}), tmp_path / "clean", SMALL)
    assert not (tmp_path / "clean").exists()


@pytest.mark.faults("empty files and files of one line", lost="nothing; refused before anything is written")
def test_empty_and_one_line_files_are_named(write_raw: WriteRaw, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(SettingError, match=r"empty: is empty"):
        files_source(mono=f"{tmp_path}/empty")
    for number, content in enumerate((b"\xef\xbb\xbf", b"\r\n", b"\n\n")):
        (tmp_path / "blank").write_bytes(content)
        source = files_source(mono=f"{tmp_path}/blank")
        raw = tmp_path / f"blank{number}"
        count = fetch(lambda source=source: [source], ["en"], [], raw)["languages"]["en"]
        with pytest.raises(DataError, match=rf"0 clean lines .* \({count} read, left out: empty {count}\)"):
            clean(raw, tmp_path / "clean", SMALL)
    one = write_raw({"en": b"A single line"}, {})
    with pytest.raises(DataError, match=r"en: 1 clean lines are left for a monolingual valid set of 5 \(1 read"):
        clean(one, tmp_path / "clean", SMALL)
    with pytest.raises(DataError, match=r"en: nothing is left to train on \(1 read, left out: taken as valid 1\)"):
        clean(one, tmp_path / "clean", CleanSettings(mono_valid=1))
    assert not (tmp_path / "clean").exists()


def test_memory_does_not_grow_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    with open(path, "wb") as stream:
        stream.write(b"short\n")
        stream.truncate(40_000_000)  # zeros that take no room on the disk
    with open(tmp_path / "letters.txt", "wb") as stream:
        stream.writelines(b"a" * 1_000_000 for _ in range(20))
    tracemalloc.start()
    try:
        for name, line in (("long.txt", 2), ("letters.txt", 1)):
            with pytest.raises(DataError, match=f"{name}, line {line}: "):
                list(read_lines(tmp_path / name))
            count_lines(tmp_path / name)
        lengths = [len(batch) for batch in text_batches(("a" * 1_000_000 for _ in range(12)), 2000)]
        assert lengths == [5, 5, 2]
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.faults(
    "a raw, clean or corpus folder that was changed afterwards", lost="nothing; the file is named before it is used"
)
@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"format": 1', '"text"', f'{{"format": {FORMAT + 1}}}', ""])
def test_a_spoilt_manifest_is_named(content: str, write_raw: WriteRaw, tmp_path: Path) -> None:
    raw = write_raw({}, {"en-fr": PAIRS})
    (raw / "raw.json").write_text(content)
    with pytest.raises(DataError, match=r"raw\.json (is no JSON|has format)"):
        clean(raw, tmp_path / "clean", SMALL)


@pytest.mark.faults(
    "a raw, clean or corpus folder that was changed afterwards", lost="nothing; the file is named before it is used"
)
def test_a_raw_folder_that_was_changed_is_named(tmp_path: Path) -> None:
    sides = ["".join(pair[side] + "\n" for pair in PAIRS).encode() for side in (0, 1)]
    fetch(lambda: [pair_of(tmp_path, *sides)], [], ["en-fr"], tmp_path / "raw")
    text = tmp_path / "raw/pairs.en-fr.fr.txt"
    whole = text.read_bytes()
    for spoilt in (whole[:-20], whole.replace(b"le", b"la", 1)):
        text.write_bytes(spoilt)
        with pytest.raises(DataError, match=r"pairs\.en-fr\.fr\.txt has .*\n.*scaling-preprocess fetch --overwrite"):
            clean(tmp_path / "raw", tmp_path / "clean", SMALL)
    text.unlink()
    with pytest.raises(DataError, match=r"pairs\.en-fr\.fr\.txt is missing"):
        clean(tmp_path / "raw", tmp_path / "clean", SMALL)


def test_a_full_disk_leaves_nothing_that_looks_finished(write_raw: WriteRaw, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: it needs no root, and the system says it as it says that."""
    pairs = [sentence(7 * number) for number in range(900)]
    raw = write_raw({}, {"en-fr": pairs})
    source = pair_of(tmp_path, *("".join(pair[side] + "\n" for pair in pairs).encode() for side in (0, 1)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        for step in (
            lambda out: fetch(lambda: [source], [], ["en-fr"], out),
            lambda out: clean(raw, out, SMALL),
        ):
            with pytest.raises(ScalingError, match=r"out: cannot be written: File too large\n.*nothing that looks"):
                step(tmp_path / "out")
            assert not list(tmp_path.glob("out*"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
