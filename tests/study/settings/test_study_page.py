"""docs/study.md names every key of study.yaml, and the defaults it states are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairseq_scaling.study.plan.evaluation import GENERATION_DEFAULTS
from fairseq_scaling.study.plan.flags import FINETUNING_DEFAULTS, PRETRAINING_DEFAULTS
from fairseq_scaling.study.settings import sections
from fairseq_scaling.study.settings.config import Study

PAGE = (Path(__file__).parents[3] / "docs/study.md").read_text("utf-8")
KEYS = {
    "study.yaml: every key": Study,
    "text": sections.Text,
    "model": sections.Model,
    "pretraining": sections.Pretraining,
    "finetuning": sections.Finetuning,
    "translation": sections.Translation,
    "resources": sections.Resources,
}


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


@pytest.mark.parametrize("title", KEYS)
def test_every_key_has_a_row_with_its_default(title: str) -> None:
    stated = {key: row[1] for row in rows(title) for key in re.findall(r"`(\w+)`", row[0])}
    fields = {name: field for name, field in KEYS[title].model_fields.items() if name != "file"}
    assert set(stated) == set(fields)
    for name, field in fields.items():
        if field.is_required():
            assert stated[name] == "must be given"
        elif isinstance(field.default, int | str):
            assert str(field.default).lower() in stated[name]


def test_the_rows_on_lists_name_the_keys_of_their_entries() -> None:
    for row, models in (
        ("learning_rates", (sections.PretrainingRateChoice, sections.FinetuningRateChoice)),
        ("overrides", (sections.PretrainingOverride, sections.FinetuningOverride)),
    ):
        for title, model in zip(("pretraining", "finetuning"), models, strict=True):
            (cells,) = [cells for cells in rows(title) if cells[0] == f"`{row}`"]
            assert set(model.model_fields) <= set(re.findall(r"`(\w+)`", cells[2]))
    (text,) = re.findall(r"^## checkpoints\n(.*?)^#", PAGE, re.M | re.S)
    assert set(sections.Checkpoint.model_fields) <= set(re.findall(r"`(\w+)`", text))


def test_the_flags_are_those_that_studies_pass() -> None:
    title = "What trainings and translations do unless told otherwise"
    table = {row[0].strip("`"): row[1:3] for row in rows(title)}
    for place, defaults in enumerate((PRETRAINING_DEFAULTS, FINETUNING_DEFAULTS)):
        for flag, value in defaults.items():
            found = re.match(r"`?([\w.]+)`?", table[flag][place])
            assert found is not None
            assert found[1] == str(value), flag
    assert set(table) == {*PRETRAINING_DEFAULTS, *FINETUNING_DEFAULTS}
    generation = PAGE[PAGE.index("`fairseq-generate`: ") :]
    for flag, value in GENERATION_DEFAULTS.items():
        assert re.search(rf"`{flag}` `?{value}`?[\s,.(]", generation), flag
