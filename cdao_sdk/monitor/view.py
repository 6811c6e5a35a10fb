"""What every view of jobs can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cdao_sdk.monitor.snapshot import Snapshot

__all__ = ["Feed", "LiveView", "View"]


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


class Feed(Protocol):
    """Where snapshots come from."""

    @property
    def seconds_to_wait(self) -> float:
        """How long nothing new can come."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether no more jobs will come."""
        ...

    def look_at(self, names: Iterable[str]) -> None:
        """Say which jobs are looked at: more of their log is read, and first."""
        ...

    def snapshot(self, *, fresh: bool = False) -> Snapshot:
        """Where the jobs stand."""
        ...


@runtime_checkable
class LiveView(Protocol):
    """A view that answers keys, and so has a loop of its own."""

    def drive(self, feed: Feed, until_over: Callable[[], bool] | None) -> Snapshot:
        """Show snapshots until no more jobs come and all are over, or the person looks away.

        Raises:
            KeyboardInterrupt: Ctrl-C, and that was to look away.
        """
        ...
