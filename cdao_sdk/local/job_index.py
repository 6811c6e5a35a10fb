"""An index of all jobs of one kind, for listings; it follows what other servers do.

Finished jobs are read once, or taken from the index file that an earlier server left. Looked at
again are the folder, when it has changed, and live jobs.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.index_files import Entry, IndexFile, stamp_of
from cdao_sdk.local.records import RECORD
from cdao_sdk.local.transitions import TERMINAL, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.index_files import Stamp
    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.records import Record, Records

# File systems stamp times in ticks of some milliseconds: what changed just now may change again
# without a new time.
_TICK_NS = 50_000_000
# So many finished jobs that the index file lacks are worth writing it anew.
_WORTH_WRITING = 100


class JobIndex:
    """All jobs of one kind."""

    def __init__(self, kind: JobKind, records: Records) -> None:
        self._kind = kind
        self._records = records
        self._folder: Path = records.root / kind.kind
        self._refreshing = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._live: dict[str, tuple[Record, Stamp]] = {}
        self._finished: dict[str, Stamp] = {}
        self._scanned: int | None = None
        self._file = IndexFile(records.root, kind)
        self._unwritten = 0

    def entries(self) -> list[Entry]:
        """All jobs as they are now, in no order."""
        with self._refreshing:
            self._scan()
            for name, (record, stamp) in list(self._live.items()):
                if self._stamp(name) != stamp or not self._records.is_owner_alive(record):
                    self._read(name)
            return list(self._entries.values())

    def write(self) -> None:
        """Leave the finished jobs for the next server that starts, where that is worth it."""
        with self._refreshing:
            if self._unwritten < _WORTH_WRITING:
                return
            self._unwritten = 0
            finished = [(stamp, self._entries[name]) for name, stamp in self._finished.items()]
        self._file.write(finished)

    def live_requests(self) -> list[Mapping[str, Any]]:
        """The Create… requests of the jobs that have not ended."""
        self.entries()
        with self._refreshing:
            return [record.request for record, _stamp in self._live.values()]

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
            self._forget(name)
        if not self._entries:
            self._take_over(names)
        for name in names - self._entries.keys():
            self._read(name)
        self._scanned = changed if settled else None

    def _read(self, name: str) -> None:
        stamp = self._stamp(name)
        record = self._records.get(self._kind, name)
        if record is None:
            self._forget(name)
            return
        describe = record.describe
        self._entries[name] = Entry(
            name=name,
            status=status_of(self._kind, describe),
            created=describe["CreationTime"],
            modified=describe["LastModifiedTime"],
            values=[describe.get(member) for member in self._kind.summary],
        )
        if self._entries[name].status in TERMINAL:
            self._live.pop(name, None)
            self._finished[name] = stamp
            self._unwritten += 1
        else:
            self._live[name] = record, stamp

    def _take_over(self, names: set[str]) -> None:
        """What an earlier server wrote down, where its record is still the same."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, (stamp, entry) in self._file.read().items():
                if name in names and stamp_of(f"{name}/{RECORD}", folder) == stamp:
                    self._entries[name] = entry
                    self._finished[name] = stamp
        finally:
            os.close(folder)

    def _forget(self, name: str) -> None:
        for kept in (self._entries, self._live, self._finished):
            kept.pop(name, None)

    def _stamp(self, name: str) -> Stamp:
        return stamp_of(self._folder / name / RECORD)
