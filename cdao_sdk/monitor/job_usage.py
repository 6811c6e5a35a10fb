"""How much of their instances jobs use, and the metrics that CloudWatch has of them."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cdao_sdk.aws.metric_data import QUERIES_A_CALL, MetricQuery, read_metrics
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
_MOST_POINTS = 60
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
        asked: list[tuple[Job, str, MetricQuery]] = []
        for job in chosen:
            queries = _queries(
                job, now, with_series=job.name in opened, finest=60 if self._gives_hints else 1
            )
            if len(asked) + len(queries) > QUERIES_A_CALL:
                break
            asked += ((job, metric, query) for metric, query in queries)
        start = min(job.seen.started or job.created for job, _, _ in asked)
        try:
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
        by_job: dict[str, list[tuple[str, Points]]] = {}
        for (job, metric, _), points in zip(asked, found, strict=True):
            by_job.setdefault(job.name, []).append((metric, points))
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

    def _read(self, job: Job, told: Sequence[tuple[str, Points]], now: datetime) -> _Known:
        started, ended = job.seen.started or job.created, job.seen.ended
        minutes = ((ended or now) - started).total_seconds() / 60
        hosts: dict[str, list[list[float]]] = {}
        for metric, points in told:
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
            series={metric: points for metric, points in told if points and metric not in _METRICS},
            hint=hint,
            is_final=ended is not None and (now - ended > _LATE or not self._gives_hints),
        )


def _queries(
    job: Job, now: datetime, *, with_series: bool, finest: int
) -> list[tuple[str, MetricQuery]]:
    """(metric, query) of what a job uses, and of its own metrics; `finest`: seconds a point."""
    namespace = KINDS[job.kind].api.log_group  # CloudWatch's namespace is called the same
    started, ended = job.seen.started or job.created, job.seen.ended or now
    seconds = max(1.0, (ended - started).total_seconds())
    # AWS takes multiples of 60 s; the embedded SageMaker knows more of its short jobs.
    period = finest * max(1, round(seconds / finest / _MOST_POINTS))
    hosts = min(max(1, job.seen.instance_count), _MOST_HOSTS)
    queries = [
        (metric, MetricQuery(namespace, metric, ("Host", f"{job.name}/algo-{number + 1}"), period))
        for number in range(hosts)
        for metric in _METRICS
    ]
    if with_series:
        algorithm = section(job.description, "AlgorithmSpecification")
        definitions = entries(algorithm, "MetricDefinitions")
        queries += (
            (name, MetricQuery(namespace, name, ("TrainingJobName", job.name), 60))
            for name in (text(each, "Name") for each in definitions)
        )
    return queries
