"""What a job's deck tells, read from SageMaker's answer. Pure; the HTML is ``deck.py``'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cdao_sdk.catalog.prices import list_price
from cdao_sdk.kinds import observation as read
from cdao_sdk.kinds.job import Phase

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.kinds.job import JobKind, Observation

State = Literal["waiting", "running", "succeeded", "failed", "stopped"]
Series = tuple[tuple[float, float], ...]

_STATES: Mapping[Phase, State] = {
    Phase.QUEUED: "waiting",
    Phase.INITIALIZING: "waiting",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
    Phase.RETRYABLE: "failed",
    Phase.STOPPED: "stopped",
}

# Where the kinds keep what the deck shows; no kind has another's sections.
_IMAGES = (("AlgorithmSpecification", "TrainingImage"), ("AppSpecification", "ImageUri"))
_OUTPUT_SECTIONS = (
    ("ModelArtifacts", "S3ModelArtifacts", "model"),
    ("OutputDataConfig", "S3OutputPath", "output"),
    ("TransformOutput", "S3OutputPath", "predictions"),
    ("CheckpointConfig", "S3Uri", "checkpoints"),
)


@dataclass(frozen=True)
class Stage:
    """A stretch of the job's time.

    Attributes:
        status: SageMaker's secondary status, such as ``"Downloading"``.
        started: When it began.
        ended: When it ended; ``None`` while it goes on.
        message: SageMaker's words for it; empty if there are none.
    """

    status: str
    started: dt.datetime
    ended: dt.datetime | None
    message: str = ""


@dataclass(frozen=True)
class Cost:
    """What a job has cost at list price, storage excluded.

    Attributes:
        usd: US dollars.
        as_of: ISO date of the price; empty if its source has none.
    """

    usd: float
    as_of: str


@dataclass(frozen=True)
class JobFacts:
    """All that a job's deck shows.

    Attributes:
        job_name: The job's name.
        title: The kind in words, such as ``"Batch transform"``.
        state: Where it stands, as the colours know it.
        status: SageMaker's status.
        secondary_status: SageMaker's secondary status; empty if there is none.
        message: One line for people.
        region: AWS region.
        arn: The job's ARN; empty while it is unknown.
        role: ARN of its execution role; empty if the kind names none.
        image: URI of its image, or the model's name; empty if neither is named.
        hosts: (instance type, number of instances) of each group.
        spot: Whether it runs on spot instances.
        created: When it was accepted.
        started: When its instances began to work.
        ended: When they stopped.
        billable_seconds: Seconds paid for, for each instance; ``None`` while unknown.
        savings_percent: What spot saved; ``None`` while unknown.
        cost: ``None`` if a price or the time is unknown.
        stages: The job's time in order.
        metrics: Last value by name.
        series: (x, y) by metric, in order of x; metrics without a series are absent.
        hyperparameters: By name.
        inputs: (name, URI).
        outputs: (name, URI).
        links: (title, URL).
        diagnosis: Why it failed; ``None`` if it did not.
        log_tail: Its last log lines, oldest first.
        taken: Now: until when a job that goes on has run.
        execution: Id of the execution that it belongs to; empty if that is unknown.
    """

    job_name: str
    title: str
    state: State
    status: str
    secondary_status: str = ""
    message: str = ""
    region: str = ""
    arn: str = ""
    role: str = ""
    image: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    spot: bool = False
    created: dt.datetime | None = None
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    billable_seconds: int | None = None
    savings_percent: float | None = None
    cost: Cost | None = None
    stages: tuple[Stage, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    series: Mapping[str, Series] = field(default_factory=dict[str, Series])
    hyperparameters: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    diagnosis: Diagnosis | None = None
    log_tail: tuple[str, ...] = ()
    taken: dt.datetime | None = None
    execution: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it has taken from its acceptance on; ``None`` if that is unknown."""
        until = self.ended or self.taken
        if self.created is None or until is None:
            return None
        return max(0.0, (until - self.created).total_seconds())


def facts_of(
    kind: JobKind[Any],
    description: Mapping[str, object],
    observation: Observation,
    *,
    region: str,
    log_tail: Sequence[str] = (),
    links: Sequence[tuple[str, str]] = (),
    diagnosis: Diagnosis | None = None,
    series: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    taken: dt.datetime | None = None,
    execution: str = "",
) -> JobFacts:
    """Reads a Describe answer for the deck.

    Args:
        kind: The job's kind.
        description: SageMaker's Describe answer.
        observation: The same, as ``kind.observe`` reads it.
        region: AWS region.
        log_tail: The job's last log lines, oldest first.
        links: (title, URL), such as ``console_links(…).titled``.
        diagnosis: From :func:`cdao_sdk.kinds.failures.translate`, if the job failed.
        series: (x, y) by metric.
        taken: Now, for a job that goes on.
        execution: Id of the execution that it belongs to.
    """
    hosts = tuple((name, count) for name, count in _hosts(description) if name)
    savings = read.spot_savings_percent(observation.training_seconds, observation.billable_seconds)
    hyperparameters = read.section(description, "HyperParameters")
    return JobFacts(
        job_name=read.text(description, kind.api.name_field),
        title=kind.title,
        state=_STATES[observation.phase],
        status=observation.status,
        secondary_status=observation.secondary_status,
        message=observation.message,
        region=region,
        arn=read.text(description, kind.api.arn_field),
        role=read.text(description, "RoleArn"),
        image=_image(description),
        hosts=hosts,
        spot=observation.spot,
        created=observation.created,
        started=observation.started,
        ended=observation.ended,
        billable_seconds=observation.billable_seconds,
        savings_percent=savings if observation.spot else None,
        cost=_cost(hosts, kind.spec.component, region, observation.billable_seconds),
        stages=tuple(_stages(description, observation)),
        metrics=dict(observation.metrics),
        series={name: tuple(points) for name, points in (series or {}).items()},
        hyperparameters={name: str(value) for name, value in hyperparameters.items()},
        inputs=tuple(_inputs(description)),
        outputs=tuple(_outputs(description)),
        links=tuple(links),
        diagnosis=diagnosis,
        log_tail=tuple(log_tail),
        taken=taken,
        execution=execution,
    )


def _hosts(description: Mapping[str, object]) -> list[tuple[str, int]]:
    cluster = read.section(description, "ProcessingResources", "ClusterConfig")
    transform = read.section(description, "TransformResources")
    return read.hosts(read.section(description, "ResourceConfig") or cluster or transform)


def _image(description: Mapping[str, object]) -> str:
    named = (read.text(read.section(description, part), name) for part, name in _IMAGES)
    return next(filter(None, named), "") or read.text(description, "ModelName")


def _cost(
    hosts: Sequence[tuple[str, int]], component: str, region: str, seconds: int | None
) -> Cost | None:
    prices = [(count, list_price(name, component, region)) for name, count in hosts]
    known = [(count, price) for count, price in prices if price is not None]
    if seconds is None or not known or len(known) < len(prices):
        return None
    usd = sum(count * price.usd_per_hour for count, price in known) * seconds / 3600
    return Cost(usd, min(price.as_of for _, price in known))


def _stages(description: Mapping[str, object], observation: Observation) -> Iterator[Stage]:
    transitions = read.entries(description, "SecondaryStatusTransitions")
    for entry in transitions:
        started = read.moment(entry, "StartTime")
        if started is not None:
            ended = read.moment(entry, "EndTime")
            message = read.text(entry, "StatusMessage")
            yield Stage(read.text(entry, "Status"), started, ended, message)
    if transitions or observation.created is None:
        return
    yield Stage("Starting", observation.created, observation.started or observation.ended)
    if observation.started is not None:
        yield Stage("Running", observation.started, observation.ended)


def _inputs(description: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for channel in read.entries(description, "InputDataConfig"):
        yield read.text(channel, "ChannelName"), _source(read.section(channel, "DataSource"))
    for entry in read.entries(description, "ProcessingInputs"):
        uri = read.text(read.section(entry, "S3Input"), "S3Uri")
        yield read.text(entry, "InputName"), uri
    transform = _source(read.section(description, "TransformInput", "DataSource"))
    if transform:
        yield "input", transform


def _source(source: Mapping[str, object]) -> str:
    files = read.section(source, "FileSystemDataSource")
    on_disk = f"{read.text(files, 'FileSystemId')}:{read.text(files, 'DirectoryPath')}"
    return read.text(read.section(source, "S3DataSource"), "S3Uri") or (on_disk if files else "")


def _outputs(description: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for part, name, title in _OUTPUT_SECTIONS:
        uri = read.text(read.section(description, part), name)
        if uri:
            yield title, uri
    produced = read.section(description, "ProcessingOutputConfig")
    for entry in read.entries(produced, "Outputs"):
        yield read.text(entry, "OutputName"), read.text(read.section(entry, "S3Output"), "S3Uri")
