"""Training jobs: a framework or an own image with the user's function, or a built-in algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds import observation as read
from cdao_sdk.kinds.channel_rules import training_rules
from cdao_sdk.kinds.extra import with_extra
from cdao_sdk.kinds.hyperparameters import hyperparameter_problems, hyperparameter_text
from cdao_sdk.kinds.job import ApiCall, JobApi, JobKind, Observation, Phase
from cdao_sdk.kinds.option_groups import Profiler, rule_request
from cdao_sdk.kinds.parameters import algorithm_roles, body_roles
from cdao_sdk.kinds.requests import (
    content_type,
    merged_environment,
    merged_tags,
    pruned,
    run_sources,
)
from cdao_sdk.kinds.training_spec import TrainingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.kinds.job import DataSource, JobContext
    from cdao_sdk.kinds.parameters import Parameter, ParameterRole

XGBOOST_ROUNDS = 100
"""Rounds of built-in XGBoost, which demands ``num_round`` and has no default of its own."""

MODEL_ARCHIVE = "CDAO_MODEL_ARCHIVE"
"""Variable of a job whose runner also uploads the model as one archive; a Describe tells of it."""
_RUNNER = "/opt/ml/input/data/cdao/runner.py"

# SageMaker's entry point sets these in AWS's images; a ContainerEntrypoint steps over it.
_HOST_NETWORK = {"NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0"}


def requests(spec: TrainingSpec, context: JobContext) -> tuple[ApiCall, ...]:
    """CreateTrainingJob for one run.

    Raises:
        PlanError: More channels, tags, variables or hyperparameters than SageMaker takes.
    """
    sources = run_sources(context)
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
            **_hosts(spec),
            "TrainingPlanArn": spec.training_plan,
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
        **_watching(spec),
        "RetryStrategy": {"MaximumRetryAttempts": spec.retry_attempts},
        "Tags": merged_tags(spec.tags, context.tags),
    }
    request = with_extra(pruned(parameters), spec.extra)
    _check_channels(request)
    return (ApiCall("CreateTrainingJob", request),)


def _check_channels(request: Mapping[str, object]) -> None:
    channels = read.entries(request, "InputDataConfig")
    if len(channels) > 20:
        msg = f"{len(channels)} channels; SageMaker takes 20 (up to 3 of them bring the function)"
        raise PlanError(msg)


def _hosts(spec: TrainingSpec) -> dict[str, object]:
    if not spec.instance_groups:
        return {"InstanceType": spec.instance_type, "InstanceCount": spec.instance_count}
    groups = [
        {
            "InstanceGroupName": group.name,
            "InstanceType": group.instance_type,
            "InstanceCount": group.instance_count,
        }
        for group in spec.instance_groups
    ]
    return {"InstanceGroups": groups}


def _watching(spec: TrainingSpec) -> dict[str, object]:
    """What looks at the job while it runs: Debugger, Profiler, TensorBoard, Experiments."""
    profiler = spec.profiler or Profiler()
    return {
        "DebugHookConfig": spec.debug_hook.request() if spec.debug_hook else None,
        "DebugRuleConfigurations": [rule_request(rule) for rule in spec.debug_rules],
        "ProfilerConfig": {
            "S3OutputPath": profiler.output_path,
            "ProfilingIntervalInMilliseconds": profiler.interval_milliseconds,
            "ProfilingParameters": profiler.parameters,
            "DisableProfiler": True if spec.disable_profiler else None,
        },
        "ProfilerRuleConfigurations": [rule_request(rule) for rule in spec.profiler_rules],
        "TensorBoardOutputConfig": {"S3OutputPath": spec.tensorboard_output_path},
        "ExperimentConfig": spec.experiment.request() if spec.experiment else None,
    }


def _is_algorithm(spec: TrainingSpec, context: JobContext) -> bool:
    return context.runtime is None and spec.image_name is not None


def _algorithm_specification(spec: TrainingSpec, context: JobContext) -> dict[str, object]:
    return {
        "TrainingImage": spec.image(context.region),
        "TrainingInputMode": spec.input_mode,
        "ContainerEntrypoint": ["python3", _RUNNER] if context.runtime else None,
        "TrainingImageConfig": {
            "TrainingRepositoryAccessMode": spec.repository_access,
            "TrainingRepositoryAuthConfig": {
                "TrainingRepositoryCredentialsProviderArn": spec.repository_credentials_provider
            },
        },
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
                "AttributeNames": list(source.attribute_names),
                "InstanceGroupNames": list(source.instance_groups),
            }
        },
        "ContentType": content_type(source) if is_algorithm else source.content_type,
        "CompressionType": source.compression or "None",
        "RecordWrapperType": source.record_wrapper,
        "ShuffleConfig": {"Seed": source.shuffle_seed},
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
    ours = dict(context.environment)
    if spec.model_archive and context.runtime is not None:
        ours[MODEL_ARCHIVE] = "1"
    merged = merged_environment(spec.environment, ours, spec.environment_limits)
    several_hosts = context.runtime is not None and spec.host_count > 1
    return {**_HOST_NETWORK, **merged} if several_hosts and spec.framework else merged


def served_model(description: Mapping[str, object], uri: str) -> str:
    """The model of a training job as a batch transform takes it.

    Args:
        description: The job's Describe answer, or its request.
        uri: ``s3://`` URI of the model, or of something in it.

    Returns:
        The archive that the runner made, where there is one; else the URI as it is.
    """
    if MODEL_ARCHIVE not in read.section(description, "Environment"):
        return uri
    prefix = read.text(read.section(description, "OutputDataConfig"), "S3OutputPath").rstrip("/")
    name = read.text(description, "TrainingJobName")
    return f"{prefix}/{name}/output/data/cdao/model.tar.gz"


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
    hosts = read.hosts(read.section(description, "ResourceConfig"))
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
        instance_type=" + ".join(dict.fromkeys(name for name, _ in hosts)),
        instance_count=sum(count for _, count in hosts),
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
    groups = tuple(group.name for group in spec.instance_groups)
    rules = training_rules(spec.input_mode, groups)
    if has_body:
        return body_roles(parameters, rules)
    return algorithm_roles(parameters, rules)


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
