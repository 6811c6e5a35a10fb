"""Training jobs: a framework or an own image with the user's function, or a built-in algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds import observation as read
from cdao_sdk.kinds.fields import (  # noqa: TC001 - pydantic reads the annotations
    Algorithm,
    Boolean,
    Compression,
    Count,
    Hyperparameters,
    S3Uri,
)
from cdao_sdk.kinds.hyperparameters import hyperparameter_problems, hyperparameter_text
from cdao_sdk.kinds.job import ApiCall, JobApi, JobKind, Observation, Phase
from cdao_sdk.kinds.metrics import logged_metric_regex, metric_problems
from cdao_sdk.kinds.parameters import algorithm_roles, body_roles
from cdao_sdk.kinds.requests import (
    content_type,
    merged_environment,
    merged_tags,
    pruned,
    run_sources,
)
from cdao_sdk.kinds.spec import BodyRule, EnvironmentLimits, HostSpec, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from typing_extensions import Self

    from cdao_sdk.kinds.job import DataSource, JobContext
    from cdao_sdk.kinds.parameters import Parameter, ParameterRole

SPOT_WAIT_SECONDS = 3600
"""How long a spot job may wait for capacity, beyond its runtime, unless it says otherwise."""
XGBOOST_ROUNDS = 100
"""Rounds of built-in XGBoost, which demands ``num_round`` and has no default of its own."""

_MAX_RUNTIME = 28 * 24 * 3600
_RUNNER = "/opt/ml/input/data/cdao/runner.py"

# SageMaker's entry point sets these in AWS's images; a ContainerEntrypoint steps over it.
_HOST_NETWORK = {"NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0"}


class TrainingSpec(HostSpec):
    """Options of a training task."""

    component: ClassVar[str] = "training"
    environment_limits: ClassVar[EnvironmentLimits] = EnvironmentLimits(100, 512, 512)

    instance_type: Annotated[str, Field(description="Such as 'ml.m5.xlarge'.")] = "ml.m5.xlarge"
    max_runtime_seconds: Annotated[
        Count,
        Field(description="The job is stopped after this many seconds.", le=_MAX_RUNTIME),
    ] = 86_400
    algorithm: Annotated[
        Algorithm | None, Field(description="Built-in algorithm; the task's body is then a stub.")
    ] = None
    use_spot_instances: Annotated[Boolean, Field(description="Train on spot instances.")] = False
    spot_instance_max_wait_seconds: Annotated[
        Count | None,
        Field(description="Runtime and wait for capacity together; default: runtime + 3,600."),
    ] = None
    hyperparameters: Hyperparameters = Field(
        default_factory=dict, description="Hyperparameters known beforehand; inputs win."
    )
    metric_definitions: dict[str, str] = Field(
        default_factory=dict, description="Regular expressions that find metrics in the log."
    )
    metrics: Annotated[
        tuple[str, ...], Field(description="Metrics that the body logs with log_metric.")
    ] = ()
    input_mode: Annotated[
        Literal["File", "FastFile", "Pipe"], Field(description="How channels reach the disk.")
    ] = "File"
    checkpoint_uri: Annotated[
        S3Uri | None, Field(description="S3 prefix for checkpoints; needed to resume after spot.")
    ] = None
    keep_alive_seconds: Annotated[
        int | None, Field(description="Warm pool: keep the instances.", strict=True, ge=0, le=21600)
    ] = None
    max_pending_seconds: Annotated[
        int | None,
        Field(description="Give up waiting for capacity.", strict=True, ge=1800, le=2_419_200),
    ] = None
    retry_attempts: Annotated[
        int | None,
        Field(description="SageMaker's own retries after its faults.", strict=True, ge=1, le=30),
    ] = None
    output_compression: Annotated[
        Compression, Field(description="'GZIP', or 'NONE' for large models.")
    ] = "GZIP"

    @property
    def body_rule(self) -> BodyRule:
        """Built-in algorithms run no function; XGBoost and own images may do either."""
        if self.algorithm:
            return "stub"
        return "required" if self.framework not in (None, "xgboost") else "optional"

    @property
    def image_name(self) -> str | None:
        """The algorithm, or else the framework."""
        return self.algorithm or self.framework

    def completed(self) -> Self:
        """Also with the wait for spot capacity."""
        spec = super().completed()
        if not spec.use_spot_instances or spec.spot_instance_max_wait_seconds is not None:
            return spec
        wait = spec.max_runtime_seconds + SPOT_WAIT_SECONDS
        return spec.model_copy(update={"spot_instance_max_wait_seconds": wait})

    def problems(self) -> Iterator[Problem]:
        """Also of spot, metrics and hyperparameters."""
        yield from super().problems()
        if self.algorithm and self.framework:
            text = "algorithm and framework exclude each other: a built-in algorithm runs alone"
            yield Problem(("algorithm", "framework"), text)
        if not (self.algorithm or self.framework or self.container_image):
            text = (
                "nothing to train with: name framework='pytorch' (or another), algorithm='xgboost' "
                "(or another), or container_image"
            )
            yield Problem(("algorithm", "framework", "container_image"), text)
        yield from self._spot_problems()
        yield from self._metric_problems()
        for text in hyperparameter_problems(self.hyperparameters):
            yield Problem(("hyperparameters",), text)

    def _spot_problems(self) -> Iterator[Problem]:
        wait, runtime = self.spot_instance_max_wait_seconds, self.max_runtime_seconds
        if self.use_spot_instances and self.keep_alive_seconds:
            text = "keep_alive_seconds and use_spot_instances: spot instances have no warm pool"
            yield Problem(("keep_alive_seconds", "use_spot_instances"), text)
        if wait is None:
            return
        if not self.use_spot_instances:
            text = f"spot_instance_max_wait_seconds={wait} needs use_spot_instances=True"
            yield Problem(("use_spot_instances", "spot_instance_max_wait_seconds"), text)
        elif wait < runtime:
            text = (
                f"spot_instance_max_wait_seconds={wait} is shorter than max_runtime_seconds="
                f"{runtime}: it covers the runtime and the wait for capacity together; "
                f"use at least {runtime}, or leave it out for {runtime + SPOT_WAIT_SECONDS}"
            )
            yield Problem(("spot_instance_max_wait_seconds", "max_runtime_seconds"), text)

    def _metric_problems(self) -> Iterator[Problem]:
        fields = ("metric_definitions", "metrics")
        if self.algorithm and (self.metric_definitions or self.metrics):
            text = "a built-in algorithm brings its own metrics; leave metric_definitions out"
            yield Problem((*fields, "algorithm"), text)
        for name in sorted(set(self.metrics) & set(self.metric_definitions)):
            yield Problem(fields, f"metric {name!r} is in metrics and in metric_definitions")
        for text in metric_problems(self.metric_regexes()):
            yield Problem(fields, text)

    def metric_regexes(self) -> dict[str, str]:
        """Regular expression of each metric, of both kinds."""
        logged = {name: logged_metric_regex(name) for name in self.metrics}
        return {**self.metric_definitions, **logged}


def requests(spec: TrainingSpec, context: JobContext) -> tuple[ApiCall, ...]:
    """CreateTrainingJob for one run.

    Raises:
        PlanError: More channels, tags, variables or hyperparameters than SageMaker takes.
    """
    sources = run_sources(context)
    if len(sources) > 20:
        msg = f"{len(sources)} channels; SageMaker takes 20 (up to 3 of them bring the function)"
        raise PlanError(msg)
    is_algorithm = _is_algorithm(spec, context)
    parameters = {
        "TrainingJobName": context.job_name,
        "RoleArn": spec.sagemaker_role or context.role_arn,
        "AlgorithmSpecification": _algorithm_specification(spec, context),
        "InputDataConfig": [
            _channel(name, source, is_algorithm=is_algorithm) for name, source in sources.items()
        ],
        "OutputDataConfig": {
            "S3OutputPath": context.output_uri,
            "KmsKeyId": spec.output_key,
            "CompressionType": spec.output_compression,
        },
        "ResourceConfig": {
            "InstanceType": spec.instance_type,
            "InstanceCount": spec.instance_count,
            "VolumeSizeInGB": spec.volume_size_gb,
            "VolumeKmsKeyId": spec.volume_key,
            "KeepAlivePeriodInSeconds": spec.keep_alive_seconds,
        },
        "StoppingCondition": {
            "MaxRuntimeInSeconds": spec.max_runtime_seconds,
            "MaxWaitTimeInSeconds": spec.spot_instance_max_wait_seconds,
            "MaxPendingTimeInSeconds": spec.max_pending_seconds,
        },
        "HyperParameters": _hyperparameters(spec, context),
        "Environment": _environment(spec, context),
        "EnableManagedSpotTraining": spec.use_spot_instances,
        "EnableNetworkIsolation": spec.enable_network_isolation,
        "EnableInterContainerTrafficEncryption": spec.encrypt_inter_container_traffic,
        "VpcConfig": spec.vpc,
        "CheckpointConfig": {"S3Uri": spec.checkpoint_uri},
        "RetryStrategy": {"MaximumRetryAttempts": spec.retry_attempts},
        "Tags": merged_tags(spec.tags, context.tags),
    }
    return (ApiCall("CreateTrainingJob", pruned(parameters)),)


def _is_algorithm(spec: TrainingSpec, context: JobContext) -> bool:
    return context.runtime is None and spec.image_name is not None


def _algorithm_specification(spec: TrainingSpec, context: JobContext) -> dict[str, object]:
    return {
        "TrainingImage": spec.image(context.region),
        "TrainingInputMode": spec.input_mode,
        "ContainerEntrypoint": ["python3", _RUNNER] if context.runtime else None,
        "MetricDefinitions": [
            {"Name": name, "Regex": regex} for name, regex in spec.metric_regexes().items()
        ],
    }


def _channel(name: str, source: DataSource, *, is_algorithm: bool) -> dict[str, object]:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": source.data_type,
                "S3Uri": source.uri,
                "S3DataDistributionType": source.distribution or "FullyReplicated",
            }
        },
        "ContentType": content_type(source) if is_algorithm else source.content_type,
        "CompressionType": source.compression or "None",
        "InputMode": source.input_mode,
    }


def _hyperparameters(spec: TrainingSpec, context: JobContext) -> dict[str, str]:
    static = {name: hyperparameter_text(value) for name, value in spec.hyperparameters.items()}
    merged = {**static, **context.hyperparameters}
    if _is_algorithm(spec, context) and spec.image_name == "xgboost":
        merged.setdefault("num_round", str(XGBOOST_ROUNDS))
    problems = list(hyperparameter_problems(merged))
    if problems:
        msg = "the job's hyperparameters do not fit"
        raise PlanError(msg, problems=problems)
    return merged


def _environment(spec: TrainingSpec, context: JobContext) -> dict[str, str]:
    merged = merged_environment(spec.environment, context.environment, spec.environment_limits)
    several_hosts = context.runtime is not None and spec.instance_count > 1
    return {**_HOST_NETWORK, **merged} if several_hosts and spec.framework else merged


# What SageMaker says while a training job is in progress; API reference of SecondaryStatus.
SECONDARY_STATUSES: Mapping[str, tuple[Phase, str]] = {
    "Pending": (Phase.QUEUED, "waiting for capacity"),
    "Starting": (Phase.INITIALIZING, "starting"),
    "LaunchingMLInstances": (Phase.INITIALIZING, "launching instances"),
    "PreparingTrainingStack": (Phase.INITIALIZING, "preparing the instances"),
    "DownloadingTrainingImage": (Phase.INITIALIZING, "downloading the image"),
    "Downloading": (Phase.INITIALIZING, "downloading data"),
    "Training": (Phase.RUNNING, "training"),
    "Interrupted": (Phase.RUNNING, "spot instances reclaimed; waiting for others"),
    "Restarting": (Phase.RUNNING, "restarting after a fault"),
    "Updating": (Phase.RUNNING, "updating"),
    "Uploading": (Phase.RUNNING, "uploading the model"),
    "Stopping": (Phase.RUNNING, "stopping"),
    "Stopped": (Phase.STOPPED, "stopped"),
    "MaxRuntimeExceeded": (Phase.FAILED, "stopped: it ran longer than max_runtime_seconds"),
    "MaxWaitTimeExceeded": (Phase.FAILED, "stopped: no capacity within the longest wait"),
    "Completed": (Phase.SUCCEEDED, "completed"),
    "Failed": (Phase.FAILED, "failed"),
}


def observe(description: Mapping[str, object]) -> Observation:
    """Where a training job stands, from DescribeTrainingJob."""
    status = read.text(description, "TrainingJobStatus")
    secondary = read.text(description, "SecondaryStatus")
    spot = description.get("EnableManagedSpotTraining") is True
    reason = read.text(description, "FailureReason")
    failure = _failure(status, secondary, reason, spot=spot)
    resources = read.section(description, "ResourceConfig")
    metrics = read.entries(description, "FinalMetricDataList")
    return Observation(
        phase=failure.phase if failure else _phase(status, secondary),
        status=status,
        secondary_status=secondary,
        message=failure.message if failure else _message(description, status, secondary),
        failure_reason=reason or (failure.message if failure else ""),
        failure_class=failure.failure_class if failure else "",
        created=read.moment(description, "CreationTime"),
        started=read.moment(description, "TrainingStartTime"),
        ended=read.moment(description, "TrainingEndTime"),
        billable_seconds=read.number(description, "BillableTimeInSeconds"),
        training_seconds=read.number(description, "TrainingTimeInSeconds"),
        instance_type=read.text(resources, "InstanceType"),
        instance_count=read.number(resources, "InstanceCount") or 0,
        spot=spot,
        metrics={
            read.text(metric, "MetricName"): float(value)
            for metric in metrics
            if isinstance(value := metric.get("Value"), (int, float))
        },
    )


def _phase(status: str, secondary: str) -> Phase:
    """The secondary status refines the status only while the job is in progress."""
    phase = read.phase_of(status)
    if status != "InProgress":
        return phase
    refined = SECONDARY_STATUSES.get(secondary, (phase, ""))[0]
    return phase if refined.is_terminal else refined


def _message(description: Mapping[str, object], status: str, secondary: str) -> str:
    known = SECONDARY_STATUSES.get(secondary)
    if known is not None:
        return known[1]
    transitions = read.entries(description, "SecondaryStatusTransitions")
    said = read.text(transitions[-1], "StatusMessage") if transitions else ""
    return said or secondary or status


def _failure(status: str, secondary: str, reason: str, *, spot: bool) -> read.Failure | None:
    if status == "Failed":
        return read.classify(reason)
    if status != "Stopped" or secondary not in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        return None
    phase, message = SECONDARY_STATUSES[secondary]
    if spot and secondary == "MaxWaitTimeExceeded":
        return read.Failure(Phase.RETRYABLE, "interrupted", message)
    return read.Failure(phase, "timeout", message)


def artifact(description: Mapping[str, object]) -> str:
    """URI of the trained model."""
    return read.text(read.section(description, "ModelArtifacts"), "S3ModelArtifacts")


def result_uri(description: Mapping[str, object]) -> str | None:
    """Where the runner's outputs are: in an archive, or plain if nothing was compressed."""
    output = read.section(description, "OutputDataConfig")
    prefix = read.text(output, "S3OutputPath").rstrip("/")
    job = f"{prefix}/{read.text(description, 'TrainingJobName')}/output"
    if read.text(output, "CompressionType") == "NONE":
        return f"{job}/data/outputs.json"
    return f"{job}/output.tar.gz"


def parameter_roles(
    parameters: Sequence[Parameter], *, has_body: bool, spec: TrainingSpec
) -> tuple[ParameterRole, ...]:
    """Channels and values for a function; channels and hyperparameters for an algorithm."""
    if has_body:
        return body_roles(
            parameters, modes=("File", "FastFile", "Pipe"), input_mode=spec.input_mode
        )
    return algorithm_roles(parameters, input_mode=spec.input_mode)


KIND = JobKind(
    name="training",
    title="Training",
    task_type="sagemaker_training",
    spec=TrainingSpec,
    api=JobApi(
        create="CreateTrainingJob",
        describe="DescribeTrainingJob",
        stop="StopTrainingJob",
        list="ListTrainingJobs",
        name_field="TrainingJobName",
        arn_field="TrainingJobArn",
        status_field="TrainingJobStatus",
        summaries_field="TrainingJobSummaries",
        log_group="/aws/sagemaker/TrainingJobs",
        console_path="jobs",
    ),
    iam_actions=(
        "sagemaker:AddTags",
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTrainingJobs",
        "sagemaker:StopTrainingJob",
    ),
    body="optional",
    requests=requests,
    observe=observe,
    artifact=artifact,
    result_uri=result_uri,
    parameters=parameter_roles,
)
