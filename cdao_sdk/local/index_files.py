"""The indexes of finished jobs on disk: a server that starts need not read every job's record.

A cache, never the truth: an entry counts only while its record's file is the one that it was made
from (time and inode), and a file that cannot be read counts as empty. Servers of one state
directory replace it as a whole, the last one wins.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Sequence  # noqa: TC003 - of a named tuple
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cdao_sdk.local.job_kinds import JobKind

_VERSION = 1

_logger = logging.getLogger(__name__)

Stamp = tuple[int, int]
"""Time (nanoseconds) and inode of a record's file; zeros where there is none."""


class Entry(NamedTuple):
    """One job or model of a list; `values` are those of its summary's members, None where absent.

    A tuple, for ten thousand of them are made while somebody waits.
    """

    name: str
    status: str
    created: float
    modified: float
    values: Sequence[Any]

    def summary(self, members: Sequence[str]) -> dict[str, Any]:
        """Its entry in a list."""
        told = zip(members, self.values, strict=True)
        return {member: value for member, value in told if value is not None}


def stamp_of(path: str | Path, folder: int | None = None) -> Stamp:
    """The stamp of a record's file; `folder` is the open directory that its path begins at."""
    try:
        status = os.stat(path, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    return status.st_mtime_ns, status.st_ino


class IndexFile:
    """The finished jobs of one kind, as some server left them."""

    def __init__(self, root: Path, kind: JobKind) -> None:
        self._path = root / "index" / f"{kind.kind}.json"
        # The summary's members in a list of another release mean something else.
        self._head = [_VERSION, *kind.summary]

    def read(self) -> dict[str, tuple[Stamp, Entry]]:
        """The entries by name."""
        try:
            document = json.loads(self._path.read_bytes())
            if document["head"] != self._head:
                return {}
            return {row[0]: ((time, inode), Entry(*row)) for time, inode, row in document["jobs"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            _logger.warning("%s is no index of jobs", self._path, exc_info=True)
            return {}

    def write(self, entries: Iterable[tuple[Stamp, Entry]]) -> None:
        """Replace the file; where that fails, the next start takes longer."""
        rows = [[*stamp, entry] for stamp, entry in entries]
        draft = self._path.with_name(f".{uuid.uuid4().hex}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            body = json.dumps({"head": self._head, "jobs": rows}, separators=(",", ":"))
            draft.write_text(body, encoding="utf-8")
            draft.replace(self._path)
        except OSError:
            _logger.warning("%s could not be written", self._path, exc_info=True)
            draft.unlink(missing_ok=True)
