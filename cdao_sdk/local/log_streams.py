"""Reading the logs of jobs back: streams of a log group, and runs of events in a stream."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK_BYTES = 1 << 20
_JOB_NAME = re.compile(r"[a-zA-Z0-9-]+")


@dataclass(frozen=True)
class Event:
    """One line of a log: where it begins and ends in the file, when it was printed, its text."""

    start: int
    end: int
    milliseconds: int
    message: str


@dataclass(frozen=True)
class LogStream:
    """The log of one host of one job, with at least one event."""

    job: str
    path: Path
    first_milliseconds: int

    @property
    def name(self) -> str:
        """SageMaker's name of the stream: `<job>/<host>-<seconds since 1970>`."""
        return f"{self.job}/{self.path.stem}-{self.first_milliseconds // 1000}"

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.path.stat().st_size

    def forward(self, position: int) -> Iterator[Event]:
        """Events from a position on, the oldest first."""
        return _forward(self.path, position)

    def backward(self, position: int) -> Iterator[Event]:
        """Events that end at a position or before, the newest first."""
        with self.path.open("rb") as file:
            rest = b""
            start = position
            while start > 0:
                size = min(start, _BLOCK_BYTES)
                start -= size
                file.seek(start)
                # Lines end with b"\n" alone: what draws progress bars prints b"\r" within them.
                *whole, end = (file.read(size) + rest).split(b"\n")
                lines = [line + b"\n" for line in whole] + ([end] if end else [])
                # The first line of a block may begin in the block before.
                rest = lines.pop(0) if start else b""
                for line in reversed(lines):
                    position -= len(line)
                    yield _event(position, line)

    def last_milliseconds(self) -> int:
        """When the last line was printed."""
        last = next(self.backward(self.size), None)
        return last.milliseconds if last else self.first_milliseconds


def streams(folder: Path, prefix: str = "") -> list[LogStream]:
    """The streams of a folder of jobs whose names start with `prefix`, in no order.

    As in CloudWatch there is none before its host has printed a line: its name has that time.
    """
    job, slash, _ = prefix.partition("/")
    if slash:
        jobs = [job] if _JOB_NAME.fullmatch(job) else []
    elif folder.is_dir():
        with os.scandir(folder) as entries:
            jobs = [one.name for one in entries if one.name[0] != "." and one.name.startswith(job)]
    else:
        jobs = []
    found = [
        LogStream(name, path, first.milliseconds)
        for name in jobs
        for path in (folder / name / "logs").glob("*.log")
        if (first := next(_forward(path, 0), None)) is not None
    ]
    return [stream for stream in found if stream.name.startswith(prefix)]


def _forward(path: Path, position: int) -> Iterator[Event]:
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield _event(position, line)
            position += len(line)


def _event(start: int, line: bytes) -> Event:
    stamp, _, text = line.partition(b" ")
    message = text.rstrip(b"\r\n").decode(errors="replace")
    return Event(start, start + len(line), int(stamp), message)
