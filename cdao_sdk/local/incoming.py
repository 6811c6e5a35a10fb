"""Bytes on their way into a bucket."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES = 1 << 20


class Incoming:
    """A file that grows as bytes come; it is no object before `ObjectStore.commit`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file = path.open("xb", buffering=0)

    @property
    def md5(self) -> bytes:
        """MD5 of what has been written so far."""
        return self._md5.digest()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._md5.update(chunk)
        self.size += len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def write_from(self, source: BinaryIO) -> None:
        """Append all that `source` still gives."""
        while chunk := source.read(CHUNK_BYTES):
            self.write(chunk)

    def append_file(self, path: Path) -> None:
        """Append a file whose own digest is known: `md5` does not cover it."""
        with path.open("rb") as source:
            shutil.copyfileobj(source, self._file, CHUNK_BYTES)
        self.size += path.stat().st_size

    def close(self) -> None:
        """Close the file; the bytes wait for a commit."""
        self._file.close()

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        self._file.close()
        self.path.unlink(missing_ok=True)
