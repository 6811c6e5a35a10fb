"""The command ``cdao``. What a command needs is imported when it runs: help is quick."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click
from click.exceptions import Exit

from cdao_sdk.cli.config import config
from cdao_sdk.cli.connector import connector
from cdao_sdk.cli.demo import demo
from cdao_sdk.cli.doctor import doctor
from cdao_sdk.cli.exit_codes import ExitCode, exit_code_of
from cdao_sdk.cli.jobs import jobs, stop
from cdao_sdk.cli.local import local
from cdao_sdk.cli.logs import logs
from cdao_sdk.cli.monitor import monitor
from cdao_sdk.cli.plan import plan
from cdao_sdk.cli.register import register
from cdao_sdk.cli.report import report
from cdao_sdk.cli.run import run
from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


class _Group(rich_click.RichGroup):
    """Turns errors into one message and an exit code; a command returns its code."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its exit code."""
        debug = bool(ctx.params["debug"])
        try:
            code: object = super().invoke(ctx)
        except (click.ClickException, click.Abort, Exit, BrokenPipeError):
            raise  # click's own, shown by click
        except KeyboardInterrupt:
            # A call that was interrupted before it was sent is no news to who has interrupted it.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            code = ExitCode.INTERRUPTED
        except CdaoError as error:
            code = _report(error, str(error), debug=debug)
        except Exception as error:  # noqa: BLE001 # the last place that can say what happened
            code = _report(error, _words_of(error, debug=debug), debug=debug)
        ctx.exit(code if isinstance(code, int) else ExitCode.SUCCESS)


def _words_of(error: Exception, *, debug: bool) -> str:
    """What is said of an error that is none of ours."""
    if isinstance(error, OSError) and error.filename:  # a file of the user's
        return f"{error.filename!r} cannot be used: {error.strerror}. Choose another place."
    hint = "" if debug else "\nThis should not happen; `cdao --debug …` shows where it did."
    return f"{type(error).__name__}: {error}{hint}"


def _report(error: Exception, text: str, *, debug: bool) -> ExitCode:
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"Error: {text}", err=True)
    return exit_code_of(error)


@rich_click.group(cls=_Group)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="cdao-sdk", prog_name="cdao")
def cli(*, debug: bool) -> None:
    """Run Flyte workflows whose steps are Amazon SageMaker jobs.

    \b
    Without configuration jobs run on the SageMaker that is built in:
    no AWS account is needed.
    \b
    Examples:
      cdao demo
      cdao plan flow.py pipeline --input data=raw.csv
      cdao run flow.py pipeline --input data=raw.csv
      cdao jobs
    \b
    Exit codes:
        0  success
        1  the execution, a job or a check failed
        2  wrong command line, input or setting; nothing found under that name
        3  stopped
        4  AWS or FlyteAdmin refused a request, or does not answer
      124  --timeout ran out
      130  Ctrl-C or SIGTERM
    """
    del debug  # the group has read it


_COMMANDS = (
    demo,
    run,
    register,
    plan,
    jobs,
    monitor,
    logs,
    report,
    stop,
    local,
    connector,
    config,
    doctor,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``cdao``; ends the process with the command's exit code."""
    _mend_streams()
    cli.main(arguments, prog_name="cdao")


def _mend_streams() -> None:
    """No command ends because its output is closed, or has no sign for a character."""
    for name in ("stdout", "stderr"):
        stream: object = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 # to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
