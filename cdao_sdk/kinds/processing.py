"""Processing jobs: the user's function on SageMaker's hosts, with data in and results out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds import observation as read
from cdao_sdk.kinds.channel_rules import PROCESSING_RULES
from cdao_sdk.kinds.extra import with_extra
from cdao_sdk.kinds.fields import Count, Framework, HostCount  # noqa: TC001 - pydantic reads them
from cdao_sdk.kinds.job import ApiCall, JobApi, JobKind, Observation, Phase
from cdao_sdk.kinds.parameters import body_roles
from cdao_sdk.kinds.problem import EnvironmentLimits
from cdao_sdk.kinds.requests import merged_environment, merged_tags, pruned, run_sources
from cdao_sdk.kinds.spec import HostSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.kinds.job import DataSource, JobContext
    from cdao_sdk.kinds.parameters import Parameter, ParameterRole

_MAX_RUNTIME = 777_600
_ROOT = "/opt/ml/processing"
_RUNNER = f"{_ROOT}/input/cdao/runner.py"
_OUTPUT = "cdao"
_NO_SPOT = "Processing has no spot instances; SageMaker has them for training jobs only"


class ProcessingSpec(HostSpec):
    """Options of a processing task. Without framework and image it runs on scikit-learn's."""

    component: ClassVar[str] = "processing"
    api_operations: ClassVar[tuple[str, ...]] = ("CreateProcessingJob",)
    environment_limits: ClassVar[EnvironmentLimits] = EnvironmentLimits(100, 256, 256)
    absent: ClassVar[Mapping[str, str]] = {
        "use_spot_instances": _NO_SPOT,
        "spot_instance_max_wait_seconds": _NO_SPOT,
        "checkpoint_uri": "Processing has no checkpoints in SageMaker; a training task has them",
        "distribution": "Processing starts one process on each host; a training task has more",
        "instance_groups": "Processing has instances of one type in SageMaker",
        "keep_alive_seconds": "Processing has no warm pool; SageMaker has it for training jobs",
        "repository_access": "Processing takes its image from Amazon ECR only",
        "retry_attempts": "Processing has no retries in SageMaker; use the retries of Flyte's task",
    }

    instance_count: Annotated[HostCount, Field(description="Number of instances, up to 100.")] = 1
    max_runtime_seconds: Annotated[
        Count,
        Field(description="The job is stopped after this many seconds.", le=_MAX_RUNTIME),
    ] = 86_400
    framework: Annotated[Framework | None, Field(description="Its image runs the function.")] = (
        "scikit-learn"
    )
    output_upload_mode: Annotated[
        Literal["EndOfJob", "Continuous"],
        Field(description="Upload results when the job ends, or while it runs."),
    ] = "EndOfJob"


def requests(spec: ProcessingSpec, context: JobContext) -> tuple[ApiCall, ...]:
    """CreateProcessingJob for one run.

    Raises:
        PlanError: More inputs, tags or variables than SageMaker takes.
    """
    sources = run_sources(context)
    parameters = {
        "ProcessingJobName": context.job_name,
        "RoleArn": spec.sagemaker_role or context.role_arn,
        "AppSpecification": {
            "ImageUri": spec.image(context.region),
            "ContainerEntrypoint": ["python3", _RUNNER] if context.runtime else None,
        },
        "ProcessingInputs": [_input(name, source) for name, source in sources.items()],
        "ProcessingOutputConfig": {
            "Outputs": [_output(spec, context)],
            "KmsKeyId": spec.output_key,
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": spec.instance_type,
                "InstanceCount": spec.instance_count,
                "VolumeSizeInGB": spec.volume_size_gb,
                "VolumeKmsKeyId": spec.volume_key,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.max_runtime_seconds},
        "NetworkConfig": {
            "EnableInterContainerTrafficEncryption": spec.encrypt_inter_container_traffic,
            "EnableNetworkIsolation": spec.enable_network_isolation,
            "VpcConfig": spec.vpc,
        },
        "Environment": merged_environment(
            spec.environment, context.environment, spec.environment_limits
        ),
        "ExperimentConfig": spec.experiment.request() if spec.experiment else None,
        "Tags": merged_tags(spec.tags, context.tags),
    }
    request = with_extra(pruned(parameters), spec.extra)
    _check_counts(request)
    return (ApiCall("CreateProcessingJob", request),)


def _check_counts(request: Mapping[str, object]) -> None:
    inputs = read.entries(request, "ProcessingInputs")
    if len(inputs) > 10:
        msg = (
            f"{len(inputs)} inputs; a processing job takes 10, of which up to 3 bring the "
            "function. Put files that belong together into one FlyteDirectory"
        )
        raise PlanError(msg)


def _output(spec: ProcessingSpec, context: JobContext) -> dict[str, object]:
    return {
        "OutputName": _OUTPUT,
        "S3Output": {
            # The job's name keeps the attempts of one node apart.
            "S3Uri": f"{context.output_uri}/{context.job_name}",
            "LocalPath": f"{_ROOT}/output/{_OUTPUT}",
            "S3UploadMode": spec.output_upload_mode,
        },
    }


def _input(name: str, source: DataSource) -> dict[str, object]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": source.uri,
            "LocalPath": f"{_ROOT}/input/{name}",
            "S3DataType": source.data_type,
            "S3InputMode": source.input_mode or "File",
            "S3DataDistributionType": source.distribution or "FullyReplicated",
            "S3CompressionType": source.compression or "None",
        },
    }


def observe(description: Mapping[str, object]) -> Observation:
    """Where a processing job stands, from DescribeProcessingJob."""
    status = read.text(description, "ProcessingJobStatus")
    started = read.moment(description, "ProcessingStartTime")
    ended = read.moment(description, "ProcessingEndTime")
    seconds = read.elapsed_seconds(started, ended)
    reason = read.text(description, "ExitMessage") or read.text(description, "FailureReason")
    failure = _failure(description, status, reason, seconds)
    phase = read.phase_of(status)
    if status == "InProgress" and started is None:
        phase = Phase.INITIALIZING
    cluster = read.section(description, "ProcessingResources", "ClusterConfig")
    return Observation(
        phase=failure.phase if failure else phase,
        status=status,
        message=failure.message if failure else read.plain_message(status, phase),
        failure_reason=(reason or failure.message) if failure else "",
        failure_class=failure.failure_class if failure else "",
        created=read.moment(description, "CreationTime"),
        started=started,
        ended=ended,
        billable_seconds=seconds,
        instance_type=read.text(cluster, "InstanceType"),
        instance_count=read.number(cluster, "InstanceCount") or 0,
    )


def _failure(
    description: Mapping[str, object], status: str, reason: str, seconds: int | None
) -> read.Failure | None:
    if status == "Failed":
        return read.classify(reason)
    limit = read.number(read.section(description, "StoppingCondition"), "MaxRuntimeInSeconds")
    if status == "Stopped" and seconds is not None and limit and seconds >= limit:
        # No secondary status says so: a job that was stopped at its limit was stopped by it.
        message = "stopped: it ran longer than max_runtime_seconds"
        return read.Failure(Phase.FAILED, "timeout", message)
    return None


def artifact(description: Mapping[str, object]) -> str:
    """URI of the prefix with all that the function produced."""
    outputs = read.entries(read.section(description, "ProcessingOutputConfig"), "Outputs")
    for output in outputs:
        if read.text(output, "OutputName") == _OUTPUT:
            return read.text(read.section(output, "S3Output"), "S3Uri")
    return ""


def result_uri(description: Mapping[str, object]) -> str | None:
    """Where the runner's outputs are."""
    prefix = artifact(description)
    return f"{prefix}/outputs.json" if prefix else None


def parameter_roles(
    parameters: Sequence[Parameter],
    *,
    has_body: bool,  # noqa: ARG001 - always: processing runs nothing but the function
    spec: ProcessingSpec,  # noqa: ARG001 - no option changes what a parameter becomes
) -> tuple[ParameterRole, ...]:
    """Inputs for data, values for the rest."""
    return body_roles(parameters, PROCESSING_RULES)


KIND = JobKind(
    name="processing",
    title="Processing",
    task_type="sagemaker_processing",
    spec=ProcessingSpec,
    api=JobApi(
        create="CreateProcessingJob",
        describe="DescribeProcessingJob",
        stop="StopProcessingJob",
        list="ListProcessingJobs",
        name_field="ProcessingJobName",
        arn_field="ProcessingJobArn",
        status_field="ProcessingJobStatus",
        summaries_field="ProcessingJobSummaries",
        log_group="/aws/sagemaker/ProcessingJobs",
        console_path="processing-jobs",
    ),
    iam_actions=(
        "sagemaker:AddTags",
        "sagemaker:CreateProcessingJob",
        "sagemaker:DescribeProcessingJob",
        "sagemaker:ListProcessingJobs",
        "sagemaker:StopProcessingJob",
    ),
    body="required",
    requests=requests,
    observe=observe,
    artifact=artifact,
    result_uri=result_uri,
    parameters=parameter_roles,
)
