"""``cdao run``: run a workflow of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.options import given_inputs, inputs_options

if TYPE_CHECKING:
    from cdao_sdk.cli.exit_codes import ExitCode

__all__ = ["run"]


@rich_click.command()
@click.argument("file")
@click.argument("workflow")
@inputs_options
@click.option("--wait/--no-wait", default=True, help="Wait for the end (default).")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop it then.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line, outputs included.")
def run(
    file: str,
    workflow: str,
    inputs: str | None,
    pairs: tuple[str, ...],
    timeout: float | None,
    *,
    wait: bool,
    as_json: bool,
) -> ExitCode:
    """Run a workflow or a task, with live progress, and print its outputs.

    \b
    FILE is a Python file or a module (package.module), WORKFLOW a name in it.
    Progress goes to standard error, outputs to standard output.
    Ctrl-C stops the jobs.
    \b
    Examples:
      cdao run flow.py pipeline --inputs '{"data": "raw.csv", "depth": 6}'
      cdao run flow.py pipeline --inputs @inputs.json --input depth=8
      cdao run my_package.flow pipeline --json | jq .
    """
    from cdao_sdk.cli.running import run_to_end
    from cdao_sdk.settings import holder

    if not wait and not holder.gather().settings.admin_endpoint:
        msg = (
            "--no-wait: without admin_endpoint the workflow runs in this process and ends with it."
            " Leave --no-wait out, or run it in the background: cdao run … &"
        )
        raise click.UsageError(msg)
    entity, values = given_inputs(file, workflow, inputs, pairs)
    return run_to_end(entity, values, timeout=timeout, as_json=as_json)
