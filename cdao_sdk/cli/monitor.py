"""``cdao monitor``: follow jobs to their end."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.exit_codes import OUTCOME_CODES
from cdao_sdk.cli.services import connected, on_cluster

if TYPE_CHECKING:
    from cdao_sdk.cli.exit_codes import ExitCode

__all__ = ["monitor"]


@rich_click.command()
@click.argument("identifier", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line.")
@click.option("--plain", is_flag=True, help="One line a change, also in a terminal.")
@click.option(
    "--wait/--no-wait", default=True, help="Until all jobs are over (default), or show once."
)
def monitor(identifier: str, *, as_json: bool, plain: bool, wait: bool) -> ExitCode:
    """Follow the jobs of an execution, or one job, to the end.

    \b
    In a terminal a live table with keys: arrows move, Enter opens a group or
    a log, f shows only what failed, l a log, q looks away. Ctrl-C asks
    whether to stop the jobs or only to look away.
    Elsewhere one line for each change; there Ctrl-C ends the watching, not
    the jobs. In GitHub Actions also annotations and a summary of the step.
    \b
    Exit codes: 0 succeeded (or still running: --no-wait, q), 1 failed,
    3 stopped, 130 looked away with Ctrl-C.
    \b
    Examples:
      cdao monitor a0f3a9d1c0b7e5f60718
      cdao monitor a0f3a9d1c0b7e5f60718 --json | jq .
      cdao monitor a0f3a9d1c0b7e5f60718 --no-wait
    """
    from cdao_sdk.monitor.interrupts import keyboard_interrupts
    from cdao_sdk.monitor.watching import choose_view, show_once, watch

    if as_json and plain:
        msg = "--json and --plain exclude each other: choose one."
        raise click.UsageError(msg)
    clients, settings = connected()
    view = choose_view(settings.ui, sys.stdout, os.environ, in_notebook=False)
    view = "json" if as_json else "plain" if plain else view
    found = on_cluster(identifier)
    name = found.id if found else identifier
    show = watch if wait else show_once
    with keyboard_interrupts(signal.SIGTERM):
        snapshot = show(name, clients, settings, view=view, remote=found)
    return OUTCOME_CODES[snapshot.outcome]
