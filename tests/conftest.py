"""Settings for every test: one thread, no network, no colour, nothing in the user's cache."""

from __future__ import annotations

import os
import signal
import tempfile

import pytest

from tests import faults
from tests.faults import pytest_configure, pytest_runtest_setup, pytest_terminal_summary  # noqa: F401  hooks

# A shell that starts tests in the background has them ignore Ctrl-C, and every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Seconds until a test that hangs ends with a trace (pytest-timeout): 120 on an idle machine, in proportion more on one
# that is busy. `--timeout 0` switches it off.
_BUSY = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
os.environ.setdefault("PYTEST_TIMEOUT", str(round(120 * _BUSY)))

# Before numpy or torch is imported: two test processes on two cores must not start four threads.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
os.environ["NO_COLOR"] = "1"

_OWN_CACHES = tempfile.TemporaryDirectory()
# matplotlib's list of fonts takes seconds to make and may be shared, where the home folder can be written.
if "MPLCONFIGDIR" not in os.environ:
    _FONTS = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "matplotlib")
    try:
        os.makedirs(_FONTS, exist_ok=True)
    except OSError:
        _FONTS = ""
    os.environ["MPLCONFIGDIR"] = _FONTS if os.access(_FONTS, os.W_OK) else os.path.join(_OWN_CACHES.name, "matplotlib")
os.environ["XDG_CACHE_HOME"] = _OWN_CACHES.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity-models", type=int, default=8, help="random models compared with Hugging Face's T5")
    faults.add_options(parser)
