"""What every view of jobs can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cdao_sdk.monitor.snapshot import Snapshot

__all__ = ["View"]


class View(Protocol):
    """Shows snapshots, one after the other.

    Attributes:
        shows_logs: Whether it shows the last log line of running jobs; fetching it costs calls.
    """

    shows_logs: bool

    def paint(self, snapshot: Snapshot) -> None:
        """Show where the jobs stand now."""
        ...

    def finish(self, snapshot: Snapshot) -> None:
        """Show the end: results and failures."""
        ...

    def close(self) -> None:
        """Leave the screen as it is; called once, also after an error."""
        ...
