"""Where a job stands, as the status watcher remembers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from sys import intern
from typing import TYPE_CHECKING, Any, Literal

from cdao_sdk.kinds.job import Observation, Phase
from cdao_sdk.kinds.observation import moment, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.aws.session import AwsTarget
    from cdao_sdk.kinds.job import JobKind

__all__ = ["JobStatus", "StatusOptions"]

Source = Literal["list", "describe", "noted", "pending"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """A job's status, and how it is known.

    Attributes:
        name: The job's name.
        kind: ``"training"``, ``"processing"`` or ``"transform"``.
        arn: Its ARN; empty until it is known.
        seen: What SageMaker said. From a list there are no instances, metrics or seconds in it,
            and of a failed training job no reason: describe a job that is over.
        last_modified: When SageMaker last changed it; in UTC.
        seen_at: When this was still so; in UTC.
        source: ``list`` or ``describe``; ``noted``: just created, and not read since;
            ``pending``: not read yet, for the request rate did not allow it.
    """

    name: str
    kind: str
    seen: Observation
    source: Source
    seen_at: datetime
    arn: str = ""
    last_modified: datetime | None = None

    @property
    def status(self) -> str:
        """SageMaker's status, such as ``"InProgress"``; empty while it is not read."""
        return self.seen.status

    @property
    def secondary_status(self) -> str:
        """SageMaker's secondary status; empty for kinds that have none."""
        return self.seen.secondary_status

    @property
    def created(self) -> datetime | None:
        """When the job was accepted."""
        return self.seen.created

    @property
    def failure_reason(self) -> str:
        """Why it failed, where that is known."""
        return self.seen.failure_reason

    @property
    def is_read(self) -> bool:
        """Whether SageMaker has been asked of it."""
        return self.source in ("list", "describe")

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.seen.phase.is_terminal

    @property
    def age_seconds(self) -> float:
        """Seconds since this was still so."""
        return (datetime.now(timezone.utc) - self.seen_at).total_seconds()


_NO_METRICS: Mapping[str, float] = {}
_UNREAD = Observation(phase=Phase.QUEUED, status="", message="its status is not read yet")


def pending(kind: JobKind[Any], name: str, now: datetime) -> JobStatus:
    """The status of a job that nobody has asked of."""
    return JobStatus(name=name, kind=kind.name, seen=_UNREAD, source="pending", seen_at=now)


def noted(kind: JobKind[Any], name: str, arn: str, now: datetime) -> JobStatus:
    """The status of a job that was created just now."""
    told = {kind.api.status_field: "InProgress", "SecondaryStatus": "Starting"}
    return JobStatus(
        name=name, kind=kind.name, arn=arn, seen=kind.observe(told), source="noted", seen_at=now
    )


def read(
    kind: JobKind[Any],
    answer: Mapping[str, object],
    source: Source,
    now: datetime,
    *,
    started: datetime | None = None,
) -> JobStatus:
    """The status from an entry of a list, or from a description.

    Args:
        kind: The job's kind.
        answer: What SageMaker said.
        source: Which of the two it is.
        now: When it was asked.
        started: When its instances began, where that is known: lists do not tell.
    """
    # botocore gives each time a time zone object of its own; there may be ten thousand jobs.
    answer = {key: _in_utc(value) for key, value in answer.items()}
    if started is not None:
        answer.setdefault(kind.api.name_field.replace("JobName", "StartTime"), started)
    seen = kind.observe(answer)
    return JobStatus(
        name=text(answer, kind.api.name_field),
        kind=kind.name,
        arn=text(answer, kind.api.arn_field),
        seen=replace(
            seen,
            status=intern(seen.status),
            secondary_status=intern(seen.secondary_status),
            message=intern(seen.message),
            metrics=seen.metrics or _NO_METRICS,
        ),
        last_modified=moment(answer, "LastModifiedTime"),
        source=source,
        seen_at=now,
    )


def _in_utc(value: object) -> object:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """How often the watcher looks.

    Attributes:
        interval_seconds: Between two looks, while something changes.
        longest_interval_seconds: Between two looks, while nothing does.
        sweep_seconds: Between two looks at all jobs in progress.
        seconds_a_page: Between two looks at the least, for each page that there is to list.
        events_queue_url: SQS queue with the state changes; None: there is none.
    """

    interval_seconds: float = 5.0
    longest_interval_seconds: float = 20.0
    sweep_seconds: float = 300.0
    # Half of what an account may list: there are other replicas, and sweeps.
    seconds_a_page: float = 1.0
    events_queue_url: str | None = None

    @classmethod
    def for_target(
        cls,
        target: AwsTarget,
        *,
        interval_seconds: float | None = None,
        longest_interval_seconds: float | None = None,
        sweep_seconds: float = 300.0,
        events_queue_url: str | None = None,
    ) -> StatusOptions:
        """What is asked for, and what suits the target where nothing is."""
        shortest = interval_seconds or (0.25 if target.is_embedded else 5.0)
        # A look at the embedded one costs next to nothing.
        usual = shortest if target.is_embedded else 4 * shortest
        return cls(
            interval_seconds=shortest,
            longest_interval_seconds=max(shortest, longest_interval_seconds or usual),
            sweep_seconds=sweep_seconds,
            # With thousands of jobs a look has dozens of pages, and they cost this machine's CPU.
            seconds_a_page=0.25 if target.is_embedded else 1.0,
            events_queue_url=events_queue_url,
        )
