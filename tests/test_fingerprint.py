"""What a file holds is told from its content alone, and of torch's files without reading their tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fairseq_scaling import fingerprint as module
from fairseq_scaling.fingerprint import code_fingerprint, fingerprint


def save(path: Path, last: float = 1.0, **settings: bool) -> Path:
    torch.save({"model": {"weight": torch.tensor([0.5, last])}}, path, **settings)
    return path


def test_one_number_of_one_tensor_makes_another_fingerprint_and_name_and_place_do_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    paths = [save(tmp_path / "one.pt"), save(tmp_path / "folder/another.pt"), save(tmp_path / "changed.pt", 2.0)]
    same, again, changed = map(fingerprint, paths)
    assert same == again != changed
    assert len(changed) == len(same) == 64


def test_of_a_file_of_another_kind_every_byte_counts_and_name_and_place_do_not(tmp_path: Path) -> None:
    # torch's old format holds addresses in memory, so that saving twice makes two files
    path = save(tmp_path / "one.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "folder").mkdir()
    copy = tmp_path / "folder/another.pt"
    copy.write_bytes(path.read_bytes())
    assert fingerprint(copy) == fingerprint(path)
    copy.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert fingerprint(copy) != fingerprint(path)


def test_a_file_that_is_written_again_is_looked_at_again(tmp_path: Path) -> None:
    before = fingerprint(save(tmp_path / "one.pt"))
    assert fingerprint(save(tmp_path / "one.pt", 3.0)) != before
    with pytest.raises(FileNotFoundError):
        fingerprint(tmp_path / "none.pt")


def test_the_tensors_of_a_checkpoint_are_not_read(tmp_path: Path) -> None:
    """Bytes changed behind the back of the directory: whether a checkpoint is whole is looked at when it is used."""
    path = save(tmp_path / "one.pt")
    other = tmp_path / "other.pt"
    content = bytearray(path.read_bytes())
    place = content.index(torch.tensor([0.5, 1.0]).numpy().tobytes())
    content[place] ^= 1
    other.write_bytes(content)
    assert fingerprint(other) == fingerprint(path)


def test_the_code_of_packages_counts_and_that_of_others_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "fingerprint.py"))
    for package in ("laws", "logs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("x = 1\n")

    def now(*packages: str) -> str:
        code_fingerprint.cache_clear()
        return code_fingerprint(*packages)

    laws, both = now("laws"), now("laws", "logs")
    (tmp_path / "logs/a.py").write_text("x = 2\n")
    assert now("laws") == laws != both != now("laws", "logs")
    (tmp_path / "laws/forms").mkdir()
    (tmp_path / "laws/forms/b.py").write_text("x = 1\n")
    with_forms = now("laws")
    assert with_forms != laws
    monkeypatch.setattr(module, "__version__", "0.0.0")
    assert now("laws") != with_forms
    code_fingerprint.cache_clear()
