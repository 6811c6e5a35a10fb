"""The jobs of an execution as they stand, from a few list calls.

Lists tell what is there and what has changed; a job is described when it is first seen and when it
has changed since, so the calls follow the changes and not the number of jobs. With a budget a
refresh costs no more calls than that, and what is left comes with the next one.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.aws import logs
from cdao_sdk.aws.call_budget import CallBudget
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.job_list import JobList
from cdao_sdk.aws.rates import came_too_late
from cdao_sdk.errors import CdaoError, NotFound, SubmissionError
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.observation import moment, spot_savings_percent, text
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.kinds.job import JobKind, Observation

__all__ = ["Job", "JobWatch", "find_job"]

_JOB_NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # botocore's model, 2026-11
_DESCRIBES_AT_ONCE = 10  # a first look at thousands of jobs must not run into the request rate
_STOPS_AT_ONCE = 8
_REST_SECONDS = 5.0  # between two descriptions of a job of which lists tell nothing new


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
        description: SageMaker's whole description, or its entry in a list.
        is_described: Whether all of it is from a description: an entry in a list has no instances,
            seconds, metrics or hyperparameters, and of a failed training job no reason.
    """

    name: str
    kind: str
    seen: Observation
    created: datetime
    artifact: str = ""
    hyperparameters: Mapping[str, str] = field(default_factory=dict[str, str])
    description: Mapping[str, object] = field(default_factory=dict[str, object])
    is_described: bool = True

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
    def arn(self) -> str:
        """Its ARN."""
        return text(self.description, KINDS[self.kind].api.arn_field)

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
        since: When the first of them can have been created; None: look at the whole history.
    """

    def __init__(
        self,
        clients: AwsClients,
        name_contains: str = "",
        *,
        most: int = 10_000,
        since: datetime | None = None,
    ) -> None:
        self._clients = clients
        self._lists = {
            kind.name: JobList(clients, kind, name_contains, since=since, most=most)
            for kind in KINDS.values()
        }
        self._known: dict[tuple[str, str], _Known] = {}
        self._sorted: list[Job] | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs as the last refresh saw them, in the order of their creation."""
        if self._sorted is None:
            found = (known.job for known in self._known.values())
            self._sorted = sorted(found, key=lambda job: (job.created, job.name))
        return list(self._sorted)

    @property
    def is_listed(self) -> bool:
        """Whether all lists were read to their end."""
        return all(each.is_complete for each in self._lists.values())

    @property
    def has_history(self) -> bool:
        """Whether the lists' whole history was read once: only what changes is listed then."""
        return all(each.has_history for each in self._lists.values())

    @property
    def listed_back_to(self) -> datetime | None:
        """How far the lists that are not at their end have come; None if nothing tells."""
        reached = [each.reached for each in self._lists.values() if not each.has_history]
        return max((time for time in reached if time is not None), default=None)

    @property
    def undescribed(self) -> int:
        """How many jobs have changed since they were last described."""
        return sum(known.is_stale for known in self._known.values())

    async def refresh(
        self,
        budget: CallBudget | None = None,
        *,
        order: Callable[[Job], tuple[Any, ...]] | None = None,
        patience_seconds: float = 60.0,
        at_most_seconds: float = math.inf,
    ) -> list[Job]:
        """All jobs now, in the order of their creation.

        Args:
            budget: How many calls it may cost; what they do not reach comes with later refreshes.
                None: all are listed, and all that have changed are described.
            order: Which jobs are described first, as a sort key; None: the oldest.
            patience_seconds: How long a call may wait for its turn.
            at_most_seconds: After so long nothing more is asked for; that comes with later
                refreshes.

        Raises:
            SubmissionError: AWS refused a call; ``jobs`` has what the others told.
        """
        budget = budget or CallBudget()
        until = time.monotonic() + at_most_seconds
        keep = min(self.undescribed, budget.left // 2)
        looks = (
            each.look(budget, keep=keep, patience_seconds=patience_seconds, until=until)
            for each in self._lists.values()
        )
        errors = [e for e in await asyncio.gather(*looks, return_exceptions=True) if e]
        self._read_lists()
        if time.monotonic() < until:
            errors += await self._describe_some(budget, order, patience_seconds)
        for error in errors:
            raise error
        return self.jobs

    def _read_lists(self) -> None:
        for kind in KINDS.values():
            for name, summary in self._lists[kind.name].summaries.items():
                known = self._known.get((kind.name, name))
                if known is None:
                    self._known[kind.name, name] = _Known(_job(kind, summary), summary)
                elif known.summary is not summary:
                    known.summary = summary
                    if not known.is_newer:
                        known.job = _job(kind, {**known.job.description, **summary}, known.job)
                else:
                    continue
                self._sorted = None

    async def _describe_some(
        self,
        budget: CallBudget,
        order: Callable[[Job], tuple[Any, ...]] | None,
        patience_seconds: float,
    ) -> list[BaseException]:
        """Describe what has changed, as far as the budget goes; the errors that were met."""
        now = time.monotonic()
        wanted = [known for known in self._known.values() if self._is_wanted(known, now)]
        # What has changed comes before what may have begun since.
        wanted.sort(
            key=lambda known: (
                not known.is_stale,
                *(order(known.job) if order else ()),
                known.job.created,
            )
        )
        chosen = [known for known in wanted if budget.take()]
        places = asyncio.Semaphore(_DESCRIBES_AT_ONCE)

        async def describe(known: _Known) -> None:
            async with places:
                kind = KINDS[known.job.kind]
                summary = known.summary
                known.job = await _describe(
                    self._clients, kind, known.job.name, patience_seconds=patience_seconds
                )
                known.described, known.described_at = summary, time.monotonic()
                self._sorted = None

        errors = await asyncio.gather(*map(describe, chosen), return_exceptions=True)
        return [error for error in errors if error and not came_too_late(error)]

    def _is_wanted(self, known: _Known, now: float) -> bool:
        if known.is_stale:
            return True
        job = known.job
        if job.is_over or now - known.described_at < _REST_SECONDS:
            return False
        # Lists tell neither when the instances of these begin, nor of what is older than they go.
        is_starting = job.seen.started is None and not job.seen.secondary_status
        return is_starting or self._lists[job.kind].is_unlisted(job.created)


@dataclass
class _Known:
    """One job, and what it was read from."""

    job: Job
    summary: Mapping[str, object]
    described: Mapping[str, object] | None = None
    described_at: float = float("-inf")

    @property
    def is_stale(self) -> bool:
        """Whether it was never described, or has changed since."""
        if self.described is None:
            return True
        return self.described is not self.summary and not self.is_newer

    @property
    def is_newer(self) -> bool:
        """Whether the job is known from later than the list's entry: lists lag behind."""
        if self.job.is_over and self.job.is_described:
            return True
        known, listed = (
            (moment(told, "LastModifiedTime"), text(told, KINDS[self.job.kind].api.status_field))
            for told in (self.job.description, self.summary)
        )
        if known[0] is None or listed[0] is None:
            return False
        return known[0] > listed[0] or (known == listed and self.job.is_described)


async def _describe(
    clients: AwsClients, kind: JobKind[Any], name: str, *, patience_seconds: float = 60.0
) -> Job:
    parameters = {kind.api.name_field: name}
    description = await call(
        clients, "sagemaker", kind.api.describe, parameters, at_most_seconds=patience_seconds
    )
    return replace(_job(kind, description), is_described=True)


def _job(kind: JobKind[Any], told: Mapping[str, object], before: Job | None = None) -> Job:
    """A job from its description, or from the entry of a list (over an older description)."""
    # botocore gives each time a time zone object of its own, which makes sums of them slow.
    told = {key: _in_utc(value) for key, value in told.items()}
    seen = kind.observe(told)
    if before is None and seen.phase is Phase.INITIALIZING and not seen.secondary_status:
        # The entry of a list does not tell when the instances began.
        seen = replace(seen, phase=Phase.RUNNING, message="in progress")
    return Job(
        name=text(told, kind.api.name_field),
        kind=kind.name,
        seen=seen,
        created=seen.created or datetime.now(timezone.utc),
        artifact=kind.artifact(told) if seen.phase is Phase.SUCCEEDED else "",
        hyperparameters=cast("Mapping[str, str]", told.get("HyperParameters", {})),
        description=told,
        is_described=False,
    )


def _in_utc(value: object) -> object:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value


async def newest_jobs(clients: AwsClients, most: int) -> list[Job]:
    """The newest jobs of all kinds together, described, in the order of their creation.

    Args:
        clients: Where to look.
        most: How many at the most.

    Raises:
        SubmissionError: AWS refused a call.
    """
    lists = {kind.name: JobList(clients, kind, most=most) for kind in KINDS.values()}
    await asyncio.gather(*(each.look(CallBudget()) for each in lists.values()))
    listed = [
        _job(KINDS[name], summary)
        for name, each in lists.items()
        for summary in each.summaries.values()
    ]
    listed.sort(key=lambda job: (job.created, job.name))
    places = asyncio.Semaphore(_DESCRIBES_AT_ONCE)

    async def describe(job: Job) -> Job:
        async with places:
            return await read_again(clients, job)

    return list(await asyncio.gather(*map(describe, listed[-most:])))


async def find_job(clients: AwsClients, name: str) -> Job:
    """A job by its whole name, of whatever kind.

    Raises:
        NotFound: There is none.
    """
    # SageMaker would refuse a malformed name instead of saying that there is no such job.
    kinds = KINDS.values() if _JOB_NAME.fullmatch(name) else ()
    looks = (_describe(clients, kind, name) for kind in kinds)
    answers = await asyncio.gather(*looks, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Job):
            return answer
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, NotFound):
            raise answer
    msg = f"There is no SageMaker job named {name!r}. `cdao jobs` lists those that are there."
    raise NotFound(msg)


async def read_again(clients: AwsClients, job: Job) -> Job:
    """A job as it is now."""
    return await _describe(clients, KINDS[job.kind], job.name)


async def log_tail(clients: AwsClients, job: Job, lines: int = 100) -> list[logs.LogLine]:
    """The last lines that a job has printed."""
    return await logs.tail(clients, KINDS[job.kind].api.log_group, job.name, lines)


async def stop_jobs(clients: AwsClients, jobs: Iterable[Job]) -> dict[str, CdaoError | None]:
    """Ask SageMaker to stop jobs, some at a time; finished ones are left alone.

    Returns:
        Why it was refused, or None, by the name of each job that was not over: one that is refused
        does not keep the others going.
    """
    places = asyncio.Semaphore(_STOPS_AT_ONCE)

    async def stop(job: Job) -> CdaoError | None:
        async with places:
            try:
                await stop_job(clients, job)
            except CdaoError as error:
                return error
        return None

    running = [job for job in jobs if not job.is_over]
    answers = await asyncio.gather(*map(stop, running))
    return {job.name: answer for job, answer in zip(running, answers, strict=True)}


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
