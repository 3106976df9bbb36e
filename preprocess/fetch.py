"""Step 1, fetch: get raw text from sources into one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fairseq_scaling.errors import DataError, SettingError

from .folders import FORMAT, RAW_MANIFEST, check_free, file_entries, mono_name, new_folder, pair_name, write_manifest
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
) -> dict[str, Any]:
    """Write ``mono.<lang>.txt``, ``pairs.<src>-<tgt>.<lang>.txt``, given splits and ``raw.json`` into ``out``.

    Args:
        open_sources: returns the sources; called after ``out`` was found to be free, since opening may download.
        languages: languages of the monolingual text.
        pairs: language pairs such as ``en-fr``; each serves both directions.
        out: the raw folder.
        overwrite: replace a finished one.

    Returns:
        The content of ``raw.json``.

    Raises:
        SettingError: nothing asked for, a malformed pair, or ``out`` is taken.
        DataError: a source has no text for a language or pair.
    """
    check_languages(languages, pairs)
    check_free(out, RAW_MANIFEST, overwrite)
    sources = open_sources()
    with new_folder(out, RAW_MANIFEST, overwrite) as folder:
        mono = {language: _fetch_mono(sources, language, folder) for language in languages}
        counts = {pair: _fetch_pair(sources, pair, folder) for pair in pairs}
        manifest = {
            "format": FORMAT,
            "languages": mono,
            "pairs": counts,
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
            raise SettingError("--pairs", pair, "stands there twice", "a pair serves both directions: en-fr and fr-en")
        seen.add(frozenset(sides))


def _fetch_mono(sources: Sequence[Source], language: str, folder: Path) -> int:
    lines = (line for source in sources for line in source.monolingual(language))
    with progress(f"fetch {language} (lines)") as advance:
        count = write_lines(folder / mono_name(language), _counted(lines, advance))
    if not count:
        raise DataError(f"no monolingual text in {language} from: {', '.join(source.name for source in sources)}")
    return count


def _fetch_pair(sources: Sequence[Source], pair: str, folder: Path) -> dict[str, int]:
    source_lang, target_lang = pair.split("-")
    counts = {}
    parallel = (item for source in sources for item in source.parallel(source_lang, target_lang))
    with progress(f"fetch {pair} (pairs)") as advance:
        files = folder / pair_name(pair, source_lang), folder / pair_name(pair, target_lang)
        counts["parallel"] = write_pairs(*files, _counted(parallel, advance))
    if not counts["parallel"]:
        raise DataError(f"no parallel text for {pair} from: {', '.join(source.name for source in sources)}")
    for split in ("valid", "test"):
        given = (item for source in sources for item in source.held_out(source_lang, target_lang, split))
        files = folder / pair_name(pair, source_lang, split), folder / pair_name(pair, target_lang, split)
        if count := write_pairs(*files, given):
            counts[split] = count
        else:
            for file in files:
                file.unlink()
    return counts


def _counted(items: Iterable[_Item], advance: Callable[[int], None]) -> Iterator[_Item]:
    for number, item in enumerate(items, start=1):
        if number % 1000 == 0:
            advance(1000)
        yield item
