"""Plain lines, one for each change: for CI, pipes and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.snapshot import changes

if TYPE_CHECKING:
    from typing import TextIO

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["PlainView", "change_lines", "summary_lines"]

_LABEL_WIDTH = 14
_KIND_WIDTH = max(len(kind.title) for kind in KINDS.values())


def change_lines(before: Snapshot | None, after: Snapshot) -> list[str]:
    """A line for each job that is new or has another status, and for a new note.

    Example line: ``2026-11-23T22:01:07Z preprocess     Processing InProgress/Starting``; a job's
    first line ends with its name.
    """
    time = wording.iso_time(after.taken)
    known = {row.name for row in before.jobs} if before else set[str]()
    width = max([_LABEL_WIDTH, *(len(row.label) for row in after.jobs)])
    lines: list[str] = []
    for row in changes(before, after):
        parts = [time, row.label.ljust(width), row.kind_title.ljust(_KIND_WIDTH), row.status_words]
        if row.is_over:
            parts.append(f"after {wording.duration(row.elapsed_seconds)}")
        if row.name not in known and row.name != row.label:
            parts.append(f"({row.name})")
        lines.append(" ".join(parts))
    if after.note and (before is None or before.note != after.note):
        lines.append(f"{time} {after.note}")
    return lines


def summary_lines(snapshot: Snapshot) -> list[str]:
    """A line for each job with its result, then what went wrong."""
    width = max([0, *(len(row.label) for row in snapshot.jobs)])
    lines = [_summary(row, width) for row in snapshot.jobs]
    for row in snapshot.jobs:
        if row.error and not snapshot.tells_of(row):
            lines += [f"{row.label} failed ({row.name}): {row.error}"]
            lines += [f"  | {line}" for line in row.log_tail]
    if snapshot.status:
        lines.append(f"{snapshot.title}: {snapshot.status}")
    if snapshot.error:
        lines.append(snapshot.error)
    return lines


def _summary(row: JobRow, width: int) -> str:
    facts = [
        f"{row.label.ljust(width)}  {row.status_words} in {wording.duration(row.elapsed_seconds)}",
        wording.instances(row.instance_type, row.instance_count),
        "" if row.billable_seconds is None else f"billable {row.billable_seconds}s",
        wording.savings(row.savings_percent) if row.spot else "",
        wording.metric_list(row.metrics),
        row.artifact,
    ]
    return "  ".join(fact for fact in facts if fact)


class PlainView:
    """Writes lines to a stream.

    Args:
        stream: Where to.
    """

    shows_logs = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Snapshot | None = None

    def paint(self, snapshot: Snapshot) -> None:
        """Write what has changed since the last snapshot."""
        if self._before is None:
            self._write([snapshot.title])
        self._write(change_lines(self._before, snapshot))
        self._before = snapshot

    def finish(self, snapshot: Snapshot) -> None:
        """Write the summary."""
        self._write(summary_lines(snapshot))

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self._stream.write(f"{line}\n")
        self._stream.flush()
