"""Importing this project changes nothing in fairseq, torch, matplotlib or the interpreter, but for fairseq's own parts.

What the tasks change, they change when fairseq loads them through ``--user-dir``, in one place (tasks/_fairseq.py).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REGISTERING = ("tasks", "models", "optim")

PROGRAM = """
import importlib, json, sys
import matplotlib, torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

def state():
    return {
        "excepthook": sys.excepthook is sys.__excepthook__,
        "path": list(sys.path),
        "argv": list(sys.argv),
        "load": checkpoint_utils.load_checkpoint_to_cpu.__module__,
        "call_main": distributed_utils.call_main.__module__,
        "precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "style": json.dumps(dict(matplotlib.rcParams), default=str, sort_keys=True),
    }

before = state()
for name in sys.stdin.read().split():
    importlib.import_module(name)
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


def modules() -> list[str]:
    """Return every module of the two packages but those that fairseq registers its parts from."""
    found = []
    for package in ("fairseq_scaling", "preprocess"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if (len(parts) > 1 and parts[1] in REGISTERING) or parts[-1] == "__main__":
                continue
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def test_importing_any_other_room_changes_nothing() -> None:
    line, names = [sys.executable, "-c", PROGRAM], "\n".join(modules())
    done = subprocess.run(line, input=names, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"
