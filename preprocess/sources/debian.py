"""Text from Debian and Ubuntu packages: translated program messages, LibreOffice help, manual pages."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.whole_files import write_whole

from ..progress import ordered_map, progress
from .apt import Apt, Package, package_files
from .base import Request, Source, split_sentences
from .catalogue import paragraphs, read_catalogue
from .pages import read_help_page, read_manual_page

KINDS = ("catalogues", "help", "manpages")
QUICKSTART_LIST = Path(__file__).parent / "packages.json"
ENGLISH = "en"
# Ubuntu takes the catalogues out of its packages and puts them into these, which Debian does not have.
_LANGUAGE_PACKS = ("language-pack-{}-base", "language-pack-gnome-{}-base")


class DebianSource(Source):
    """The text files of packages, downloaded and unpacked below the cache.

    Raises:
        DataError: ``apt-get`` or the package lists are missing, a package is damaged, or none could be downloaded.
        SettingError: an unknown kind, or a file that is no package list.
    """

    name = "debian"
    catalogue = True

    def __init__(self, request: Request) -> None:
        options, cache = request.options, request.options["cache"] / "debian"
        self._kinds = tuple(kind.strip() for kind in options["kinds"].split(",") if kind.strip())
        if unknown := [kind for kind in self._kinds if kind not in KINDS]:
            raise SettingError("--kinds", unknown[0], f"the kinds are {', '.join(KINDS)}")
        self._languages = sorted(request.all_languages)
        self._apt, self._unpacked = Apt(cache), cache / "unpacked"
        self._unreadable: set[str] = set()
        self._read: Counter[str] = Counter()
        package_list, limit = Path(options["packages"] or QUICKSTART_LIST), int(options["max_download"] * 1e6)
        self.packages, self._provenance = _download(
            self._apt, package_list, self._languages, limit, options["snapshot"]
        )
        unpack = partial(_unpack, folder=self._unpacked, languages=tuple(self._languages))
        with progress("unpack (packages)", len(self.packages)) as advance:
            paths = [self._apt.path(package) for package in self.packages]
            for _ in ordered_map(unpack, paths, options["workers"]):
                advance(1)
        if options["write_packages"]:
            self._write_list(Path(options["write_packages"]))

    def _write_list(self, path: Path) -> None:
        """Write the list of the packages, pinned to these versions: given as ``--packages`` it gives this text."""
        entries = []
        for package in self.packages:
            with open(self._apt.path(package), "rb") as stream:
                sha1 = hashlib.file_digest(stream, "sha1").hexdigest()
            entries.append(json.dumps({**asdict(package), "sha1": sha1}, ensure_ascii=False))
        rows = ",\n  ".join(entries)
        write_whole(path, f'{{\n "packages": [\n  {rows}\n ]\n}}\n')

    def monolingual(self, language: str) -> Iterator[str]:
        if "catalogues" in self._kinds:
            yield from self._count(f"catalogues {language}", self._messages(language))
        if "help" in self._kinds:
            paragraphs_of = self._help_paragraphs(language)
            sentences = (sentence for _, text in paragraphs_of for sentence in split_sentences(text))
            yield from self._count(f"help {language}", sentences)
        if "manpages" in self._kinds:
            yield from self._count(f"manpages {language}", self._manual_sentences(language))

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        pair = f"{source}-{target}"
        if "catalogues" in self._kinds:
            for package in self.packages:
                yield from self._count(f"catalogues {pair}", self._message_pairs(package, source, target))
        if "help" in self._kinds:
            sides = [dict(self._help_paragraphs(language)) for language in (source, target)]
            both = ((text, sides[1][key]) for key, text in sides[0].items() if key in sides[1])
            yield from self._count(f"help {pair}", both)

    def describe(self) -> dict[str, Any]:
        return {
            "source": self.name,
            "kinds": list(self._kinds),
            "packages": {package.name: package.version for package in self.packages},
            "download_bytes": sum(package.size for package in self.packages),
            "files_unreadable": sorted(self._unreadable),
            "strings": dict(sorted(self._read.items())),
            **self._provenance,
        }

    def _count(self, label: str, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self._read[label] += 1
            yield item

    def _files(self, package: Package, language: str, suffix: str) -> list[Path]:
        folder = _unpacked_folder(self._unpacked, self._apt.path(package), language)
        return sorted(path for path in folder.rglob("*") if path.name.endswith(suffix) and path.is_file())

    def _catalogue(self, package: Package, path: Path) -> list[tuple[str, str]]:
        try:
            return list(read_catalogue(path.read_bytes()))
        except ValueError:
            self._unreadable.add(f"{package.name}: {path.name}")
            return []

    def _messages(self, language: str) -> Iterator[str]:
        """English messages are the ids of the catalogues in the other languages."""
        for package in self.packages:
            if language == ENGLISH:
                others = [path for other in self._languages for path in self._files(package, other, ".mo")]
                ids = dict.fromkeys(message for path in others for message, _ in self._catalogue(package, path))
                for message in ids:
                    yield from (part for part, _ in paragraphs(message, message))
            else:
                for path in self._files(package, language, ".mo"):
                    for _, translation in self._catalogue(package, path):
                        yield from (part for part, _ in paragraphs(translation, translation))

    def _message_pairs(self, package: Package, source: str, target: str) -> Iterator[tuple[str, str]]:
        if ENGLISH in (source, target):
            other = target if source == ENGLISH else source
            for path in self._files(package, other, ".mo"):
                for message, translation in self._catalogue(package, path):
                    for english, foreign in paragraphs(message, translation):
                        yield (english, foreign) if source == ENGLISH else (foreign, english)
            return
        targets = {path.name: path for path in self._files(package, target, ".mo")}
        for path in self._files(package, source, ".mo"):
            if path.name in targets:  # two translations of the same message
                translations = dict(self._catalogue(package, targets[path.name]))
                for message, text in self._catalogue(package, path):
                    if message in translations:
                        yield from paragraphs(text, translations[message])

    def _help_paragraphs(self, language: str) -> Iterator[tuple[tuple[str, str], str]]:
        for package in self.packages:
            for path in self._files(package, language, ".html"):
                page = path.read_text(encoding="utf-8", errors="replace")
                for identity, text in read_help_page(page):
                    # Its path below "text" is the same in every language.
                    name = path.as_posix().rpartition("/libreoffice/help/")[2].partition("/text/")[2]
                    yield (name, identity), text

    def _manual_sentences(self, language: str) -> Iterator[str]:
        for package in self.packages:
            for path in self._files(package, language, ".gz"):
                page = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
                yield from read_manual_page(page)


def read_package_list(path: Path) -> dict[str, Package | None]:
    """Return name -> package of a list in its order; None where the list gives no checksum, and so no version.

    Raises:
        SettingError: no such file, or no package list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["packages"]
        return {str(entry["name"]): Package(**entry) if "sha256" in entry else None for entry in entries}
    except OSError:
        raise SettingError("--packages", path, "cannot be read") from None
    except (ValueError, KeyError, TypeError):
        raise SettingError(
            "--packages", path, "is no package list", 'the least one is {"packages": [{"name": "manpages-ro"}]}'
        ) from None


def _download(
    apt: Apt, package_list: Path, languages: Sequence[str], limit: int, snapshot: str
) -> tuple[list[Package], dict[str, Any]]:
    """Get the packages of a list that the cache lacks; return the packages, and what of them is not as the list says.

    A pinned package (listed with its checksum) is downloaded in exactly that version, from the release or from the
    snapshot server. Where neither has that version, the release's own version is used, and the text is not as pinned.
    For a package that is not pinned the release's version is used.

    Args:
        package_list: JSON file with the packages, the most useful first.
        languages: whose language packs of Ubuntu are wanted.
        limit: bytes; packages of the list beyond this sum are left out.
        snapshot: address of the snapshot server; empty: none is asked.
    """
    listed = read_package_list(package_list)
    pinned, left_out = _within([package for package in listed.values() if package], limit)
    with progress("download (bytes)", sum(package.size for package in pinned)) as advance:
        failed = apt.download_pinned(pinned, snapshot, advance)
    by_name = {package.name: package for package in pinned if package not in failed}
    packs = [name.format(language) for language in sorted(languages) for name in _LANGUAGE_PACKS]
    names = [name for name in listed if name not in by_name and name not in left_out]
    # Ubuntu's packs hold what its packages lack; the pinned ones are Debian's and lack nothing.
    found = apt.look_up([*packs, *names]) if names else {}
    rest = limit - sum(package.size for package in by_name.values())
    chosen, beyond = _within([found[name] for name in [*packs, *names] if name in found], rest)
    with progress("download (bytes)", sum(package.size for package in chosen)) as advance:
        lost = apt.download(chosen, advance)
    if lost:
        lost = _try_again(apt, lost, found)
    lost_names = [package.name for package in lost]
    by_name |= {package.name: found[package.name] for package in chosen if package.name not in lost_names}
    packages = [by_name[name] for name in [*packs, *listed] if name in by_name]
    if not packages:
        raise DataError(
            f"none of the {len(listed)} packages in {package_list.name} could be downloaded: is there a network?\n"
            "  run it again later, or use your own text (--source files)"
        )
    checksums = {package.name: package.sha256 for package in listed.values() if package}
    others = [package.name for package in packages if checksums.get(package.name, "") not in ("", package.sha256)]
    provenance = {
        "package_list": package_list.name,
        "as_pinned": [package.sha256 for package in packages] == list(checksums.values()) if checksums else None,
        "packages_of_another_version": others,
        "packages_unknown_to_this_release": [name for name in names if name not in found],
        "packages_not_downloaded": lost_names,
        "packages_beyond_the_limit": [*left_out, *beyond],
    }
    return packages, provenance


def _try_again(apt: Apt, failed: Sequence[Package], found: dict[str, Package]) -> list[Package]:
    """Download anew what is gone from the server, with newer lists; returns what fails again, updates ``found``."""
    try:
        apt.use_own_lists()
    except DataError:
        return list(failed)
    newer = apt.look_up([package.name for package in failed])
    found.update(newer)
    return [package for package in failed if package.name not in newer] + apt.download(newer.values())


def file_language(path: str, languages: Sequence[str]) -> str | None:
    """Return which of the languages a file of a package is text of, None for any other file.

    ``fr/LC_MESSAGES/x.mo`` is French (and holds the English messages as ids); help pages are below ``help/fr/text``,
    manual pages below ``man/fr/man1``, English ones below ``help/en-US/text`` and ``man/man1``.
    """
    if match := re.search(r"(?:^|/)(\w+)/LC_MESSAGES/[^/]+\.mo$", path):
        return match[1] if match[1] in languages and match[1] != ENGLISH else None
    if match := re.search(r"^usr/share/libreoffice/help/([\w-]+)/text/.+\.html$", path):
        code = ENGLISH if match[1] == "en-US" else match[1]
        return code if code in languages else None
    if match := re.search(r"^usr/share/man/(?:(\w+)/)?man\d\w*/[^/]+\.gz$", path):
        code = match[1] or ENGLISH
        return code if code in languages else None
    return None


def _within(packages: Sequence[Package], limit: int) -> tuple[list[Package], list[str]]:
    """Return the packages that fit into ``limit`` bytes, in order, and the names of those that do not."""
    chosen, left_out, total = [], [], 0
    for package in packages:
        if total + package.size <= limit:
            chosen.append(package)
            total += package.size
        else:
            left_out.append(package.name)
    return chosen, left_out


def _unpacked_folder(folder: Path, package: Path, language: str) -> Path:
    return folder / package.name.removesuffix(".deb") / language


def _unpack(package: Path, folder: Path, languages: Sequence[str]) -> None:
    """Unpack the text files of the languages that are not there yet; a language's folder appears when complete."""
    missing = [language for language in languages if not _unpacked_folder(folder, package, language).is_dir()]
    if not missing:
        return
    parts = {language: _unpacked_folder(folder, package, f"{language}.part") for language in missing}
    for part in parts.values():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    for name, content in package_files(package, lambda path: file_language(path, missing) is not None):
        language = file_language(name, missing)
        assert language is not None
        target = parts[language] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for language, part in parts.items():
        part.rename(_unpacked_folder(folder, package, language))
