"""Loaded by fairseq through ``--user-dir``: the tasks, and with them the optimizer and schedule that fairseq must know."""

from .. import optim  # noqa: F401  fairseq looks into tasks/ and models/ only
