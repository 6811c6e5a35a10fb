"""What a notebook's buttons have set going: stops that were asked for, and logs that are read."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["STOP_ALL", "Actions", "Courses", "Logs", "Stops"]

logger = logging.getLogger(__name__)

STOP_ALL = "*"
"""The button that stops every job that goes on, among the names of jobs."""

# A first click arms a stop for so long; the second one stops.
_ARMED_SECONDS = 6.0
_LOG_PAUSE_SECONDS = 2.0
_POINTS = 400


@dataclass(frozen=True)
class Actions:
    """What the view's buttons do; a button without its action is not shown.

    Attributes:
        stop: Asks SageMaker to stop the jobs of these names.
        stop_all: Stops the execution with all its jobs; None: they are stopped by their names.
        read_log: The last log lines of a job.
        leave: Ends the watching; the jobs go on.
    """

    stop: Callable[[Sequence[str]], None] | None = None
    stop_all: Callable[[], None] | None = None
    read_log: Callable[[str], Sequence[str]] | None = None
    leave: Callable[[], None] | None = None


def in_background(work: Callable[[], None]) -> None:
    """Do it in a thread of its own: a button must not hold up the kernel."""
    threading.Thread(target=work, name="cdao-monitor-button", daemon=True).start()


class Stops:
    """Which stop was asked for, and how that went.

    Args:
        actions: Tell how to stop.
        changed: Called when there is something new to show.

    Attributes:
        notice: What happened last, for people; empty at first.
    """

    def __init__(self, actions: Actions, changed: Callable[[], None]) -> None:
        self._actions = actions
        self._changed = changed
        self._armed = ("", 0.0)
        self._asked: set[str] = set()
        self.notice = ""

    @property
    def is_possible(self) -> bool:
        """Whether there is a way to stop jobs."""
        return self._actions.stop is not None

    def is_armed(self, key: str) -> bool:
        """Whether the next click stops."""
        return self._armed[0] == key and time.monotonic() < self._armed[1]

    def is_asked(self, name: str) -> bool:
        """Whether the job was asked to stop."""
        return name in self._asked

    def disarm(self) -> None:
        """Take the first click back."""
        self._armed = ("", 0.0)

    def click(self, key: str, rows: Iterable[JobRow]) -> None:
        """A click on a stop button: the first one arms it, the second one stops.

        Args:
            key: Which button.
            rows: The jobs that it stops; those that are over are left alone.
        """
        names = [row.name for row in rows if not row.is_over and row.name not in self._asked]
        if not names or self._actions.stop is None:
            return
        if not self.is_armed(key):
            self._armed = (key, time.monotonic() + _ARMED_SECONDS)
            return
        self.disarm()
        self._asked.update(names)
        self.notice = "Stopping " + (names[0] if len(names) == 1 else f"{len(names):,} jobs") + " …"
        in_background(lambda: self._stop(names, is_all=key == STOP_ALL))

    def _stop(self, names: Sequence[str], *, is_all: bool) -> None:
        assert self._actions.stop is not None  # noqa: S101 # else nobody comes here
        try:
            if is_all and self._actions.stop_all is not None:
                self._actions.stop_all()
            else:
                self._actions.stop(names)
        except CdaoError as error:
            self.notice = printable(f"It could not be stopped: {error}")
            self._asked.difference_update(names)
        except Exception:
            logger.exception("stopping %s went wrong", names)
            self.notice = "It could not be stopped; the kernel's log says why."
            self._asked.difference_update(names)
        else:
            self.notice = "SageMaker was asked to stop " + (
                f"{names[0]}." if len(names) == 1 else f"{len(names):,} jobs."
            )
        self._changed()


class Logs:
    """Log tails of jobs that someone looks at, read in the background.

    Args:
        actions: Tell how to read a log.
        changed: Called when there are new lines.
    """

    def __init__(self, actions: Actions, changed: Callable[[], None]) -> None:
        self._read_log = actions.read_log
        self._changed = changed
        self._due: dict[str, float] = {}
        self._complete: set[str] = set()
        self.tails: dict[str, tuple[str, ...]] = {}

    def of(self, row: JobRow) -> tuple[str, ...] | None:
        """The lines so far; None while the first ones are being fetched."""
        known = self.tails.get(row.name)
        if known is not None and len(known) >= len(row.log_tail):
            return known
        if row.log_tail or self._read_log is None:
            return row.log_tail
        return known

    def want(self, row: JobRow) -> None:
        """Someone looks at this job: fetch its log if it is time to."""
        if self._read_log is None or row.name in self._complete:
            return
        if time.monotonic() < self._due.get(row.name, 0.0):
            return
        self._due[row.name] = time.monotonic() + 60.0  # until this one has come back
        is_over = row.is_over
        in_background(lambda: self._fetch(row.name, is_last=is_over))

    def fetch(self, row: JobRow) -> None:
        """Fetch it now, in this thread."""
        if self._read_log is not None and row.name not in self._complete:
            self._fetch(row.name, is_last=row.is_over)

    def _fetch(self, name: str, *, is_last: bool) -> None:
        assert self._read_log is not None  # noqa: S101 # else nobody comes here
        try:
            lines = tuple(printable(line) for line in self._read_log(name))
        except CdaoError as error:
            lines = (printable(f"(the log cannot be read: {error})"),)
        except Exception:
            logger.exception("the log of %s could not be read", name)
            lines = ("(the log cannot be read; the kernel's log says why)",)
        if is_last:
            self._complete.add(name)
        self._due[name] = time.monotonic() + _LOG_PAUSE_SECONDS
        if self.tails.get(name) != lines:
            self.tails[name] = lines
            self._changed()


class Courses:
    """How metrics went, as far as the snapshots have shown it: for jobs that have no series."""

    def __init__(self) -> None:
        self._points: dict[str, dict[str, list[tuple[float, float]]]] = {}

    def see(self, snapshot: Snapshot) -> None:
        """Note each metric that has another value now."""
        at = snapshot.taken.timestamp()
        for row in snapshot.jobs:
            if row.is_over and row.name not in self._points:
                continue  # only its last values are known
            for name, value in row.metrics.items():
                points = self._points.setdefault(row.name, {}).setdefault(name, [])
                if not points or points[-1][1] != value:
                    points.append((at, value))
                    del points[:-_POINTS]

    def of(self, row: JobRow) -> dict[str, list[tuple[float, float]]]:
        """(seconds, value) of each metric of a job."""
        return self._points.get(row.name, {})
