"""Follow jobs to their end, in the view that fits where we are."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.interrupts import keyboard_interrupts
from cdao_sdk.monitor.plain import PlainView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.monitor.feed import RemoteSource
    from cdao_sdk.monitor.snapshot import Snapshot
    from cdao_sdk.monitor.view import View
    from cdao_sdk.settings import Settings

__all__ = ["choose_view", "follow", "text_view", "watch"]

logger = logging.getLogger(__name__)

ViewName = Literal["notebook", "rich", "plain"]
UiSetting = Literal["auto", "widget", "html", "rich", "plain"]


def watch(
    identifier: str,
    clients: AwsClients,
    settings: Settings,
    *,
    until_over: Callable[[], bool] | None = None,
    out: TextIO | None = None,
    remote: RemoteSource | None = None,
) -> Snapshot:
    """Show jobs until they are over; in a notebook the cell returns at once.

    Ctrl-C ends the watching, not the jobs.

    Args:
        identifier: An execution's id, or a job's whole name.
        clients: Where to look.
        settings: ``ui`` chooses the view.
        until_over: Says whether more jobs may come; None asks the execution's record.
        out: Where to write; None: standard output, or the notebook.
        remote: The execution, if it runs on a cluster.

    Returns:
        The last state; in a notebook the first.

    Raises:
        NotFound: No such execution and no such job.
        KeyboardInterrupt: Ctrl-C.
    """
    stream = out or sys.stdout
    name = choose_view(settings.ui, stream, os.environ, in_notebook=out is None and _in_notebook())
    if name == "notebook":
        return _watch_in_notebook(JobFeed(identifier, clients, settings, remote=remote), until_over)
    feed = JobFeed(identifier, clients, settings, shows_logs=name == "rich", remote=remote)
    try:
        with keyboard_interrupts():
            return follow(feed, text_view(name, stream), until_over=until_over)
    except KeyboardInterrupt:
        stream.write(f"\nThe jobs go on. To stop them: cdao stop {identifier}\n")
        stream.flush()
        raise


def choose_view(
    ui: UiSetting, stream: TextIO, environment: Mapping[str, str], *, in_notebook: bool
) -> ViewName:
    """Which view fits.

    Args:
        ui: The setting: "auto", "widget", "html", "rich" or "plain".
        stream: Where it would be written.
        environment: The process's environment.
        in_notebook: Whether there is a notebook's kernel.
    """
    if ui in ("rich", "plain"):
        return ui
    if in_notebook:
        return "notebook"
    in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    if in_ci or environment.get("TERM") == "dumb" or not stream.isatty():
        return "plain"
    return "rich"


def text_view(name: ViewName, stream: TextIO) -> View:
    """A view that writes to a stream."""
    if name != "rich":
        return PlainView(stream)
    from cdao_sdk.monitor.terminal import TerminalView

    return TerminalView(stream)


def follow(feed: JobFeed, view: View, *, until_over: Callable[[], bool] | None = None) -> Snapshot:
    """Paint snapshots until no more jobs come and all that were seen are over.

    Args:
        feed: Where snapshots come from.
        view: What shows them; it is closed at the end.
        until_over: Says whether more jobs may come; what it raises ends the watching.

    Returns:
        The last state.
    """
    with closing(view):
        view.paint(feed.open())
        return _follow(feed, view, until_over)


def _follow(feed: JobFeed, view: View, until_over: Callable[[], bool] | None) -> Snapshot:
    while True:
        # Asked before the jobs are: whatever it knew of is in the snapshot then.
        over = until_over() if until_over else feed.is_over
        snapshot = feed.snapshot(fresh=over)
        view.paint(snapshot)
        if over and snapshot.jobs_are_over:
            view.finish(snapshot)
            return snapshot
        time.sleep(feed.seconds_to_wait)


def _in_notebook() -> bool:
    from cdao_sdk.monitor.notebook import has_kernel

    return has_kernel()


def _watch_in_notebook(feed: JobFeed, until_over: Callable[[], bool] | None) -> Snapshot:
    from cdao_sdk.monitor.notebook import NotebookView

    first = feed.open()
    view = NotebookView()
    view.paint(first)

    def go_on() -> None:
        try:
            _follow(feed, view, until_over)
        except CdaoError as error:
            view.paint(replace(feed.last or first, note=str(error)))
        except Exception:  # a thread of a notebook has nobody to raise to
            logger.exception("the monitor of %s ended", first.title)

    threading.Thread(target=go_on, name="cdao-monitor", daemon=True).start()
    return first
