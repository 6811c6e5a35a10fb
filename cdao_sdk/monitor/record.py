"""What an execution leaves on disk, as the views take it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk.execution_record import ExecutionRecord
from cdao_sdk.monitor.snapshot import ExecutionFacts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_facts"]


def read_facts(folder: Path, execution_id: str) -> ExecutionFacts | None:
    """An execution's record; None if there is none of that id.

    One that says RUNNING although its process is gone reads as failed.

    Args:
        folder: Where records are kept.
        execution_id: The execution.
    """
    if not execution_id or "/" in execution_id:
        return None
    try:
        record = ExecutionRecord.read(folder / f"{execution_id}.json")
    except FileNotFoundError:
        return None
    return ExecutionFacts(
        id=record.id,
        workflow=record.workflow,
        status=record.status.value,
        nodes=record.nodes,
        error=record.error,
        created=_moment(record.created),
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
