"""The jobs of an execution as they stand, from a few list calls.

A refresh costs one list call a kind; a job is described when it is first seen and when it has
changed since, so the calls follow the changes and not the number of jobs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.aws import logs
from cdao_sdk.aws.calls import call
from cdao_sdk.errors import NotFound, SubmissionError
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.observation import moment, spot_savings_percent
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.kinds.job import JobKind, Observation

__all__ = ["Job", "JobWatch", "find_job"]

_JOB_NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # botocore's model, 2026-11
_DESCRIBES_AT_ONCE = 10  # a first look at thousands of jobs must not run into the request rate
_CLOCKS_DIFFER = timedelta(minutes=5)  # AWS refuses a request whose clock is off by more
_A_SECOND = timedelta(seconds=1)  # times travel in whole ones
_PAGE = 100  # the most that SageMaker gives; its own default of 10 costs ten times the calls


@dataclass(frozen=True, repr=False)
class Job:
    """A SageMaker job at one moment.

    Attributes:
        name: SageMaker's name of it.
        kind: ``"training"``, ``"processing"`` or ``"transform"``.
        seen: What its description says.
        created: When it was created, in UTC.
        artifact: URI of what the service made; empty before the end.
        hyperparameters: As SageMaker has them; training only.
        description: SageMaker's whole description.
    """

    name: str
    kind: str
    seen: Observation
    created: datetime
    artifact: str = ""
    hyperparameters: Mapping[str, str] = field(default_factory=dict[str, str])
    description: Mapping[str, object] = field(default_factory=dict[str, object])

    def __repr__(self) -> str:
        return f"<Job {self.name}: {self.kind}, {self.status}>"

    @property
    def status(self) -> str:
        """SageMaker's status, such as ``"InProgress"``."""
        return self.seen.status

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.seen.phase.is_terminal

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from its creation to its end, or to now."""
        return ((self.seen.ended or datetime.now(timezone.utc)) - self.created).total_seconds()

    @property
    def spot_savings_percent(self) -> float | None:
        """What managed spot saved; None for a job that did not use it or is not done."""
        seen = self.seen
        if not seen.spot:
            return None
        return spot_savings_percent(seen.training_seconds, seen.billable_seconds)


class JobWatch:
    """Follows the jobs whose names contain a text.

    Args:
        clients: Where to look.
        name_contains: Part of the names: an execution's slug, or a whole name; empty for all jobs.
        most: How many jobs of a kind at the most, the newest first.
    """

    def __init__(self, clients: AwsClients, name_contains: str = "", *, most: int = 10_000) -> None:
        self._clients = clients
        self._name_contains = name_contains
        self._most = most
        self._known: dict[tuple[str, str], tuple[object, Job]] = {}
        self._since: dict[str, datetime] = {}

    async def refresh(self) -> list[Job]:
        """All jobs now, in the order of their creation.

        Raises:
            SubmissionError: AWS refused a call.
        """
        found = await asyncio.gather(*(self._of_kind(kind) for kind in KINDS.values()))
        jobs = [job for of_kind in found for job in of_kind]
        return sorted(jobs, key=lambda job: (job.created, job.name))

    async def _of_kind(self, kind: JobKind[Any]) -> list[Job]:
        summaries = await self._list(kind)
        places = asyncio.Semaphore(_DESCRIBES_AT_ONCE)

        async def job(summary: Mapping[str, object]) -> Job:
            async with places:
                return await self._job(kind, summary)

        return list(await asyncio.gather(*map(job, summaries)))

    async def _list(self, kind: JobKind[Any]) -> list[Mapping[str, object]]:
        found: list[Mapping[str, object]] = []
        parameters: dict[str, object] = {
            "MaxResults": min(_PAGE, self._most),
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
        }
        if self._name_contains:
            parameters["NameContains"] = self._name_contains[:63]
        began = datetime.now(timezone.utc)
        if kind.name in self._since:
            # SageMaker looks for the name in each page of all jobs: only this shortens the list.
            parameters["CreationTimeAfter"] = self._since[kind.name]
        while len(found) < self._most:
            answer = await call(self._clients, "sagemaker", kind.api.list, parameters)
            found += cast("Sequence[Mapping[str, object]]", answer[kind.api.summaries_field])
            if not answer.get("NextToken"):
                break
            parameters["NextToken"] = answer["NextToken"]
        found = found[: self._most]
        # Jobs that are older would have been found by the first list.
        times = [time for each in found if (time := moment(each, "CreationTime")) is not None]
        self._since.setdefault(kind.name, min([began - _CLOCKS_DIFFER, *times]) - _A_SECOND)
        return found

    async def _job(self, kind: JobKind[Any], summary: Mapping[str, object]) -> Job:
        name = str(summary[kind.api.name_field])
        mark = (summary.get("LastModifiedTime"), summary.get(kind.api.status_field))
        known = self._known.get((kind.name, name))
        if known is not None and (known[1].is_over or known[0] == mark):
            return known[1]
        job = await _describe(self._clients, kind, name)
        self._known[kind.name, name] = (mark, job)
        return job


async def _describe(clients: AwsClients, kind: JobKind[Any], name: str) -> Job:
    description = await call(clients, "sagemaker", kind.api.describe, {kind.api.name_field: name})
    seen = kind.observe(description)
    created = seen.created or datetime.now(timezone.utc)
    job = Job(
        name=name,
        kind=kind.name,
        seen=seen,
        created=created,
        hyperparameters=cast("Mapping[str, str]", description.get("HyperParameters", {})),
        description=description,
    )
    if seen.phase is Phase.SUCCEEDED:
        job = replace(job, artifact=kind.artifact(description))
    return job


async def find_job(clients: AwsClients, name: str) -> Job:
    """A job by its whole name, of whatever kind.

    Raises:
        NotFound: There is none.
    """
    # SageMaker would refuse a malformed name instead of saying that there is no such job.
    for kind in KINDS.values() if _JOB_NAME.fullmatch(name) else ():
        try:
            return await _describe(clients, kind, name)
        except NotFound:
            continue
    msg = f"There is no SageMaker job named {name!r}. `cdao jobs` lists those that are there."
    raise NotFound(msg)


async def log_tail(clients: AwsClients, job: Job, lines: int = 100) -> list[logs.LogLine]:
    """The last lines that a job has printed."""
    return await logs.tail(clients, KINDS[job.kind].api.log_group, job.name, lines)


async def stop_job(clients: AwsClients, job: Job) -> None:
    """Ask SageMaker to stop a job; a finished one is left alone."""
    api = KINDS[job.kind].api
    if job.is_over:
        return
    try:
        await call(clients, "sagemaker", api.stop, {api.name_field: job.name})
    except SubmissionError:
        # Refused because it has ended in between, or another has stopped it?
        now = await _describe(clients, KINDS[job.kind], job.name)
        if not now.is_over and now.status != "Stopping":
            raise
