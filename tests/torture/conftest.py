"""The toy corpus and the undisturbed pretraining run of tests/tasks."""

from tests.tasks.conftest import corpus, pretrained

__all__ = ["corpus", "pretrained"]
