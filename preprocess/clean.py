"""Step 2, clean: normalise and filter raw text, take out valid and test sets, shuffle.

What holds of the result: no line of a valid or test set, on either side, stands in any training text of any language,
compared without case, punctuation, symbols and spaces. Training pairs stand in the order of seeded hashes: shuffled,
and the same whatever the order of the input. Monolingual text keeps its order, as in T5 and the paper: a pretraining
block then holds text that belongs together, from which a masked span can be told; the blocks are shuffled in training.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_scaling.errors import DataError, SettingError

from .buckets import Buckets, digest
from .filters import LanguageProfile, Limits, reject_line, reject_pair, reject_raw, words
from .folders import (
    CLEAN_MANIFEST,
    FORMAT,
    RAW_MANIFEST,
    check_free,
    file_entries,
    mono_name,
    new_folder,
    pair_name,
    read_manifest,
    write_manifest,
)
from .lines import count_lines, read_lines, read_pairs, text_batches, write_lines, write_pairs
from .normalise import content_key, normalise
from .progress import ordered_map, progress

_BATCH = 2000
_PROFILE_SAMPLE = 50_000  # lines per language
_STRETCH = 50  # neighbouring lines that go into a monolingual valid set together


@dataclass(frozen=True)
class CleanSettings:
    """Everything that decides what comes out."""

    limits: Limits = field(default_factory=Limits)
    accelerators: bool = True
    """remove the marks of accelerator keys"""
    language_check: bool = True
    simple_words: int = 0
    """keep only pairs whose English side (first, if none is) uses only the so many most frequent words; 0: all"""
    unique_sides: bool = False
    """a sentence stands in one pair only; else only copies of a whole pair are removed"""
    valid: int = 1000
    """pairs taken out as valid set, where none is given"""
    test: int = 1000
    mono_valid: int = 1000
    """lines per language taken out as monolingual valid set"""
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("simple_words", "valid", "test", "mono_valid", "seed"):
            if getattr(self, name) < 0:
                raise SettingError(f"--{name.replace('_', '-')}", getattr(self, name), "must not be negative")


def clean(
    raw: Path, out: Path, settings: CleanSettings = CleanSettings(), workers: int = 1, overwrite: bool = False
) -> dict[str, Any]:
    """Clean the raw folder into ``out`` and return the content of ``clean.json``.

    Memory: the sentences of one bucket (64 MB), and with ``unique_sides`` some 100 bytes per pair.

    Raises:
        DataError: the raw folder is not finished, a file is not UTF-8, two sides do not align, or too little is left.
        SettingError: ``out`` is taken.
    """
    check_free(out, CLEAN_MANIFEST, overwrite)
    raw_manifest = read_manifest(raw, RAW_MANIFEST)
    with new_folder(out, CLEAN_MANIFEST, overwrite) as folder:
        work = _Cleaning(raw, folder, raw_manifest, settings, workers)
        work.run()
        manifest = {
            "format": FORMAT,
            "languages": work.languages,
            "pairs": work.pairs,
            "filters": {name: dict(counts) for name, counts in work.report.items()},
            "sources": raw_manifest["sources"],
            "settings": asdict(settings),
            "files": file_entries(folder),
        }
        write_manifest(folder, CLEAN_MANIFEST, manifest)
    return manifest


class _Cleaning:
    """One run; the attributes are what its steps hand to each other."""

    def __init__(
        self, raw: Path, folder: Path, manifest: dict[str, Any], settings: CleanSettings, workers: int
    ) -> None:
        self._raw, self._folder, self._manifest = raw, folder, manifest
        self._settings, self._workers = settings, workers
        self._held_out: set[int] = set()  # digests of everything that stands in a valid or test set
        self.report: dict[str, Counter[str]] = {}
        self.languages: dict[str, dict[str, int]] = {}
        self.pairs: dict[str, dict[str, int]] = {}

    def run(self) -> None:
        languages, pairs = sorted(self._manifest["languages"]), sorted(self._manifest["pairs"])
        profile = self._learn_profile(languages) if self._settings.language_check else None
        kept_pairs = {pair: self._filter_pairs(pair, profile) for pair in pairs}
        for pair in pairs:
            self._write_given(pair)
        for pair in pairs:
            self._take_out(pair, kept_pairs[pair])
        kept_mono = {language: self._filter_mono(language, profile) for language in languages}
        for language in languages:
            self._take_out_mono(language, kept_mono[language])
        # Only now is all that is held out known, so only now can training text be written.
        for pair in pairs:
            self._write_train_pairs(pair, kept_pairs[pair])
        for language in languages:
            self._write_train_mono(language, kept_mono[language])

    def _learn_profile(self, languages: list[str]) -> LanguageProfile:
        return LanguageProfile({language: self._sample(language) for language in languages})

    def _sample(self, language: str) -> Iterator[str]:
        """Yield lines from all over a file, not only from its beginning."""
        path = self._raw / mono_name(language)
        step = max(1, count_lines(path) // _PROFILE_SAMPLE)
        return (line for number, line in enumerate(read_lines(path)) if number % step == 0)

    def _filter_pairs(self, pair: str, profile: LanguageProfile | None) -> Buckets:
        """Return the pairs that keep to the limits, without copies."""
        source, target = pair.split("-")
        counts = self.report[f"pairs {pair}"] = Counter(read=0)
        files = self._raw / pair_name(pair, source), self._raw / pair_name(pair, target)
        work = partial(_clean_pairs, languages=(source, target), settings=self._settings)
        kept = self._buckets(f"pairs.{pair}", *files)
        with kept, progress(f"clean {pair} (pairs)", count_lines(files[0])) as advance:
            jobs = text_batches(read_pairs(*files), _BATCH)
            for reasons, records in ordered_map(work, jobs, self._workers, _set_profile, (profile,)):
                counts.update(reasons)
                advance(reasons["read"])
                for record in records:
                    kept.add(*record)
        return self._simple_pairs(pair, self._distinct_pairs(pair, kept))

    def _distinct_pairs(self, pair: str, kept: Buckets) -> Buckets:
        counts, seen_targets = self.report[f"pairs {pair}"], set[int]()
        distinct = self._buckets(f"distinct.{pair}", *self._raw.glob(pair_name(pair, "*")))
        last, seen_with_last = -1, set[int]()
        with distinct:
            for key, sides in kept:
                if key != last:
                    last, seen_with_last = key, set()
                elif self._settings.unique_sides:
                    counts["duplicate"] += 1
                    continue
                other = digest(content_key(sides[1]), self._settings.seed)
                if other in seen_targets or other in seen_with_last:
                    counts["duplicate"] += 1
                    continue
                (seen_targets if self._settings.unique_sides else seen_with_last).add(other)
                distinct.add(key, *sides)
        kept.delete()
        return distinct

    def _simple_pairs(self, pair: str, kept: Buckets) -> Buckets:
        """Return the pairs that use only the most frequent words (of the pairs that got here)."""
        if not self._settings.simple_words:
            return kept
        side = 1 if pair.split("-")[1] == "en" else 0
        frequencies: Counter[str] = Counter()
        for _, sides in kept:
            frequencies.update(words(sides[side]))
        common = sorted(frequencies.items(), key=lambda item: (-item[1], item[0]))[: self._settings.simple_words]
        simple_words = {word for word, _ in common}
        counts = self.report[f"pairs {pair}"]
        simple = self._buckets(f"simple.{pair}", *self._raw.glob(pair_name(pair, "*")))
        with simple:
            for key, sides in kept:
                if simple_words.issuperset(words(sides[side])):
                    simple.add(key, *sides)
                else:
                    counts["not simple"] += 1
        kept.delete()
        return simple

    def _write_given(self, pair: str) -> None:
        """Copy given valid and test sets as they are: scores on them must stay comparable."""
        source, target = pair.split("-")
        self.pairs[pair] = {}
        for split in ("valid", "test"):
            if split not in self._manifest["pairs"][pair]:
                continue
            files = pair_name(pair, source, split), pair_name(pair, target, split)
            given = [
                (" ".join(left.split()), " ".join(right.split()))
                for left, right in read_pairs(self._raw / files[0], self._raw / files[1])
            ]
            _check_given(given, f"the given {split} set of {pair}")
            self.pairs[pair][split] = write_pairs(self._folder / files[0], self._folder / files[1], given)
            self._hold_out(given, (source, target))

    def _take_out(self, pair: str, kept: Buckets) -> None:
        """Write the first pairs in hash order as test and valid set, where none were given."""
        source, target = pair.split("-")
        for split, wanted in (("test", self._settings.test), ("valid", self._settings.valid)):
            if split in self.pairs[pair] or not wanted:
                continue
            chosen: list[tuple[str, str]] = []
            for _, (left, right) in kept:
                keys = {digest(content_key(side), self._settings.seed) for side in (left, right)}
                if keys.isdisjoint(self._held_out):
                    chosen.append((left, right))
                    self._held_out |= keys
                    if len(chosen) == wanted:
                        break
            else:
                raise DataError(
                    f"{pair}: {len(chosen)} clean pairs are left for a {split} set of {wanted} "
                    f"({_reasons(self.report[f'pairs {pair}'])})\n"
                    "  fetch more text, filter less, or lower --valid and --test"
                )
            files = pair_name(pair, source, split), pair_name(pair, target, split)
            self.pairs[pair][split] = write_pairs(self._folder / files[0], self._folder / files[1], chosen)
            self._hold_out(chosen, (source, target))

    def _hold_out(self, pairs: Iterable[tuple[str, str]], languages: tuple[str, str]) -> None:
        """Remember both sides, as they are and as the cleaned training text would hold them."""
        for sides in pairs:
            for side, language in zip(sides, languages, strict=True):
                for text in (side, normalise(side, language, self._settings.accelerators)):
                    self._held_out.add(digest(content_key(text), self._settings.seed))

    def _filter_mono(self, language: str, profile: LanguageProfile | None) -> Buckets:
        """Return the lines that keep to the limits and stand in no valid or test set of pairs, without copies."""
        counts = self.report[f"mono {language}"] = Counter(read=0)
        path = self._raw / mono_name(language)
        work = partial(_clean_lines, language=language, settings=self._settings)
        kept = self._buckets(f"mono.{language}", path)
        with kept, progress(f"clean {language} (lines)", count_lines(path)) as advance:
            jobs, place = text_batches(read_lines(path), _BATCH), 0
            for reasons, records in ordered_map(work, jobs, self._workers, _set_profile, (profile,)):
                counts.update(reasons)
                advance(reasons["read"])
                for key, line in records:
                    kept.add(key, str(place), line)
                    place += 1
        distinct, last = self._buckets(f"distinct.{language}", path), -1
        step = (1 << 64) // max(place, 1)  # places spread over all 64 bits: the buckets then sort by place
        with distinct:
            for key, (number, line) in kept:
                if key == last:
                    counts["duplicate"] += 1
                elif key in self._held_out:
                    counts["held out"] += 1
                else:
                    distinct.add(int(number) * step, f"{key:016x}", line)
                last = key
        kept.delete()
        return distinct

    def _take_out_mono(self, language: str, kept: Buckets) -> None:
        """Write a valid set of stretches of text, those whose places have the smallest seeded hashes."""
        wanted, seed = self._settings.mono_valid, self._settings.seed

        def free() -> Iterator[tuple[int, str, str]]:
            # Another language's valid set may hold the same line.
            lines = ((key, line) for _, (key, line) in kept if int(key, 16) not in self._held_out)
            return ((number // _STRETCH, key, line) for number, (key, line) in enumerate(lines))

        stretches = heapq.nsmallest(
            -(-wanted // _STRETCH) + 1,  # one more, for the last may be short
            {stretch for stretch, _, _ in free()},
            key=lambda stretch: digest(f"{language} {stretch}", seed),
        )
        rank = {stretch: place for place, stretch in enumerate(stretches)}
        taken = [(rank[stretch], key, line) for stretch, key, line in free() if stretch in rank]
        taken = sorted(taken, key=lambda entry: entry[0])[:wanted]
        chosen = [line for _, _, line in taken]
        self._held_out.update(int(key, 16) for _, key, _ in taken)
        if len(chosen) < wanted:
            raise DataError(
                f"{language}: {len(chosen)} clean lines are left for a monolingual valid set of {wanted} "
                f"({_reasons(self.report[f'mono {language}'])})\n"
                "  fetch more text, filter less, or lower --mono-valid"
            )
        self.languages[language] = {"valid": write_lines(self._folder / mono_name(language, "valid"), chosen)}

    def _write_train_pairs(self, pair: str, kept: Buckets) -> None:
        source, target = pair.split("-")
        counts = self.report[f"pairs {pair}"]
        taken = sum(count for split, count in self.pairs[pair].items() if split not in self._manifest["pairs"][pair])

        def training() -> Iterator[tuple[str, str]]:
            for key, (left, right) in kept:
                if key in self._held_out or digest(content_key(right), self._settings.seed) in self._held_out:
                    counts["held out"] += 1
                else:
                    yield left, right

        files = pair_name(pair, source, "train"), pair_name(pair, target, "train")
        written = write_pairs(self._folder / files[0], self._folder / files[1], training())
        counts["held out"] -= taken
        counts.update({"taken as valid and test": taken, "train": written})
        self.pairs[pair]["train"] = written
        kept.delete()
        _check_sum(f"pairs {pair}", counts)
        _check_left(pair, counts)

    def _write_train_mono(self, language: str, kept: Buckets) -> None:
        counts = self.report[f"mono {language}"]

        def training() -> Iterator[str]:
            for _, (key, line) in kept:
                if int(key, 16) in self._held_out:
                    counts["held out"] += 1
                else:
                    yield line

        written = write_lines(self._folder / mono_name(language, "train"), training())
        taken = self.languages[language]["valid"]
        counts["held out"] -= taken
        counts.update({"taken as valid": taken, "train": written})
        self.languages[language]["train"] = written
        kept.delete()
        _check_sum(f"mono {language}", counts)
        _check_left(language, counts)

    def _buckets(self, name: str, *files: Path) -> Buckets:
        return Buckets(self._folder / f"{name}.bucket", sum(file.stat().st_size for file in files))


_profile: LanguageProfile | None = None  # of a worker process


def _set_profile(profile: LanguageProfile | None) -> None:
    global _profile
    _profile = profile


def _clean_lines(
    lines: list[str], language: str, settings: CleanSettings
) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return how many lines were read and left out for which reason, and (digest, line) of those that stay."""
    reasons, kept = Counter(read=len(lines)), []
    for raw in lines:
        line = normalise(raw, language, settings.accelerators)
        if reason := reject_raw(raw) or reject_line(line, language, settings.limits, _profile):
            reasons[reason] += 1
        else:
            kept.append((digest(content_key(line), settings.seed), line))
    return reasons, kept


def _clean_pairs(
    pairs: list[tuple[str, str]], languages: tuple[str, str], settings: CleanSettings
) -> tuple[Counter[str], list[tuple[int, str, str]]]:
    """Return how many pairs were read and left out for which reason, and (digest of the source, both) of the rest."""
    reasons, kept = Counter(read=len(pairs)), []
    for raw in pairs:
        left, right = (normalise(raw[side], languages[side], settings.accelerators) for side in (0, 1))
        if reason := reject_raw(*raw) or reject_pair((left, right), languages, settings.limits, _profile):
            reasons[reason] += 1
        else:
            kept.append((digest(content_key(left), settings.seed), left, right))
    return reasons, kept


def _check_given(given: list[tuple[str, str]], name: str) -> None:
    """Raise DataError where scores on a given set would mean nothing."""
    for number, sides in enumerate(given, start=1):
        if not all(sides):
            raise DataError(f"{name} has an empty side in line {number}")
        if reason := reject_raw(*sides):
            raise DataError(f"{name} has {reason} in line {number}\n  take the file from where it was published")
    if all(left == right for left, right in given):
        raise DataError(f"{name} has the same text on both sides\n  give the file of each language")


def _reasons(counts: Counter[str]) -> str:
    """Return how many were read and why how many were left out, in words."""
    left_out = [f"{reason} {count}" for reason, count in counts.most_common() if reason != "read" and count]
    return f"{counts['read']} read, left out: {', '.join(left_out) or 'none'}"


def _check_left(name: str, counts: Counter[str]) -> None:
    """Raise DataError where a training text would be empty."""
    if not counts["train"]:
        raise DataError(f"{name}: nothing is left to train on ({_reasons(counts)})\n  fetch more text, or filter less")


def _check_sum(name: str, counts: Counter[str]) -> None:
    left = counts["read"] - sum(count for reason, count in counts.items() if reason != "read")
    assert left == 0, f"{name}: {left} of {counts['read']} are unaccounted for"
