"""What a notebook's buttons have set going: stops that were asked for, and logs that are read."""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["STOP_ALL", "Actions", "Courses", "Fetching", "Stops"]

logger = logging.getLogger(__name__)

STOP_ALL = "*"
"""The button that stops every job that goes on, among the names of jobs."""

# A first click arms a stop for so long; the second one stops.
_ARMED_SECONDS = 6.0
# Snapshots have one line of a row that is closed; more comes soon after it was opened.
_LINES_OF_A_CLOSED_ROW = 1
_FETCHING_SECONDS = 3.0
_POINTS = 400


@dataclass(frozen=True)
class Actions:
    """What the view's buttons do; a button without its action is not shown.

    Attributes:
        stop: Asks SageMaker to stop the jobs of these names.
        stop_all: Stops the execution with all its jobs; None: they are stopped by their names.
        leave: Ends the watching; the jobs go on.
    """

    stop: Callable[[Sequence[str]], None] | None = None
    stop_all: Callable[[], None] | None = None
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

    @property
    def stops_execution(self) -> bool:
        """Whether the button for all stops more than the jobs that go on now."""
        return self._actions.stop_all is not None

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
        stop_all = self._actions.stop_all if key == STOP_ALL else None
        if self._actions.stop is None or not (names or stop_all):
            return
        if not self.is_armed(key):
            self._armed = (key, time.monotonic() + _ARMED_SECONDS)
            return
        self.disarm()
        asked = {*names, STOP_ALL} if stop_all else set(names)
        what = "the execution" if stop_all else jobs_words(names)
        self._asked |= asked
        self.notice = f"Stopping {what} …"
        stop = stop_all or functools.partial(self._actions.stop, names)
        in_background(lambda: self._stop(stop, what, asked))

    def _stop(self, stop: Callable[[], None], what: str, asked: Collection[str]) -> None:
        try:
            stop()
        except CdaoError as error:
            self.notice = printable(f"It could not be stopped: {error}")
            self._asked.difference_update(asked)
        except Exception:
            logger.exception("stopping %s went wrong", what)
            self.notice = "It could not be stopped; the kernel's log says why."
            self._asked.difference_update(asked)
        else:
            self.notice = f"Asked to stop {what}."
        self._changed()


def jobs_words(names: Sequence[str]) -> str:
    """One job by its name, several by their number."""
    return names[0] if len(names) == 1 else f"{len(names):,} jobs"


class Fetching:
    """Which logs may be on their way: those of rows that were opened a moment ago."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def lines_of(self, row: JobRow) -> tuple[str, ...] | None:
        """The lines so far; None while the first ones may be on their way."""
        since = self._since.setdefault(row.name, time.monotonic())
        if len(row.log_tail) <= _LINES_OF_A_CLOSED_ROW and (
            time.monotonic() < since + _FETCHING_SECONDS
        ):
            return None
        return row.log_tail

    def forget(self, name: str) -> None:
        """The row was closed."""
        self._since.pop(name, None)


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
