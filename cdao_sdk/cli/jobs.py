"""``cdao jobs`` and ``stop``: look at jobs, and end them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.services import connected, on_cluster
from cdao_sdk.cli.tables import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.monitor.snapshot import JobRow

__all__ = ["jobs", "stop"]

_MOST_NAMED = 10
_NEWEST = 20


@rich_click.command()
@click.argument("execution", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    help="How many of the newest.  [default: 20; of an execution all]",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array with all that is known.")
def jobs(execution: str | None, limit: int | None, *, as_json: bool) -> None:
    """List SageMaker jobs, the newest first.

    \b
    All jobs, or those of one execution; no server has to run.
    \b
    Examples:
      cdao jobs
      cdao jobs a0f3a9d1c0b7e5f60718 --json
      cdao jobs flytesnacks:development:a0f3a9d1c0b7e5f60718
    """
    from cdao_sdk.aws.bridge import bridge

    clients, _ = connected()
    rows = bridge.run(_rows(clients, execution, limit))
    if as_json:
        from cdao_sdk.monitor.json_lines import job_document

        click.echo(json.dumps([job_document(row) for row in rows], indent=2))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo("There are no jobs yet. `cdao demo` runs some.", err=True)


async def _rows(clients: AwsClients, execution: str | None, limit: int | None) -> list[JobRow]:
    from datetime import datetime, timezone

    from cdao_sdk.aws.watch import newest_jobs
    from cdao_sdk.monitor.lookup import job_labels, jobs_named
    from cdao_sdk.monitor.snapshot import Place, take

    if execution is None:
        newest = await newest_jobs(clients, limit or _NEWEST)
    else:
        newest = (await jobs_named(clients, execution))[-(limit or 0) :]
    target = clients.target
    rows = take(
        "",
        newest,
        taken=datetime.now(timezone.utc),
        labels=await job_labels(clients, newest, execution or ""),
        execution_id="" if [job.name for job in newest] == [execution] else execution or "",
        place=Place(target.region, has_console=target.endpoint_url is None),
    ).jobs
    return sorted(rows, key=lambda row: row.created, reverse=True)


def _table(rows: Sequence[JobRow]) -> str:
    from cdao_sdk.monitor import wording

    head = ("STARTED", "STATUS", "TIME", "STEP", "KIND", "NAME")
    cells = [
        (
            wording.iso_time(row.created),
            row.status_words,
            wording.duration(row.elapsed_seconds),
            row.label if row.label != row.name else "-",
            row.kind_title,
            row.name,
        )
        for row in rows
    ]
    return aligned(head, cells)


@rich_click.command()
@click.argument("identifier", metavar="JOB_OR_EXECUTION")
def stop(identifier: str) -> None:
    """Stop a job, or all jobs of an execution.

    \b
    Finished jobs are left alone; the execution ends with its jobs.
    With admin_endpoint set an execution on the cluster is terminated; for one
    of another project write project:domain:id, or its URL in Flyte's console.
    \b
    Examples:
      cdao stop a0f3a9d1c0b7e5f60718
      cdao stop a0f3a9d1c0b7e5f60718-n1-dtyxehan-0
    """
    from cdao_sdk.aws.bridge import bridge
    from cdao_sdk.aws.watch import stop_jobs
    from cdao_sdk.monitor.labels import is_job_name
    from cdao_sdk.monitor.lookup import jobs_named

    # A stopped job alone would be tried again: only one that is named is stopped without Flyte.
    execution = on_cluster(identifier, aws_will_do=is_job_name(identifier))
    if execution is not None:
        was = execution.phase
        if execution.status.is_over:
            click.echo(f"nothing to stop: execution {execution.id} is {was}")
            return
        execution.cancel()
        click.echo(f"stopping execution {execution.id} (it was {was})")
        return
    clients, _ = connected()
    found = bridge.run(jobs_named(clients, identifier))
    answers = bridge.run(stop_jobs(clients, found))
    for job in found:
        if job.name in answers and answers[job.name] is None:
            click.echo(f"stopping {job.name} (it was {job.status})")
    if not answers:
        ends = [f"{job.name} is {job.status}" for job in found[:_MOST_NAMED]]
        if len(found) > _MOST_NAMED:
            ends.append(f"{len(found) - _MOST_NAMED} more are over")
        click.echo(f"nothing to stop: {', '.join(ends)}")
    refused = {name: error for name, error in answers.items() if error is not None}
    for name, error in list(refused.items())[1:]:
        click.echo(f"{name} was not stopped: {error}", err=True)
    for error in refused.values():
        raise error
