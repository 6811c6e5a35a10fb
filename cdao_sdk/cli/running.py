"""Run a workflow to its end, here or on a cluster, with progress on standard error."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cdao_sdk.cli.exit_codes import ExitCode, exit_code_of
from cdao_sdk.errors import CdaoError, ExecutionTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdao_sdk.cli.entities import Entity
    from cdao_sdk.flyte.execution import Execution
    from cdao_sdk.flyte.launch_options import LaunchOptions
    from cdao_sdk.flyte.remote_execution import RemoteExecution
    from cdao_sdk.monitor.feed import JobFeed
    from cdao_sdk.monitor.view import View
    from cdao_sdk.settings import Settings

__all__ = ["run_to_end", "start_only"]

_STOP_SECONDS = 30.0
_RECORD_SECONDS = 10.0


def start_only(
    entity: Entity, inputs: Mapping[str, object], options: LaunchOptions, *, as_json: bool
) -> ExitCode:
    """Start on the cluster and leave: the execution's id goes to standard output.

    Args:
        entity: What to run.
        inputs: Its inputs.
        options: How to start it.
        as_json: A JSON event instead of the id.
    """
    execution = _start(entity, inputs, options)
    if as_json:
        from cdao_sdk.monitor.json_lines import write_event

        write_event(sys.stdout, "execution", id=execution.id, url=execution.url)
        return ExitCode.SUCCESS
    click.echo(execution.id)
    click.echo(f"{execution.url}\nFollow it: cdao monitor {execution.id}", err=True)
    return ExitCode.SUCCESS


def _start(entity: Entity, inputs: Mapping[str, object], options: LaunchOptions) -> Execution:
    from cdao_sdk._run import run  # pyright: ignore[reportUnknownVariableType] # flytekit's types

    return run(
        entity,
        inputs,
        name=options.name,
        version=options.version,
        overwrite_cache=options.overwrite_cache,
    )


def run_to_end(
    entity: Entity,
    inputs: Mapping[str, object],
    options: LaunchOptions,
    *,
    timeout: float | None,
    as_json: bool,
) -> ExitCode:
    """Run, show progress, print what came out.

    Args:
        entity: What to run.
        inputs: Its inputs.
        options: How to start it.
        timeout: Seconds after which it is stopped; None: never.
        as_json: One JSON event a line on standard output instead of words.

    Raises:
        PlanError: The inputs do not fit.
        ConfigurationError: A setting is missing.
    """
    from cdao_sdk._connect import connect
    from cdao_sdk.monitor.feed import JobFeed
    from cdao_sdk.monitor.interrupts import keyboard_interrupts
    from cdao_sdk.settings import holder

    with keyboard_interrupts(signal.SIGTERM):
        settings = holder.gather().settings
        clients = connect(settings).clients
        view = _view(settings, as_json=as_json)
        execution = _start(entity, inputs, options)
        remote = _on_cluster(execution)
        if remote is not None and not as_json:
            click.echo(execution.url, err=True)
        feed = JobFeed(execution.id, clients, settings, shows_logs=view.shows_logs, remote=remote)
        return _Run(execution, feed, view, as_json=as_json).to_end(timeout)


def _on_cluster(execution: Execution) -> RemoteExecution | None:
    """The execution, if it is one on a cluster."""
    if not execution.url:
        return None
    from cdao_sdk.flyte.remote_execution import RemoteExecution

    return execution if isinstance(execution, RemoteExecution) else None


def _view(settings: Settings, *, as_json: bool) -> View:
    """What runs in this process ends with it: one cannot look away, and Ctrl-C stops it."""
    from cdao_sdk.monitor.watching import choose_view, text_view

    if as_json:
        return text_view("json", sys.stdout)
    name = choose_view(settings.ui, sys.stderr, os.environ, in_notebook=False)
    return text_view(name, sys.stderr)


class _Run:
    def __init__(self, execution: Execution, feed: JobFeed, view: View, *, as_json: bool) -> None:
        self._execution = execution
        self._feed = feed
        self._view = view
        self._as_json = as_json

    def to_end(self, timeout: float | None) -> ExitCode:
        deadline = None if timeout is None else time.monotonic() + timeout

        def until_over() -> bool:
            if deadline is not None and time.monotonic() > deadline:
                msg = f"Execution {self._execution.id} was not done after {timeout:g} s."
                raise ExecutionTimeout(msg)
            # The feed asks a cluster no oftener than it has to.
            return self._feed.is_over if self._execution.url else self._execution.status.is_over

        try:
            self._follow(until_over)
        except KeyboardInterrupt:
            return self._stop("Interrupted", ExitCode.INTERRUPTED)
        except ExecutionTimeout as error:
            return self._stop(str(error), ExitCode.TIMEOUT)
        code = self._result()
        if self._feed.last and self._feed.last.jobs:
            name = self._execution.id
            click.echo(f"Look further: cdao jobs {name}   cdao logs {name}", err=True)
        return code

    def _follow(self, until_over: Callable[[], bool]) -> None:
        from cdao_sdk.monitor.json_lines import write_event
        from cdao_sdk.monitor.watching import follow

        if self._as_json:
            place = {"url": self._execution.url} if self._execution.url else {}
            write_event(sys.stdout, "execution", id=self._execution.id, **place)
        follow(self._feed, self._view, until_over=until_over)

    def _result(self) -> ExitCode:
        try:
            outputs = self._execution.wait(_RECORD_SECONDS).outputs
        except Exception as error:  # noqa: BLE001 # a plain task of the user may raise anything
            self._say_failed(error)
            return exit_code_of(error)
        from cdao_sdk.cli.outputs import plain_outputs, readable

        values = plain_outputs(outputs)
        if self._as_json:
            from cdao_sdk.monitor.json_lines import write_event

            write_event(sys.stdout, "outputs", outputs=values)
            return ExitCode.SUCCESS
        click.echo("\n".join(readable(values)))
        return ExitCode.SUCCESS

    def _say_failed(self, error: Exception) -> None:
        """The view has shown what failed; a plain task's error has a traceback, too."""
        execution = self._execution
        if not isinstance(error, CdaoError):
            click.echo("".join(_user_traceback(error)), err=True, nl=False)
        elif execution.url and not getattr(error, "job_name", ""):
            click.echo(f"Error: {error}", err=True)  # of a plain task: no job has shown it
        click.echo(f"Error: execution {execution.id} {execution.status.lower()}.", err=True)

    def _stop(self, why: str, code: ExitCode) -> ExitCode:
        """Stop the jobs and wait for their end; a second Ctrl-C leaves at once."""
        click.echo(f"\n{why}: stopping the jobs; Ctrl-C again leaves at once.", err=True)
        self._execution.cancel()
        try:
            is_over = self._is_over_within(_STOP_SECONDS)
            snapshot = self._feed.snapshot(fresh=True)
        except KeyboardInterrupt:
            _leave(code)
        self._view.paint(snapshot)
        self._view.finish(snapshot)
        if not is_over:
            click.echo(f"Jobs did not stop within {_STOP_SECONDS:g} s; leaving.", err=True)
            _leave(code)
        click.echo(f"Execution {self._execution.id} stopped.", err=True)
        return code

    def _is_over_within(self, seconds: float) -> bool:
        try:
            self._execution.wait(seconds)
        except ExecutionTimeout:
            return False
        except Exception:  # noqa: BLE001 # whatever ended it, it is over
            return True
        return True


def _leave(code: ExitCode) -> NoReturn:
    """End without waiting for threads; the jobs' supervisor ends them with this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _user_traceback(error: BaseException) -> list[str]:
    """A traceback with the frames of the user's own files alone, if there are any."""
    import flytekit

    from cdao_sdk import errors

    library = {Path(module.__file__ or "").parent for module in (flytekit, errors, os)}
    summary = traceback.TracebackException.from_exception(error)
    own = [
        frame
        for frame in summary.stack
        if not any(folder in Path(frame.filename).parents for folder in library)
        and "site-packages" not in frame.filename
    ]
    if own:
        summary.stack = traceback.StackSummary.from_list(own)
    summary.__cause__ = summary.__context__ = None
    return list(summary.format())
