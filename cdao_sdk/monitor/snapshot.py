"""One moment of an execution's jobs, as a frozen value that every view renders."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.observation import plain_reason
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor.job_facts import cost_usd, diagnosis_of, links_of, total_usd
from cdao_sdk.monitor.labels import JobLabel, group_names, label_of, label_words
from cdao_sdk.monitor.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.kinds.failures import Diagnosis

__all__ = [
    "ExecutionFacts",
    "Extra",
    "JobLabel",
    "JobRow",
    "Place",
    "Snapshot",
    "changes",
    "label_of",
    "take",
]

State = Literal["waiting", "running", "succeeded", "failed", "stopped"]

STATES: Mapping[Phase, State] = {
    Phase.QUEUED: "waiting",
    Phase.INITIALIZING: "waiting",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
    Phase.RETRYABLE: "failed",
    Phase.STOPPED: "stopped",
}
"""How a view tells the phases apart: a colour and a sign for each."""


@dataclass(frozen=True)
class ExecutionFacts:
    """What an execution's record says.

    Attributes:
        id: The execution.
        workflow: What it runs.
        status: ``"RUNNING"``, ``"SUCCEEDED"``, ``"FAILED"`` or ``"ABORTED"``.
        nodes: Ids of its nodes, in the order of their dependencies.
        error: Why it failed; empty otherwise.
        created: When it began; None if that is unknown: then its jobs are looked for among all
            that the account has ever had.
        tasks: The task's name by node's id, as far as it is known.
    """

    id: str
    workflow: str = ""
    status: str = "RUNNING"
    nodes: tuple[str, ...] = ()
    error: str = ""
    created: datetime | None = None
    tasks: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status != "RUNNING"


@dataclass(frozen=True)
class JobRow:
    """One job at one moment; all text is fit to be shown.

    Attributes:
        name: SageMaker's name of it.
        label: Short name for people: its task, node or, failing these, its whole name.
        node: The node's id; empty if unknown.
        execution: The execution's id; empty if unknown.
        kind: ``"training"``, ``"processing"``, ``"transform"``.
        kind_title: The kind for people.
        state: What decides colour and sign.
        status: SageMaker's status.
        secondary_status: SageMaker's secondary status; empty for kinds that have none.
        message: One line about where it stands.
        created: When it was accepted.
        ended: When it ended; None before.
        elapsed_seconds: From its creation to its end, or to the snapshot.
        instance_type: Such as ``"ml.m5.xlarge"``.
        instance_count: Number of instances.
        spot: Whether it runs on spot instances.
        savings_percent: What spot saved; None without spot and before the end.
        billable_seconds: Seconds paid for, an instance; None while unknown.
        metrics: Last value of each metric.
        artifact: URI of what it made; empty before the end.
        error: SageMaker's FailureReason, without our own tags; empty if it did not fail.
        log_tail: Last log lines, oldest first; only where the view asked for them.
        arn: The job's ARN; empty until it is known.
        attempt: Which try of its node, from 0.
        started: When its instances began to work; None before.
        expected_seconds: How long it should take from its creation, as far as something tells.
        progress: How far it is, from 0 to 1; None where nothing tells.
        cost_usd: What it has cost so far at the list price; None where price or time is unknown.
        metric_series: (time, value) of each metric as it came; only where the view asked for them.
        hyperparameters: As SageMaker has them.
        utilization: Percent used of CPU, memory, GPU and disk, by CloudWatch's name of the metric.
        hint: What the utilization suggests, one sentence; empty if nothing.
        links: (title, URL) of pages in AWS's console.
        diagnosis: Why it failed, and the mend; None if it did not.
        group: What it is one of many of, such as a map task's node; empty if of nothing.
    """

    name: str
    label: str
    node: str
    execution: str
    kind: str
    kind_title: str
    state: State
    status: str
    secondary_status: str
    message: str
    created: datetime
    ended: datetime | None
    elapsed_seconds: float
    instance_type: str
    instance_count: int
    spot: bool
    savings_percent: float | None
    billable_seconds: int | None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    artifact: str = ""
    error: str = ""
    log_tail: tuple[str, ...] = ()
    arn: str = ""
    attempt: int = 0
    started: datetime | None = None
    expected_seconds: float | None = None
    progress: float | None = None
    cost_usd: float | None = None
    metric_series: Mapping[str, Sequence[tuple[datetime, float]]] = field(
        default_factory=dict[str, "Sequence[tuple[datetime, float]]"]
    )
    hyperparameters: Mapping[str, str] = field(default_factory=dict[str, str])
    utilization: Mapping[str, float] = field(default_factory=dict[str, float])
    hint: str = ""
    links: tuple[tuple[str, str], ...] = ()
    diagnosis: Diagnosis | None = None
    group: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ("waiting", "running")

    @property
    def status_words(self) -> str:
        """Status, and the secondary one where it says more."""
        if self.secondary_status in ("", self.status):
            return self.status
        return f"{self.status}/{self.secondary_status}"


@dataclass(frozen=True)
class Snapshot:
    """Jobs at one moment.

    Attributes:
        title: What is watched.
        jobs: The jobs, in the order of the execution's nodes where that is known.
        taken: When, in UTC.
        note: What hinders the watching just now; empty normally.
        status: The execution's status; empty if there is no record of it.
        error: Why the execution failed; empty otherwise.
    """

    title: str
    jobs: tuple[JobRow, ...]
    taken: datetime
    note: str = ""
    status: str = ""
    error: str = ""

    @property
    def cost_usd(self) -> float | None:
        """What all jobs have cost so far at the list price; None if no price is known."""
        return total_usd(row.cost_usd for row in self.jobs)

    @property
    def jobs_are_over(self) -> bool:
        """Whether no job of it goes on."""
        return all(row.is_over for row in self.jobs)

    def tells_of(self, row: JobRow) -> bool:
        """Whether the execution's error already says why this job failed."""
        return row.name in self.error

    @property
    def outcome(self) -> Literal["running", "succeeded", "failed", "stopped"]:
        """How it ended: as the execution's record says, else as its jobs did.

        A job that failed and was tried again does not make a failed execution; only the record
        knows that.
        """
        if self.status:
            return _OUTCOMES.get(self.status, "failed")
        states = {row.state for row in self.jobs}
        if not self.jobs_are_over:
            return "running"
        if "failed" in states:
            return "failed"
        return "stopped" if "stopped" in states else "succeeded"


_OUTCOMES: Mapping[str, Literal["running", "succeeded", "failed", "stopped"]] = {
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "ABORTED": "stopped",
}


@dataclass(frozen=True)
class Place:
    """Where jobs are.

    Attributes:
        region: AWS region, which prices depend on; empty if it is unknown.
        has_console: Whether it is AWS itself, whose console has pages about them.
    """

    region: str = ""
    has_console: bool = False


@dataclass(frozen=True)
class Extra:
    """What is known of a job beside its description; see :class:`JobRow`."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    metric_series: Mapping[str, Sequence[tuple[datetime, float]]] = field(
        default_factory=dict[str, "Sequence[tuple[datetime, float]]"]
    )
    utilization: Mapping[str, float] = field(default_factory=dict[str, float])
    hint: str = ""
    progress: float | None = None
    expected_seconds: float | None = None


_NOTHING = Extra()


def take(
    title: str,
    jobs: Sequence[Job],
    *,
    taken: datetime,
    labels: Mapping[str, JobLabel] | None = None,
    log_tails: Mapping[str, Sequence[str]] | None = None,
    execution: ExecutionFacts | None = None,
    execution_id: str = "",
    note: str = "",
    place: Place | None = None,
    extras: Mapping[str, Extra] | None = None,
    diagnoses: Mapping[str, Diagnosis] | None = None,
) -> Snapshot:
    """Put a snapshot together.

    Args:
        title: What is watched.
        jobs: The jobs as AWS has them.
        taken: Now, in UTC.
        labels: Which step each job is, by the job's name; read from the name where missing.
        log_tails: Last log lines by the job's name.
        execution: What the execution's record says, if there is one.
        execution_id: The execution that all jobs belong to; empty if there is none, or several.
        note: What hinders the watching.
        place: Where the jobs are; None: nobody knows, so there are no costs and no links.
        extras: What is known beside the jobs' descriptions, by the job's name.
        diagnoses: Why jobs failed, by the job's name; None: found out here.
    """
    known = labels or {}
    facts = execution or ExecutionFacts("")
    steps = {
        job.name: known.get(job.name) or label_of(job.name, {}, tasks=facts.tasks) for job in jobs
    }
    nodes = facts.nodes
    view = _View(
        taken=taken,
        place=place or Place(),
        steps=steps,
        words=label_words(steps),
        execution=execution_id,
        groups=group_names(steps, nodes),
        log_tails=log_tails or {},
        extras=extras or {},
        diagnoses=diagnoses,
    )
    order = _order(nodes, steps.values())
    in_order = sorted(
        jobs, key=lambda job: (order.get(steps[job.name].node, len(order)), job.created)
    )
    return Snapshot(
        title=title,
        jobs=tuple(_row(job, view) for job in in_order),
        taken=taken,
        note=_shown(note),
        status=execution.status if execution else "",
        error=_shown(facts.error),
    )


def _order(nodes: Sequence[str], steps: Iterable[JobLabel]) -> dict[str, int]:
    """The place of each node; one that is inside of another stands where that does."""
    order = {node: index for index, node in enumerate(nodes)}
    for node in {step.node for step in steps} - order.keys():
        around = node
        while around and around not in order:
            around = around.rpartition("-")[0]
        if around:
            order[node] = order[around]
    return order


@dataclass(frozen=True)
class _View:
    """What the rows of one snapshot have in common."""

    taken: datetime
    place: Place
    steps: Mapping[str, JobLabel]
    words: Mapping[str, str]
    execution: str
    groups: Mapping[str, str]
    log_tails: Mapping[str, Sequence[str]]
    extras: Mapping[str, Extra]
    diagnoses: Mapping[str, Diagnosis] | None

    def step(self, name: str) -> JobLabel:
        return self.steps[name]

    def diagnosis(self, job: Job) -> Diagnosis | None:
        if self.diagnoses is not None:
            return self.diagnoses.get(job.name)
        return diagnosis_of(job, self.log_tails.get(job.name, ()))


def changes(before: Snapshot | None, after: Snapshot) -> list[JobRow]:
    """The jobs that are new, or whose status or secondary status is another one now."""
    known = {row.name: row.status_words for row in before.jobs} if before else {}
    return [row for row in after.jobs if known.get(row.name) != row.status_words]


def _row(job: Job, view: _View) -> JobRow:
    seen, step = job.seen, view.step(job.name)
    extra = view.extras.get(job.name) or _NOTHING
    metrics = {**extra.metrics, **seen.metrics} if extra.metrics else seen.metrics
    place = view.place
    return JobRow(
        name=job.name,
        label=view.words[job.name],
        node=step.node,
        execution=step.execution or view.execution,
        kind=job.kind,
        kind_title=KINDS[job.kind].title if job.kind in KINDS else job.kind,
        state=STATES[seen.phase],
        status=seen.status,
        secondary_status=seen.secondary_status,
        message=_shown(seen.message),
        created=job.created,
        ended=seen.ended,
        elapsed_seconds=max(0.0, ((seen.ended or view.taken) - job.created).total_seconds()),
        instance_type=seen.instance_type,
        instance_count=seen.instance_count,
        spot=seen.spot,
        savings_percent=job.spot_savings_percent,
        billable_seconds=seen.billable_seconds,
        metrics=metrics,
        artifact=job.artifact,
        error=_shown(plain_reason(seen.failure_reason)) if seen.failure_reason else "",
        log_tail=tuple(map(_shown, view.log_tails.get(job.name, ()))),
        arn=job.arn,
        attempt=step.attempt,
        started=seen.started,
        expected_seconds=extra.expected_seconds,
        progress=extra.progress,
        cost_usd=cost_usd(job, place.region, view.taken),
        metric_series=extra.metric_series,
        hyperparameters=job.hyperparameters,
        utilization=extra.utilization,
        hint=extra.hint,
        links=links_of(job.kind, job.name, place.region) if place.has_console else (),
        diagnosis=view.diagnosis(job),
        group=view.groups.get(job.name, ""),
    )


@functools.lru_cache(maxsize=4096)
def _shown(text: str) -> str:
    return printable(text)
