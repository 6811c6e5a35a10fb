"""What stays on disk of an execution in this process, for whoever looks at it later."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ExecutionRecord", "ExecutionStatus"]


class ExecutionStatus(str, Enum):
    """Where an execution stands, in Flyte's words."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self is not ExecutionStatus.RUNNING

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ExecutionRecord:
    """What stays on disk of an execution in this process.

    Attributes:
        id: The execution's id.
        workflow: The workflow's name.
        status: Where it stood when the record was written.
        created: When it began, ISO 8601 in UTC.
        pid: The process that runs it.
        nodes: Ids of its nodes, in the order of their dependencies.
        ended: When it ended; empty before.
        error: Why it failed; empty otherwise.
        needs: Node's id → ids of the nodes that it waits for.
    """

    id: str
    workflow: str
    status: ExecutionStatus
    created: str
    pid: int
    nodes: tuple[str, ...] = ()
    ended: str = ""
    error: str = ""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])

    def write(self, folder: Path) -> None:
        """Put the record into a folder, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(folder / f"{self.id}.json")

    @classmethod
    def read(cls, path: Path) -> ExecutionRecord:
        """Read a record; one whose process is gone reads as failed.

        Raises:
            FileNotFoundError: There is none.
            CdaoError: It is damaged, or a later release wrote it.
        """
        try:
            values = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
            values["nodes"] = tuple(values["nodes"])
            values["needs"] = {node: tuple(each) for node, each in values.get("needs", {}).items()}
            values["status"] = ExecutionStatus(values["status"])
            record = cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"The record {path} cannot be read: {type(error).__name__}: {error}"
            raise CdaoError(msg) from error
        if record.status.is_over or _is_alive(record.pid):
            return record
        error = "The process that ran this execution ended before it did."
        return replace(record, status=ExecutionStatus.FAILED, error=error)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
