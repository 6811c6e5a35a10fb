"""An index of all jobs of one kind, for listings; it follows what other servers do.

Finished jobs are read once. Looked at again are the folder, when it has changed, and live jobs.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.records import RECORD
from cdao_sdk.local.transitions import TERMINAL, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.records import Record, Records

# File systems stamp times in ticks of some milliseconds: what changed just now may change again
# without a new time.
_TICK_NS = 50_000_000


@dataclass(frozen=True)
class Entry:
    """One job of the index; `summary` is its entry in a list."""

    name: str
    status: str
    created: float
    modified: float
    summary: Mapping[str, Any]


class JobIndex:
    """All jobs of one kind."""

    def __init__(self, kind: JobKind, records: Records) -> None:
        self._kind = kind
        self._records = records
        self._folder: Path = records.root / kind.kind
        self._refreshing = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._live: dict[str, tuple[Record, tuple[int, int]]] = {}
        self._scanned: int | None = None

    def entries(self) -> list[Entry]:
        """All jobs as they are now, in no order."""
        with self._refreshing:
            self._scan()
            for name, (record, stamp) in list(self._live.items()):
                if self._stamp(name) != stamp or not self._records.is_owner_alive(record):
                    self._read(name)
            return list(self._entries.values())

    def _scan(self) -> None:
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._scanned:
            return
        settled = changed < time.time_ns() - _TICK_NS
        with os.scandir(self._folder) as found:
            names = {entry.name for entry in found if not entry.name.startswith(".")}
        for name in self._entries.keys() - names:
            del self._entries[name]
            self._live.pop(name, None)
        for name in names - self._entries.keys():
            self._read(name)
        self._scanned = changed if settled else None

    def _read(self, name: str) -> None:
        stamp = self._stamp(name)
        record = self._records.get(self._kind, name)
        if record is None:
            self._entries.pop(name, None)
            self._live.pop(name, None)
            return
        describe = record.describe
        self._entries[name] = Entry(
            name=name,
            status=status_of(self._kind, describe),
            created=describe["CreationTime"],
            modified=describe["LastModifiedTime"],
            summary={
                member: describe[member] for member in self._kind.summary if member in describe
            },
        )
        if self._entries[name].status in TERMINAL:
            self._live.pop(name, None)
        else:
            self._live[name] = record, stamp

    def _stamp(self, name: str) -> tuple[int, int]:
        try:
            status = (self._folder / name / RECORD).stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_mtime_ns, status.st_ino
