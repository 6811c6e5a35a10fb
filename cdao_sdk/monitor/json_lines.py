"""Jobs and their changes as JSON, for programs.

``docs/watching.md`` describes every event and field; they are only ever added to.
"""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cdao_sdk.monitor import wording
from cdao_sdk.monitor.bill import bill_of
from cdao_sdk.monitor.groups import count_states
from cdao_sdk.monitor.snapshot import changes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import TextIO

    from pydantic import JsonValue

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State

__all__ = ["JsonView", "job_document", "json_text", "write_event"]

# What json leaves as it is: controls of 8 bits, and halves of characters, which no encoding has.
_ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")
_HEARTBEAT = timedelta(minutes=1)
_STATES: tuple[State, ...] = ("waiting", "running", "succeeded", "failed", "stopped")


def job_document(row: JobRow) -> dict[str, JsonValue]:
    """A job as JSON writes it; times are ISO 8601 in UTC, unknown values null."""
    return {
        "name": row.name,
        "label": row.label,
        "node": row.node or None,
        "attempt": row.attempt,
        "group": row.group or None,
        "execution": row.execution or None,
        "arn": row.arn or None,
        "kind": row.kind,
        "state": row.state,
        "status": row.status,
        "secondary_status": row.secondary_status or None,
        "message": row.message,
        "created": wording.iso_time(row.created),
        "started": wording.iso_time(row.started) if row.started else None,
        "ended": wording.iso_time(row.ended) if row.ended else None,
        "elapsed_seconds": round(row.elapsed_seconds, 3),
        "expected_seconds": _finite(row.expected_seconds),
        "progress": _finite(row.progress),
        "instance_type": row.instance_type,
        "instance_count": row.instance_count,
        "spot": row.spot,
        "spot_savings_percent": _finite(row.savings_percent),
        "billable_seconds": row.billable_seconds,
        "cost_usd": _finite(row.cost_usd),
        "metrics": {name: _finite(value) for name, value in row.metrics.items()},
        "hyperparameters": dict(row.hyperparameters),
        "utilization": {name: _finite(value) for name, value in row.utilization.items()},
        "hint": row.hint or None,
        "artifact": row.artifact or None,
        "links": [{"title": title, "url": url} for title, url in row.links],
        "error": row.error or None,
        "diagnosis": _diagnosis(row),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _diagnosis(row: JobRow) -> dict[str, JsonValue] | None:
    if row.diagnosis is None:
        return None
    return {
        "class": row.diagnosis.failure_class,
        "cause": row.diagnosis.cause,
        "mend": row.diagnosis.mend,
        "retryable": row.diagnosis.retryable,
        "evidence": row.diagnosis.evidence or None,
    }


def json_text(document: object, encoding: str | None, *, indent: int | None = None) -> str:
    """A document as JSON that an encoding can write and no terminal is steered by.

    Args:
        document: What ``json`` can write.
        encoding: The stream's; None: that of a stream in memory.
        indent: Blanks of each level; None: one line.

    Example:
        >>> json_text({"é": "\\x9b"}, "utf-8"), json_text("é", "ascii")
        ('{"é": "\\\\u009b"}', '"\\\\u00e9"')
    """
    is_unicode = "utf" in (encoding or "utf-8").lower()
    text = json.dumps(document, ensure_ascii=not is_unicode, allow_nan=False, indent=indent)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_event(stream: TextIO, event: str, **facts: JsonValue) -> None:
    """Write one event as one line."""
    stream.write(json_text({"event": event, **facts}, stream.encoding) + "\n")
    stream.flush()


class JsonView:
    """One JSON object a line for each change: ``{"event": "job", "time": …, "name": …}``.

    Args:
        stream: Where to.
    """

    shows_logs = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Snapshot | None = None
        self._last_event: datetime | None = None
        self._told: dict[str, Sequence[object]] = {}

    def paint(self, snapshot: Snapshot) -> None:
        """Write an event for each job that is new or has another status, and for a new note."""
        time = wording.iso_time(snapshot.taken)
        changed = changes(self._before, snapshot)
        for row in changed:
            self._tell(row, time)
        noted = self._before.note if self._before else ""
        if snapshot.note != noted:
            write_event(self._stream, "note", time=time, note=snapshot.note or None)
        silent_since = self._last_event or snapshot.taken
        if changed or snapshot.note != noted:
            self._last_event = snapshot.taken
        elif snapshot.taken - silent_since >= _HEARTBEAT:
            self._last_event = snapshot.taken
            write_event(self._stream, "progress", time=time, **_totals(snapshot))
        else:
            self._last_event = silent_since
        self._before = snapshot

    def finish(self, snapshot: Snapshot) -> None:
        """Write what is known by now of jobs and was not when they were told, and how it ended."""
        time = wording.iso_time(snapshot.taken)
        for row in snapshot.jobs:
            if self._told.get(row.name) != _details(row):
                self._tell(row, time)
        write_event(
            self._stream,
            "end",
            time=time,
            status=snapshot.status or None,
            outcome=snapshot.outcome,
            **_totals(snapshot),
            jobs=[row.name for row in snapshot.jobs],
            error=snapshot.error or None,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _tell(self, row: JobRow, time: str) -> None:
        document = job_document(row)
        if row.log_tail:
            document["log_tail"] = list(row.log_tail)
        write_event(self._stream, "job", time=time, **document)
        self._told[row.name] = _details(row)


def _details(row: JobRow) -> Sequence[object]:
    """What may become known after a job's status is."""
    return row.metrics, row.utilization, row.cost_usd, row.diagnosis, row.artifact, row.log_tail


def _totals(snapshot: Snapshot) -> dict[str, JsonValue]:
    counts, bill = count_states(snapshot.jobs), bill_of(snapshot.jobs)
    return {
        "states": {state: counts[state] for state in _STATES},
        "cost_usd": _finite(bill.cost_usd),
        "spot_saved_usd": _finite(bill.saved_usd),
    }
