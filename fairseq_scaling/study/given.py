"""Files of the person's own that the runs of a study start from: finished checkpoints, and their models' vocabulary.

The words of a study name them by placeholders, as they name its folders: where such a file lies decides nothing, what
it holds does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..data.dictionary import DICTIONARY_FILE, SENTENCEPIECE_FILE, read_symbols
from ..errors import DataError

if TYPE_CHECKING:
    from .config import Study

SENTENCEPIECE = "{sentencepiece}"
DICTIONARY = "{dictionary}"
_NAMES = {SENTENCEPIECE: SENTENCEPIECE_FILE, DICTIONARY: DICTIONARY_FILE}


def checkpoint_word(name: str) -> str:
    """Return the placeholder of one of a study's ``checkpoints``."""
    return f"{{checkpoint:{name}}}"


def given_files(study: Study) -> dict[str, str]:
    """Return placeholder -> path of every file that the study starts from, whether it is there or not."""
    files = {checkpoint_word(one.name): study.folder / one.file for one in study.checkpoints}
    if study.text is not None and study.text.vocabulary is not None:
        files |= {word: study.folder / study.text.vocabulary / name for word, name in _NAMES.items()}
    return {word: str(path) for word, path in files.items()}


def check_given(study: Study) -> None:
    """Raise DataError where a file that the study starts from is missing; all of them are named at once."""
    files = given_files(study)
    missing = {word for word, path in files.items() if not Path(path).is_file()}
    problems = [
        f"checkpoints[{position}].file = {one.file}: there is no file {files[checkpoint_word(one.name)]}\n"
        "  paths begin at the folder of study.yaml; scaling-convert from-hf makes a checkpoint of a published model"
        for position, one in enumerate(study.checkpoints)
        if checkpoint_word(one.name) in missing
    ]
    if study.text is not None and missing & set(_NAMES):
        names = " and no ".join(name for word, name in _NAMES.items() if word in missing)
        problems.append(
            f"text.vocabulary = {study.text.vocabulary}: no {names} in {study.folder / str(study.text.vocabulary)}\n"
            "  name the folder in which scaling-convert from-hf has written the checkpoint, or a corpus folder"
        )
    if problems:
        raise DataError("\n".join(problems))


def given_rows(study: Study) -> int | None:
    """Return the size of the dictionary that the study is given, or None where it is given none.

    Raises:
        DataError: that file is no dictionary.
    """
    files = given_files(study)
    return len(read_symbols(Path(files[DICTIONARY]))) if DICTIONARY in files else None
