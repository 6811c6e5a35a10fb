"""From an identifier to snapshots: the only part of the views that asks AWS."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol, cast

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import UNREACHABLE, call
from cdao_sdk.aws.watch import JobWatch, find_job, log_tail
from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.naming import execution_slug
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor.record import read_facts
from cdao_sdk.monitor.snapshot import ExecutionFacts, JobLabel, Snapshot, changes, label_of, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.execution_record import ExecutionStatus
    from cdao_sdk.settings import Settings

__all__ = ["JobFeed", "job_labels", "jobs_named"]

# The embedded SageMaker answers within milliseconds and nobody else asks it.
_EMBEDDED_PAUSES = (0.1, 0.5)
_PAUSE_GROWTH = 1.5
# How long an endpoint may not answer at all before the watching gives up.
_PATIENCE_SECONDS = 30.0
_FAILED_LOG_LINES = 20
# Log lines of running jobs are fetched for so many at the most, and not more often than this.
_MOST_RUNNING_LOGS = 6
_LOG_PAUSE_SECONDS = 2.0


async def jobs_named(clients: AwsClients, identifier: str) -> list[Job]:
    """The jobs of an execution, or the one job of that name; in the order of their creation.

    Args:
        clients: Where to look.
        identifier: An execution's id, or a job's whole name.

    Raises:
        NotFound: There is neither.
    """
    slug = execution_slug(identifier)
    found = _of_execution(await JobWatch(clients, slug).refresh(), slug)
    if found:
        return found
    try:
        return [await find_job(clients, identifier)]
    except NotFound as error:
        place = clients.target.endpoint_url or f"AWS, region {clients.target.region}"
        msg = (
            f"{identifier!r} is neither an execution nor a SageMaker job at {place}. `cdao jobs`"
            " lists what is there; check the region, sagemaker_backend and state_dir too"
            " (`cdao config show`)."
        )
        raise NotFound(msg) from error


async def job_labels(
    clients: AwsClients, jobs: Sequence[Job], execution: str = ""
) -> dict[str, JobLabel]:
    """Which step each job is, by the job's name; one call a job.

    Args:
        clients: Where to look.
        jobs: The jobs.
        execution: The id of the execution that they belong to; empty if there are several.
    """
    prefix = execution_slug(execution) if execution else ""
    found = await asyncio.gather(*(_tags(clients, job) for job in jobs))
    return {
        job.name: label_of(job.name, tags, prefix) for job, tags in zip(jobs, found, strict=True)
    }


async def _tags(clients: AwsClients, job: Job) -> Mapping[str, str]:
    arn = job.description.get(KINDS[job.kind].api.arn_field)
    try:
        answer = await call(clients, "sagemaker", "ListTags", {"ResourceArn": arn})
    except CdaoError:
        return {}  # not allowed or throttled: the name tells enough
    tags = cast("Sequence[Mapping[str, str]]", answer.get("Tags", []))
    return {tag["Key"]: tag["Value"] for tag in tags}


def _of_execution(jobs: Sequence[Job], slug: str) -> list[Job]:
    return [job for job in jobs if job.name.startswith(f"{slug}-")]


class RemoteSource(Protocol):
    """An execution on a cluster, as far as its jobs are watched."""

    @property
    def id(self) -> str: ...

    @property
    def workflow(self) -> str: ...

    @property
    def status(self) -> ExecutionStatus: ...

    @property
    def error(self) -> Exception | None: ...

    def jobs(self) -> list[Job]: ...


class JobFeed:
    """Snapshots of one execution or one job.

    Args:
        identifier: An execution's id, or a job's whole name.
        clients: Where to look.
        settings: Tell where records are, and how often AWS may be asked.
        shows_logs: Whether the last log line of running jobs is wanted.
        remote: The execution, if it runs on a cluster: there is no record of it on disk.

    Attributes:
        last: The last snapshot; None before the first.
    """

    def __init__(
        self,
        identifier: str,
        clients: AwsClients,
        settings: Settings,
        *,
        shows_logs: bool = False,
        remote: RemoteSource | None = None,
    ) -> None:
        self._identifier = identifier
        self._remote = remote
        self._clients = clients
        self._records = settings.state_path / "executions"
        self._slug = execution_slug(identifier)
        self._watch = JobWatch(clients, self._slug)
        self._single: Job | None = None
        seconds = settings.poll_interval_seconds
        self._pace = _Pace(
            *(_EMBEDDED_PAUSES if clients.target.is_embedded else (seconds, seconds))
        )
        self._logs = _LogTails(clients, of_running=shows_logs)
        self._jobs: list[Job] = []
        self._labels: dict[str, JobLabel] = {}
        self._note = ""
        self.last: Snapshot | None = None

    @property
    def seconds_to_wait(self) -> float:
        """How long nothing new can come; a second at the most, for the clocks on the screen."""
        return min(max(self._pace.seconds_left, 0.01), 1.0)

    @property
    def is_over(self) -> bool:
        """Whether the execution's record says that no more jobs will come; True without one."""
        facts = self._facts()
        return facts is None or facts.is_over

    def open(self) -> Snapshot:
        """The first snapshot.

        Raises:
            NotFound: No such execution and no such job.
        """
        if self._facts() is None:
            self._jobs = bridge.run(jobs_named(self._clients, self._identifier))
            if [job.name for job in self._jobs] == [self._identifier]:
                self._single = self._jobs[0]
        return self.snapshot()

    def snapshot(self, *, fresh: bool = False) -> Snapshot:
        """Where the jobs stand; AWS is asked only when it is time again.

        A throttled or unanswered call gives the last state with a note.

        Args:
            fresh: Ask now in any case.

        Raises:
            ResourcesUnavailable: The endpoint has not answered for half a minute.
            SubmissionError: AWS refused for good.
        """
        facts = self._facts()
        if fresh or self._pace.seconds_left <= 0:
            self._refresh()
        snapshot = take(
            self._title(facts),
            self._jobs,
            taken=datetime.now(timezone.utc),
            labels=self._labels,
            log_tails=self._logs.tails,
            execution=facts,
            note=self._note,
        )
        if changes(self.last, snapshot):
            self._pace.hurry()
        self.last = snapshot
        return snapshot

    def _facts(self) -> ExecutionFacts | None:
        if self._remote is not None:
            return _remote_facts(self._remote)
        return read_facts(self._records, self._identifier)

    def _title(self, facts: ExecutionFacts | None) -> str:
        if self._single is not None:
            return f"job {self._identifier}"
        workflow = facts.workflow.rpartition(".")[2] if facts else ""
        return f"execution {self._identifier}" + (f" of {workflow}" if workflow else "")

    def _refresh(self) -> None:
        try:
            bridge.run(self._ask())
        except ResourcesUnavailable as error:
            if error.code == UNREACHABLE and self._pace.count_silence():
                raise
            self._note = f"waiting for SageMaker to answer again: {error}"
        else:
            self._note = ""
            self._pace.heard()
        self._pace.slow_down()

    async def _ask(self) -> None:
        self._jobs = await self._current_jobs()
        new = [job for job in self._jobs if job.name not in self._labels]
        self._labels.update(await job_labels(self._clients, new, self._identifier))
        await self._logs.read(self._jobs)

    async def _current_jobs(self) -> list[Job]:
        if self._remote is not None:
            # It asks AWS by the bridge, in whose loop this runs; so from a thread.
            found = await asyncio.to_thread(self._remote.jobs)
            return _of_execution(found, self._slug)
        if self._single is None:
            return _of_execution(await self._watch.refresh(), self._slug)
        if not self._single.is_over:
            self._single = await find_job(self._clients, self._identifier)
        return [self._single]


def _remote_facts(remote: RemoteSource) -> ExecutionFacts:
    status = remote.status
    error = str(remote.error or "") if status.is_over else ""
    return ExecutionFacts(remote.id, remote.workflow, status.value, error=error)


class _Pace:
    """When to ask again: soon after a change, more seldom while nothing moves."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._pause = shortest
        self._due = 0.0
        self._silent_since: float | None = None

    @property
    def seconds_left(self) -> float:
        return self._due - time.monotonic()

    def slow_down(self) -> None:
        self._due = time.monotonic() + self._pause
        self._pause = min(self._pause * _PAUSE_GROWTH, self._longest)

    def hurry(self) -> None:
        self._pause = self._shortest
        self._due = min(self._due, time.monotonic() + self._shortest)

    def heard(self) -> None:
        self._silent_since = None

    def count_silence(self) -> bool:
        """Nobody has answered; True once that has lasted too long."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        return now - self._silent_since > _PATIENCE_SECONDS


class _LogTails:
    """The last log lines of failed jobs, read once, and of running ones, now and then."""

    def __init__(self, clients: AwsClients, *, of_running: bool) -> None:
        self._clients = clients
        self._of_running = of_running
        self._failed: dict[str, list[str]] = {}
        self._running: dict[str, list[str]] = {}
        self._due = 0.0

    @property
    def tails(self) -> dict[str, list[str]]:
        return {**self._running, **self._failed}

    async def read(self, jobs: Sequence[Job]) -> None:
        failed = [job for job in jobs if job.seen.failure_reason and job.name not in self._failed]
        self._failed.update(await self._read(failed, _FAILED_LOG_LINES))
        if self._of_running and time.monotonic() >= self._due:
            self._due = time.monotonic() + _LOG_PAUSE_SECONDS
            running = [job for job in jobs if not job.is_over][:_MOST_RUNNING_LOGS]
            self._running = await self._read(running, 1)

    async def _read(self, jobs: Sequence[Job], lines: int) -> dict[str, list[str]]:
        found = await asyncio.gather(*(self._tail(job, lines) for job in jobs))
        return {job.name: tail for job, tail in zip(jobs, found, strict=True)}

    async def _tail(self, job: Job, lines: int) -> list[str]:
        try:
            return [line.text for line in await log_tail(self._clients, job, lines)]
        except ResourcesUnavailable:
            raise
        except SubmissionError as error:  # the jobs can be watched without their logs
            return [f"(its log cannot be read: {error})"]
