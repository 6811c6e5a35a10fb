"""Jobs by the name that a person types: an execution's, or a job's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.aws.call_budget import CallBudget
from cdao_sdk.aws.watch import JobWatch, find_job
from cdao_sdk.errors import NotFound
from cdao_sdk.flyte.execution_name import ExecutionName
from cdao_sdk.kinds.naming import execution_slug
from cdao_sdk.monitor.step_labels import StepLabels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.labels import JobLabel

__all__ = ["CALLS", "job_labels", "jobs_named", "nothing_of_that_name", "of_execution"]

CALLS = 12
"""How many calls one look costs at the most."""


async def jobs_named(clients: AwsClients, identifier: str) -> list[Job]:
    """The jobs of an execution, or the one job of that name; in the order of their creation.

    Args:
        clients: Where to look.
        identifier: An execution's id, ``project:domain:id``, its URL in Flyte's console, or a job's
            whole name.

    Raises:
        NotFound: There is neither.
    """
    identifier = ExecutionName.parse(identifier).name
    try:
        return [await find_job(clients, identifier)]
    except NotFound:
        slug = execution_slug(identifier)
        found = of_execution(await JobWatch(clients, slug).refresh(), slug)
    if not found:
        raise nothing_of_that_name(clients, identifier)
    return found


def nothing_of_that_name(clients: AwsClients, identifier: str) -> NotFound:
    """The error that says so."""
    place = clients.target.endpoint_url or f"AWS, region {clients.target.region}"
    msg = (
        f"{identifier!r} is neither an execution nor a SageMaker job at {place}. `cdao jobs`"
        " lists what is there; check the region, sagemaker_backend and state_dir too"
        " (`cdao config show`)."
    )
    return NotFound(msg)


async def job_labels(
    clients: AwsClients, jobs: Sequence[Job], execution: str = ""
) -> Mapping[str, JobLabel]:
    """Which step each job is, by the job's name; where no name tells it, one call a node.

    Args:
        clients: Where to look.
        jobs: The jobs.
        execution: The id of the execution that they belong to; empty if there are several.
    """
    steps = StepLabels(clients, execution_slug(execution) if execution else "")
    steps.update(jobs, {})
    if steps.wants(jobs):
        await steps.ask(jobs, CallBudget(CALLS))
        steps.update(jobs, {})
    return steps.labels


def of_execution(jobs: Iterable[Job], slug: str) -> list[Job]:
    """Those whose names begin with an execution's slug."""
    return [job for job in jobs if job.name.startswith(f"{slug}-")]
