"""``cdao local``: the built-in SageMaker as a server of its own."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.exit_codes import ExitCode
from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cdao_sdk.cli.local_server import LocalServer, RunningServer

__all__ = ["local"]

_state_dir = click.option(
    "--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Default: the setting."
)


@rich_click.group()
def local() -> None:
    """Run the built-in SageMaker as a server.

    \b
    boto3, s3fs and the AWS CLI talk to it as they do to AWS.
    \b
    Example:
      eval "$(cdao local start)"
      aws sagemaker list-training-jobs
      cdao local stop
    """


@local.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--faults", help="Faults to show: JSON, or a file with it. Default: the setting.")
@_state_dir
def start(port: int, state_dir: Path | None, faults: str | None) -> None:
    """Start the server in the background.

    \b
    Prints the environment to export. A second start prints it again, and its
    --faults replace those in force.
    \b
    Examples:
      eval "$(cdao local start)"
      cdao local start --port 9911 --state-dir ./aws
      cdao local start --faults '{"rules": [{"fault": "throttling", "first": 2}]}'
    """
    server = _server(state_dir)
    plan = _plan(faults)
    running = server.running()
    is_new = running is None
    if running is None:
        running = server.start(port, plan)
    elif plan:
        server.put_faults(running, plan)
    for name, value in _environment(server, running).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    word = "started" if is_new else "is running already"
    # A person who sees the exports on the screen has not put them in force yet.
    hint = ' Put it in force: eval "$(cdao local start)"' if sys.stdout.isatty() else ""
    click.echo(
        f"The local SageMaker {word} at {running.url} (process {running.pid}, state in"
        f" {server.state_dir}).{hint}",
        err=True,
    )


@local.command()
@_state_dir
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(state_dir: Path | None, *, as_json: bool) -> ExitCode:
    """Tell whether the server runs.

    \b
    Exit code 3 if it does not.
    \b
    Example:
      cdao local status --json
    """
    server = _server(state_dir)
    running = server.running()
    if as_json:
        document = {
            "running": running is not None,
            "url": running.url if running else None,
            "pid": running.pid if running else None,
            "state_dir": str(server.state_dir),
        }
        click.echo(json.dumps(document, indent=2))
    elif running:
        click.echo(f"running at {running.url} (process {running.pid}, state in {server.state_dir})")
    else:
        click.echo(f"not running (state in {server.state_dir})")
    return ExitCode.SUCCESS if running else ExitCode.STOPPED


@local.command()
@_state_dir
def stop(state_dir: Path | None) -> None:
    """Stop the server and the jobs it runs.

    \b
    Jobs, logs and objects stay on disk.
    \b
    Example:
      cdao local stop
    """
    server = _server(state_dir)
    stopped = server.stop()
    click.echo(f"stopped {stopped.url} (process {stopped.pid})" if stopped else "not running")


def _plan(faults: str | None) -> str | None:
    """The document of faults that is given, or else set; checked."""
    from cdao_sdk.settings import holder

    source = faults or holder.gather({}).settings.local_faults
    if not source:  # an empty variable, too, is none
        return None
    from cdao_sdk.local.faults import FaultsRefused, plan_text

    try:
        return plan_text(source)
    except FaultsRefused as error:
        msg = "The faults for the local SageMaker are not valid."
        raise ConfigurationError(msg, problems=error.problems) from error


def _server(state_dir: Path | None) -> LocalServer:
    from cdao_sdk.cli.local_server import LocalServer
    from cdao_sdk.settings import holder

    overrides = {} if state_dir is None else {"state_dir": state_dir}
    return LocalServer(holder.gather(overrides).settings.state_path)


def _environment(server: LocalServer, running: RunningServer) -> dict[str, str]:
    from cdao_sdk.local.server import client_environment

    return {
        **client_environment(running.url),
        "CDAO_ENDPOINT_URL": running.url,
        "CDAO_STATE_DIR": str(server.state_dir),
    }
