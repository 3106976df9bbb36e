"""Scaling laws for translation with fairseq: exact pretraining budgets, and laws fitted to the logs.

fairseq imports this package through ``--user-dir fairseq_scaling``; what it must register lives in
``tasks`` and ``models``. Importing the package itself costs nothing.
"""

__version__ = "0.1.0"
