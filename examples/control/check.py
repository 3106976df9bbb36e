"""Compare the results of the control with what its languages were built to give: a table, as README.md shows it.

    python examples/control/check.py work/control/results

The rule is that of README.md, written before the run. Exit code: 0 where every row was found, 1 where one was not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

SURE = 0.95
"""Probability from which a row counts as found."""
ALIGNED, HARMFUL = "ga:0.5,gb:0.5", "gd:1"
OTHERS = ("gc:1", HARMFUL)


class Row(NamedTuple):
    """What was built in, what the tool said, and whether it said so surely enough."""

    built_in: str
    said: str
    found: bool


def rows(document: dict[str, Any]) -> list[Row]:
    """Return the comparison for the content of a ``fits.json``."""
    curves = {(curve["setting"]["mixture"], curve["metric"]): curve for curve in document["curves"]}
    aligned, harmful = curves[ALIGNED, "bleu"], curves[HARMFUL, "bleu"]
    rises, above = aligned["forecast"]["shape"]["rises"], aligned["forecast"]["above_baseline"]
    advised = aligned["advice"]["action"]
    made = [
        Row(f"{ALIGNED} improves BLEU", f"improves with probability {rises:.2f}", rises >= SURE),
        Row(f"{ALIGNED} is better than no pretraining", f"better by {_estimate(above)} BLEU", above["lower"] > 0),
        Row(f"more of {ALIGNED} is advised", advised, advised == "add data"),
    ]
    mixture_of = {curve["name"]: curve["setting"]["mixture"] for curve in document["curves"]}
    ahead = {}
    for pair in document["mixture_comparisons"]:
        one, two = (mixture_of[name] for name in pair["names"])
        ahead[one, two], ahead[two, one] = pair["probability"], 1 - pair["probability"]
    for other in OTHERS:
        probability = ahead[ALIGNED, other]
        said = f"ahead with probability {probability:.2f}"
        made.append(Row(f"{ALIGNED} is ahead of {other}", said, probability >= SURE))
    advised = harmful["advice"]["action"]
    made.append(Row(f"{HARMFUL} harms", advised, advised == "change the data"))
    return made


def _estimate(value: dict[str, float]) -> str:
    return f"{value['value']:.2f} [{value['lower']:.2f}, {value['upper']:.2f}]"


def main() -> int:
    """Print the table."""
    document = json.loads((Path(sys.argv[1]) / "fits.json").read_text("utf-8"))
    found = rows(document)
    print("| built in | the tool says | found |\n|---|---|---|")
    for row in found:
        print(f"| {row.built_in} | {row.said} | {'yes' if row.found else 'no'} |")
    return 0 if all(row.found for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
