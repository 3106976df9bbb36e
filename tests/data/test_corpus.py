"""The corpus folder: token files agree with fairseq's own reader and writer, and a broken folder says what is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairseq_scaling.data.corpus import Corpus, TokenBatch, TokenFile, corpus_fingerprint, token_dtype, write_token_file
from fairseq_scaling.errors import DataError, SettingError
from tests.data.tiny import renew, write_corpus

Record = Callable[[str, object], None]
SENTENCES = [[4, 5, 6, 2], [2], [7, 7, 2], [65535, 2]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_the_bytes_are_those_of_fairseqs_builder(tmp_path: Path, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    indexed_dataset = pytest.importorskip("fairseq.data.indexed_dataset")
    builder = indexed_dataset.MMapIndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
    for sentence in SENTENCES:
        builder.add_item(torch.tensor(sentence))
    builder.finalize(str(tmp_path / "theirs.idx"))
    write_token_file(tmp_path / "ours", [np.array(sentence) for sentence in SENTENCES], dtype)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


def test_batches_and_single_sentences_give_the_same_file(tmp_path: Path) -> None:
    single = write_token_file(tmp_path / "single", [np.array(sentence) for sentence in SENTENCES], np.uint16)
    flat = np.concatenate(SENTENCES)
    batches = [TokenBatch(flat[:5], np.array([4, 1])), TokenBatch(flat[5:], np.array([3, 2]))]
    batched = write_token_file(tmp_path / "batched", batches, np.uint16)
    assert Path(single.path_prefix + ".idx").read_bytes() == Path(batched.path_prefix + ".idx").read_bytes()
    assert single.stream.tolist() == batched.stream.tolist() == flat.tolist()


def test_a_token_file_reads_back_what_was_written(tmp_path: Path) -> None:
    tokens = write_token_file(tmp_path / "deep" / "train", [np.array(sentence) for sentence in SENTENCES], np.int32)
    assert [sentence.tolist() for sentence in tokens] == SENTENCES
    assert len(tokens) == 4
    assert tokens.tokens == 10
    assert tokens.sizes.tolist() == [4, 1, 3, 2]
    assert tokens.stream.dtype == np.int32
    assert pickle.loads(pickle.dumps(tokens))[2].tolist() == [7, 7, 2]
    assert not list((tmp_path / "deep").glob("*.part"))


def test_an_empty_token_file_can_be_read(tmp_path: Path) -> None:
    tokens = write_token_file(tmp_path / "empty", [], np.uint16)
    assert (len(tokens), tokens.tokens, tokens.stream.tolist()) == (0, 0, [])


def test_the_smaller_type_is_taken_as_long_as_it_holds_every_id() -> None:
    assert token_dtype(65536) == np.uint16  # ids 0 to 65535
    assert token_dtype(65537) == np.int32


def test_files_cut_short_are_recognised(tmp_path: Path) -> None:
    prefix = write_token_file(tmp_path / "train", [np.array(sentence) for sentence in SENTENCES], np.uint16).path_prefix
    data, index = Path(prefix + ".bin"), Path(prefix + ".idx")
    whole = data.read_bytes()
    data.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=r"train\.bin holds 18 bytes, its index says 20"):
        TokenFile(prefix)
    data.write_bytes(whole)
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train\.idx is cut short"):
        TokenFile(prefix)
    index.write_bytes(b"something else entirely, and long")
    with pytest.raises(DataError, match="no fairseq mmap index"):
        TokenFile(prefix)


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    for prefix in ("mono/en/train", "mono/en/valid", "pairs/en-fr/test.en", "pairs/en-fr/test.fr"):
        write_token_file(folder / prefix, [np.array([4, 2])], np.uint16)
    (folder / "pairs/en-fr/test.fr.txt").write_text("oui\n")
    (folder / "pairs/en-fr/test.en.txt").write_text("yes\n")
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    size = {"sentences": 1, "tokens": 2}
    manifest = {
        "format": 1,
        "languages": {"en": {"train": size, "valid": size}},
        "pairs": {"en-fr": {"test": {"sentences": 1, "tokens": {"en": 2, "fr": 2}}}},
        "files": files,
        "fingerprint": corpus_fingerprint(files),
    }
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return folder


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_pair_serves_both_directions(corpus_folder: Path) -> None:
    corpus = Corpus.open(corpus_folder)
    source, target = corpus.pair("fr", "en", "test")
    assert (source.path_prefix, target.path_prefix) == (
        str(corpus_folder / "pairs/en-fr/test.fr"),
        str(corpus_folder / "pairs/en-fr/test.en"),
    )
    assert corpus.reference("fr", "en", "test").read_text() == "yes\n"
    assert corpus.reference("en", "fr", "test").read_text() == "oui\n"
    assert corpus.source_text("en", "fr", "test").read_text() == "yes\n"
    assert corpus.languages == ("en",)
    assert corpus.pairs == ("en-fr",)
    assert corpus.mono("en", "valid").tokens == 2
    corpus.verify()


def test_what_the_corpus_lacks_is_named_with_what_it_has(corpus_folder: Path) -> None:
    corpus = Corpus.open(corpus_folder)
    with pytest.raises(SettingError, match=r"language = de: .* in: en"):
        corpus.mono("de", "train")
    with pytest.raises(SettingError, match=r"language pair = en-de: .* pairs: en-fr"):
        corpus.pair("en", "de", "test")
    with pytest.raises(SettingError, match="split = train: the pair en-fr has the splits: test"):
        corpus.pair("en", "fr", "train")
    with pytest.raises(SettingError, match="split = test: monolingual text in en has the splits: train, valid"):
        corpus.mono("en", "test")


def test_a_broken_corpus_folder_says_what_is_wrong(corpus_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        Corpus.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no corpus\.json"):
        Corpus.open(corpus_folder / "mono")
    (corpus_folder / "mono/en/train.bin").write_bytes(b"123456")
    with pytest.raises(DataError, match=r"train\.bin has 6 bytes, not 4"):
        Corpus.open(corpus_folder)
    (corpus_folder / "mono/en/train.bin").unlink()
    with pytest.raises(DataError, match=r"train\.bin is missing"):
        Corpus.open(corpus_folder)
    manifest = corpus_folder / "corpus.json"
    manifest.write_text('{"format": 99}')
    with pytest.raises(DataError, match="has format 99"):
        Corpus.open(corpus_folder)
    manifest.write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        Corpus.open(corpus_folder)


@pytest.mark.faults(
    "a raw, clean or corpus folder that was changed afterwards", lost="nothing; the file is named before it is used"
)
@pytest.mark.parametrize("name", ["dict.txt", "pairs/en-fr/test.fr.txt", "mono/en/train.bin", "mono/en/train.idx"])
@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "changed"])
def test_a_damaged_file_is_named_before_anything_is_read(name: str, damage: str, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", {"en": [[5, 6]] * 9}, {"en-fr": ([[7]] * 9, [[8]] * 9)})
    (folder / "pairs/en-fr/test.fr.txt").write_text("oui\n")
    renew(folder)
    Corpus.open(folder).verify()
    path = folder / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[:-1], "longer": whole + b"\n", "changed": whole[:-1] + b"?"}[damage])
    said = {"missing": "is missing", "changed": "has changed since"}.get(damage, r"has \d+ bytes, not")
    with pytest.raises(DataError, match=rf"{name} {said}"):
        Corpus.open(folder)


def test_verify_finds_a_changed_byte_in_a_large_file(corpus_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairseq_scaling.data.corpus.SMALL_FILE", 1)
    (corpus_folder / "pairs/en-fr/test.fr.txt").write_text("non\n")
    corpus = Corpus.open(corpus_folder)
    with pytest.raises(DataError, match=r"test\.fr\.txt has changed"):
        corpus.verify()


def _edits(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every place in a manifest with what may stand there wrongly; ``...`` takes it away."""
    for key in value if isinstance(value, dict) else ():
        for wrong in (..., None, [], "x", -1, 2.5, {"en-fr-de": {}}):
            yield (*place, key), wrong
        yield from _edits(value[key], (*place, key))


@pytest.mark.faults(
    "a raw, clean or corpus folder that was changed afterwards", lost="nothing; the file is named before it is used"
)
def test_an_edited_manifest_is_named_or_does_no_harm(corpus_folder: Path, record_property: Record) -> None:
    manifest = corpus_folder / "corpus.json"
    whole = manifest.read_text()
    harmless, refused = set(), 0
    for place, wrong in _edits(json.loads(whole)):
        content = json.loads(whole)
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        if wrong is ...:
            del inner[place[-1]]
        else:
            inner[place[-1]] = wrong
        manifest.write_text(json.dumps(content))
        try:
            corpus = Corpus.open(corpus_folder)
            tokens = [corpus.mono(language, split) for language in corpus.languages for split in ("train", "valid")]
            tokens += corpus.pair("en", "fr", "test")
            harmless.add(place[-1])
            assert [file.tokens for file in tokens] == [2] * len(tokens)
        except (DataError, SettingError):
            refused += 1
    record_property("faults", refused)
    assert refused > 100
    assert harmless <= {"sentences", "en", "languages"}  # nobody reads the first; a language may be taken away


@pytest.mark.faults(
    "a raw, clean or corpus folder that was changed afterwards", lost="nothing; the file is named before it is used"
)
def test_a_manifest_cut_anywhere_is_named(corpus_folder: Path, record_property: Record) -> None:
    manifest = corpus_folder / "corpus.json"
    whole = manifest.read_bytes()
    lengths = range(0, len(whole), 7)
    record_property("faults", len(lengths) + 5)
    for length in lengths:
        manifest.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"corpus\.json is no JSON"):
            Corpus.open(corpus_folder)
    for content in (b"\xff\xfe{\0}\0", b"[" * 100_000, b"null", b"[]", whole.replace(b"format", b"f\xf6rmat")):
        manifest.write_bytes(content)
        with pytest.raises(DataError, match=r"corpus\.json (is no JSON|has format)"):
            Corpus.open(corpus_folder)


def test_the_fingerprint_depends_on_names_and_content_and_not_on_order() -> None:
    entries = {"a": {"sha256": "1"}, "b": {"sha256": "2"}}
    swapped = {"a": {"sha256": "2"}, "b": {"sha256": "1"}}
    assert corpus_fingerprint(entries) == corpus_fingerprint(dict(reversed(entries.items())))
    assert corpus_fingerprint(entries) != corpus_fingerprint(swapped)


def test_a_corpus_can_be_moved(corpus_folder: Path, tmp_path: Path) -> None:
    fingerprint = Corpus.open(corpus_folder).fingerprint
    shutil.move(corpus_folder, tmp_path / "elsewhere")
    assert Corpus.open(tmp_path / "elsewhere").fingerprint == fingerprint
