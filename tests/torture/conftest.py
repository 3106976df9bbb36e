"""The toy corpus and the undisturbed pretraining run of tests/tasks. These tests may take as long as they need."""

import pytest

from tests.tasks.conftest import corpus, pretrained

__all__ = ["corpus", "pretrained"]


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.timeout(0))
