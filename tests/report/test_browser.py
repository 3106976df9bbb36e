"""The page in a browser: one headless Chromium loads it and copies of it, each in a frame, and the copies are measured.

The page itself forbids scripts; a copy lacks that line, runs probe.js and, where it stands for the dark or for paper,
has other media queries.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fairseq_scaling.report.analysis import analyse
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.points.tables import read_table
from fairseq_scaling.report.render.figures import draw_all
from fairseq_scaling.report.render.page import render_page
from fairseq_scaling.report.render.style import DARK, PRINT
from tests.report.example import SIZES, log_law, loss_law, report_of, run, study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars",
)  # fmt: skip
A4 = {"width": 688, "height": 1009}
"""What the page's margins leave of an A4 sheet, in CSS pixels."""
FOREIGN = "http://127.0.0.1:9/x.png"

_FRAMES = """<!DOCTYPE html><title>frames</title><script>
const found = {};
addEventListener("message", ({ data }) => {
  found[data.name] = data.report;
  document.querySelector("pre").textContent = JSON.stringify(found);
});
</script><pre></pre>
"""


class Seen(NamedTuple):
    """What the probes found, by the name of the copy, and the lines of the browser's console."""

    probes: dict[str, Any]
    console: list[str]


@pytest.fixture(scope="module")
def page() -> str:
    """The example study with a second finetuning size, and a file name that has no place to break."""
    larger = [
        run(size, 1.5 * log_law(size), loss_law(size) - 0.2, finetune_tokens=2_000_000, mixture="de:0.4,en:0.3,fr:0.3")
        for size in SIZES
    ]
    unknown = run(None, 3.0, None, file="logs/" + "a_name_without_a_place_to_break" * 6 + "/train.log")
    report = report_of([*study(), *larger, unknown], targets=(("bleu", 30.0),))
    return render_page(report, draw_all(report))


@pytest.fixture(scope="module")
def seen(page: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("browser")
    foreign = page.replace("</main>", f'<img src="{FOREIGN}" alt=""></main>')
    copies = {
        "wide": (1400, page),
        "laptop": (1100, page),
        "narrow": (360, page),
        "dark": (1400, page.replace(DARK, "@media all")),
        "paper": (A4["width"], page.replace(PRINT, "@media all")),
        "table": (1400, page_of_a_table(folder)),
        "fetching": (1400, foreign),
    }
    frames = [(1400, "report", page), (1400, "foreign", foreign)]
    script = f"<script>{(Path(__file__).parent / 'probe.js').read_text('utf-8')}</script></body>"
    for name, (width, copy) in copies.items():
        frames.append((width, name, re.sub(r"<meta http-equiv=[^>]*>", "", copy).replace("</body>", script)))
    for _, name, text in frames:
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    written = [f'<iframe src="{name}.html" width="{width}" height="900"></iframe>' for width, name, _ in frames]
    (folder / "frames.html").write_text(_FRAMES + "\n".join(written), encoding="utf-8")
    shown = browse(folder, "frames.html", "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom")
    found = re.search(r"<pre>(.+?)</pre>", shown.stdout, re.S)
    assert found is not None, shown.stderr[-2000:]
    probes = json.loads(unescape(found[1]))
    assert set(probes) == set(copies)
    return Seen(probes, [line for line in shown.stderr.splitlines() if "CONSOLE" in line])


def browse(folder: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Load a page in a browser with a profile of its own."""
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run(
        [str(CHROMIUM), *QUIET, profile, *options, (folder / name).as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip


def page_of_a_table(folder: Path) -> str:
    """Return the page of a table that says nothing of task, model and mixture."""
    rows = [f"one,bleu,{size},{log_law(size)}" for size in SIZES]
    (folder / "scores.csv").write_text("\n".join(["curve,metric,pretrain_tokens,value", *rows]))
    curves = collect(read_table(folder / "scores.csv").points).curves
    return render_page(analyse(curves), [])


def test_the_page_asks_for_nothing_and_complains_of_nothing(seen: Seen) -> None:
    assert [line for line in seen.console if "foreign.html" not in line and "fetching.html" not in line] == []
    assert seen.probes["wide"]["resources"] == []


def test_a_picture_from_elsewhere_would_be_noticed(seen: Seen) -> None:
    """What the test above relies on: the policy's refusal reaches the console, and what is fetched is listed."""
    assert [line for line in seen.console if "foreign.html" in line and "Content Security Policy" in line]
    assert seen.probes["fetching"]["resources"] == [FOREIGN]


@pytest.mark.parametrize(("name", "width"), [("narrow", 360), ("wide", 1400)])
def test_nothing_scrolls_sideways(seen: Seen, name: str, width: int) -> None:
    found = seen.probes[name]
    assert found["window"] == width
    assert found["page"] <= width
    assert found["sticking_out"] == []


def test_on_a_small_laptop_no_table_of_outcomes_is_cut(seen: Seen) -> None:
    assert [name for name in seen.probes["laptop"]["cut_tables"] if "finetuned on" in name] == []


@pytest.mark.parametrize("name", ["wide", "table"])
def test_headings_leave_out_no_level(seen: Seen, name: str) -> None:
    levels = seen.probes[name]["headings"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(below - above for above, below in pairwise(levels)) <= 1


def test_every_figure_and_table_says_what_it_is(seen: Seen) -> None:
    found = seen.probes["wide"]
    assert found["figures"]
    assert found["tables"]
    assert [figure for figure in found["figures"] if not (figure["role"] == "img" and figure["alt"])] == []
    assert [figure for figure in found["figures"] if not figure["caption"]] == []
    assert [table for table in found["tables"] if not (table["name"] and table["heads"])] == []


def test_the_keyboard_reaches_every_link_and_whatever_scrolls(seen: Seen) -> None:
    found = seen.probes["narrow"]
    assert found["links"] > 8
    assert found["out_of_reach"] == []
    assert found["skip_link_shows"] is True
    assert found["scrolling_without_focus"] == []


@pytest.mark.parametrize("name", ["wide", "dark"])
def test_text_stands_out_from_its_background(seen: Seen, name: str) -> None:
    """By WCAG 2: 4.5 to 1 for text, 3 to 1 where it is large; in figures too."""
    found = seen.probes[name]
    assert (found["background"] < 0.2) is (name == "dark")
    assert found["texts"] > 100
    assert found["pale"] == []


def test_paper_holds_every_figure_whole(seen: Seen) -> None:
    figures = seen.probes["paper"]["figures"]
    assert figures
    for figure in figures:
        assert figure["break"] == "avoid"
        assert figure["height"] <= A4["height"]
        assert figure["right"] <= A4["width"]
        assert figure["drawn"] <= figure["right"] + 1
