"""Jobs and their changes as JSON, for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from cdao_sdk.monitor import wording
from cdao_sdk.monitor.snapshot import changes

if TYPE_CHECKING:
    from typing import TextIO

    from pydantic import JsonValue

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["JsonView", "job_document", "write_event"]


def job_document(row: JobRow) -> dict[str, JsonValue]:
    """A job as JSON writes it; times are ISO 8601 in UTC, unknown values null."""
    return {
        "name": row.name,
        "label": row.label,
        "node": row.node or None,
        "execution": row.execution or None,
        "kind": row.kind,
        "status": row.status,
        "secondary_status": row.secondary_status or None,
        "message": row.message,
        "created": wording.iso_time(row.created),
        "ended": wording.iso_time(row.ended) if row.ended else None,
        "elapsed_seconds": round(row.elapsed_seconds, 3),
        "instance_type": row.instance_type,
        "instance_count": row.instance_count,
        "spot": row.spot,
        "spot_savings_percent": row.savings_percent,
        "billable_seconds": row.billable_seconds,
        # JSON has no NaN and no infinity.
        "metrics": {
            name: value if math.isfinite(value) else None for name, value in row.metrics.items()
        },
        "artifact": row.artifact or None,
        "error": row.error or None,
    }


def write_event(stream: TextIO, event: str, **facts: JsonValue) -> None:
    """Write one event as one line."""
    stream.write(json.dumps({"event": event, **facts}, ensure_ascii=False, allow_nan=False) + "\n")
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

    def paint(self, snapshot: Snapshot) -> None:
        """Write an event for each job that is new or has another status."""
        time = wording.iso_time(snapshot.taken)
        for row in changes(self._before, snapshot):
            document = job_document(row)
            if row.log_tail:
                document["log_tail"] = list(row.log_tail)
            write_event(self._stream, "job", time=time, **document)
        self._before = snapshot

    def finish(self, snapshot: Snapshot) -> None:
        """Write how it ended; metrics and artefacts are in the jobs' last events."""
        write_event(
            self._stream,
            "end",
            time=wording.iso_time(snapshot.taken),
            status=snapshot.status or None,
            outcome=snapshot.outcome,
            jobs=[row.name for row in snapshot.jobs],
            error=snapshot.error or None,
        )

    def close(self) -> None:
        """Nothing is held open."""
