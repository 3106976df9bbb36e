"""Settings for every test: one thread, no network, no colour."""

from __future__ import annotations

import os

# Before numpy or torch is imported: two test processes on two cores must not start four threads.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
os.environ["NO_COLOR"] = "1"
