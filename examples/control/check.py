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
ALIGNED, HARMFUL = "ga:0.5,gb:0.5", "gx:1"
ORDER = (ALIGNED, "gc:1", "gd:1", HARMFUL)
"""The mixtures from the most to the least helpful."""


class Row(NamedTuple):
    """What was built in, what the tool said, and whether it said so surely enough."""

    built_in: str
    said: str
    found: bool


def rows(document: dict[str, Any]) -> list[Row]:
    """Return the comparison for the content of a ``fits.json``."""
    curves = {(curve["setting"]["mixture"], curve["metric"]): curve for curve in document["curves"]}
    made = []
    for metric, title in (("bleu", "BLEU"), ("cross_entropy", "cross-entropy")):
        forecast = curves[ALIGNED, metric]["forecast"]
        rises, above = forecast["shape"]["rises"], forecast["above_baseline"]
        made.append(Row(f"{ALIGNED} improves {title}", f"improves with probability {rises:.2f}", rises >= SURE))
        said = f"better by {_estimate(above)}"
        made.append(Row(f"{ALIGNED} is better than no pretraining in {title}", said, above["lower"] > 0))
    mixture_of = {curve["name"]: curve["setting"]["mixture"] for curve in document["curves"]}
    ahead = {}
    for pair in document["mixture_comparisons"]:
        one, two = (mixture_of[name] for name in pair["names"])
        ahead[one, two], ahead[two, one] = pair["probability"], 1 - pair["probability"]
    for better, worse in zip(ORDER, ORDER[1:], strict=False):
        probability = ahead[better, worse]
        said = f"ahead with probability {probability:.2f}"
        made.append(Row(f"{better} is ahead of {worse} in BLEU", said, probability >= SURE))
    action, behind = curves[HARMFUL, "bleu"]["advice"]["action"], ahead[ALIGNED, HARMFUL]
    said = f"{action}; behind {ALIGNED} with probability {behind:.2f}"
    made.append(Row(f"{HARMFUL} is named as the harmful one", said, action == "change the data" or behind >= SURE))
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
