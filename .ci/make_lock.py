"""Print requirements.lock: the versions installed here of everything the extra [dev] needs, torchaudio left out.

Run it in a virtual environment in which the project is installed (``make lock`` does).
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# fairseq declares torchaudio and runs without it; next to a CPU build of torch its library does not load.
LEFT_OUT = {"torchaudio"}
# torch declares its GPU libraries for Linux; a CPU build has none of them.
LEFT_OUT_PREFIXES = ("nvidia-", "cuda-", "triton")
PYTHONS = ("3.11", "3.12")
HEADER = """\
# Every package this project runs, tests and lints with, pinned. Made by `make lock` from setup.py's extra [dev].
#
#     python3 -m venv .venv && .venv/bin/pip install --no-deps -r requirements.lock     (Python 3.11 or 3.12)
#
# --no-deps is essential: it leaves out torchaudio, which fairseq declares, does not need, and which breaks beside a CPU
# build of torch. It leaves out torch's GPU libraries too. So on Linux this list is complete for a CPU build of torch:
# set PIP_EXTRA_INDEX_URL to the index for CPU builds named on PyTorch's page "Get started", or have the wheel in a
# folder named by PIP_FIND_LINKS. `make` checks that torch can be imported, and otherwise adds the GPU libraries.
"""


def main() -> None:
    names = _closure("fairseq-scaling", {"dev"})
    print(HEADER + "\n".join(sorted(f"{name}=={_public_version(name)}" for name in names)))


def _closure(root: str, extras: set[str]) -> set[str]:
    """Return the canonical names of all packages that ``root`` with ``extras`` needs on Linux."""
    found: set[str] = set()
    queue, seen = [(root, frozenset(extras))], set()
    while queue:
        name, wanted = queue.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name != root:
            found.add(name)
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            needed = canonicalize_name(requirement.name)
            if needed in LEFT_OUT or needed.startswith(LEFT_OUT_PREFIXES) or not _applies(requirement, wanted):
                continue
            queue.append((needed, frozenset(requirement.extras)))
    return found


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(
        requirement.marker.evaluate({"extra": extra, "python_version": python, "python_full_version": f"{python}.0"})
        for extra in (extras or {""})
        for python in PYTHONS
    )


def _public_version(name: str) -> str:
    """Return the version without a local part: ``2.13.0+cpu`` is the build of this machine, ``2.13.0`` everybody's."""
    return re.sub(r"\+.*", "", version(name))


if __name__ == "__main__":
    sys.exit(main())
