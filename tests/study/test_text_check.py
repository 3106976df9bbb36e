"""Too little text for what a study asks is found out before its first run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.errors import SettingError
from fairseq_scaling.study.config import load_study
from fairseq_scaling.study.text_check import check_text
from tests import toy

Write = Callable[[dict[str, Any] | str], Path]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of the toy languages aa, bb, cc with the pair aa-bb."""
    return Corpus.open(toy.make_corpus(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def fitting(corpus: Corpus) -> dict[str, Any]:
    """A study that its corpus is large enough for."""
    return {
        "name": "small",
        "corpus": str(corpus.path),
        "pretraining": {"mixtures": ["aa:0.5,bb:0.5", "aa"], "budgets": ["2k"], "input_length": 32},
        "finetuning": {"tasks": ["aa-bb"], "finetune_tokens": ["1k"], "updates": 10},
    }


def test_a_study_that_its_corpus_is_large_enough_for_passes(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    check_text(load_study(write_study(fitting)), corpus)


def test_all_that_is_missing_is_named_at_once_with_the_largest_budget(
    fitting: dict[str, Any], corpus: Corpus, write_study: Write
) -> None:
    fitting["pretraining"] |= {"budgets": ["2k", "10M"], "mixtures": ["aa", "dd"]}
    fitting["finetuning"] |= {"finetune_tokens": ["20M"], "tasks": ["aa-bb", "aa-cc"]}
    with pytest.raises(SettingError) as caught:
        check_text(load_study(write_study(fitting)), corpus)
    message = str(caught.value)
    held = corpus.mono("aa").tokens
    largest = int(message.partition("the largest possible budget is ")[2].partition(" ")[0])
    assert held - 40 < largest <= held
    assert "pretraining of dd:1: language = dd" in message
    assert "finetuning of aa-bb: finetune_tokens = 20M: the corpus holds" in message
    assert "finetuning of aa-cc: language pair = aa-cc" in message
    # What it names as possible is possible.
    fitting["pretraining"] |= {"budgets": ["2k", largest], "mixtures": ["aa"]}
    fitting["finetuning"] |= {"finetune_tokens": ["1k"], "tasks": ["aa-bb"]}
    check_text(load_study(write_study(fitting)), corpus)


def test_too_little_validation_text_is_found(fitting: dict[str, Any], corpus: Corpus, write_study: Write) -> None:
    length = corpus.mono("aa", "valid").tokens + 1
    fitting["pretraining"] |= {"budgets": [length * 2], "input_length": length}
    with pytest.raises(SettingError, match="validation text of aa"):
        check_text(load_study(write_study(fitting)), corpus)
