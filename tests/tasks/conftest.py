"""A toy corpus made by the project's own preprocessing, and one pretraining run that many tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from fairseq.logging import metrics

from tests import toy
from tests.tasks.runs import PRETRAINING, fairseq


@pytest.fixture(autouse=True)
def _meters() -> None:
    """fairseq's meters belong to the process: what one test logs must not be added to what the next one does."""
    metrics.reset()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus folder of the toy languages aa, bb, cc with the pair aa-bb."""
    return toy.make_corpus(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return folder and log of an undisturbed pretraining run that also saves every fifth update.

    It is validated on cc, too, which is not in its mixture: what a model that is pretrained further forgets.
    """
    folder = tmp_path_factory.mktemp("pretrained")
    saving = ["--save-dir", folder, "--save-interval-updates", 5]
    return folder, fairseq("train", corpus, *PRETRAINING, *saving, "--valid-subset", "valid,valid_cc")
