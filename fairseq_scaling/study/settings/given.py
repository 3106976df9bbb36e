"""Files of the person's own that a study reads: finished checkpoints, their models' vocabulary, COMET's model.

The words of a study name them by placeholders, as they name its folders: where such a file lies decides nothing, what
it holds does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.dictionary import DICTIONARY_FILE, SENTENCEPIECE_FILE, read_symbols
from ...errors import DataError

if TYPE_CHECKING:
    from .config import Study

SENTENCEPIECE = "{sentencepiece}"
DICTIONARY = "{dictionary}"
_NAMES = {SENTENCEPIECE: SENTENCEPIECE_FILE, DICTIONARY: DICTIONARY_FILE}
# Section of study.yaml -> those of its command's options that name a file.
_FILE_OPTIONS = {"scoring": ("comet-model", "reference", "source", "run"), "fitting": ("mapping",)}


def checkpoint_placeholder(name: str) -> str:
    """Return the placeholder of one of a study's ``checkpoints``."""
    return f"{{checkpoint:{name}}}"


def scoring_options(study: Study, task: tuple[str, str]) -> dict[str, Any]:
    """Return the options of ``scoring`` for a task, those of the task alone winning; files as placeholders."""
    sections, _ = _options_and_files(study)
    return {**sections["scoring"], **sections.get(f"scoring.{'-'.join(task)}", {})}


def fitting_options(study: Study) -> dict[str, Any]:
    """Return the options of ``fitting``, the files that they name as placeholders."""
    return _options_and_files(study)[0]["fitting"]


def given_files(study: Study) -> dict[str, str]:
    """Return placeholder -> path of every file that the study reads, whether it is there or not."""
    files = {checkpoint_placeholder(one.name): study.folder / one.file for one in study.checkpoints}
    files |= {f"{{{option}}}": study.folder / path for option, path in _options_and_files(study)[1].items()}
    if study.text is not None and study.text.vocabulary is not None:
        files |= {word: study.folder / study.text.vocabulary / name for word, name in _NAMES.items()}
    return {word: str(path) for word, path in files.items()}


def check_given(study: Study) -> None:
    """Raise DataError where a file that the study reads is missing; all of them are named at once."""
    files = given_files(study)
    missing = {word for word, path in files.items() if not Path(path).is_file()}
    problems = [
        f"checkpoints[{position}].file = {one.file}: there is no file {files[checkpoint_placeholder(one.name)]}\n"
        "  paths begin at the folder of study.yaml; scaling-convert from-hf makes a checkpoint of a published model"
        for position, one in enumerate(study.checkpoints)
        if checkpoint_placeholder(one.name) in missing
    ]
    if study.text is not None and missing & set(_NAMES):
        names = " and no ".join(name for word, name in _NAMES.items() if word in missing)
        problems.append(
            f"text.vocabulary = {study.text.vocabulary}: no {names} in {study.folder / str(study.text.vocabulary)}\n"
            "  name the folder in which scaling-convert from-hf has written the checkpoint, or a corpus folder"
        )
    problems += [
        f"{option.replace(':', '.')} = {path}: there is no file {files[f'{{{option}}}']}\n"
        "  paths begin at the folder of study.yaml"
        for option, path in _options_and_files(study)[1].items()
        if f"{{{option}}}" in missing
    ]
    if problems:
        raise DataError("\n".join(problems))


def given_rows(study: Study) -> int | None:
    """Return the size of the dictionary that a study is given, None for none (DataError: the file is no dictionary)."""
    files = given_files(study)
    return len(read_symbols(Path(files[DICTIONARY]))) if DICTIONARY in files else None


def _options_and_files(study: Study) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return section of study.yaml -> options of a command, one section for each task's own, files as placeholders.

    And the files, as they are written: ``section:option`` -> path; in braces it is the placeholder.
    """
    tasks = {f"scoring.{'-'.join(task)}": own for task, own in study.scoring_by_task.items()}
    sections = {"scoring": dict(study.common_scoring), **tasks, "fitting": dict(study.fitting)}
    files = {}
    for section, options in sections.items():
        for name in _FILE_OPTIONS[section.partition(".")[0]]:
            path = options.get(name)
            if isinstance(path, str) and "{" not in path:  # with a brace it is a pattern, which a mapping may be
                files[f"{section}:{name}"] = path
                options[name] = f"{{{section}:{name}}}"
    return sections, files
