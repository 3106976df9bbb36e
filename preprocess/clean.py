"""Step 2, clean: normalise and filter raw text, take out valid and test sets, shuffle.

All text of a folder is normalised the same way, given valid and test sets included. These are written a second time as
they were given (``pairs.en-fr.test.raw.fr.txt``): translations are scored against that.

No line of a valid or test set, on either side, is in any training text of any language; lines are compared without
case, punctuation, symbols, markup and spaces. Training pairs are in the order of seeded hashes: shuffled, and the same
whatever the order of the input. Monolingual text keeps its order, as in T5 and the paper: a pretraining
block then holds text that belongs together, from which a masked span can be told; the blocks are shuffled in training.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from fairseq_scaling.data.corpus import corpus_fingerprint
from fairseq_scaling.errors import DataError

from .buckets import Buckets, digest
from .cleaning.batches import clean_batch, held_out_keys, in_batches, set_profile
from .cleaning.filters import reject_raw
from .cleaning.lengths import words
from .cleaning.normalise import normalise
from .cleaning.profile import LanguageProfile
from .folders import (
    CLEAN_MANIFEST,
    FORMAT,
    RAW_MANIFEST,
    check_folder,
    file_entries,
    mono_name,
    new_folder,
    pair_name,
    read_manifest,
    write_manifest,
)
from .lines import count_lines, read_lines, read_pairs, write_lines, write_pairs
from .progress import ordered_map, progress
from .settings import CleanSettings

_Text = TypeVar("_Text", str, tuple[str, str])
_PROFILE_SAMPLE = 50_000  # lines per language
_STRETCH = 50  # neighbouring lines that go into a monolingual valid set together
AS_GIVEN = "{}.raw"
"""split of a given set -> that of the same text as it was given, which translations are scored against"""


def clean(
    raw: Path,
    out: Path,
    settings: CleanSettings,
    workers: int = 1,
    overwrite: bool = False,
    expected_text: str = "",
) -> dict[str, Any]:
    """Clean the raw folder into ``out`` and return the content of ``clean.json``.

    With ``expected_text``, the fingerprint of the text of published results (or its first digits), ``clean.json`` and
    ``corpus.json`` tell whether this is that text; nothing else changes.

    Memory: the sentences of one bucket (64 MB), and with ``unique_sides`` some 100 bytes per pair.

    Raises:
        DataError: the raw folder is not finished, a file is not UTF-8, two sides do not align, or too little is left.
        SettingError: ``out`` is taken.
    """
    check_folder(out, CLEAN_MANIFEST, overwrite)
    raw_manifest = read_manifest(raw, RAW_MANIFEST)
    with new_folder(out) as folder:
        work = _Cleaning(raw, folder, raw_manifest, settings, workers)
        work.run()
        files = file_entries(folder)
        manifest = {
            "format": FORMAT,
            "languages": work.languages,
            "pairs": work.pairs,
            "test_sets": raw_manifest["test_sets"],
            "filters": {name: dict(counts) for name, counts in work.report.items()},
            "text": {
                "normalise": work.settings.normalise,
                "changed": {name: dict(counts) for name, counts in work.changed.items()},
                "given": work.given,
                "fingerprint": corpus_fingerprint(files),
                "expected": expected_text or None,
            },
            "sources": raw_manifest["sources"],
            "settings": asdict(settings),
            "files": files,
        }
        write_manifest(folder, CLEAN_MANIFEST, manifest)
    return manifest


class _Cleaning:
    """One run of the step; its parts pass their results on in attributes."""

    def __init__(
        self, raw: Path, folder: Path, manifest: dict[str, Any], settings: CleanSettings, workers: int
    ) -> None:
        self._raw, self._folder, self._manifest = raw, folder, manifest
        self._workers = workers
        from_catalogue = [catalogue for parts in manifest["parts"].values() for _, catalogue in parts]
        no_given = all(len(splits) == 1 for splits in manifest["pairs"].values())
        self.settings = settings.resolved(no_given and bool(from_catalogue) and all(from_catalogue))
        self._held_out: set[int] = set()  # digests of all lines of valid and test sets
        self.report: dict[str, Counter[str]] = {}
        self.changed: dict[str, Counter[str]] = {}
        self.languages: dict[str, dict[str, int]] = {}
        self.pairs: dict[str, dict[str, int]] = {}
        self.given: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        languages, pairs = sorted(self._manifest["languages"]), sorted(self._manifest["pairs"])
        samples = {language: self._sample(language) for language in languages}
        profile = LanguageProfile(samples) if self.settings.language_check else None
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

    def _sample(self, language: str) -> Iterator[str]:
        """Yield lines from all over a file, not only from its beginning."""
        path = self._raw / mono_name(language)
        yield from islice(read_lines(path), 0, None, max(1, count_lines(path) // _PROFILE_SAMPLE))

    def _clean(self, name: str, languages: tuple[str, ...], profile: LanguageProfile | None) -> Iterator[Any]:
        """Yield (digest, lines) of the lines or pairs that keep to the limits, and count the others."""
        kind = "pairs" if len(languages) == 2 else "mono"
        counts = self.report[f"{kind} {name}"] = Counter(read=0)
        changed = self.changed[f"{kind} {name}"] = Counter()
        if kind == "pairs":
            files = [self._raw / pair_name(name, language) for language in languages]
            items: Iterator[Any] = read_pairs(files[0], files[1])
        else:
            files = [self._raw / mono_name(name)]
            items = read_lines(files[0])
        work = partial(clean_batch, languages=languages, settings=self.settings)
        with progress(f"clean {name} ({kind})", count_lines(files[0])) as advance:
            jobs = in_batches(items, self._manifest["parts"].get(name, []))
            for done in ordered_map(work, jobs, self._workers, set_profile, (profile,)):
                counts.update(done.counts)
                changed.update(done.changed)
                advance(done.counts["read"])
                yield from done.kept

    def _filter_pairs(self, pair: str, profile: LanguageProfile | None) -> Buckets:
        """Return the pairs that keep to the limits, without copies."""
        source, target = pair.split("-")
        kept = self._buckets(f"pairs.{pair}", *(self._raw / pair_name(pair, side) for side in (source, target)))
        with kept:
            for key, lines in self._clean(pair, (source, target), profile):
                kept.add(key, *lines)
        return self._simple_pairs(pair, self._distinct_pairs(pair, kept))

    def _distinct_pairs(self, pair: str, kept: Buckets) -> Buckets:
        counts, seen_targets = self.report[f"pairs {pair}"], set[int]()
        distinct = self._buckets(f"distinct.{pair}", *self._raw.glob(pair_name(pair, "*")))
        last, seen_with_last = -1, set[int]()
        with distinct:
            for key, sides in kept:
                if key != last:
                    last, seen_with_last = key, set()
                elif self.settings.unique_sides:
                    counts["duplicate"] += 1
                    continue
                other = self.settings.key(sides[1])
                if other in seen_targets or other in seen_with_last:
                    counts["duplicate"] += 1
                    continue
                (seen_targets if self.settings.unique_sides else seen_with_last).add(other)
                distinct.add(key, *sides)
        kept.delete()
        return distinct

    def _simple_pairs(self, pair: str, kept: Buckets) -> Buckets:
        """Return the pairs that use only the most frequent words (of the pairs that got here)."""
        if not self.settings.simple_words:
            return kept
        side = 1 if pair.split("-")[1] == "en" else 0
        frequencies: Counter[str] = Counter()
        for _, sides in kept:
            frequencies.update(words(sides[side]))
        common = sorted(frequencies.items(), key=lambda item: (-item[1], item[0]))[: self.settings.simple_words]
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
        """Write given sets twice: as they are, for scores to stay comparable, and as a model is to read them."""
        source, target = pair.split("-")
        self.pairs[pair] = {}
        for split in self._manifest["pairs"][pair]:
            if split == "parallel":
                continue
            files = [pair_name(pair, side, split) for side in (source, target)]
            raw = list(read_pairs(self._raw / files[0], self._raw / files[1]))
            _check_given(raw, f"the given {split} set of {pair}")
            given = [(normalise(one, source, "none")[0], normalise(other, target, "none")[0]) for one, other in raw]
            read = [
                (self.settings.normalised(one, source)[0], self.settings.normalised(other, target)[0])
                for one, other in raw
            ]
            changed = {
                language: sum(one[side] != other[side] for one, other in zip(given, read, strict=True))
                for side, language in enumerate((source, target))
            }
            self.given.setdefault(pair, {})[split] = {"lines": len(given), "changed": changed}
            self.pairs[pair][split] = self._write_split(pair, split, read)
            self._write_split(pair, AS_GIVEN.format(split), given)

    def _write_split(self, pair: str, split: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Write the pairs of a valid or test set, keep them out of all training text, and return how many they are."""
        source, target = pair.split("-")
        sides = ((line, language) for both in pairs for line, language in zip(both, (source, target), strict=True))
        self._held_out.update(held_out_keys(sides, self.settings))
        files = [self._folder / pair_name(pair, side, split) for side in (source, target)]
        return write_pairs(files[0], files[1], pairs)

    def _take_out(self, pair: str, kept: Buckets) -> None:
        """Write the first pairs in hash order as test and valid set, where none were given."""
        for split, wanted in (("test", self.settings.test), ("valid", self.settings.valid)):
            if split in self.pairs[pair] or not wanted:
                continue
            chosen: list[tuple[str, str]] = []
            for _, (left, right) in kept:
                keys = {self.settings.key(side) for side in (left, right)}
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
            self.pairs[pair][split] = self._write_split(pair, split, chosen)

    def _filter_mono(self, language: str, profile: LanguageProfile | None) -> Buckets:
        """Return the lines that keep to the limits and are in no valid or test set of pairs, without copies."""
        path = self._raw / mono_name(language)
        kept, place = self._buckets(f"mono.{language}", path), 0
        with kept:
            for key, (line,) in self._clean(language, (language,), profile):
                kept.add(key, str(place), line)
                place += 1
        counts = self.report[f"mono {language}"]
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
        wanted, seed = self.settings.mono_valid, self.settings.seed

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
        files = [self._folder / pair_name(pair, side, "train") for side in pair.split("-")]
        records = (({key, self.settings.key(right)}, (left, right)) for key, (left, right) in kept)
        written = write_pairs(files[0], files[1], self._training(f"pairs {pair}", records))
        given = self._manifest["pairs"][pair]
        own = {split: count for split, count in self.pairs[pair].items() if split not in given}
        splits = " and ".join(sorted(own, reverse=True))  # valid and test
        taken = {f"taken as {splits}": sum(own.values())} if own else {}
        self.pairs[pair]["train"] = written
        self._account(f"pairs {pair}", {**taken, "train": written}, kept)

    def _write_train_mono(self, language: str, kept: Buckets) -> None:
        records = (({int(key, 16)}, line) for _, (key, line) in kept)
        free = self._training(f"mono {language}", records)
        sizes = self.languages[language]
        sizes["train"] = write_lines(self._folder / mono_name(language, "train"), free)
        self._account(f"mono {language}", {"taken as valid": sizes["valid"], "train": sizes["train"]}, kept)

    def _training(self, name: str, records: Iterable[tuple[set[int], _Text]]) -> Iterator[_Text]:
        """Yield the texts of which no side is in a valid or test set, and count the others."""
        for keys, text in records:
            if keys.isdisjoint(self._held_out):
                yield text
            else:
                self.report[name]["held out"] += 1

    def _account(self, name: str, written: dict[str, int], kept: Buckets) -> None:
        """Note what was written of the records that were kept, and check that no line vanished uncounted."""
        counts = self.report[name]
        train, taken = written["train"], sum(written.values()) - written["train"]
        counts["held out"] -= taken  # what was taken out was met again among the records
        counts.update(written)
        kept.delete()
        left = counts["read"] - sum(count for reason, count in counts.items() if reason != "read")
        assert left == 0, f"{name}: {left} of {counts['read']} are unaccounted for"
        if not train:
            raise DataError(
                f"{name.partition(' ')[2]}: nothing is left to train on ({_reasons(counts)})\n"
                "  fetch more text, or filter less"
            )

    def _buckets(self, name: str, *files: Path) -> Buckets:
        return Buckets(self._folder / f"{name}.bucket", sum(file.stat().st_size for file in files))


def _check_given(given: list[tuple[str, str]], name: str) -> None:
    """Raise DataError where scores on a given set would mean nothing."""
    for number, sides in enumerate(given, start=1):
        if not all(side.strip() for side in sides):
            raise DataError(f"{name} has an empty side in line {number}")
        if reason := reject_raw(*sides):
            raise DataError(f"{name} has {reason} in line {number}\n  take the file from where it was published")
    if all(left == right for left, right in given):
        raise DataError(f"{name} has the same text on both sides\n  give the file of each language")


def _reasons(counts: Counter[str]) -> str:
    """Return how many were read and why how many were left out, in words."""
    left_out = [f"{reason} {count}" for reason, count in counts.most_common() if reason != "read" and count]
    return f"{counts['read']} read, left out: {', '.join(left_out) or 'none'}"
