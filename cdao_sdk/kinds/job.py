"""The values that every kind of job shares: what goes in, what is sent, what is seen.

All of it is frozen and pure; nothing here talks to AWS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.kinds.parameters import Parameter, ParameterRole
    from cdao_sdk.kinds.spec import JobSpec

SpecT = TypeVar("SpecT", bound="JobSpec")
SpecT_contra = TypeVar("SpecT_contra", bound="JobSpec", contravariant=True)

FailureClass = Literal[
    # whose fault it is: observation.classify
    "user",
    "system",
    "interrupted",
    "recoverable",
    "timeout",
    "",
    # what is wrong, beside those: failures.translate
    "memory",
    "disk",
    "iam",
    "image",
    "quota",
    "capacity",
    "spot",
    "data",
    "network",
    "stopped",
    "unknown",
]


@dataclass(frozen=True)
class ApiCall:
    """One call of the SageMaker API.

    Attributes:
        operation: The operation in SageMaker's own spelling, such as ``"CreateTrainingJob"``.
        parameters: The request, as boto3 takes it.
    """

    operation: str
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class JobApi:
    """How SageMaker spells one kind of job: operations, fields, log group, console page.

    Attributes:
        log_group: Its log group; CloudWatch's namespace of its metrics is called the same.
        numbers_hosts: Whether its hosts are algo-1, algo-2, …; otherwise they have the ids of
            instances (Developer Guide, "SageMaker AI job metrics", dimension ``Host``, 2026-11).
    """

    create: str
    describe: str
    stop: str
    list: str
    name_field: str
    arn_field: str
    status_field: str
    summaries_field: str
    log_group: str
    console_path: str
    numbers_hosts: bool = True


class Phase(Enum):
    """Where a job stands, in the words that all kinds share."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRYABLE = "retryable"
    """Failed through no fault of the user's code: another attempt may succeed."""
    STOPPED = "stopped"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING)


@dataclass(frozen=True)
class Observation:
    """What a Describe answer says, in the words that all kinds share.

    Attributes:
        phase: Where the job stands.
        status: SageMaker's status, word for word.
        secondary_status: SageMaker's secondary status; empty for kinds that have none.
        message: One line for people.
        failure_reason: FailureReason, or what the container said; empty if the job did not fail.
        failure_class: Who or what is to blame; empty if the job did not fail, or nobody knows.
        created: When the job was accepted.
        started: When its instances began to work.
        ended: When they stopped.
        billable_seconds: Seconds paid for, for each instance; ``None`` while that is unknown.
        training_seconds: Seconds the job really ran, where SageMaker counts them apart.
        instance_type: Such as ``"ml.m5.xlarge"``.
        instance_count: Number of instances.
        spot: Whether it runs on spot instances.
        metrics: Last value for each metric.
    """

    phase: Phase
    status: str
    secondary_status: str = ""
    message: str = ""
    failure_reason: str = ""
    failure_class: FailureClass = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    billable_seconds: int | None = None
    training_seconds: int | None = None
    instance_type: str = ""
    instance_count: int = 0
    spot: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class DataSource:
    """Data in S3 that feeds a channel, a processing input or a transform.

    Attributes:
        uri: ``s3://`` URI of an object or a prefix.
        content_type: MIME type; ``None`` leaves the choice to the kind.
        input_mode: ``"File"``, ``"FastFile"`` or ``"Pipe"``; ``None`` for the job's own.
        data_type: ``"S3Prefix"``, ``"ManifestFile"`` or ``"AugmentedManifestFile"``.
        compression: ``"Gzip"`` or ``None``.
        distribution: ``"FullyReplicated"`` (default) or ``"ShardedByS3Key"``.
        attribute_names: What is read of each line of an augmented manifest.
        record_wrapper: ``"RecordIO"`` to wrap each object in a record.
        shuffle_seed: Seed for the order of objects; ``None`` leaves them in order.
        instance_groups: Names of the instance groups that get the data; none means all.
    """

    uri: str
    content_type: str | None = None
    input_mode: str | None = None
    data_type: str = "S3Prefix"
    compression: str | None = None
    distribution: str | None = None
    attribute_names: tuple[str, ...] = ()
    record_wrapper: str | None = None
    shuffle_seed: int | None = None
    instance_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuntimeFiles:
    """Where the files lie that let a job run the user's function.

    Attributes:
        runtime_uri: Prefix with ``runner.py`` and the code: channel ``cdao``.
        job_uri: Prefix with ``spec.json``: channel ``cdao-job``.
        code_uri: Prefix or object with the code when it lies elsewhere: channel ``cdao-code``.
    """

    runtime_uri: str
    job_uri: str
    code_uri: str | None = None


@dataclass(frozen=True)
class ModelSource:
    """The model that a transform serves.

    Attributes:
        artifact_uri: ``model.tar.gz``.
        image_uri: Image that serves it; ``None`` leaves it to the transform's own options.
        environment: What that image must be told.
    """

    artifact_uri: str
    image_uri: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class JobContext:
    """What one run adds to a spec.

    Attributes:
        job_name: Name of the job, and of the model that a transform makes.
        role_arn: Execution role; a role in the spec wins.
        region: AWS region.
        output_uri: ``s3://`` prefix under which outputs go, without a trailing slash.
        runtime: Files of the script runtime; ``None`` if the job runs no user function.
        channels: Data by channel name; a transform reads the one named ``input``.
        hyperparameters: Those known only at run time; they win over the spec's.
        environment: Added to the spec's; a name in both is an error.
        model: What a transform serves.
        tags: Ours; the spec's win.
    """

    job_name: str
    role_arn: str
    region: str
    output_uri: str
    runtime: RuntimeFiles | None = None
    channels: Mapping[str, DataSource] = field(default_factory=dict[str, DataSource])
    hyperparameters: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    model: ModelSource | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def _nothing_to_clean(_job_name: str) -> tuple[ApiCall, ...]:
    return ()


class ParameterRules(Protocol[SpecT_contra]):
    """Decides what each parameter of a task becomes in the job."""

    def __call__(
        self, parameters: Sequence[Parameter], *, has_body: bool, spec: SpecT_contra
    ) -> tuple[ParameterRole, ...]:
        """One role a parameter, in the parameters' order.

        Raises:
            SpecError: A parameter fits nowhere, two want one place, or one is missing.
        """
        ...


@dataclass(frozen=True)
class JobKind(Generic[SpecT]):
    """One kind of SageMaker job: its options, its requests, its states. Only pure functions.

    Attributes:
        name: ``"training"``.
        title: ``"Training"``.
        task_type: Flyte's task type, ``"sagemaker_training"``.
        aliases: Other names under which configurations ask for it.
        spec: The options' model.
        api: SageMaker's spelling.
        iam_actions: What the caller must be allowed to do.
        body: Whether the decorated function runs in the job: always, as the spec says, or never.
        requests: Calls that start the job, in the order to be sent.
        cleanup: Calls that remove what ``requests`` made beside the job, for a job name.
        observe: Reads a Describe answer.
        artifact: URI of what the service itself produced.
        result_uri: URI of the runner's outputs, or of the archive that holds them; ``None`` if a
            job of this kind has none.
        parameters: What each parameter of the task becomes.
    """

    name: str
    title: str
    task_type: str
    spec: type[SpecT]
    api: JobApi
    iam_actions: tuple[str, ...]
    body: Literal["required", "optional", "stub"]
    requests: Callable[[SpecT, JobContext], tuple[ApiCall, ...]]
    observe: Callable[[Mapping[str, object]], Observation]
    artifact: Callable[[Mapping[str, object]], str]
    result_uri: Callable[[Mapping[str, object]], str | None]
    parameters: ParameterRules[SpecT]
    cleanup: Callable[[str], tuple[ApiCall, ...]] = _nothing_to_clean
    aliases: tuple[str, ...] = ()
