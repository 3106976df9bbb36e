"""A study.yaml spoilt in any one place is refused by name, or means something possible; nothing ends in a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_scaling.errors import ScalingError
from fairseq_scaling.study.settings.config import load_study
from tests.study.spoiling import spoil_all


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
