"""Print what repetitions of one study advise: ``stability_table.py STUDY_FOLDER ...``. See stability.sh."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def curves(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the curves of a finished study by (mixture, metric)."""
    fits = json.loads((folder / "results/fits.json").read_text("utf-8"))
    return {(curve["setting"]["mixture_label"], curve["metric"]): curve for curve in fits["curves"]}


def main(folders: list[Path]) -> None:
    """Print one table: a row for each curve, a column for each study, and how many give the most frequent advice."""
    found = {folder.name: curves(folder) for folder in folders}
    table = Table("curve", *found, "agree")
    for key in dict.fromkeys(key for study in found.values() for key in study):
        given = [study[key]["advice"]["action"] if key in study else "missing" for study in found.values()]
        (_, agree), *_ = Counter(given).most_common(1)
        table.add_row(" ".join(key), *given, f"{agree} of {len(given)}")
    Console(width=40 + 16 * len(found)).print(table)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
