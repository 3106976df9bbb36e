"""The errors this project raises on purpose.

Every message names what is at fault (the setting, file or line), its value, and what would be right. The
commands print such a message without a traceback and exit with 2; any other exception is a bug.
"""

from __future__ import annotations


class ScalingError(Exception):
    """Base of every error that is the user's to mend."""


class SettingError(ScalingError, ValueError):
    """A setting has an impossible value.

    Being a ``ValueError`` too, it reads well where fairseq, pydantic or argparse catch those.
    """

    def __init__(self, setting: str, value: object, problem: str, remedy: str = "") -> None:
        self.setting, self.value = setting, value
        message = f"{setting} = {value}: {problem}"
        super().__init__(f"{message}\n  {remedy}" if remedy else message)


class DataError(ScalingError):
    """Text, a corpus folder or a table is missing, cut short or not what it should be."""


class CheckpointError(ScalingError):
    """A checkpoint does not fit the model, the task or the corpus it is used with."""
