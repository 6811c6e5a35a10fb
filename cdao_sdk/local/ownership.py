"""Which server a job belongs to, and whether that server is still there.

Each server holds a lock on a file of its own for as long as its process lives: the kernel lets go
of it at the end of the process, however it comes, and no process id is ever taken for another.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Ownership:
    """One server's claim on its jobs, in the folder that all servers of a state directory share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self.server_id = uuid.uuid4().hex
        self._path = folder / f"{self.server_id}.lock"
        # It gets its name once it is locked: other servers remove what is not.
        draft = folder / f".{self.server_id}"
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, f"{os.getpid()}\n".encode())
        draft.rename(self._path)

    def is_alive(self, server_id: str) -> bool:
        """Whether the server of this id still runs."""
        return server_id == self.server_id or _is_held(self._folder / f"{server_id}.lock")

    def close(self) -> None:
        """Give the claim up; live jobs of this server read as failed from now on."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _sweep(self) -> None:
        for path in self._folder.glob("*.lock"):
            if not _is_held(path):
                path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
