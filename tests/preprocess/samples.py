"""Small text, catalogues and a pretended Debian."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from preprocess.sources import Request
from preprocess.sources.files import FilesSource


def _words(text: str) -> list[str]:
    return text.split()


ADJECTIVES = ["red", "old", "small", "quick", "blue", "new", "large", "slow", "warm", "quiet"]
NOUNS = ["house", "river", "garden", "window", "train", "letter", "bridge", "forest", "market", "kitchen"]
VERBS = ["sees", "takes", "likes", "finds", "wants", "loses", "keeps", "shows"]
FRENCH = {
    "the": "le",
    **dict(zip(ADJECTIVES, _words("rouge vieux petit rapide bleu neuf grand lent chaud calme"), strict=True)),
    **dict(zip(NOUNS, _words("logis fleuve jardin hublot train lettre pont bois marché four"), strict=True)),
    **dict(zip(VERBS, _words("voit prend aime trouve veut perd garde montre"), strict=True)),
}


def sentence(number: int) -> tuple[str, str]:
    """Return the English and French sentence of a number; different below 64,000."""
    rest, words = number, ["the"]
    for choices in (ADJECTIVES, NOUNS, VERBS):
        rest, index = divmod(rest, len(choices))
        words.append(choices[index])
    words.append("the")
    for choices in (ADJECTIVES, NOUNS):
        rest, index = divmod(rest, len(choices))
        words.append(choices[index])
    return " ".join(words).capitalize() + ".", " ".join(FRENCH[word] for word in words).capitalize() + "."


def files_source(pair: str | None = None, test: str | None = None, mono: str | None = None) -> FilesSource:
    """Return a source of own files: the values of ``--pair en-fr=``, ``--test en-fr=`` and ``--mono en=``."""
    return FilesSource(
        Request(
            mono={"en": [mono]} if mono else {},
            parallel={"en-fr": [pair]} if pair else {},
            given={("en-fr", "test"): test} if test else {},
        )
    )


def make_catalogue(messages: Mapping[str, str], order: str = "<", charset: str = "utf-8") -> bytes:
    """Return a compiled gettext catalogue, laid out as the gettext manual describes it."""
    header = f"Content-Type: text/plain; charset={charset}\nPlural-Forms: nplurals=2; plural=(n > 1);\n"
    items = sorted((key.encode(charset), text.encode(charset)) for key, text in {"": header, **messages}.items())
    ids = b"".join(key + b"\0" for key, _ in items)
    texts = b"".join(text + b"\0" for _, text in items)
    ids_table, texts_table = 28, 28 + 8 * len(items)
    ids_at = texts_table + 8 * len(items)
    head = struct.pack(f"{order}7I", 0x950412DE, 0, len(items), ids_table, texts_table, 0, ids_at)
    tables, position = [b"", b""], [ids_at, ids_at + len(ids)]
    for item in items:
        for side in (0, 1):
            tables[side] += struct.pack(f"{order}2I", len(item[side]), position[side])
            position[side] += len(item[side]) + 1
    return head + tables[0] + tables[1] + ids + texts


class PretendedDebian:
    """A folder of programs named as Debian's, and of packages that are plain tar archives."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.server, self.cache = folder / "bin", folder / "server", folder / "cache" / "debian"
        self.log = folder / "log"
        self.programs.mkdir()
        self.server.mkdir()
        self.lists, self.newer_lists = folder / "lists.txt", folder / "newer_lists.txt"
        self.lists.write_text("")
        self.program("dpkg-deb", '[ "$1" = --fsys-tarfile ] && cat "$2"')
        # The action is the first word that is no option; options take a value after -o.
        parse = 'while [ "${1#-}" != "$1" ]; do [ "$1" = -o ] && shift; shift; done; action=$1; shift\n'
        self.program(
            "apt-cache",
            parse
            + f"""while [ "${{1#-}}" != "$1" ]; do shift; done
for name; do awk -v RS= -v ORS='\\n\\n' -v name="$name" '$2 == name' '{self.lists}'; done""",
        )
        self.program(
            "apt-get",
            parse
            + f"""echo "$action $*" >> '{self.log}'
if [ "$action" = update ]; then cat '{self.newer_lists}' >> '{self.lists}' 2>/dev/null; exit; fi
[ "$action" = download ] || exit 100
code=0
for target; do
  name=${{target%%=*}}
  cp '{self.server}'/${{name}}_*.deb . 2>/dev/null || code=100
done
exit $code""",
        )

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def add(self, name: str, files: Mapping[str, bytes], served: bool = True, version: str = "1:2.0-1") -> None:
        """Add a package to the lists and, if ``served``, to the server."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(f"./{path}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        data = buffer.getvalue()
        file_name = f"{name}_{version.replace(':', '%3a')}_all.deb"
        if served:
            (self.server / file_name).write_bytes(data)
        with open(self.lists, "a") as lists:
            lists.write(
                f"Package: {name}\nVersion: {version}\nArchitecture: all\nSize: {len(data)}\n"
                f"SHA256: {sha256(data).hexdigest()}\n\n"
            )

    def downloads(self) -> int:
        """Return how many packages were asked for."""
        return self.log.read_text().count("=") if self.log.exists() else 0
