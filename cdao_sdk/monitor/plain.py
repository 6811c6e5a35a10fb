"""Plain lines, one for each change: for CI, pipes and files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.bill import bill_of
from cdao_sdk.monitor.groups import JobGroup, fold, same_failures, span_seconds, state_counts
from cdao_sdk.monitor.snapshot import changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import TextIO

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = [
    "PlainView",
    "change_lines",
    "end_lines",
    "failure_lines",
    "heartbeat_line",
    "result_lines",
    "summary_lines",
]

_LABEL_WIDTH = 14
_KIND_WIDTH = max(len(kind.title) for kind in KINDS.values())
# CI systems end a step that says nothing for long; GitLab and CircleCI after 10 minutes or an hour.
_HEARTBEAT = timedelta(minutes=1)
# A map of 1,000 must not write 3,000 lines: its numbers come so often at the most.
_GROUP_PAUSE = timedelta(seconds=10)
_MOST_FAILURES = 10


def change_lines(before: Snapshot | None, after: Snapshot) -> list[str]:
    """A line for each job that is new or has another status, and for a new note.

    Of the many jobs of one group only those that failed; see :class:`PlainView` for the others.

    Example line: ``2026-11-23T22:01:07Z preprocess     Processing InProgress/Starting``; a job's
    first line ends with its name.
    """
    time = wording.iso_time(after.taken)
    known = {row.name for row in before.jobs} if before else set[str]()
    folded = {row.name for group in _groups(after) for row in (*group.rows, *group.earlier)}
    width = _label_width(after)
    lines: list[str] = []
    for row in changes(before, after):
        if row.name in folded and row.state != "failed":
            continue
        parts = [time, row.label.ljust(width), row.kind_title.ljust(_KIND_WIDTH), row.status_words]
        if row.is_over:
            parts.append(f"after {wording.duration(row.elapsed_seconds)}")
        if row.name not in known and row.name != row.label:
            parts.append(f"({row.name})")
        lines.append(" ".join(parts))
    if after.note and (before is None or before.note != after.note):
        lines.append(f"{time} {after.note}")
    return lines


def heartbeat_line(snapshot: Snapshot) -> str:
    """A sign of life while nothing changes."""
    counts = ", ".join(words for _, words in state_counts(snapshot.jobs)) or "no job yet"
    line = f"{wording.iso_time(snapshot.taken)} still watching: {counts}"
    if snapshot.jobs:
        line += f" after {wording.duration(span_seconds(snapshot.jobs))}"
    cost = bill_of(snapshot.jobs).cost_usd
    return line if cost is None else f"{line}, {dollars(cost)} so far"


def summary_lines(snapshot: Snapshot) -> list[str]:
    """A line for each job with its result, what went wrong, the bill, and how it ended."""
    failures: list[str] = []
    alike = same_failures(snapshot.jobs)
    for row, *others in alike[:_MOST_FAILURES]:
        told = snapshot.tells_of(row)
        if told and (row.diagnosis is None or row.diagnosis.mend in snapshot.error):
            continue
        failures += failure_lines(row, told=told)
        if others:
            failures.append(f"  and {len(others)} more failed in the same way")
    if len(alike) > _MOST_FAILURES:
        more = sum(map(len, alike[_MOST_FAILURES:]))
        failures.append(f"and {more} more failed; `cdao jobs` lists them")
    return [*result_lines(snapshot), *failures, *end_lines(snapshot)]


def result_lines(snapshot: Snapshot) -> list[str]:
    """A line for each job, or group of many, with its result."""
    entries = fold(snapshot.jobs)
    width = max([0, *(len(_title(entry)) for entry in entries)])
    return [_summary(entry, width) for entry in entries]


def failure_lines(row: JobRow, *, told: bool = False) -> list[str]:
    """Why a job failed, what to do, and its last log lines.

    Args:
        row: The job.
        told: Whether the error and the log lines are said elsewhere.
    """
    failed = f"{row.label} failed ({row.name})"
    diagnosis = row.diagnosis
    if told:
        return [f"{failed}: {diagnosis.mend}"] if diagnosis else []
    lines = [f"{failed}: {row.error}"]
    if diagnosis is not None:
        # Of the user's own errors the diagnosis has not more to tell than they do.
        own_words = row.error.partition(": ")[2] or row.error
        cause = "" if own_words in diagnosis.cause else diagnosis.cause
        lines.append(f"  {diagnosis.failure_class}: {cause}" if cause else "")
        lines.append(f"  mend: {diagnosis.mend}")
    return [line for line in lines if line] + [f"  | {line}" for line in row.log_tail]


def end_lines(snapshot: Snapshot, *, told: bool = False) -> list[str]:
    """The bill, and how the execution ended.

    Args:
        snapshot: The end.
        told: Whether its error is said elsewhere.
    """
    lines: list[str] = []
    if bill := bill_of(snapshot.jobs).words:
        lines.append(f"cost: {bill}")
    if snapshot.status:
        lines.append(f"{snapshot.title}: {snapshot.status}")
    if snapshot.error and not told:
        lines.append(snapshot.error)
    return lines


def _summary(entry: JobRow | JobGroup, width: int) -> str:
    title, time = _title(entry).ljust(width), wording.duration(entry.elapsed_seconds)
    cost = "" if entry.cost_usd is None else dollars(entry.cost_usd)
    if isinstance(entry, JobGroup):
        facts = [f"{title}  {entry.words} in {time}", entry.instances, cost]
    else:
        facts = [
            f"{title}  {entry.status_words} in {time}",
            wording.instances(entry.instance_type, entry.instance_count),
            "" if entry.billable_seconds is None else f"billable {entry.billable_seconds}s",
            cost,
            wording.savings(entry.savings_percent) if entry.spot else "",
            wording.metric_list(entry.metrics),
            entry.artifact,
            f"hint: {entry.hint}" if entry.hint else "",
        ]
    return "  ".join(fact for fact in facts if fact)


def _title(entry: JobRow | JobGroup) -> str:
    return entry.label if not isinstance(entry, JobGroup) else f"{entry.title} x{len(entry.rows)}"


def _groups(snapshot: Snapshot) -> list[JobGroup]:
    return [entry for entry in fold(snapshot.jobs) if isinstance(entry, JobGroup)]


def _label_width(snapshot: Snapshot) -> int:
    return max([_LABEL_WIDTH, *(len(_title(entry)) for entry in fold(snapshot.jobs))])


class PlainView:
    """Writes lines to a stream: one a change, and one a minute while nothing changes.

    Args:
        stream: Where to.
    """

    shows_logs = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Snapshot | None = None
        self._last_line: datetime | None = None
        self._groups: dict[str, tuple[str, datetime]] = {}

    def paint(self, snapshot: Snapshot) -> None:
        """Write what has changed since the last snapshot."""
        lines = [snapshot.title] if self._before is None else []
        lines += change_lines(self._before, snapshot)
        lines += self._group_lines(snapshot)
        silent_since = self._last_line or snapshot.taken
        if not lines and snapshot.taken - silent_since >= _HEARTBEAT:
            lines.append(heartbeat_line(snapshot))
        self._before = snapshot
        if lines:
            self._last_line = snapshot.taken
            self.write(lines)

    def finish(self, snapshot: Snapshot) -> None:
        """Write the summary."""
        self.write(summary_lines(snapshot))

    def close(self) -> None:
        """Nothing is held open."""

    def write(self, lines: Iterable[str]) -> None:
        """Write lines, and have them seen at once."""
        for line in lines:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def _group_lines(self, snapshot: Snapshot) -> Sequence[str]:
        """The numbers of each group: when they have changed, but not at every change."""
        time, width = wording.iso_time(snapshot.taken), _label_width(snapshot)
        lines: list[str] = []
        for group in _groups(snapshot):
            words, told = self._groups.get(group.key, ("", None))
            is_due = (
                told is None or snapshot.taken - told >= _GROUP_PAUSE or group.fraction_done == 1
            )
            if words != group.words and is_due:
                self._groups[group.key] = (group.words, snapshot.taken)
                kind = group.rows[0].kind_title.ljust(_KIND_WIDTH)
                lines.append(f"{time} {_title(group).ljust(width)} {kind} {group.words}")
        return lines
