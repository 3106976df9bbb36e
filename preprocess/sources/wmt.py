"""WMT and what mtdata indexes: training text by mtdata's dataset names, test sets by sacrebleu's names.

mtdata pins versions of its own, so it is called as a program (``mtdata echo NAME``), which may live in its own
environment, for example installed with ``pipx install mtdata``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairseq_scaling.errors import DataError, SettingError

from ..lines import read_pairs
from .base import HeldOut, Request, Source

# mtdata writes ISO 639-3; a pair's columns come in the order of its name, which may be the other way round.
_ISO_639_3 = {
    "ar": "ara", "bg": "bul", "bn": "ben", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng",
    "es": "spa", "et": "est", "fa": "fas", "fi": "fin", "fr": "fra", "gu": "guj", "ha": "hau", "he": "heb",
    "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "is": "isl", "it": "ita", "ja": "jpn", "ka": "kat",
    "kk": "kaz", "km": "khm", "ko": "kor", "lt": "lit", "lv": "lav", "nl": "nld", "no": "nor", "pl": "pol",
    "ps": "pus", "pt": "por", "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv", "sr": "srp", "sv": "swe",
    "sw": "swa", "ta": "tam", "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "zho",
}  # fmt: skip


class WmtSource(Source):
    """Datasets of mtdata and test sets of sacrebleu, by their names there.

    For example ``Statmt-news_crawl-2020-deu``, ``Statmt-news_commentary-16-deu-eng`` and ``wmt14``.

    Raises:
        SettingError: a name that sacrebleu does not know, or an mtdata name that is not of the languages.
        DataError: mtdata is needed and not installed.
    """

    name = "wmt"

    def __init__(self, request: Request) -> None:
        self._mono, self._pairs, self._held_out = request.mono, request.parallel, request.given
        for (pair, split), test_set in self._held_out.items():
            _check_test_set(test_set, pair, split)
        for pair, names in self._pairs.items():
            for dataset in names:
                _is_swapped(dataset, pair)
        if (self._mono or self._pairs) and shutil.which("mtdata") is None:
            raise DataError("the program mtdata is not installed\n  install it: pipx install mtdata")

    def monolingual(self, language: str) -> Iterator[str]:
        for dataset in self._mono.get(language, ()):
            yield from _echo(dataset)

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        pair = f"{source}-{target}"
        for dataset in self._pairs.get(pair, ()):
            swapped = _is_swapped(dataset, pair)
            for number, line in enumerate(_echo(dataset), start=1):
                left, tab, right = line.partition("\t")
                if not tab:
                    raise DataError(f"mtdata {dataset}, line {number}: no second column")
                right = right.partition("\t")[0]
                yield (right, left) if swapped else (left, right)

    def held_out(self, source: str, target: str) -> dict[str, HeldOut]:
        return {
            split: HeldOut(test_set, _test_set(test_set, source, target))
            for (pair, split), test_set in self._held_out.items()
            if pair == f"{source}-{target}"
        }

    def describe(self) -> dict[str, Any]:
        return {
            "source": self.name,
            "mtdata": {name: list(datasets) for name, datasets in [*self._mono.items(), *self._pairs.items()]},
            "sacrebleu": {f"{pair} {split}": name for (pair, split), name in self._held_out.items()},
        }


def _echo(dataset: str) -> Iterator[str]:
    """Yield the lines that ``mtdata echo`` prints; it downloads into its own cache first."""
    with subprocess.Popen(["mtdata", "--no-pbar", "echo", dataset], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield line.decode("utf-8").rstrip("\r\n")
    if process.returncode:
        raise DataError(f"mtdata failed on {dataset} (exit code {process.returncode})\n  mtdata list -id shows names")


def _test_set(test_set: str, source: str, target: str) -> Iterator[tuple[str, str]]:
    from sacrebleu.utils import get_reference_files, get_source_file

    direction = f"{source}-{target}"
    swapped = direction not in _directions(test_set)
    if swapped:
        direction = f"{target}-{source}"
    files = Path(get_source_file(test_set, direction)), Path(get_reference_files(test_set, direction)[0])
    for left, right in read_pairs(*files):
        yield (right, left) if swapped else (left, right)


def _is_swapped(dataset: str, pair: str) -> bool:
    """Return whether the columns of an mtdata set come target first."""
    languages = [part.partition("_")[0] for part in dataset.split("-")[-2:]]
    wanted = [_ISO_639_3.get(code, code) for code in pair.split("-")]
    if sorted(languages) != sorted(wanted):
        raise SettingError("mtdata name", dataset, f"ends in {'-'.join(languages)}, which is not the pair {pair}")
    return languages != wanted


def _directions(test_set: str) -> list[str]:
    from sacrebleu.dataset import DATASETS

    return list(DATASETS[test_set].langpairs) if test_set in DATASETS else []


def _check_test_set(test_set: str, pair: str, split: str) -> None:
    directions = _directions(test_set)
    source, target = pair.split("-")
    if not directions:
        raise SettingError(f"--{split}", test_set, "sacrebleu has no such test set", "see sacrebleu --list")
    if pair not in directions and f"{target}-{source}" not in directions:
        raise SettingError(f"--{split}", test_set, f"has no {pair}; it has {', '.join(sorted(directions))}")
