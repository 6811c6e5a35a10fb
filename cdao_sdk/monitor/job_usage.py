"""How much of their instances jobs use, and the metrics that CloudWatch has of them."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cdao_sdk.aws import logs
from cdao_sdk.aws.metric_data import QUERIES_A_CALL, MetricQuery, finest_period, read_metrics
from cdao_sdk.errors import ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.observation import entries, section, text
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.kinds.usage_hints import Usage, percent_of_instance, usage_hint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdao_sdk.aws.call_budget import CallBudget
    from cdao_sdk.aws.metric_data import Points
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job

__all__ = ["JobUsage"]

_METRICS = (
    "CPUUtilization",
    "MemoryUtilization",
    "GPUUtilization",
    "GPUMemoryUtilization",
    "DiskUtilization",
)
# Each metric that is asked for costs money: a few jobs at a time, and not often.
_MOST_RUNNING, _MOST_HOSTS = 10, 8
_AWS_PAUSE, _EMBEDDED_PAUSE = 60.0, 2.0
_MOST_POINTS, _MOST_OF_SERIES = 60, 300
_LATE = timedelta(minutes=3)  # until the last points of a job that has ended are there


@dataclass
class _Known:
    """What CloudWatch has told of one job."""

    percents: Mapping[str, float] = field(default_factory=dict[str, float])
    series: Mapping[str, Sequence[tuple[datetime, float]]] = field(
        default_factory=dict[str, "Sequence[tuple[datetime, float]]"]
    )
    hint: str = ""
    is_final: bool = False


class JobUsage:
    """Asks CloudWatch: of jobs that are looked at, and of those that run if they are few.

    Args:
        clients: Where to ask.
    """

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients
        is_aws = clients.target.endpoint_url is None
        self._pause = _AWS_PAUSE if is_aws else _EMBEDDED_PAUSE
        # What a job uses of this machine tells nothing of the instance that it names.
        self._gives_hints = is_aws
        self._known: dict[str, _Known] = {}
        self._due = 0.0
        self._opened: frozenset[str] = frozenset()
        self._hosts: dict[str, list[str]] = {}
        self._is_refused = False

    def percents(self, name: str) -> Mapping[str, float]:
        """Percent used of the instance, by CloudWatch's name: the last value, or the mean."""
        return self._known[name].percents if name in self._known else {}

    def series(self, name: str) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """The job's own metrics as CloudWatch has them."""
        return self._known[name].series if name in self._known else {}

    def hint(self, name: str) -> str:
        """What the usage suggests; empty if nothing."""
        return self._known[name].hint if name in self._known else ""

    def wants(self, jobs: Sequence[Job], opened: Collection[str]) -> int:
        """How many calls it could use now."""
        return 1 if self._chosen(jobs, opened) else 0

    async def read(
        self,
        jobs: Sequence[Job],
        opened: Collection[str],
        budget: CallBudget,
        *,
        patience_seconds: float = 60.0,
    ) -> None:
        """Ask once for all jobs that matter now, if it is time.

        Args:
            jobs: All jobs.
            opened: Names of those that are looked at.
            budget: How many calls it may cost.
            patience_seconds: How long a call may wait for its turn.

        Raises:
            ResourcesUnavailable: It was throttled, or nobody answers.
        """
        chosen = self._chosen(jobs, opened)
        if not chosen or not budget.left:
            return
        self._due = time.monotonic() + self._pause
        self._opened = frozenset(opened)
        now = datetime.now(timezone.utc)
        start = min(map(_start, chosen))
        finest = finest_period(start, now) if self._gives_hints else 1
        try:
            await self._find_hosts(chosen, budget)
            asked = self._asked(chosen, now, finest)
            if not asked:
                return
            found = await read_metrics(
                self._clients,
                [query for _, _, query in asked],
                start - timedelta(minutes=1),
                now + timedelta(minutes=1),
                budget,
                patience_seconds=patience_seconds,
            )
        except ResourcesUnavailable:
            raise
        except SubmissionError:  # not allowed, or not offered here: a view does without
            self._is_refused = True
            return
        by_job: dict[str, list[tuple[str, int, Points]]] = {}
        for (job, metric, query), points in zip(asked, found, strict=True):
            by_job.setdefault(job.name, []).append((metric, query.period_seconds, points))
        for job in chosen:
            if job.name in by_job:
                self._known[job.name] = self._read(job, by_job[job.name], now)

    def _chosen(self, jobs: Sequence[Job], opened: Collection[str]) -> list[Job]:
        if self._is_refused:
            return []
        is_due = time.monotonic() >= self._due
        looked_at = [
            job
            for job in jobs
            if job.name in opened
            and (is_due or job.name not in self._opened)
            and self._is_open(job)
        ]
        running = [
            job for job in jobs if not job.is_over and job.seen.started and job.name not in opened
        ]
        if not is_due or len(running) > _MOST_RUNNING:
            running = []
        return [*looked_at, *running]

    def _is_open(self, job: Job) -> bool:
        known = self._known.get(job.name)
        return job.seen.started is not None and not (known is not None and known.is_final)

    async def _find_hosts(self, jobs: Sequence[Job], budget: CallBudget) -> None:
        """Read the names of hosts that have ids from those of the log streams; once a job."""
        for job in jobs:
            api = KINDS[job.kind].api
            if api.numbers_hosts or self._hosts.get(job.name) or not budget.take(keep=1):
                continue
            found = await logs.streams(self._clients, api.log_group, job.name)
            self._hosts[job.name] = sorted({logs.host_of(stream) for stream in found})

    def _hosts_of(self, job: Job) -> Sequence[str]:
        if KINDS[job.kind].api.numbers_hosts:
            return [f"algo-{number + 1}" for number in range(max(1, job.seen.instance_count))]
        return self._hosts.get(job.name, [])

    def _asked(
        self, jobs: Sequence[Job], now: datetime, finest: int
    ) -> list[tuple[Job, str, MetricQuery]]:
        """(job, metric, query): as many as one call takes."""
        asked: list[tuple[Job, str, MetricQuery]] = []
        for job in jobs:
            queries = _queries(job, now, self._hosts_of(job), finest)
            if job.name in self._opened:
                queries += _series_queries(job, now, finest)
            if len(asked) + len(queries) > QUERIES_A_CALL:
                break
            asked += ((job, metric, query) for metric, query in queries)
        return asked

    def _read(self, job: Job, told: Sequence[tuple[str, int, Points]], now: datetime) -> _Known:
        ended = job.seen.ended
        minutes = 0.0  # of which something is known, not since the job began
        hosts: dict[str, list[list[float]]] = {}
        for metric, period_seconds, points in told:
            if metric in _METRICS:
                minutes = max(minutes, len(points) * period_seconds / 60)
            percents = [
                percent_of_instance(metric, value, job.seen.instance_type) for _, value in points
            ]
            known = [percent for percent in percents if percent is not None]
            if metric in _METRICS and known:
                hosts.setdefault(metric, []).append(known)
        usages = {
            metric: Usage.of([value for values in of_hosts for value in values], minutes)
            for metric, of_hosts in hosts.items()
        }
        lasts = {
            metric: statistics.fmean(values[-1] for values in of_hosts)
            for metric, of_hosts in hosts.items()
        }
        shown = {metric: usage.mean for metric, usage in usages.items()} if ended else lasts
        component = KINDS[job.kind].spec.component
        hint = usage_hint(usages, component, job.seen.instance_type) if self._gives_hints else ""
        return _Known(
            percents={metric: round(value, 1) for metric, value in shown.items()},
            series={
                metric: points for metric, _, points in told if points and metric not in _METRICS
            },
            hint=hint,
            is_final=ended is not None and (now - ended > _LATE or not self._gives_hints),
        )


def _start(job: Job) -> datetime:
    return job.seen.started or job.created


def _period(job: Job, now: datetime, finest: int, most: int) -> int:
    # AWS takes multiples of 60 s; the embedded SageMaker knows more of its short jobs.
    seconds = max(1.0, ((job.seen.ended or now) - _start(job)).total_seconds())
    return finest * max(1, round(seconds / finest / most))


def _queries(
    job: Job, now: datetime, hosts: Sequence[str], finest: int
) -> list[tuple[str, MetricQuery]]:
    """(metric, query) of what a job uses; `finest`: seconds a point."""
    namespace = KINDS[job.kind].api.log_group
    period = _period(job, now, finest, _MOST_POINTS)
    return [
        (metric, MetricQuery(namespace, metric, ("Host", f"{job.name}/{host}"), period))
        for host in hosts[:_MOST_HOSTS]
        for metric in _METRICS
    ]


def _series_queries(job: Job, now: datetime, finest: int) -> list[tuple[str, MetricQuery]]:
    """(metric, query) of a job's own metrics."""
    namespace = KINDS[job.kind].api.log_group
    period = _period(job, now, max(finest, 60), _MOST_OF_SERIES)
    algorithm = section(job.description, "AlgorithmSpecification")
    return [
        (name, MetricQuery(namespace, name, ("TrainingJobName", job.name), period))
        for name in (text(each, "Name") for each in entries(algorithm, "MetricDefinitions"))
    ]
