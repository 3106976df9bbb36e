"""mC4, the multilingual web text of mT5, streamed through Hugging Face ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairseq_scaling.errors import DataError

from .base import Request, Source


class Mc4Source(Source):
    """Documents of a Hugging Face dataset with a configuration per language and a column ``text``.

    Every non-empty line of a document becomes a line. Nothing is downloaded beyond what is read.

    Raises:
        DataError: ``datasets`` is not installed.
    """

    name = "mc4"

    def __init__(self, request: Request) -> None:
        self._documents, self._dataset = request.options["mc4_documents"], request.options["mc4_dataset"]
        self._read: dict[str, int] = {}
        self._version = _datasets().__version__

    def monolingual(self, language: str) -> Iterator[str]:
        stream = _datasets().load_dataset(self._dataset, language, split="train", streaming=True)
        self._read[language] = 0
        for document in stream.take(self._documents):
            self._read[language] += 1
            yield from (line for line in document["text"].split("\n") if line.strip())

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        del source, target
        return iter(())

    def describe(self) -> dict[str, Any]:
        return {
            "source": self.name,
            "dataset": self._dataset,
            "documents": dict(sorted(self._read.items())),
            "datasets_version": self._version,
        }


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            "the source 'mc4' needs the package datasets, which is not installed\n  install it: pip install datasets"
        ) from None
    return datasets
