"""Jobs in a notebook: a widget painted from a thread, so that the cell returns at once.

While it is watched, the output is a widget; with the end it becomes plain HTML, so that a saved
notebook shows how it ended without a kernel, on GitHub and in nbconvert's pages too. A widget in
the saved notebook would hide that HTML.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.notebook_html import snapshot_html
from cdao_sdk.monitor.plain import summary_lines
from cdao_sdk.monitor.snapshot import changes
from cdao_sdk.monitor.widget_state import Actions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot
    from cdao_sdk.monitor.widget import MonitorWidget

__all__ = ["Actions", "Feed", "NotebookView", "has_kernel", "snapshot_html", "watch_in_notebook"]

logger = logging.getLogger(__name__)

# Without a widget the whole table is sent again: not more often than this, unless a job changed.
_HTML_PAUSE_SECONDS = 2.0
# The end shows the logs of so many jobs, failed ones first.
_MOST_LOGS = 12
# How long the end of a cell waits for the last state of an execution that is over.
_SETTLING_SECONDS = 3.0


class Feed(Protocol):
    """Where snapshots come from; :class:`cdao_sdk.monitor.feed.JobFeed` is one."""

    @property
    def seconds_to_wait(self) -> float: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def last(self) -> Snapshot | None: ...
    def open(self) -> Snapshot: ...
    def snapshot(self, *, fresh: bool = False) -> Snapshot: ...


@runtime_checkable
class _Attentive(Protocol):
    """A feed that reads more of the jobs that someone looks at."""

    def look_at(self, names: Iterable[str]) -> None: ...


class _Display(Protocol):
    def __call__(
        self, bundle: Mapping[str, object], *, raw: bool, display_id: str, update: bool
    ) -> object: ...


def has_kernel() -> bool:
    """Whether this process is a notebook's kernel; never imports IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookView:
    """One output of a cell; made in the cell's own thread, painted from any.

    Nothing of it raises: a closed kernel or browser is no reason to lose the jobs.

    Args:
        ui: ``"html"`` shows no widget, even where ipywidgets is installed.
        stop: Asks SageMaker to stop the jobs of these names; None: no stop buttons.
        stop_all: Stops the execution with all its jobs; None: they are stopped by their names.
        again: What to type to watch again, for the note of a view that was left.

    Attributes:
        left: Set when somebody has pressed "Stop watching".
        widget: What is displayed; None before the first paint, and without ipywidgets.
    """

    shows_logs = False

    def __init__(
        self,
        *,
        ui: Literal["auto", "widget", "html", "rich", "plain"] = "auto",
        stop: Callable[[Sequence[str]], None] | None = None,
        stop_all: Callable[[], None] | None = None,
        again: str = "",
    ) -> None:
        self._display = cast("_Display", import_module("IPython.display").display)
        self._id = f"cdao-{uuid.uuid4().hex}"
        self._lock = threading.RLock()
        self._last: Snapshot | None = None
        self._sent = (0.0, "")
        self._again = again
        self._is_over = False
        self.left = threading.Event()
        self._actions = None if ui == "html" else Actions(stop, stop_all, self.leave)
        self.widget: MonitorWidget | None = None
        if self._actions is not None:  # its import takes as long as the first look at the jobs
            threading.Thread(target=_widget_class, name="cdao-monitor-import", daemon=True).start()

    @property
    def opened(self) -> frozenset[str]:
        """Names of the jobs that someone looks at: worth a log and metrics."""
        return frozenset(self.widget.opened) if self.widget else frozenset()

    def paint(self, snapshot: Snapshot) -> None:
        """Show where the jobs stand now."""
        with self._lock:
            if self._is_over:
                return
            before, self._last = self._last, snapshot
            try:
                self._paint(before, snapshot)
            except Exception as error:  # noqa: BLE001 # a closed comm has many classes; the jobs matter
                logger.debug("the notebook could not be painted: %s", error)

    def _paint(self, before: Snapshot | None, snapshot: Snapshot) -> None:
        widget_class = _widget_class() if before is None and self._actions else None
        if widget_class is not None and self._actions is not None:
            self.widget = widget_class(self._actions)
        if self.widget is not None:
            self.widget.paint(snapshot)
            if before is not None:
                return
        due = time.monotonic() >= self._sent[0] + _HTML_PAUSE_SECONDS
        if due or changes(before, snapshot):
            # Below a widget nobody sees it, unless the notebook is opened without its kernel.
            is_hidden = self.widget is not None and bool(self._again)
            footer = f"Saved while it was watched. Watch again: {self._again}" if is_hidden else ""
            self._send(snapshot_html(snapshot, footer=footer), snapshot)

    def _send(self, text: str, snapshot: Snapshot, *, is_static: bool = False) -> None:
        if text == self._sent[1]:
            return
        bundle: dict[str, object] = {"text/html": text, "text/plain": _plain(snapshot)}
        if self.widget is not None and not is_static:
            bundle["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.root.model_id,
            }
        is_update = bool(self._sent[1])
        self._sent = (time.monotonic(), text)
        self._display(bundle, raw=True, display_id=self._id, update=is_update)

    def finish(self, snapshot: Snapshot) -> None:
        """Show the end, as HTML that needs no kernel."""
        self._end(snapshot, "")

    def leave(self) -> None:
        """Watch no more; the jobs go on. Too late a click changes nothing."""
        self.left.set()
        with self._lock:
            if self._last is not None:
                again = f" Watch again: {self._again}" if self._again else ""
                self._end(self._last, f"No longer watched; the jobs go on.{again}")

    def close(self) -> None:
        """Leave the last state as HTML, whatever has ended the watching."""
        with self._lock:
            if self._last is not None:
                self._end(self._last, "")

    def _end(self, snapshot: Snapshot, footer: str) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            try:
                text = snapshot_html(snapshot, opened=self.opened, footer=footer)
                self._sent = (self._sent[0], " ")  # even an unchanged table has to lose its widget
                self._send(text, snapshot, is_static=True)
                if self.widget is not None:
                    self.widget.end(text)
            except Exception as error:  # noqa: BLE001 # see paint
                logger.debug("the notebook could not be painted: %s", error)


def most_telling(snapshot: Snapshot) -> Sequence[JobRow]:
    """The jobs whose logs are stored, those that failed first."""
    return sorted(snapshot.jobs, key=lambda row: row.state != "failed")[:_MOST_LOGS]


def _plain(snapshot: Snapshot) -> str:
    return "\n".join([snapshot.title, *summary_lines(snapshot)])


def _widget_class() -> type[MonitorWidget] | None:
    try:
        from cdao_sdk.monitor.widget import MonitorWidget
    except ImportError:  # the extra `notebook` is not installed: HTML that is painted anew
        return None
    return MonitorWidget


def watch_in_notebook(
    feed: Feed, view: NotebookView, until_over: Callable[[], bool] | None = None
) -> Snapshot:
    """Show jobs until they are over; returns at once, a thread goes on.

    Args:
        feed: Where snapshots come from.
        view: What shows them.
        until_over: Says whether more jobs may come; None asks the feed.

    Returns:
        The first state.

    Raises:
        NotFound: No such execution and no such job.
    """
    first = feed.open()
    view.paint(first)
    watcher = _Watcher(feed, view, until_over)
    watcher.start()
    return first


class _Watcher(threading.Thread):
    """Paints until the jobs are over, or nobody wants to see them any more."""

    def __init__(
        self, feed: Feed, view: NotebookView, until_over: Callable[[], bool] | None
    ) -> None:
        super().__init__(name="cdao-monitor", daemon=True)
        self._feed = feed
        self._view = view
        self._until_over = until_over
        self._hurry = threading.Event()
        self._looked_at: frozenset[str] = frozenset()

    def run(self) -> None:
        events = _cell_events()
        if events is not None:
            events.register("post_run_cell", self._settle)
        try:
            self._follow()
        except CdaoError as error:
            if self._feed.last is not None:
                self._view.paint(replace(self._feed.last, note=str(error)))
        except Exception:  # a thread of a notebook has nobody to raise to
            logger.exception("the monitor ended")
        finally:
            self._view.close()
            if events is not None:
                events.unregister("post_run_cell", self._settle)

    def _follow(self) -> None:
        while not self._view.left.is_set():
            # Asked before the jobs are: whatever it knew of is in the snapshot then.
            over = self._until_over() if self._until_over else self._feed.is_over
            self._look_at(self._view.opened)
            snapshot = self._feed.snapshot(fresh=over)
            self._view.paint(snapshot)
            if over and snapshot.jobs_are_over:
                self._finish(snapshot)
                return
            self._pause(self._feed.seconds_to_wait)

    def _look_at(self, names: frozenset[str]) -> None:
        self._looked_at = names
        if isinstance(self._feed, _Attentive):
            self._feed.look_at(names)

    def _finish(self, snapshot: Snapshot) -> None:
        if isinstance(self._feed, _Attentive):
            self._look_at(self._view.opened | {row.name for row in most_telling(snapshot)})
            snapshot = self._feed.snapshot(fresh=True)
        self._view.finish(snapshot)

    def _pause(self, seconds: float) -> None:
        """Until it is time again, a row was opened, or nobody looks any more."""
        until = time.monotonic() + seconds
        while not self._view.left.is_set() and not self._hurry.is_set():
            left = until - time.monotonic()
            if left <= 0 or self._view.opened != self._looked_at:
                return
            self._view.left.wait(min(left, 0.1))
        self._hurry.clear()

    def _settle(self, *_: object) -> None:
        """A cell has ended: if the execution has, too, its end is painted before the next cell.

        Else the last cell of a notebook that is run by a program would be stored, and its kernel
        gone, with the state before the end.
        """
        last = self._feed.last
        if last is None or threading.current_thread() is self:
            return
        if self._feed.is_over and (last.status or last.jobs_are_over):
            self._hurry.set()
            self.join(_SETTLING_SECONDS)


class _Events(Protocol):
    def register(self, event: str, function: Callable[..., None]) -> None: ...
    def unregister(self, event: str, function: Callable[..., None]) -> None: ...


def _cell_events() -> _Events | None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return cast("_Events | None", getattr(shell, "events", None))
