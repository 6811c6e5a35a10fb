"""Follow jobs to their end, in the view that fits where we are."""

from __future__ import annotations

import functools
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.watch import stop_jobs
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.interrupts import keyboard_interrupts
from cdao_sdk.monitor.json_lines import JsonView
from cdao_sdk.monitor.lookup import jobs_named
from cdao_sdk.monitor.plain import PlainView
from cdao_sdk.monitor.view import LiveView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.errors import CdaoError
    from cdao_sdk.monitor.remote_source import RemoteSource
    from cdao_sdk.monitor.snapshot import Snapshot
    from cdao_sdk.monitor.view import View
    from cdao_sdk.settings import Settings

__all__ = ["choose_view", "follow", "show_once", "text_view", "watch"]

ViewName = Literal["notebook", "rich", "plain", "github", "json"]
UiSetting = Literal["auto", "widget", "html", "rich", "plain"]


def watch(
    identifier: str,
    clients: AwsClients,
    settings: Settings,
    *,
    until_over: Callable[[], bool] | None = None,
    out: TextIO | None = None,
    remote: RemoteSource | None = None,
    view: ViewName | None = None,
) -> Snapshot:
    """Show jobs until they are over; in a notebook the cell returns at once.

    Ctrl-C ends the watching, not the jobs; in a terminal it asks which of the two is meant.

    Args:
        identifier: An execution's id, or a job's whole name.
        clients: Where to look.
        settings: ``ui`` chooses the view.
        until_over: Says whether more jobs may come; None asks the execution's record.
        out: Where to write; None: standard output, or the notebook.
        remote: The execution, if it runs on a cluster.
        view: How; None: as ``settings.ui`` and the surroundings say.

    Returns:
        The last state; in a notebook the first.

    Raises:
        NotFound: No such execution and no such job.
        KeyboardInterrupt: Ctrl-C.
    """
    stream = out or sys.stdout
    name = view or choose_view(
        settings.ui, stream, os.environ, in_notebook=out is None and _in_notebook()
    )
    if name == "notebook":
        return _watch_in_notebook(identifier, clients, settings, until_over, remote)
    feed = JobFeed(identifier, clients, settings, shows_logs=name == "rich", remote=remote)
    stop = functools.partial(_stop_all, clients, identifier, remote)
    view_ = text_view(name, stream, stop)
    # A program that reads JSON is told nothing but JSON.
    words = sys.stderr if name == "json" else stream
    try:
        with keyboard_interrupts():
            snapshot = follow(feed, view_, until_over=until_over)
    except KeyboardInterrupt:
        _say_jobs_go_on(words, identifier)
        raise
    if snapshot.outcome == "running":
        _say_jobs_go_on(words, identifier)
    return snapshot


def _say_jobs_go_on(stream: TextIO, identifier: str) -> None:
    stream.write(f"\nThe jobs go on. To stop them: cdao stop {identifier}\n")
    stream.flush()


def show_once(
    identifier: str,
    clients: AwsClients,
    settings: Settings,
    *,
    view: ViewName,
    out: TextIO | None = None,
    remote: RemoteSource | None = None,
) -> Snapshot:
    """Show where jobs stand, without waiting for more.

    Args:
        identifier: An execution's id, or a job's whole name.
        clients: Where to look.
        settings: Tell where records are.
        view: How.
        out: Where to write; None: standard output.
        remote: The execution, if it runs on a cluster.

    Raises:
        NotFound: No such execution and no such job.
    """
    feed = JobFeed(identifier, clients, settings, shows_logs=view == "rich", remote=remote)
    with closing(text_view(view, out or sys.stdout)) as shown:
        feed.open()
        snapshot = feed.snapshot(fresh=True)
        while not (snapshot.jobs or snapshot.status or feed.is_over):
            # An id alone, in an account with a long history: its lists are read to their end.
            time.sleep(feed.seconds_to_wait)
            snapshot = feed.snapshot()
        if view != "rich":  # the table is shown once, at the end
            shown.paint(snapshot)
        shown.finish(snapshot)
    return snapshot


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
    if environment.get("GITHUB_ACTIONS") == "true":
        return "github"
    in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    if in_ci or environment.get("TERM") == "dumb" or not stream.isatty():
        return "plain"
    return "rich"


def text_view(name: ViewName, stream: TextIO, stop: Callable[[], str] | None = None) -> View:
    """A view that writes to a stream.

    Args:
        name: Which.
        stream: Where to.
        stop: Stops the jobs when a person at a live view says so, and tells of it; None: one
            cannot.
    """
    if name == "json":
        return JsonView(stream)
    if name == "github":
        from cdao_sdk.monitor.github import GithubView

        summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
        checkout = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
        return GithubView(stream, Path(summary) if summary else None, checkout)
    if name != "rich":
        return PlainView(stream)
    from cdao_sdk.monitor.terminal.view import Controls, TerminalView

    return TerminalView(stream, Controls(stop), sys.stdin)


def _stop_all(clients: AwsClients, identifier: str, remote: RemoteSource | None) -> str:
    if remote is not None:  # a stopped job alone would be tried again
        remote.cancel()
        return f"stopping execution {remote.id}"
    jobs = bridge.run(jobs_named(clients, identifier))
    return _said_of_stops(bridge.run(stop_jobs(clients, jobs)))


def _said_of_stops(answers: Mapping[str, CdaoError | None]) -> str:
    refused = [error for error in answers.values() if error is not None]
    count = len(answers) - len(refused)
    said = f"stopping {count} job{'' if count == 1 else 's'}"
    return f"{said}; {len(refused)} not stopped: {refused[0]}" if refused else said


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
        if isinstance(view, LiveView):
            return view.drive(feed, until_over)
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


def _watch_in_notebook(
    identifier: str,
    clients: AwsClients,
    settings: Settings,
    until_over: Callable[[], bool] | None,
    remote: RemoteSource | None,
) -> Snapshot:
    from cdao_sdk.monitor.notebook import NotebookView, watch_in_notebook

    feed = JobFeed(identifier, clients, settings, shows_logs=True, remote=remote)

    def stop(names: Sequence[str]) -> None:
        meant = frozenset(names)
        jobs = [job for job in feed.jobs if job.name in meant]
        answers = bridge.run(stop_jobs(clients, jobs)).values()
        if refused := [error for error in answers if error is not None]:
            raise refused[0]

    view = NotebookView(
        ui=settings.ui,
        stop=stop,
        stop_all=remote.cancel if remote else None,
        again=f"cdao_sdk.monitor_sagemaker_jobs({identifier!r})",
    )
    return watch_in_notebook(feed, view, until_over)
