"""Step 1, fetch: get raw text from sources into one folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fairseq_scaling.errors import DataError, SettingError

from .folders import FORMAT, RAW_MANIFEST, check_folder, file_entries, mono_name, new_folder, pair_name, write_manifest
from .lines import write_lines, write_pairs
from .progress import progress
from .sources import Source

_Item = TypeVar("_Item")


def fetch(
    open_sources: Callable[[], Sequence[Source]],
    languages: Sequence[str],
    pairs: Sequence[str],
    out: Path,
    overwrite: bool = False,
    test_names: Mapping[tuple[str, str], str] | None = None,
) -> dict[str, Any]:
    """Write ``mono.<lang>.txt``, ``pairs.<src>-<tgt>.<lang>.txt``, given splits and ``raw.json`` into ``out``.

    Args:
        open_sources: returns the sources; called after ``out`` was found to be free, since opening may download.
        languages: languages of the monolingual text.
        pairs: language pairs such as ``en-fr``; each serves both directions.
        out: the raw folder.
        overwrite: replace a finished one.
        test_names: (pair, split) -> what a given test set is called, instead of the source's name for it.

    Returns:
        The content of ``raw.json``.

    Raises:
        SettingError: nothing asked for, a malformed pair, or ``out`` is taken.
        DataError: a source has no text for a language or pair.
    """
    check_languages(languages, pairs)
    check_folder(out, RAW_MANIFEST, overwrite)
    sources = open_sources()
    with new_folder(out) as folder:
        parts: dict[str, list[list[Any]]] = {}
        mono = {language: _fetch_mono(sources, language, folder, parts) for language in languages}
        counts, names = {}, {}
        for pair in pairs:
            counts[pair], found = _fetch_pair(sources, pair, folder, parts)
            names[pair] = found | {split: name for (named, split), name in (test_names or {}).items() if named == pair}
            _check_names(pair, names[pair])
        manifest = {
            "format": FORMAT,
            "languages": mono,
            "pairs": counts,
            "test_sets": names,
            "parts": parts,
            "sources": [source.describe() for source in sources],
            "files": file_entries(folder),
        }
        write_manifest(folder, RAW_MANIFEST, manifest)
    return manifest


def check_languages(languages: Sequence[str], pairs: Sequence[str]) -> None:
    """Raise SettingError unless these are distinct languages and pairs such as ``en-fr``."""
    if not languages and not pairs:
        raise SettingError("--languages", "", "no language and no pair", "for example: --languages en,fr --pairs en-fr")
    for language in languages:
        if not language.replace("_", "").isalnum():
            raise SettingError("--languages", language, "is no language code", "for example: --languages en,fr,pt_BR")
    seen = set()
    for pair in pairs:
        sides = pair.split("-")
        if len(sides) != 2 or sides[0] == sides[1] or not all(side.replace("_", "").isalnum() for side in sides):
            raise SettingError("--pairs", pair, "is no language pair", "for example: --pairs en-fr,en-de")
        if frozenset(sides) in seen:
            raise SettingError("--pairs", pair, "is listed twice", "a pair serves both directions: en-fr and fr-en")
        seen.add(frozenset(sides))


def _fetch_mono(sources: Sequence[Source], language: str, folder: Path, parts: dict[str, list[list[Any]]]) -> int:
    texts = [(source, source.monolingual(language)) for source in sources]
    count = write_lines(folder / mono_name(language), _joined(language, texts, parts))
    if not count:
        raise DataError(f"no monolingual text in {language} from: {', '.join(source.name for source in sources)}")
    return count


def _fetch_pair(
    sources: Sequence[Source], pair: str, folder: Path, parts: dict[str, list[list[Any]]]
) -> tuple[dict[str, int], dict[str, str]]:
    """Write the text of a pair; return the number of pairs by split, and the names of the test sets by split."""
    languages = source_lang, target_lang = pair.split("-")
    texts = [(source, source.parallel(source_lang, target_lang)) for source in sources]
    left, right = (folder / pair_name(pair, language) for language in languages)
    counts, names = {"parallel": write_pairs(left, right, _joined(pair, texts, parts))}, {}
    if not counts["parallel"]:
        raise DataError(f"no parallel text for {pair} from: {', '.join(source.name for source in sources)}")
    for source in sources:
        for split, (name, pairs) in source.held_out(source_lang, target_lang).items():
            if split in counts:
                raise DataError(f"{pair}: two sources give a set {split}\n  fetch them into two folders")
            left, right = (folder / pair_name(pair, language, split) for language in languages)
            counts[split] = write_pairs(left, right, pairs)
            if not counts[split]:
                raise DataError(f"the given {split} set of {pair} ({name}) is empty")
            if split != "valid":
                names[split] = name
    return counts, names


def _joined(
    name: str, texts: Iterable[tuple[Source, Iterator[_Item]]], parts: dict[str, list[list[Any]]]
) -> Iterator[_Item]:
    """Yield the text of all sources; note the size of each part, and whether it is of a catalogue, in ``parts``."""
    parts[name] = []
    with progress(f"fetch {name}") as advance:
        for source, items in texts:
            count = 0
            for count, item in enumerate(items, start=1):
                if count % 1000 == 0:
                    advance(1000)
                yield item
            if count:
                parts[name].append([count, source.catalogue])


def _check_names(pair: str, names: Mapping[str, str]) -> None:
    for name in names.values():
        if not re.fullmatch(r"[\w.+-]+", name):
            raise SettingError("--test", f"{pair}:{name}", "is no name of a test set", "use letters, digits, _ . + -")
    if len(set(names.values())) < len(names):
        raise SettingError(
            "--test", ", ".join(names.values()), f"two test sets of {pair} have one name",
            f"name them: --test {pair}:NAME=...",
        )  # fmt: skip
