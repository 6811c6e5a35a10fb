"""``cdao doctor``: what stands in the way of a run, and what mends it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import click
import rich_click

from cdao_sdk.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from cdao_sdk._doctor.resources import Needs
    from cdao_sdk.flyte.run_inputs import Runnable

__all__ = ["doctor"]

_UNSET = {"sagemaker_role": "arn:aws:iam::000000000000:role/unset", "default_bucket": "unset"}


@rich_click.command()
@click.argument("file", required=False)
@click.argument("workflow", required=False)
@click.option("--write", is_flag=True, help="Also write and delete one object in the bucket.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: ok, checks.")
def doctor(file: str | None, workflow: str | None, *, write: bool, as_json: bool) -> ExitCode:
    """Check what a run needs, and say what mends it.

    \b
    Python and packages, settings, credentials, role, bucket, network and clock;
    with FILE and WORKFLOW also its images and quotas. Nothing is created.
    Exit code 1 if anything fails.
    \b
    Examples:
      cdao doctor
      CDAO_SAGEMAKER_BACKEND=aws cdao doctor flow.py pipeline
    """
    if file and not workflow:
        msg = "FILE needs a WORKFLOW of it: cdao doctor flow.py pipeline"
        raise click.UsageError(msg)
    needs = _needs(file, workflow) if file and workflow else None
    from cdao_sdk._doctor.diagnosis import diagnose

    diagnosis = diagnose(needs, write=write)
    if as_json:
        click.echo(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
    else:
        from cdao_sdk.cli.doctor_view import show

        show(diagnosis)
    return ExitCode.SUCCESS if diagnosis.is_well else ExitCode.FAILED


def _needs(file: str, workflow: str) -> Needs:
    """What a workflow's jobs use, whatever its inputs will be."""
    from cdao_sdk._doctor.resources import Instances, Needs
    from cdao_sdk._plan import plan_any_inputs
    from cdao_sdk.cli.entities import find_entity, load_module
    from cdao_sdk.errors import CdaoError
    from cdao_sdk.settings import holder

    entity = find_entity(load_module(file), workflow)
    try:
        settings = holder.gather().settings
        # What is not set is told by checks of its own.
        missing = {name: value for name, value in _UNSET.items() if not getattr(settings, name)}
        jobs = plan_any_inputs(cast("Runnable", entity), **missing).jobs
    except CdaoError as error:
        return Needs(problem="; ".join(error.problems) or error.message)
    images = {job.image for job in jobs}
    most: dict[tuple[str, str], int] = {}
    for job in jobs:
        usage = f"{'spot ' if job.spot else ''}{job.kind} job"
        for group in job.instance_groups or (job,):
            key = (group.instance_type, usage)
            most[key] = max(most.get(key, 0), group.instance_count)
    return Needs(
        images=tuple(sorted(image.uri for image in images if not image.name)),
        known_images=sum(bool(image.name) for image in images),
        roles=tuple(sorted({job.role_arn for job in jobs} - set(missing.values()))),
        instances=tuple(sorted(Instances(kind, use, n) for (kind, use), n in most.items())),
    )
