"""What an execution leaves on disk, read as plain JSON."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from cdao_sdk.monitor.snapshot import ExecutionFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
        text = (folder / f"{execution_id}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    record = cast("Mapping[str, object]", json.loads(text))
    facts = ExecutionFacts(
        id=str(record["id"]),
        workflow=str(record["workflow"]),
        status=str(record["status"]),
        nodes=tuple(map(str, cast("Sequence[object]", record["nodes"]))),
        error=str(record["error"]),
    )
    if facts.is_over or _is_alive(cast("int", record["pid"])):
        return facts
    error = "The process that ran this execution ended before it did."
    return replace(facts, status="FAILED", error=error)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
