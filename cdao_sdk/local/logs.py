"""Logs of jobs on disk: one file a host, each line with the time at which it was printed.

A line of a file is `<milliseconds since 1970> <text>`; a line is written in one piece, so a reader
in another process sees whole lines only.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# CloudWatch takes 256 KiB an event, 26 bytes of it for itself.
MAX_EVENT_BYTES = (256 << 10) - 26


class LogFile:
    """The log of one host, appended to as the host prints."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._rest = b""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def write(self, chunk: bytes) -> None:
        """Append what was printed; a line without its end waits for the rest."""
        with self._lock:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            while len(self._rest) > MAX_EVENT_BYTES:
                lines.append(self._rest[:MAX_EVENT_BYTES])
                self._rest = self._rest[MAX_EVENT_BYTES:]
            self._append(lines)

    def close(self) -> None:
        """Write a last line that has no end, and close; a second close does nothing."""
        with self._lock:
            if self._file < 0:
                return
            if self._rest:
                self._append([self._rest])
            os.close(self._file)
            self._file = -1

    def _append(self, lines: list[bytes]) -> None:
        stamp = b"%d " % (time.time_ns() // 1_000_000)
        whole = memoryview(b"".join(b"%b%b\n" % (stamp, line) for line in lines))
        while whole:
            whole = whole[os.write(self._file, whole) :]


class LogFolder:
    """The logs of one job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, host: str) -> LogFile:
        """Begin (or go on with) the log of `host`."""
        self._folder.mkdir(exist_ok=True)
        return LogFile(self._folder / f"{host}.log")
