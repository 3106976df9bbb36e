"""Debian and Ubuntu packages without root: looked up, downloaded into a cache, and opened there.

A pinned package (its checksum is known beforehand) that the release no longer serves is fetched from
snapshot.debian.org, which keeps every version of every package under its SHA-1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_scaling.errors import DataError

from ..lines import batches

_TIMEOUT = 20.0  # seconds without a byte from the snapshot server
_FAILURES = 3  # in a row; then the snapshot server is not asked again
_AT_ONCE = 100
_NO_APT = (
    "the source 'debian' needs apt-get, which is not on this machine (it is on Debian and Ubuntu)\n"
    "  use your own text instead: scaling-preprocess fetch --source files --mono en=FILE --pair en-fr=FILE,FILE\n"
    "  or generated languages, which need no download (a whole study of them: make control): scaling-preprocess fetch "
    "--source generated --languages ga,gb --pairs ga-gb"
)


@dataclass(frozen=True)
class Package:
    """A package as the package lists know it."""

    name: str
    version: str
    architecture: str
    size: int
    """bytes to download"""
    sha256: str
    sha1: str = ""
    """of a pinned package: its name at snapshot.debian.org"""

    @property
    def file_name(self) -> str:
        """The name ``apt-get download`` gives the file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Apt:
    """``apt-get`` with a cache of its own.

    Where the system has no package lists (or outdated ones), lists of its own are fetched into the cache: that needs
    no root either.

    Args:
        cache: folder that keeps downloaded packages and lists.

    Raises:
        DataError: there is no ``apt-get``.
    """

    def __init__(self, cache: Path) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise DataError(_NO_APT)
        self.packages_folder = cache / "packages"
        self._lists = cache / "apt"
        self._own_lists = False
        self.packages_folder.mkdir(parents=True, exist_ok=True)

    def look_up(self, names: Sequence[str]) -> dict[str, Package]:
        """Return name -> package for those that the package lists know; fetches own lists if they know none.

        Raises:
            DataError: no package lists, and none could be fetched.
        """
        found = self._show(names)
        if not found and names and not self._own_lists:
            self.use_own_lists()
            found = self._show(names)
        return found

    def download(self, wanted: Iterable[Package], advance: Callable[[int], None] = lambda done: None) -> list[Package]:
        """Download the packages that the cache lacks; return those that could not be downloaded.

        ``advance`` is called with the bytes that are there since the last call.
        """
        failed = []
        for batch in batches(self._not_cached(wanted, advance), _AT_ONCE):
            targets = [f"{package.name}={package.version}" for package in batch]
            self._run("apt-get", "download", *targets, folder=self.packages_folder)
            failed += self._not_cached(batch, advance)
        return failed

    def download_pinned(
        self, wanted: Iterable[Package], snapshot: str, advance: Callable[[int], None] = lambda done: None
    ) -> list[Package]:
        """Download exactly these packages; return those that could not be downloaded.

        The server ``snapshot`` is asked for what the release does not serve; empty: none is asked.
        """
        missing = self._not_cached(wanted, advance)
        served = self._checksums(missing)
        if missing and not served and not self._own_lists:  # no package lists, as in a fresh container
            with contextlib.suppress(DataError):
                self.use_own_lists()
                served = self._checksums(missing)
        failed = self.download([package for package in missing if package.sha256 in served], advance)
        failed += [package for package in missing if package.sha256 not in served]
        lost, in_a_row = [], 0
        for package in failed:
            if not (snapshot and package.sha1 and in_a_row < _FAILURES):
                lost.append(package)
            elif self._from_snapshot(package, snapshot):
                advance(package.size)
                in_a_row = 0
            else:
                lost.append(package)
                in_a_row += 1
        return lost

    def path(self, package: Package) -> Path:
        """Return the path of a downloaded package."""
        return self.packages_folder / package.file_name

    def use_own_lists(self) -> None:
        """Fetch package lists into the cache and use them from now on (DataError where that fails)."""
        (self._lists / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (self._lists / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        self._own_lists = True
        result = self._run("apt-get", "update")
        if result.returncode or not self._show(["apt"]):
            raise DataError(
                "apt-get has no package lists and could not fetch them: is there a network?\n"
                f"  {result.stderr.strip().splitlines()[-1] if result.stderr.strip() else 'no message from apt-get'}\n"
                "  run `sudo apt-get update`, or use your own text (--source files)"
            )

    def _checksums(self, packages: Sequence[Package]) -> set[str]:
        """Return the checksums of all versions of the packages that the release serves."""
        return {package.sha256 for package in self._stanzas([package.name for package in packages])}

    def _show(self, names: Sequence[str]) -> dict[str, Package]:
        return {package.name: package for package in self._stanzas(names, "--no-all-versions")}

    def _stanzas(self, names: Sequence[str], *options: str) -> Iterator[Package]:
        for batch in batches(names, _AT_ONCE):
            text = self._run("apt-cache", "show", *options, *batch).stdout
            for stanza in text.split("\n\n"):
                fields = dict(re.findall(r"^(Package|Version|Architecture|Size|SHA256): (.*)$", stanza, re.MULTILINE))
                if len(fields) == 5:
                    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
                    yield Package(name, version, architecture, int(fields["Size"]), fields["SHA256"])

    def _from_snapshot(self, package: Package, snapshot: str) -> bool:
        part = self.path(package).with_suffix(".part")
        try:
            with (
                urllib.request.urlopen(f"{snapshot}/file/{package.sha1}", timeout=_TIMEOUT) as answer,
                open(part, "wb") as file,
            ):
                shutil.copyfileobj(answer, file)
        except (OSError, ValueError):  # URLError is an OSError
            part.unlink(missing_ok=True)
            return False
        part.replace(self.path(package))
        return self._is_cached(package)

    def _not_cached(self, packages: Iterable[Package], advance: Callable[[int], None]) -> list[Package]:
        """Return the packages that the cache lacks; ``advance`` is called with the bytes of each that it has."""
        missing = []
        for package in packages:
            if self._is_cached(package):
                advance(package.size)
            else:
                missing.append(package)
        return missing

    def _is_cached(self, package: Package) -> bool:
        """Return whether the package is there complete; one cut short or damaged is deleted."""
        path = self.path(package)
        if not path.is_file():
            return False
        if path.stat().st_size == package.size:
            with open(path, "rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() == package.sha256:
                    return True
        path.unlink()
        return False

    def _run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        options = ["-q", "-o", "APT::Sandbox::User="]
        if self._own_lists:
            options += ["-o", f"Dir::State::lists={self._lists / 'lists'}", "-o", f"Dir::Cache={self._lists}"]
        program, action, *rest = command
        return subprocess.run(
            [program, *options, action, *rest],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def package_files(package: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (path in the package, content) of the files that are ``wanted`` (DataError where it cannot be read)."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and wanted(name) and (stream := archive.extractfile(member)):
                        yield name, stream.read()
        except tarfile.TarError as error:
            raise DataError(f"{package} cannot be read: {error}\n  delete it and fetch again") from None
