"""What repetitions of the quickstart advise; see stability.sh.

python stability.py keep STUDY_FOLDER    take over the points of this repetition, into stability/
python stability.py table                fit all of them and print what they advise
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KEPT = Path(__file__).parent / "stability"


def keep(folder: Path) -> None:
    """Take over the points of a finished study; what it advises follows from them."""
    KEPT.mkdir(exist_ok=True)
    shutil.copyfile(folder / "results/points.csv", KEPT / f"{folder.name}.csv")


def advised(points: Path) -> dict[str, Any]:
    """Return advice and gains of each curve, and which mixture is ahead, as ``fit-scaling`` gives them for a table."""
    with TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("fit-scaling")), str(points), "--no-report", "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        fits = json.loads((Path(folder) / "fits.json").read_text("utf-8"))
    curves = [
        {
            "curve": f"{curve['metric']}, {curve['setting']['mixture_label']}",
            "advice": curve["advice"]["action"],
            "gain_at_4_times": [curve["forecast"]["gains"]["4"][end] for end in ("value", "lower", "upper")],
        }
        for curve in fits["curves"]
    ]
    return {"curves": curves, "ahead": {pair["metric"]: pair for pair in fits["mixture_comparisons"]}}


def table() -> None:
    """Print how many repetitions agree on each curve, and which mixture is ahead in each."""
    found = {file.stem: advised(file) for file in sorted(KEPT.glob("*.csv"))}
    advice: dict[str, Counter[str]] = {}
    for study in found.values():
        for curve in study["curves"]:
            advice.setdefault(curve["curve"], Counter())[curve["advice"]] += 1
    rows = [
        (curve, ", ".join(f"{action} {times}" for action, times in counted.most_common()),
         f"{counted.most_common(1)[0][1]} of {len(found)}")
        for curve, counted in advice.items()
    ]  # fmt: skip
    _print(("curve", "advice and how often", "agree"), rows)
    metrics = list(dict.fromkeys(metric for study in found.values() for metric in study["ahead"]))
    rows = [
        (name, *(f"{study['ahead'][metric]['probability']:.2f}" for metric in metrics), _gain(study, "bleu"))
        for name, study in found.items()
    ]
    print()
    _print(("repetition", *(f"ahead in {metric}" for metric in metrics), "BLEU at 4 times, first mixture"), rows)


def _gain(study: dict[str, Any], metric: str) -> str:
    value, lower, upper = next(
        curve["gain_at_4_times"] for curve in study["curves"] if curve["curve"].startswith(metric)
    )
    return f"{value:+.1f} [{lower:.1f}, {upper:.1f}]"


def _print(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (head, ("---",) * len(head), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    command, *words = sys.argv[1:] or ["table"]
    keep(Path(words[0])) if command == "keep" else table()
