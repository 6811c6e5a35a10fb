"""A plan: what a run of a workflow would create, as frozen values and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import JsonValue

    from cdao_sdk.kinds.job import ApiCall

__all__ = [
    "OtherStep",
    "Plan",
    "PlannedChannel",
    "PlannedCost",
    "PlannedImage",
    "PlannedInstances",
    "PlannedJob",
    "PlannedParameter",
]

PLAN_VERSION = 1

Branch = tuple[str, int]
"""A conditional's node and the number of one of its cases."""


@dataclass(frozen=True)
class PlannedImage:
    """The container image of a job.

    Attributes:
        uri: Its URI.
        name: Framework or algorithm; empty for an own image.
        version: Its version; empty for an own image.
        python: Python's version in it; None if no source says.
        end_of_support: ISO date; None if no source says.
    """

    uri: str
    name: str = ""
    version: str = ""
    python: str | None = None
    end_of_support: str | None = None


@dataclass(frozen=True)
class PlannedInstances:
    """Like instances of a job.

    Attributes:
        instance_type: Such as ``"ml.m5.large"``.
        instance_count: Number of them.
    """

    instance_type: str
    instance_count: int


@dataclass(frozen=True)
class PlannedChannel:
    """What a job reads.

    Attributes:
        name: The channel's name, or the processing input's.
        source: S3 URI; ``s3://<bucket>/<output o0 of n0>`` where a step before makes it.
        mode: ``"File"``, ``"FastFile"`` or ``"Pipe"``.
        is_ours: Whether it brings the function into the job instead of data.
    """

    name: str
    source: str
    mode: str
    is_ours: bool = False


@dataclass(frozen=True)
class PlannedParameter:
    """What one parameter of a task becomes.

    Attributes:
        name: Its name.
        becomes: ``"channel"``, ``"hyperparameter"``, ``"value"``, ``"model"``, ….
        channel: Name of the channel, where it becomes one.
        value: What it is given, shortened; ``<output o0 of n0>`` where a step before makes it.
        why: One sentence on how that was decided.
    """

    name: str
    becomes: str
    channel: str
    value: str
    why: str


@dataclass(frozen=True)
class PlannedCost:
    """What a job costs at most, storage and requests excluded.

    Attributes:
        usd: US dollars for all attempts and elements; None if that is unknown or unlimited.
        usd_per_hour: List price of one instance, on demand; None if unknown.
        hours: Longest time that is paid for, all attempts together; None without a limit.
        as_of: ISO date of the price; empty if unknown.
        reason: Why ``usd`` is None; else empty.
    """

    usd: float | None
    usd_per_hour: float | None = None
    hours: float | None = None
    as_of: str = ""
    reason: str = ""


@dataclass(frozen=True)
class PlannedJob:
    """One step that becomes a SageMaker job.

    Attributes:
        node: Id of the step's node.
        function: The task's function.
        task: The task's full name.
        kind: ``"training"``, ``"processing"`` or ``"transform"``.
        title: The kind's name for people.
        job_name: The job's name.
        instance_type: Such as ``"ml.m5.large"``.
        instance_count: Number of instances, those of all groups.
        instance_groups: Like instances together, for a job that has several kinds; else empty.
        spot: Whether it runs on spot instances.
        limit_seconds: Longest time of one attempt, SageMaker's limit or Flyte's; None: no limit.
        image: Its container image.
        role_arn: The role that it assumes.
        outputs: S3 prefixes that it writes to.
        channels: What it reads.
        parameters: What each parameter becomes.
        hyperparameters: As SageMaker gets them.
        distribution: What starts the function's processes: ``"torchrun"``, ``"mpi"``, ``"smddp"``;
            empty: it runs once on each host.
        secrets: What the job may fetch from AWS Secrets Manager, as ``group:key``; never values.
        tags: Tags of the job.
        attempts: How often Flyte runs it at most.
        elements: How many jobs a map task makes of it; None: known at run time only.
        condition: When it runs, for a branch; else empty.
        branch: The cases that it lies in, the outermost first.
        notes: What the user should know, one sentence each.
        cost: What it costs at most.
        requests: The SageMaker requests, in order.
        objects: S3 URIs that are uploaded for it, unless they are there.
    """

    node: str
    function: str
    task: str
    kind: str
    title: str
    job_name: str
    instance_type: str
    instance_count: int
    instance_groups: tuple[PlannedInstances, ...]
    spot: bool
    limit_seconds: int | None
    image: PlannedImage
    role_arn: str
    outputs: tuple[str, ...]
    channels: tuple[PlannedChannel, ...]
    parameters: tuple[PlannedParameter, ...]
    hyperparameters: Mapping[str, str]
    distribution: str
    secrets: tuple[str, ...]
    tags: Mapping[str, str]
    attempts: int
    elements: int | None
    condition: str
    branch: tuple[Branch, ...]
    notes: tuple[str, ...]
    cost: PlannedCost
    requests: tuple[ApiCall, ...] = field(repr=False)
    objects: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class OtherStep:
    """A step that becomes no job of ours, or of which more is known at run time only.

    Attributes:
        node: Its node's id.
        name: What it runs.
        why: One sentence.
        is_open: Whether jobs may come of it.
    """

    node: str
    name: str
    why: str
    is_open: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run of a workflow would create. Nothing was created, and AWS was not asked.

    Attributes:
        name: The workflow's name.
        execution: Id of the execution; ``"execution"`` stands for one that is made at the start.
        place: Where the jobs run: the embedded SageMaker, AWS, or an endpoint's URL.
        region: AWS region.
        jobs: One for each step that becomes a job.
        others: The other steps.
        uploads: Local path → S3 URI of inputs that are files.
    """

    name: str
    execution: str
    place: str
    region: str
    jobs: tuple[PlannedJob, ...]
    others: tuple[OtherStep, ...]
    uploads: Mapping[str, str]

    @property
    def max_usd(self) -> float:
        """Sum of the costs that are known; of a conditional the dearest case counts."""
        return _most(self.jobs, 0)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What ``max_usd`` lacks, one sentence each."""
        jobs = [f"{job.node} {job.function}: {job.cost.reason}" for job in self.jobs]
        known = [job.cost.usd is not None for job in self.jobs]
        missing = [text for text, is_known in zip(jobs, known, strict=True) if not is_known]
        return (*missing, *(f"{s.node} {s.name}: {s.why}" for s in self.others if s.is_open))

    def __str__(self) -> str:
        """The plan in a few lines, one for each step."""
        from cdao_sdk.flyte.planning.wording import text

        return text(self)

    def _repr_html_(self) -> str:
        from cdao_sdk.flyte.planning.notebook import plan_html

        return plan_html(self)

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as JSON values.

        Returns:
            ``version``, ``name``, ``execution``, ``place``, ``region``, ``nodes`` (one a job, its
            ``requests`` word for word), ``others``, ``uploads`` and ``totals``.
        """
        document: dict[str, object] = {
            "version": PLAN_VERSION,
            "name": self.name,
            "execution": self.execution,
            "place": self.place,
            "region": self.region,
            "nodes": [asdict(job) for job in self.jobs],
            "others": [asdict(step) for step in self.others],
            "uploads": dict(self.uploads),
            "totals": {
                "jobs": len(self.jobs),
                "max_usd": self.max_usd,
                "unpriced": list(self.unpriced),
            },
        }
        return cast("dict[str, JsonValue]", _plain(document))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    return value


def _most(jobs: Iterable[PlannedJob], depth: int) -> float:
    """The known cost; of each conditional at this depth the dearest case."""
    total = 0.0
    cases: dict[str, dict[int, list[PlannedJob]]] = {}
    for job in jobs:
        if len(job.branch) == depth:
            total += job.cost.usd or 0.0
        else:
            node, number = job.branch[depth]
            cases.setdefault(node, {}).setdefault(number, []).append(job)
    return total + sum(
        max(_most(inner, depth + 1) for inner in numbered.values()) for numbered in cases.values()
    )
