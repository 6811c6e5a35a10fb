"""``cdao run``: run a workflow of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.options import cluster_options, given_inputs, inputs_options, use_cluster

if TYPE_CHECKING:
    from cdao_sdk.cli.exit_codes import ExitCode

__all__ = ["run"]


@rich_click.command()
@click.argument("file")
@click.argument("workflow")
@inputs_options
@click.option(
    "--remote/--local",
    default=None,
    help="On the cluster, or in this process; default: on the cluster if admin_endpoint is set.",
)
@cluster_options
@click.option("--name", help="The execution's id; default: one is made.")
@click.option(
    "--overwrite-cache", is_flag=True, help="Cached tasks compute anew; on the cluster only."
)
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
    *,
    inputs: str | None,
    pairs: tuple[str, ...],
    timeout: float | None,
    version: str | None,
    name: str | None,
    remote: bool | None,
    overwrite_cache: bool,
    wait: bool,
    as_json: bool,
    **cluster: str | None,
) -> ExitCode:
    """Run a workflow or a task, with live progress, and print its outputs.

    \b
    FILE is a Python file or a module (package.module), WORKFLOW a name in it.
    With admin_endpoint set it is registered and runs on that cluster.
    Progress goes to standard error, outputs to standard output.
    Ctrl-C stops the jobs, and the execution on the cluster; with --no-wait
    the command ends at once, and the execution goes on.
    \b
    Examples:
      cdao run flow.py pipeline --inputs '{"data": "raw.csv", "depth": 6}'
      cdao run flow.py pipeline --inputs @inputs.json --input depth=8
      cdao run my_package.flow pipeline --json | jq .
      cdao run flow.py pipeline --remote --no-wait
    """
    from cdao_sdk.cli.running import run_to_end, start_only
    from cdao_sdk.flyte.launch_options import LaunchOptions

    use_cluster(**cluster)
    on_cluster = _chosen(remote=remote)
    if not wait and not on_cluster:
        msg = (
            "--no-wait: without admin_endpoint the workflow runs in this process and ends with it."
            " Leave --no-wait out, or run it in the background: cdao run … &"
        )
        raise click.UsageError(msg)
    options = LaunchOptions(name, version, overwrite_cache=overwrite_cache)
    entity, values = given_inputs(file, workflow, inputs, pairs)
    if not wait:
        return start_only(entity, values, options, as_json=as_json)
    return run_to_end(entity, values, options, timeout=timeout, as_json=as_json)


def _chosen(*, remote: bool | None) -> bool:
    """Whether it goes to the cluster; the settings follow the choice."""
    from cdao_sdk.settings import holder

    if remote is False:
        holder.update({"admin_endpoint": None})
    is_set = holder.gather().settings.admin_endpoint is not None
    if remote and not is_set:
        msg = (
            "--remote: no cluster is set. CDAO_ADMIN_ENDPOINT=https://…, admin_endpoint in"
            " .flyte/cdao.toml or [tool.cdao], or admin.endpoint in .flyte/config.yaml."
        )
        raise click.UsageError(msg)
    return is_set
