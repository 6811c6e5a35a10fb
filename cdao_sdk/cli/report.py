"""``cdao report``: what an execution's jobs did, took and cost, as one HTML file."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click
import rich_click

from cdao_sdk.cli.services import connected, on_cluster

__all__ = ["report"]


@rich_click.command()
@click.argument("execution")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File or folder; `-` is standard output.  [default: EXECUTION.html]",
)
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object; HTML only where -o is given."
)
def report(execution: str, output: str | None, *, opens: bool, as_json: bool) -> None:
    """Write what an execution's jobs did, took and cost: one HTML file.

    \b
    Timeline, cost by job, spot savings, metrics, failures and their mends.
    The execution may be over since long, and have run on another machine;
    the name of one SageMaker job will do, too.
    \b
    Examples:
      cdao report a0f3a9d1c0b7e5f60718 --open
      cdao report a0f3a9d1c0b7e5f60718 -o reports/
      cdao report a0f3a9d1c0b7e5f60718 --json
    """
    if output == "-" and (opens or as_json):
        msg = "`-o -` writes HTML to standard output: it goes with neither --open nor --json."
        raise click.UsageError(msg)
    from cdao_sdk.monitor.report_source import report_of

    if found := on_cluster(execution):
        made = found.report()
    else:
        clients, settings = connected()
        made = report_of(execution, clients, settings)
    if as_json:
        from cdao_sdk.monitor.json_lines import json_text

        click.echo(json_text(made.facts, sys.stdout.encoding, indent=2))
    if output == "-":  # the page says of itself that it is UTF-8
        click.echo(made.html.encode(), nl=False)
        return
    if output is None and as_json and not opens:
        return
    file = made.save(output or Path.cwd())
    if not as_json:
        click.echo(f"{made.text}\n{file}")
    if opens and not webbrowser.open(file.resolve().as_uri()):
        click.echo(f"There is no browser here; open {file} yourself.", err=True)
