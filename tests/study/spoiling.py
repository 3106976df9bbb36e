"""Study files spoilt in one place, for a quick test of some and a long one of all."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
