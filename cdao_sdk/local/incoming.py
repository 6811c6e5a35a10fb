"""Bytes on their way into a bucket."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES = 1 << 20
# Between the end of the writing and the commit of the bytes nobody holds their lock.
_SETTLED_SECONDS = 60.0


class Incoming:
    """A file that grows as bytes come; it is no object before `ObjectStore.commit`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_SH)  # says that a process still writes here

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


def remove_leftovers(folder: Path) -> int:
    """Remove what killed servers left behind in a folder of incoming files; returns how many.

    The kernel lets go of a lock with the process that held it: a file without one, not touched for
    a while, is nobody's.
    """
    removed = 0
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime < _SETTLED_SECONDS or not _is_abandoned(path):
                continue
            path.unlink()
        except FileNotFoundError:  # it became an object, or another server removed it
            continue
        removed += 1
    return removed


def _is_abandoned(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
