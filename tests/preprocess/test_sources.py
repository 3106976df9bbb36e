"""Sources: what they read out of catalogues, help pages, manual pages, files, and through other programs."""

from __future__ import annotations

import gettext
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairseq_scaling.errors import DataError, SettingError
from preprocess.remarks import source_remarks
from preprocess.sources import SOURCES, Request
from preprocess.sources.catalogue import paragraphs, read_catalogue
from preprocess.sources.debian import QUICKSTART_LIST, DebianSource, file_language, read_package_list
from preprocess.sources.files import FilesSource
from preprocess.sources.mc4 import Mc4Source
from preprocess.sources.pages import read_help_page, read_manual_page
from preprocess.sources.wmt import WmtSource
from tests.preprocess.samples import PretendedDebian, files_source, make_catalogue


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_a_catalogue_reads_as_pythons_gettext_reads_it(order: str, charset: str) -> None:
    messages = {"Open": "Öffnen", "Yes, always": "Oui, toujours", "One\nTwo": "Un\nDeux"}
    data = make_catalogue(messages, order, charset)
    theirs = gettext.GNUTranslations(io.BytesIO(data))
    ours = dict(read_catalogue(data))
    assert ours == {message: theirs.gettext(message) for message in messages}


def test_context_is_dropped_and_both_plural_forms_are_read() -> None:
    data = make_catalogue({"menu\x04Close": "Fermer", "%d file\0%d files": "%d fichier\0%d fichiers", "Left": ""})
    assert sorted(read_catalogue(data)) == [
        ("%d file", "%d fichier"),
        ("%d files", "%d fichiers"),
        ("Close", "Fermer"),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"nothing like it, but long enough for a header", make_catalogue({"a": "b"})[:60]]
)
def test_what_is_no_catalogue_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a|cut short"):
        list(read_catalogue(data))


def test_paragraphs_are_paired_only_where_both_sides_have_as_many() -> None:
    assert paragraphs("One\nline.\n\nTwo.", "Une\nligne.\n\nDeux.") == [("One line.", "Une ligne."), ("Two.", "Deux.")]
    assert paragraphs("One.\n\nTwo.", "Un. Deux.") == [("One. Two.", "Un. Deux.")]


def test_a_help_page_gives_its_numbered_paragraphs() -> None:
    page = """<h1 id="hd_1" dir="auto">Labels</h1>
    <p id="par_1" class="paragraph">Choose <span class="menuitem">File&nbsp;-<br>New</span> &amp; wait.</p>
    <p id="par_2" class="code">x = 1</p> <p id="par_3"></p> <p class="embedded">no id</p>
    <pre id="par_4">not a paragraph</pre>"""
    assert list(read_help_page(page)) == [("hd_1", "Labels"), ("par_1", "Choose File - New & wait.")]


def test_a_manual_page_gives_its_sentences() -> None:
    page = r"""'\" t
.\" a comment
.TH LS 1 "2023" "GNU"
.SH NAME
ls \- list
directory contents
.SH SYNOPSIS
.SY ls
.RI [ options ]
.YS
.SH DESCRIPTION
List \fBfiles\fP in the \[lq]current\[rq] directory.
See
.BR find (1)
or
.B "the manual"
for more.  Sort them.
.EX
$ ls
.EE
.PP
Exit with~zero\ only.
"""
    assert list(read_manual_page(page)) == [
        "ls - list directory contents",
        'List files in the "current" directory.',
        "See find(1) or the manual for more.",
        "Sort them.",
        "Exit with~zero only.",
    ]
    assert list(read_manual_page(".Dd May 1\n.Sh NAME\ntext\n")) == []


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("usr/share/locale/fr/LC_MESSAGES/x.mo", "fr"),
        ("usr/share/locale/pt_BR/LC_MESSAGES/x.mo", "pt_BR"),
        ("usr/share/locale/en/LC_MESSAGES/x.mo", None),  # English messages are the ids
        ("usr/share/locale/ro/LC_MESSAGES/x.mo", None),
        ("usr/share/libreoffice/help/en-US/text/a.html", "en"),
        ("usr/share/libreoffice/help/fr/media/a.html", None),
        ("usr/share/man/man1/ls.1.gz", "en"),
        ("usr/share/man/fr/man3/x.3posix.gz", "fr"),
        ("usr/share/doc/x/copyright", None),
    ],
)
def test_the_language_of_a_file_follows_from_its_path(path: str, language: str | None) -> None:
    assert file_language(path, ["en", "fr", "pt_BR"]) == language


def _debian_source(packages: Path, languages: list[str], cache: Path, **options: object) -> DebianSource:
    usual = {option.name.replace("-", "_"): option.default for option in SOURCES["debian"].options}
    given = {"packages": packages, "cache": cache.parent, "workers": 1, **options}
    return DebianSource(Request(languages, options=usual | given))


def _package_list(folder: Path, *names: str) -> Path:
    path = folder / "packages.json"
    path.write_text(json.dumps({"packages": [{"name": name} for name in names]}))
    return path


def test_debian_reads_messages_help_and_manual_pages(debian: PretendedDebian, tmp_path: Path) -> None:
    names = _package_list(tmp_path, "tool-l10n", "help-en", "help-fr", "manpages-fr", "gone-away")
    source = _debian_source(names, ["en", "fr", "de"], debian.cache)
    assert sorted(source.monolingual("en")) == sorted(
        ["_Open file", "Close", "First.", "Second.", "Labels", "Choose a label."]
    )
    assert sorted(source.monolingual("fr")) == sorted(
        ["Un.", "Deux.", "_Ouvrir le fichier", "Fermer", "Étiquettes", "Choisissez.", "Une phrase grasse."]
    )
    english_french = list(source.parallel("en", "fr"))
    assert ("_Open file", "_Ouvrir le fichier") in english_french
    assert ("Second.", "Deux.") in english_french
    assert ("Labels", "Étiquettes") in english_french
    assert sorted(source.parallel("fr", "en")) == sorted((right, left) for left, right in english_french)
    assert list(source.parallel("fr", "de")) == [("_Ouvrir le fichier", "Datei ö_ffnen")]  # through the English id
    described = source.describe()
    assert described["packages"]["tool-l10n"] == "1:2.0-1"
    assert described["packages_unknown_to_this_release"] == ["gone-away"]
    assert described["strings"]["help en-fr"] == 2


def test_what_was_downloaded_is_not_downloaded_again(debian: PretendedDebian, tmp_path: Path) -> None:
    names = _package_list(tmp_path, "tool-l10n", "help-en")
    _debian_source(names, ["en", "fr"], debian.cache)
    assert debian.downloads() == 2
    damaged = next((debian.cache / "packages").glob("help-en*"))
    damaged.write_bytes(damaged.read_bytes()[:100])  # as if stopped midway
    _debian_source(names, ["en", "fr", "de"], debian.cache)
    assert debian.downloads() == 3


def test_downloads_stop_at_the_limit_and_say_so(debian: PretendedDebian, tmp_path: Path) -> None:
    names = _package_list(tmp_path, "tool-l10n", "help-en")
    size = next(debian.server.glob("tool-l10n*")).stat().st_size
    source = _debian_source(names, ["fr"], debian.cache, max_download=size / 1e6)
    assert [package.name for package in source.packages] == ["tool-l10n"]
    assert source.describe()["packages_beyond_the_limit"] == ["help-en"]


def test_a_package_that_cannot_be_downloaded_is_reported(debian: PretendedDebian, tmp_path: Path) -> None:
    debian.add("withdrawn", {}, served=False)
    source = _debian_source(_package_list(tmp_path, "tool-l10n", "withdrawn"), ["fr"], debian.cache)
    assert source.describe()["packages_not_downloaded"] == ["withdrawn"]
    with pytest.raises(DataError, match="none of the 1 packages"):
        _debian_source(_package_list(tmp_path, "withdrawn"), ["fr"], debian.cache)


def test_without_package_lists_own_ones_are_fetched(debian: PretendedDebian, tmp_path: Path) -> None:
    lists = debian.lists.read_text() + "Package: apt\nVersion: 2\nArchitecture: all\nSize: 1\nSHA256: 0\n\n"
    debian.lists.write_text("")
    with pytest.raises(DataError, match="sudo apt-get update"):
        _debian_source(_package_list(tmp_path, "tool-l10n"), ["fr"], debian.cache)
    debian.newer_lists.write_text(lists)
    source = _debian_source(_package_list(tmp_path, "tool-l10n"), ["fr"], debian.cache)
    assert "Fermer" in list(source.monolingual("fr"))


def test_ubuntus_language_packs_are_read_where_there_are_any(debian: PretendedDebian, tmp_path: Path) -> None:
    pack = {"usr/share/locale-langpack/fr/LC_MESSAGES/y.mo": make_catalogue({"Quit": "Quitter"})}
    debian.add("language-pack-fr-base", pack)
    source = _debian_source(_package_list(tmp_path, "tool-l10n"), ["en", "fr"], debian.cache)
    assert ("Quit", "Quitter") in list(source.parallel("en", "fr"))
    assert source.describe()["packages_unknown_to_this_release"] == []


def test_without_apt_get_the_message_shows_how_to_use_ones_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"needs apt-get.*\n.*--source files --mono en=FILE"):
        _debian_source(_package_list(tmp_path, "tool-l10n"), ["fr"], tmp_path / "cache")


def test_an_unreadable_catalogue_is_reported_and_the_rest_is_read(debian: PretendedDebian, tmp_path: Path) -> None:
    debian.add("broken", {"usr/share/locale/fr/LC_MESSAGES/broken.mo": b"\xde\x12\x04\x95 not really"})
    source = _debian_source(_package_list(tmp_path, "broken", "tool-l10n"), ["fr"], debian.cache)
    assert "Fermer" in list(source.monolingual("fr"))
    assert source.describe()["files_unreadable"] == ["broken: broken.mo"]


def test_unknown_kinds_and_lists_are_refused(debian: PretendedDebian, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="the kinds are catalogues, help, manpages"):
        _debian_source(_package_list(tmp_path, "tool-l10n"), ["fr"], debian.cache, kinds="poems")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(SettingError, match="is no package list"):
        read_package_list(tmp_path / "list.json")
    with pytest.raises(SettingError, match="cannot be read"):
        read_package_list(tmp_path / "none.json")


def test_every_package_of_the_quickstart_is_pinned_and_all_stay_below_150_megabytes() -> None:
    packages = read_package_list(QUICKSTART_LIST)
    assert len(packages) > 100
    pinned = [package for package in packages.values() if package]
    assert len(pinned) == len(packages)
    assert all(re.fullmatch("[0-9a-f]{64}", package.sha256) for package in pinned)
    assert all(re.fullmatch("[0-9a-f]{40}", package.sha1) for package in pinned)
    assert sum(package.size for package in pinned) < 150e6


@pytest.fixture
def pinned_list(debian: PretendedDebian, tmp_path: Path) -> Path:
    """A list that pins tool-l10n and help-en to the versions that the release serves now."""
    names, pinned = _package_list(tmp_path, "tool-l10n", "help-en"), tmp_path / "pinned.json"
    source = _debian_source(names, ["fr"], debian.cache, write_packages=pinned)
    assert source.describe()["as_pinned"] is None  # nothing was pinned
    shutil.rmtree(debian.cache)
    return pinned


@pytest.fixture
def snapshot(debian: PretendedDebian, tmp_path: Path) -> Path:
    """What snapshot.debian.org serves: each package that there is now, under /file/ and its SHA-1."""
    folder = tmp_path / "snapshot" / "file"
    folder.mkdir(parents=True)
    for package in debian.server.iterdir():
        shutil.copyfile(package, folder / hashlib.sha1(package.read_bytes()).hexdigest())
    return folder.parent


def test_pinned_packages_are_had_from_the_release_where_it_serves_them(
    debian: PretendedDebian, pinned_list: Path
) -> None:
    source = _debian_source(pinned_list, ["en", "fr"], debian.cache, snapshot="")
    assert [package.name for package in source.packages] == ["tool-l10n", "help-en"]
    assert source.describe()["as_pinned"] is True
    smaller = _debian_source(pinned_list, ["fr"], debian.cache, snapshot="", max_download=0.012)
    assert len(smaller.packages) == 1
    assert smaller.describe()["as_pinned"] is False
    # Ubuntu's language packs would add text that the list does not name.
    debian.add("language-pack-fr-base", {"usr/share/x": b"x"})
    assert len(_debian_source(pinned_list, ["fr"], debian.cache, snapshot="").packages) == 2


def test_a_pinned_package_that_is_no_longer_served_is_had_from_the_snapshot_server(
    debian: PretendedDebian, pinned_list: Path, snapshot: Path
) -> None:
    before = debian.lists.read_text()
    new = "usr/share/locale/fr/LC_MESSAGES/tool.mo"
    stanzas = [stanza for stanza in before.split("\n\n") if stanza and "Package: tool-l10n\n" not in stanza]
    debian.lists.write_text("".join(stanza + "\n\n" for stanza in stanzas))
    next(debian.server.glob("tool-l10n*")).unlink()
    debian.add("tool-l10n", {new: make_catalogue({"Newer": "Plus neuf"})}, version="1:3.0-1")
    source = _debian_source(pinned_list, ["fr"], debian.cache, snapshot=snapshot.as_uri())
    assert "Fermer" in list(source.monolingual("fr"))
    assert "Plus neuf" not in list(source.monolingual("fr"))
    assert source.describe()["as_pinned"] is True
    # Without a snapshot server the release's version is taken, and the text is another: that is said.
    shutil.rmtree(debian.cache)
    for server in ("", (snapshot / "none").as_uri()):
        source = _debian_source(pinned_list, ["fr"], debian.cache, snapshot=server)
        assert "Plus neuf" in list(source.monolingual("fr"))
        described = source.describe()
        assert described["as_pinned"] is False
        assert described["packages_of_another_version"] == ["tool-l10n"]
        (remark,) = source_remarks({"sources": [described]})
        assert "differs from that of pinned.json (1 packages)" in remark


def test_pinned_packages_are_had_from_the_release_where_the_system_has_no_package_lists(
    debian: PretendedDebian, pinned_list: Path
) -> None:
    debian.newer_lists.write_text(
        debian.lists.read_text() + "Package: apt\nVersion: 2\nArchitecture: all\nSize: 1\nSHA256: 0\n\n"
    )
    debian.lists.write_text("")
    source = _debian_source(pinned_list, ["fr"], debian.cache, snapshot="")
    assert source.describe()["as_pinned"] is True
    assert debian.log.read_text().count("update") == 1


def test_a_snapshot_with_other_bytes_is_refused(debian: PretendedDebian, pinned_list: Path, snapshot: Path) -> None:
    debian.lists.write_text(debian.lists.read_text().replace("Version: 1:2.0-1", "Version: 1:2.0-2"))
    for line in re.findall("SHA256: .*", debian.lists.read_text()):
        debian.lists.write_text(debian.lists.read_text().replace(line, "SHA256: 0"))
    for file in (snapshot / "file").iterdir():
        file.write_bytes(b"an error page")
    with pytest.raises(DataError, match=r"none of the 2 packages in pinned\.json could be downloaded"):
        _debian_source(pinned_list, ["fr"], debian.cache, snapshot=snapshot.as_uri())


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a\nb\n")
    with gzip.open(tmp_path / "two.gz", "wt") as stream:
        stream.write("c\n")
    sides = tmp_path / "x.en", tmp_path / "x.fr"
    sides[0].write_text("yes\nno")
    sides[1].write_text("oui\nnon\n")
    both = ",".join(map(str, sides))
    mono = [str(tmp_path / name) for name in ("one", "two.gz")]
    source = FilesSource(Request(mono={"en": mono}, parallel={"en-fr": [both]}, given={("en-fr", "test"): both}))
    assert list(source.monolingual("en")) == ["a", "b", "c"]
    assert list(source.monolingual("fr")) == []
    assert list(source.parallel("en", "fr")) == [("yes", "oui"), ("no", "non")]
    given = source.held_out("en", "fr")
    assert {split: (name, list(pairs)) for split, (name, pairs) in given.items()} == {
        "test": ("x", [("yes", "oui"), ("no", "non")])
    }
    assert source.held_out("fr", "en") == {}
    assert str(tmp_path) not in json.dumps(source.describe())
    with pytest.raises(SettingError, match=r"none\.en: does not exist"):
        files_source(mono=str(tmp_path / "none.en"))


@pytest.fixture
def mtdata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints what mtdata's ``echo`` prints: columns parted by tabs, in the order of the name."""
    program = tmp_path / "mtdata"
    program.write_text(
        "#!/bin/sh\n"
        'case "$3" in *-deu-eng) printf "Ja\\tYes\\nNein\\tNo\\n";; *-eng) printf "News one\\nNews two\\n";; '
        "*) echo unknown >&2; exit 1;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_mtdata_columns_are_put_in_the_order_of_the_pair(mtdata: None) -> None:
    name = "Statmt-news_commentary-16-deu-eng"
    mono = {"en": ["Statmt-news_crawl-2020-eng"]}
    source = WmtSource(Request(mono=mono, parallel={"en-de": [name], "de-en": [name]}))
    assert list(source.parallel("en", "de")) == [("Yes", "Ja"), ("No", "Nein")]
    assert list(source.parallel("de", "en")) == [("Ja", "Yes"), ("Nein", "No")]
    assert list(source.monolingual("en")) == ["News one", "News two"]


def test_a_failing_or_missing_mtdata_is_an_error(mtdata: None, monkeypatch: pytest.MonkeyPatch) -> None:
    source = WmtSource(Request(mono={"fr": ["Statmt-nothing-1-fra"]}))
    with pytest.raises(DataError, match=r"mtdata failed on Statmt-nothing-1-fra"):
        list(source.monolingual("fr"))
    with pytest.raises(SettingError, match="ends in deu-eng, which is not the pair en-fr"):
        WmtSource(Request(parallel={"en-fr": ["Statmt-news_commentary-16-deu-eng"]}))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="pipx install mtdata"):
        WmtSource(Request(mono={"fr": ["Statmt-nothing-1-fra"]}))


def test_sacrebleus_test_sets_serve_both_directions(tmp_path: Path) -> None:
    folder = tmp_path / "sacrebleu" / "wmt14"
    folder.mkdir(parents=True)
    for direction, source, reference in (("en-de", "Yes\n", "Ja\n"), ("de-en", "Nein\n", "No\n")):
        for field, text in {
            "src": source,
            "ref": reference,
            "docid": "1\n",
            "genre": "g\n",
            "origlang": "en\n",
        }.items():
            (folder / f"wmt14.{direction}.{field}").write_text(text)
    # sacrebleu reads its folder's name when it is imported, hence a process of its own.
    script = (
        "from preprocess.sources import Request, open_source\n"
        "source = open_source('wmt', Request(given={('en-de', 'test'): 'wmt14'}))\n"
        "print([(split, name, list(pairs)) for split, (name, pairs) in source.held_out('en', 'de').items()])\n"
    )
    root = Path(__file__).parents[2]
    environment = {"SACREBLEU": str(tmp_path / "sacrebleu"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[('test', 'wmt14', [('Yes', 'Ja')])]"


def test_test_sets_that_sacrebleu_does_not_have_are_refused() -> None:
    with pytest.raises(SettingError, match="sacrebleu has no such test set"):
        WmtSource(Request(given={("en-de", "test"): "wmt99"}))
    with pytest.raises(SettingError, match="has no en-sw; it has cs-en"):
        WmtSource(Request(given={("en-sw", "test"): "wmt14"}))


class _Stream:
    """What ``load_dataset(..., streaming=True)`` returns, as far as it is used."""

    def __init__(self, documents: list[dict[str, str]]) -> None:
        self._documents = documents

    def take(self, count: int) -> Iterator[dict[str, str]]:
        return iter(self._documents[:count])


def test_mc4_streams_so_many_documents_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    module = types.ModuleType("datasets")

    def load_dataset(*arguments: Any, **options: Any) -> _Stream:
        calls.append((arguments, options))
        return _Stream([{"text": f"Line {number}.\n\nMore."} for number in range(5)])

    module.load_dataset, module.__version__ = load_dataset, "0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    source = Mc4Source(Request(options={"mc4_documents": 2, "mc4_dataset": "allenai/c4"}))
    assert list(source.monolingual("fr")) == ["Line 0.", "More.", "Line 1.", "More."]
    assert calls == [(("allenai/c4", "fr"), {"split": "train", "streaming": True})]
    assert source.describe()["documents"] == {"fr": 2}
    assert list(source.parallel("en", "fr")) == []


def test_mc4_without_datasets_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="pip install datasets"):
        Mc4Source(Request(options={"mc4_documents": 2, "mc4_dataset": "allenai/c4"}))


@pytest.mark.parametrize("source", [*SOURCES, "nowhere"])
def test_a_study_takes_every_source_of_the_table(source: str, tmp_path: Path) -> None:
    """``fairseq_scaling`` does not import ``preprocess``, so study.yaml has its own list of sources."""
    from fairseq_scaling.cli.study import main

    study = (Path(__file__).parents[2] / "examples/quickstart/study.yaml").read_text(encoding="utf-8")
    assert "source: debian" in study
    (tmp_path / "study.yaml").write_text(study.replace("source: debian", f"source: {source}"), encoding="utf-8")
    result = CliRunner().invoke(main, ["plan", str(tmp_path / "study.yaml")])
    assert ("text.source" in result.output) is (source == "nowhere")
