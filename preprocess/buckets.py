"""Shuffling and finding duplicates in text larger than memory.

Every record has a 64-bit digest of its content and goes into the bucket that its first bits name. Buckets sorted one
after the other give all records in the order of their digests: a seeded shuffle that does not depend on the order of
the input, in which copies are neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_BUCKET_BYTES = 64 << 20
_MOST_BUCKETS = 256


def digest(key: str, seed: int) -> int:
    """Return 64 bits that look random and depend on the key and the seed alone."""
    hashed = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, salt=seed.to_bytes(8, "little"))
    return int.from_bytes(hashed.digest(), "big")


class Buckets:
    """Records (digest, one or two texts without tabs and line feeds) on disk; a context manager while they are added.

    Args:
        prefix: path and start of the file names.
        expected_bytes: size of the text to come, from which the number of buckets follows.
    """

    def __init__(self, prefix: Path, expected_bytes: int) -> None:
        count = 1
        while count < _MOST_BUCKETS and count * _BUCKET_BYTES < expected_bytes:
            count *= 2
        self._shift = 64 - (count.bit_length() - 1)
        self._paths = [prefix.with_name(f"{prefix.name}.{number:03}") for number in range(count)]
        self._streams = [
            open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 (closed on exit)
            for path in self._paths
        ]

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            stream.close()

    def add(self, key: int, *texts: str) -> None:
        """Add a record."""
        self._streams[key >> self._shift].write(f"{key:016x}\t" + "\t".join(texts) + "\n")

    def __iter__(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (digest, texts) in the order of the digests; equal ones in the order they were added."""
        for path in self._paths:
            with open(path, encoding="utf-8", newline="\n") as stream:
                for line in sorted(stream, key=lambda line: line[:16]):
                    key, *texts = line[:-1].split("\t")
                    yield int(key, 16), tuple(texts)

    def delete(self) -> None:
        """Delete the files."""
        for path in self._paths:
            path.unlink(missing_ok=True)
