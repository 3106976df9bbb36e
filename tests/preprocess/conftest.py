"""Raw folders and a pretended Debian for the tests of the text steps."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from preprocess.folders import FORMAT
from preprocess.lines import count_lines
from tests.preprocess.samples import PretendedDebian, make_catalogue, sentence


@pytest.fixture
def write_raw(tmp_path: Path) -> Callable[..., Path]:
    """Write a raw folder as ``fetch`` leaves it; texts are given as bytes to allow for broken ones."""

    def write(
        mono: Mapping[str, list[str] | bytes],
        pairs: Mapping[str, list[tuple[str, str]]],
        given: Mapping[tuple[str, str], list[tuple[str, str]]] | None = None,
        name: str = "raw",
        catalogue: bool = False,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        counts: dict[str, dict[str, int]] = {pair: {"parallel": len(lines)} for pair, lines in pairs.items()}
        for language, text in mono.items():
            content = text if isinstance(text, bytes) else "".join(line + "\n" for line in text).encode()
            (folder / f"mono.{language}.txt").write_bytes(content)
        for pair, lines in pairs.items():
            for side, language in enumerate(pair.split("-")):
                content = "".join(line[side] + "\n" for line in lines).encode()
                (folder / f"pairs.{pair}.{language}.txt").write_bytes(content)
        for (pair, split), lines in (given or {}).items():
            counts[pair][split] = len(lines)
            for side, language in enumerate(pair.split("-")):
                content = "".join(line[side] + "\n" for line in lines).encode()
                (folder / f"pairs.{pair}.{split}.{language}.txt").write_bytes(content)
        # Read from the files: a line may hold what is no line end.
        parts = {name: count_lines(folder / f"mono.{name}.txt") for name in mono}
        parts |= {pair: count_lines(folder / f"pairs.{pair}.{pair.split('-')[0]}.txt") for pair in pairs}
        manifest = {
            "format": FORMAT,
            "languages": dict.fromkeys(mono, 0),
            "pairs": counts,
            "test_sets": {pair: {} for pair in pairs},
            "parts": {name: [[count, catalogue]] for name, count in parts.items()},
            "sources": [{"source": "test"}],
        }
        (folder / "raw.json").write_text(json.dumps(manifest))
        return folder

    return write


@pytest.fixture
def toy_raw(write_raw: Callable[..., Path]) -> Path:
    """A raw folder: 600 English-French pairs, and 500 further lines in each language."""
    pairs = [sentence(7 * number) for number in range(600)]
    further = [sentence(7 * number + 3) for number in range(500)]
    return write_raw(
        {side: [pair[index] for pair in pairs + further] for index, side in enumerate(("en", "fr"))}, {"en-fr": pairs}
    )


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedDebian:
    folder = tmp_path / "debian"
    folder.mkdir()
    pretended = PretendedDebian(folder)
    monkeypatch.setenv("PATH", f"{pretended.programs}{os.pathsep}{os.environ['PATH']}")
    pretended.add(
        "tool-l10n",
        {
            "usr/share/locale/fr/LC_MESSAGES/tool.mo": make_catalogue(
                {"_Open file": "_Ouvrir le fichier", "menu\x04Close": "Fermer", "First.\n\nSecond.": "Un.\n\nDeux."}
            ),
            "usr/share/locale/de/LC_MESSAGES/tool.mo": make_catalogue({"_Open file": "Datei ö_ffnen"}),
            "usr/share/locale/ro/LC_MESSAGES/tool.mo": make_catalogue({"Never read": "Niciodată"}),
            "usr/share/doc/tool/README": b"no text of ours",
        },
    )
    page = '<h1 id="hd_1">{}</h1><p id="par_2" class="paragraph">{}</p><p class="howtogetheader">x</p>'
    pretended.add(
        "help-en", {"usr/share/libreoffice/help/en-US/text/a/x.html": page.format("Labels", "Choose a label.").encode()}
    )
    pretended.add(
        "help-fr",
        {"usr/share/libreoffice/help/fr/text/a/x.html": page.format("&Eacute;tiquettes", "Choisissez.").encode()},
    )
    pretended.add(
        "manpages-fr",
        {"usr/share/man/fr/man1/x.1.gz": gzip.compress(b".TH x 1\n.SH NOM\nUne phrase \\fBgrasse\\fP.\n")},
    )
    return pretended
