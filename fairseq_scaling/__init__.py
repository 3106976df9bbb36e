"""Scaling laws for translation with fairseq: exact pretraining budgets, and laws fitted to the logs.

fairseq imports this package through ``--user-dir fairseq_scaling``; what it must register lives in
``tasks`` and ``models``. Importing the package itself costs nothing. ``fairseq_scaling.load`` reads logs and tables
into curves for ``fairseq_scaling.laws``.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        from .report.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
