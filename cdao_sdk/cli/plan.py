"""``cdao plan``: what a run would create."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, cast

import click
import rich_click

from cdao_sdk.cli.options import given_inputs, inputs_options

if TYPE_CHECKING:
    from cdao_sdk.flyte.run_inputs import Runnable

__all__ = ["plan"]


@rich_click.command()
@click.argument("file")
@click.argument("workflow")
@inputs_options
@click.option("--name", metavar="ID", help="The execution's id, which begins the jobs' names.")
@click.option("--json", "as_json", is_flag=True, help="The exact requests, as one JSON object.")
def plan(
    file: str,
    workflow: str,
    inputs: str | None,
    pairs: tuple[str, ...],
    name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show what a run would create: jobs, images, channels, roles, cost at most.

    \b
    Nothing is created or uploaded, and AWS is not asked.
    \b
    Examples:
      cdao plan flow.py pipeline --input data=raw.csv
      cdao plan flow.py pipeline --inputs @inputs.json --json | jq .totals
    """
    # What a decorator would warn of stands in the plan, at its step.
    logging.getLogger("cdao_sdk.flyte.task").setLevel(logging.ERROR)
    from cdao_sdk._plan import EXECUTION
    from cdao_sdk._plan import plan as make_plan

    entity, values = given_inputs(file, workflow, inputs, pairs)
    planned = make_plan(cast("Runnable", entity), values, name=EXECUTION if name is None else name)
    if as_json:
        click.echo(json.dumps(planned.to_json(), indent=2, ensure_ascii=False))
        return
    from cdao_sdk.cli.plan_view import show

    show(planned)
