"""The study.yaml that a study was last run with, kept in the study's folder with the settings of ``--set``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from .state import StudyFolder, write_whole


@dataclass(frozen=True)
class Source:
    """A study.yaml and the ``--set`` settings that replace or add values.

    Attributes:
        file: the absolute path of study.yaml.
        settings: ``KEY=VALUE`` each.
    """

    file: Path
    settings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of study.yaml with the settings in it (DataError where it cannot be read)."""
        from ..settings.config import settings_text

        return settings_text(self.file, self.settings)

    def keep(self, folder: StudyFolder) -> None:
        """Write the text, and where it comes from, into a study's folder."""
        write_whole(folder.settings_path, self.text)
        write_whole(folder.source_path, json.dumps({"file": str(self.file), "settings": self.settings}))

    @classmethod
    def kept(cls, folder: StudyFolder) -> Source | None:
        """Return what the last run kept, or None where it kept nothing."""
        try:
            values = json.loads(folder.source_path.read_text("utf-8"))
            return cls(Path(values["file"]), tuple(values["settings"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has_changed(self, folder: StudyFolder) -> bool:
        """Tell whether study.yaml is there and says something else than when the study was last run."""
        try:
            return self.text != folder.settings_path.read_text("utf-8")
        except (OSError, DataError):
            return False
