"""``cdao demo``: the shipped example, on the built-in SageMaker."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cdao_sdk.cli.exit_codes import ExitCode

__all__ = ["demo"]

_NEEDED = ("pandas", "pyarrow", "sklearn", "xgboost")


@rich_click.command()
def demo() -> ExitCode:
    """Run a credit-scoring pipeline as SageMaker jobs on this machine.

    \b
    Processing, training, batch transform and evaluation on the German credit
    data; no AWS account, no Docker, no network.
    \b
    Example:
      cdao demo
    """
    _check_extras()
    click.echo(
        "Four SageMaker jobs on the German credit data: prepare → train → predict → evaluate.\n"
        "They run on the SageMaker that is built in: no AWS account, nothing leaves this machine.\n"
        "The pipeline is an ordinary user file: cdao_sdk/examples/credit_scoring.py\n",
        err=True,
    )
    from importlib.resources import files
    from pathlib import Path

    from cdao_sdk.cli.entities import find_entity, load_module
    from cdao_sdk.cli.running import run_to_end
    from cdao_sdk.flyte.launch_options import LaunchOptions
    from cdao_sdk.settings import holder

    # Whatever is configured: the demo stays on this machine.
    holder.update({"admin_endpoint": None, "sagemaker_backend": "embedded", "endpoint_url": None})
    examples = Path(str(files("cdao_sdk"))) / "examples"
    entity = find_entity(
        load_module(str(examples / "credit_scoring.py")), "credit_scoring_pipeline"
    )
    inputs = {"data": str(examples / "german_credit.csv")}
    code = run_to_end(entity, inputs, LaunchOptions(), timeout=None, as_json=False)
    if code == 0:
        click.echo(f"A file to start from: {examples / 'credit_scoring.py'}", err=True)
    return code


def _check_extras() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        msg = f"The demo needs {', '.join(missing)}: pip install 'cdao-sdk[demo]'"
        raise ConfigurationError(msg)
