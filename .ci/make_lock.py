"""Write requirements.lock: the versions installed here of all that the extra [dev] needs, and hashes of their files.

    python .ci/make_lock.py requirements.lock [WHEEL ...]

Run it in a virtual environment in which the project is installed (``make lock`` does). The hashes are those of the
wheels on PyPI for Linux on x86-64 and the Pythons below (of the sources where there is no such wheel), those of the
WHEELs given (torch's CPU builds have an index of their own), and those that the file has already for the same version.
So the same versions give the same file.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

# fairseq declares torchaudio and runs without it; next to a CPU build of torch its library does not load.
LEFT_OUT = {"torchaudio"}
# torch declares its GPU libraries for Linux; a CPU build has none of them.
LEFT_OUT_PREFIXES = ("nvidia-", "cuda-", "triton")
PYTHONS = ("3.11", "3.12")
INDEX = "https://pypi.org/simple"
HEADER = """\
# Every package this project runs, tests and lints with, pinned. Made by `make lock` from setup.py's extra [dev].
#
# Python 3.11 or 3.12 on Linux, x86-64. `make` installs it in two steps (.ci/make_venv):
#
#     pip install --no-deps --require-hashes -r ...   # all but torch: a file whose hash is not here is refused
#     pip install --no-deps torch==...                # torch by its version alone: its hashes are not checked
#
# The hashes of torch are here to compare by hand. Given them, pip prefers PyPI's GPU build to a CPU build in a folder.
# --no-deps is essential: it leaves out torchaudio, which fairseq declares, does not need, and which breaks beside a CPU
# build of torch. It leaves out torch's GPU libraries too. So on Linux this list is complete for a CPU build of torch:
# set PIP_EXTRA_INDEX_URL to the index for CPU builds named on PyTorch's page "Get started", or have the wheel in a
# folder named by PIP_FIND_LINKS. `make` checks that torch can be imported, and otherwise adds the GPU libraries.
"""


def main(lock: str, *wheels: str) -> None:
    had = _read_hashes(Path(lock))
    given: dict[str, set[str]] = {}
    for wheel in map(Path, wheels):
        name, number, *_ = parse_wheel_filename(wheel.name)
        given.setdefault(f"{name}=={number.public}", set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    lines = [HEADER]
    for name in sorted(_closure("fairseq-scaling", {"dev"})):
        pin = f"{name}=={_public_version(name)}"
        hashes = {*_published_hashes(name, _public_version(name)), *given.get(pin, ()), *had.get(pin, ())}
        lines.append(" \\\n".join([pin, *(f"    --hash=sha256:{value}" for value in sorted(hashes))]) + "\n")
    Path(lock).write_text("".join(lines), "utf-8")


def _read_hashes(lock: Path) -> dict[str, set[str]]:
    """Return ``name==version`` -> the hashes that a lock has for it."""
    text = lock.read_text("utf-8") if lock.exists() else ""
    return {
        entry.split(maxsplit=1)[0]: set(re.findall(r"--hash=sha256:(\w+)", entry))
        for entry in re.findall(r"^\w[^\\\n]*(?:\\\n[^\\\n]*)*", text, re.M)
    }


def _published_hashes(name: str, number: str) -> set[str]:
    request = urllib.request.Request(f"{INDEX}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = {file["filename"]: file["hashes"]["sha256"] for file in json.load(answer)["files"]}
    wheels = {file for file in files if file.endswith(".whl") and str(parse_wheel_filename(file)[1]) == number}
    usable = {file for file in wheels if any(_is_usable(tag) for tag in _tags(file))}
    if not usable:
        usable = {file for file in files if re.fullmatch(rf"[\w.-]+-{re.escape(number)}\.(tar\.gz|zip)", file)}
    assert usable, f"{name} {number}: no file on {INDEX}"
    return {files[file] for file in usable}


def _tags(wheel: str) -> Iterator[tuple[str, str, str]]:
    for tag in parse_wheel_filename(wheel)[3]:
        yield tag.interpreter, tag.abi, tag.platform


def _is_usable(tag: tuple[str, str, str]) -> bool:
    """Return whether one of the Pythons on x86-64 Linux with glibc takes a wheel of this tag."""
    interpreter, abi, platform = tag
    linux = platform == "any" or (platform.startswith(("manylinux", "linux")) and platform.endswith("x86_64"))
    numbers = re.fullmatch(r"(cp|py)3(\d*)", interpreter)
    if numbers is None or not linux:
        return False
    minor = f"3.{numbers[2]}"
    exact = numbers[1] == "cp" and abi not in ("abi3", "none")
    return minor in PYTHONS if exact else int(numbers[2] or 0) <= max(int(python[2:]) for python in PYTHONS)


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
    main(*sys.argv[1:])
