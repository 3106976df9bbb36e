"""What repetitions of the quickstart advise; see stability.sh.

python stability.py keep STUDY_FOLDER    take over what this repetition advises, into stability/
python stability.py table                print what all of them advise
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "stability"


def keep(folder: Path) -> None:
    """Take over advice and gains of each curve, and which mixture is ahead, from the fits of a finished study."""
    fits = json.loads((folder / "results/fits.json").read_text("utf-8"))
    curves = [
        {
            "curve": f"{curve['metric']}, {curve['setting']['mixture_label']}",
            "advice": curve["advice"]["action"],
            "gain_at_4_times": [curve["forecast"]["gains"]["4"][end] for end in ("value", "lower", "upper")],
        }
        for curve in fits["curves"]
    ]
    ahead = {
        pair["metric"]: {key: pair[key] for key in ("names", "probability", "equal")}
        for pair in fits["mixture_comparisons"]
    }
    KEPT.mkdir(exist_ok=True)
    text = json.dumps({"versions": fits["versions"], "curves": curves, "ahead": ahead}, indent=1)
    (KEPT / f"{folder.name}.json").write_text(text + "\n", "utf-8")


def table() -> None:
    """Print how many repetitions agree on each curve, and which mixture is ahead in each."""
    found = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(KEPT.glob("*.json"))}
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
