"""Which Debian packages give the most text per megabyte: how the quickstart's package list was made."""

from __future__ import annotations

import heapq
import json
import platform
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..filters import words
from ..normalise import remove_accelerator
from ..progress import ordered_map, progress
from .apt import Apt, Package
from .debian import ENGLISH, DebianSource, file_language

_SHORT, _LONG = 2, 12  # words of a string that counts as short
_SHORT_WORTH, _SIMPLE_WORTH = 5.0, 20.0  # a short pair is worth so many words, one of frequent words more
_ENGLISH_WORTH = 0.5  # English comes with every other language
_FREQUENT_WORDS = 1500
_TEXT_FACTOR = 8
_PAGES_AT_LEAST = 20  # a package with fewer manual pages is no package of manual pages

Strings = dict[tuple[str, str], float]


def rank_packages(
    languages: Sequence[str], pairs: Sequence[str], out: Path, cache: Path, limit: int, largest: int, workers: int
) -> dict[str, Any]:
    """Write the list of packages, up to ``limit`` bytes, that greedily adds the most new text per byte.

    Worth of a string is its number of words, half of it in English, which is plenty. A short string of a pair is worth
    more, most if it uses only the 1,500 most frequent English words. A string that an earlier package gave is worth
    nothing.

    Args:
        languages: the languages of the study; English messages come with any other language.
        pairs: pairs whose short strings count.
        out: the JSON file to write.
        cache: folder for the downloads.
        limit: bytes of the list.
        largest: bytes; packages above are not tried, those whose name promises text not above eight times that.
        workers: processes.

    Returns:
        What was written: packages with sizes and words, and the totals.
    """
    apt = Apt(cache)
    found = apt.look_up(_candidates(apt, languages))
    tried = [package for _, package in sorted(found.items()) if package.size <= _largest(package.name, largest)]
    with progress("download (bytes)", sum(package.size for package in tried)) as advance:
        failed = {package.name for package in apt.download(tried, advance)}
    tried = [package for package in tried if package.name not in failed]
    measure = partial(_measure, cache=cache, languages=tuple(languages), pairs=tuple(pairs))
    measured: list[tuple[Package, Strings]] = []
    with progress("measure (packages)", len(tried)) as advance:
        for package, strings in zip(tried, ordered_map(measure, tried, workers), strict=True):
            measured.append((package, strings))
            advance(1)
    command = f"scaling-preprocess rank-packages --languages {','.join(languages)} --pairs {','.join(pairs)}"
    command += f" --limit {limit / 1e6:g} --largest {largest / 1e6:g}"
    ranking: dict[str, Any] = {"made_by": command, "release": _release(), "languages": list(languages)}
    ranking |= _choose(measured, languages, pairs, limit)
    out.write_text(json.dumps(ranking, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return ranking


def _candidates(apt: Apt, languages: Sequence[str]) -> list[str]:
    """Return the packages that hold translated messages, help pages, or many manual pages."""
    messages: set[str] = set()
    manual_pages: Counter[str] = Counter()
    for file, package in apt.files_of_packages():
        if file.endswith((".mo", ".html")) and file_language(file, languages):
            messages.add(package)
        elif file.startswith("usr/share/man/") and file_language(file, languages):
            manual_pages[package] += 1
    translated = {
        name for name, count in manual_pages.items() if count >= _PAGES_AT_LEAST and name.startswith("manpages")
    }
    return sorted(messages | translated)


def _largest(name: str, largest: int) -> int:
    """Packages whose name promises text may be larger."""
    promises = any(part in name for part in ("l10n", "i18n", "locale", "common", "data", "help", "manpages"))
    return _TEXT_FACTOR * largest if promises else largest


def _measure(package: Package, cache: Path, languages: Sequence[str], pairs: Sequence[str]) -> Strings:
    """Return (language or pair, text) -> words in it."""
    source = DebianSource([package], languages, cache)
    strings: Strings = {}
    for language in languages:
        for text in source.monolingual(language):
            line = _plain(text)
            if (count := len(words(line))) >= _SHORT:
                strings[language, line] = count * (_ENGLISH_WORTH if language == ENGLISH else 1)
    for pair in pairs:
        for sides in source.parallel(*pair.split("-")):
            lines = [_plain(side) for side in sides]
            if lines[0] != lines[1] and all(_SHORT <= len(line.split()) <= _LONG for line in lines):
                strings[pair, lines[1 if pair.endswith(f"-{ENGLISH}") else 0]] = _SHORT_WORTH
    return strings


def _plain(text: str) -> str:
    """Return the text as it is compared: the whole normalisation would take ten times as long and change little."""
    return " ".join(remove_accelerator(text).split())


def _choose(
    measured: Sequence[tuple[Package, Strings]], languages: Sequence[str], pairs: Sequence[str], limit: int
) -> dict[str, Any]:
    _raise_simple(measured, pairs)
    seen: set[tuple[str, str]] = set()
    totals: Counter[str] = Counter()
    # Lazy greedy: gains only shrink as strings are seen, so a package whose gain is up to date and on top is the best.
    heap = [(-sum(strings.values()) / package.size, index, 0) for index, (package, strings) in enumerate(measured)]
    heapq.heapify(heap)
    chosen: list[dict[str, Any]] = []
    size = 0
    while heap:
        gain, index, known = heapq.heappop(heap)
        package, strings = measured[index]
        if known != len(chosen):
            fresh = sum(worth for key, worth in strings.items() if key not in seen)
            heapq.heappush(heap, (-fresh / package.size, index, len(chosen)))
            continue
        if gain == 0:
            break
        if size + package.size > limit:
            continue
        size += package.size
        new_words = 0
        for (what, text), worth in strings.items():
            if (what, text) not in seen:
                seen.add((what, text))
                count = 0 if what in pairs else round(worth / (_ENGLISH_WORTH if what == ENGLISH else 1))
                totals[what] += count or 1
                new_words += count
        chosen.append({"name": package.name, "version": package.version, "bytes": package.size, "new_words": new_words})
    return {
        "bytes": size,
        "words": {language: totals[language] for language in languages},
        "short_pairs": {pair: totals[pair] for pair in pairs},
        "packages": chosen,
    }


def _raise_simple(measured: Sequence[tuple[Package, Strings]], pairs: Sequence[str]) -> None:
    """Give short strings of frequent words their higher worth."""
    short = {text for _, strings in measured for what, text in strings if what in pairs}
    frequencies: Counter[str] = Counter()
    for text in short:
        frequencies.update(words(text))
    frequent = {word for word, _ in frequencies.most_common(_FREQUENT_WORDS)}
    for _, strings in measured:
        for what, text in strings:
            if what in pairs and frequent.issuperset(words(text)):
                strings[what, text] = _SIMPLE_WORTH


def _release() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"
