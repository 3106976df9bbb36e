"""A study.yaml spoilt in any one place is refused by name, or means something possible; nothing ends in a traceback."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairseq_scaling.errors import ScalingError
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study

from .conftest import small_study

WRONG = (
    ...,
    None,
    [],
    {},
    "",
    "x",
    "\0",
    -1,
    0,
    10**30,
    2.5,
    float("nan"),
    True,
    [[]],
    [{}],
    {"x": {}},
    "é:1",
    "../..",
)
Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*place, key)
        yield from places(inner, (*place, key))


def spoilt(study: dict[str, Any]) -> Iterator[tuple[Place, Any, dict[str, Any]]]:
    """Yield a place, what stands there (``...``: nothing; a key that nobody knows is added as well) and the study."""
    for place in places(study):
        for wrong in WRONG:
            changed = copy.deepcopy(study)
            inner: Any = changed
            for key in place[:-1]:
                inner = inner[key]
            if wrong is ...:
                del inner[place[-1]]
            else:
                inner[place[-1]] = wrong
            yield place, wrong, changed


def full_study() -> dict[str, Any]:
    study = small_study()
    study["model"] = {"arch": "t5_tiny", "fairseq": {"dropout": 0.1}}
    study["text"] |= {"fetch": {"mono": ["en=a.en"]}, "clean": {"min-words": 2}}
    study["pretraining"] |= {
        "seeds": [1, 2],
        "fairseq": {"lr": 0.01},
        "overrides": [{"mixture": "de:1", "fairseq": {}}],
    }
    study["finetuning"] |= {"overrides": [{"pretrain_tokens": "1M", "updates": 7}], "baseline": {"updates": 9}}
    return study | {"translation": {"beam": 2}, "scoring": {"metrics": "bleu"}, "threads": 1}


def spoil_all(path: Path, every: int) -> tuple[int, int]:
    """Write and read every so many spoilt studies; return how many that were, and how many were refused."""
    tried, refused = 0, 0
    for place, wrong, study in itertools.islice(spoilt(full_study()), 0, None, every):
        path.write_text(yaml.safe_dump(study))
        tried += 1
        said = refusal(path)
        if said is not None:
            refused += 1
            assert "study.yaml" in said or str(place[0]) in said, (place, wrong, said)
    return tried, refused


def refusal(path: Path) -> str | None:
    try:
        make_plan(load_study(path))
    except ScalingError as error:
        return str(error)
    return None


@pytest.mark.faults("a study.yaml spoilt in one place", lost="nothing; the key is named before anything starts")
def test_a_study_spoilt_anywhere_is_refused_or_possible(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried, refused = spoil_all(tmp_path / "study.yaml", every=5)  # make test-torture tries them all
    record_property("faults", tried)
    assert refused > tried // 2 > 40


@pytest.mark.faults("a study.yaml spoilt in one place", lost="nothing; the key is named before anything starts")
@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\0", b"- a\n- b\n", b"a", b"{", b"[" * 5000, b"a: &a [*a]\n",
     b"? [1, 2]\n: 3\n", b"? {a: b}\n: 3\n", b"1: 2\n", b"name: !!python/object/apply:os.system [ls]\n",
     b"<<: 3\n", b"name: a\n---\nname: b\n", b"name: 2026-13-45\n", b"name: \x07\n", b"name: \xe9\n",
     "name: é\n".encode("utf-16")],
)  # fmt: skip
def test_what_is_no_study_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(content)
    with pytest.raises(ScalingError, match=r"study\.yaml"):
        load_study(tmp_path / "study.yaml")
