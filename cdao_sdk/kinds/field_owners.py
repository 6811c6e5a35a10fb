"""Who sets each field of SageMaker's requests: an option, a parameter, we, or ``extra``.

Paths are SageMaker's own, dotted; ``[]`` stands for the entries of a list. A path stands for all
that is below it. What is not listed here is set by ``extra``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.kinds.api_shapes import leaves

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Owner:
    """Who sets a field.

    Attributes:
        options: The options that set it, if any do.
        note: Who else sets it, or why nobody may.
        optional: Whether the field is in a request only if an option says so, though SageMaker
            demands it beside its neighbours.
        also_extra: Whether ``extra`` may add more of them: entries of a list.
    """

    options: tuple[str, ...] = ()
    note: str = ""
    optional: bool = False
    also_extra: bool = False

    def __str__(self) -> str:
        parts = [", ".join(f"`{option}`" for option in self.options), self.note]
        return "; ".join(
            [*filter(None, parts), *(["`extra` adds more"] if self.also_extra else [])]
        )


def _option(*names: str, note: str = "", optional: bool = False) -> Owner:
    return Owner(names, note, optional)


def _ours(what: str) -> Owner:
    return Owner(note=f"set by us: {what}")


def _channel(what: str) -> Owner:
    return Owner(note=what, also_extra=True)


def _never(reason: str) -> Owner:
    return Owner(note=f"not for a task: {reason}")


_NAME = _ours("execution, node, function and attempt")
_ROLE = _option("sagemaker_role", note="else the settings' role")
_TAGS = _option("tags", note="and ours")
_SELECTED = _never("it is in answers only")
_PREFERENCES = _never("image and price follow from one instance type")
_EXPERIMENT = {"ExperimentConfig": _option("experiment")}
_VPC = {
    "VpcConfig.SecurityGroupIds": _option("security_group_ids"),
    "VpcConfig.Subnets": _option("subnets"),
}
_VOLUME_KEY = _option("volume_kms_key_id", "kms_key_id")
_OUTPUT_KEY = _option("output_kms_key_id", "kms_key_id")
_CONTAINER = _ours("the runner, for a function; else `extra`")

OWNERS: Mapping[str, Mapping[str, Owner]] = {
    "CreateTrainingJob": {
        "TrainingJobName": _NAME,
        "HyperParameters": _option("hyperparameters", note="and parameters of the task"),
        "AlgorithmSpecification.TrainingImage": _option(
            "container_image", "framework", "algorithm", "framework_version", "python_version"
        ),
        "AlgorithmSpecification.AlgorithmName": _never("name its image with `container_image`"),
        "AlgorithmSpecification.TrainingInputMode": _option("input_mode"),
        "AlgorithmSpecification.MetricDefinitions": _option("metric_definitions", "metrics"),
        "AlgorithmSpecification.ContainerEntrypoint": _CONTAINER,
        "AlgorithmSpecification.ContainerArguments": _CONTAINER,
        "AlgorithmSpecification.TrainingImageConfig.TrainingRepositoryAccessMode": _option(
            "repository_access"
        ),
        "AlgorithmSpecification.TrainingImageConfig.TrainingRepositoryAuthConfig": _option(
            "repository_credentials_provider"
        ),
        "RoleArn": _ROLE,
        "InputDataConfig[].ChannelName": _channel("parameter, or `Channel(name)`"),
        "InputDataConfig[].DataSource.S3DataSource.S3DataType": _channel("`Channel(data_type=…)`"),
        "InputDataConfig[].DataSource.S3DataSource.S3Uri": _channel("the parameter's value"),
        "InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType": _channel(
            "`Channel(distribution=…)`"
        ),
        "InputDataConfig[].DataSource.S3DataSource.AttributeNames": _channel(
            "`Channel(attribute_names=…)`"
        ),
        "InputDataConfig[].DataSource.S3DataSource.InstanceGroupNames": _channel(
            "`Channel(instance_groups=…)`"
        ),
        "InputDataConfig[].ContentType": _channel("`Channel(content_type=…)`"),
        "InputDataConfig[].CompressionType": _channel("`Channel(compression=…)`"),
        "InputDataConfig[].RecordWrapperType": _channel("`Channel(record_wrapper=…)`"),
        "InputDataConfig[].InputMode": _channel("`Channel(input_mode=…)`"),
        "InputDataConfig[].ShuffleConfig.Seed": _channel("`Channel(shuffle_seed=…)`"),
        "OutputDataConfig.KmsKeyId": _OUTPUT_KEY,
        "OutputDataConfig.S3OutputPath": _option("output_path", note="else the settings' bucket"),
        "OutputDataConfig.CompressionType": _option("output_compression", "model_archive"),
        "ResourceConfig.InstanceType": _option("instance_type"),
        "ResourceConfig.InstanceCount": _option("instance_count"),
        "ResourceConfig.VolumeSizeInGB": _option("volume_size_gb"),
        "ResourceConfig.VolumeKmsKeyId": _VOLUME_KEY,
        "ResourceConfig.KeepAlivePeriodInSeconds": _option("keep_alive_seconds"),
        "ResourceConfig.InstanceGroups": _option("instance_groups"),
        "ResourceConfig.TrainingPlanArn": _option("training_plan"),
        "ResourceConfig.InstancePreferences": _PREFERENCES,
        "ResourceConfig.SelectedInstanceType": _SELECTED,
        "ResourceConfig.SelectedInstanceCount": _SELECTED,
        **_VPC,
        "StoppingCondition.MaxRuntimeInSeconds": _option("max_runtime_seconds"),
        "StoppingCondition.MaxWaitTimeInSeconds": _option("spot_instance_max_wait_seconds"),
        "StoppingCondition.MaxPendingTimeInSeconds": _option("max_pending_seconds"),
        "Tags": _TAGS,
        "EnableNetworkIsolation": _option("enable_network_isolation"),
        "EnableInterContainerTrafficEncryption": _option("encrypt_inter_container_traffic"),
        "EnableManagedSpotTraining": _option("use_spot_instances"),
        "CheckpointConfig.S3Uri": _option(
            "checkpoint_uri", note="else the execution's prefix", optional=True
        ),
        "DebugHookConfig": _option("debug_hook"),
        "DebugRuleConfigurations": _option("debug_rules"),
        "TensorBoardOutputConfig.S3OutputPath": _option("tensorboard_output_path", optional=True),
        **_EXPERIMENT,
        "ProfilerConfig.S3OutputPath": _option("profiler"),
        "ProfilerConfig.ProfilingIntervalInMilliseconds": _option("profiler"),
        "ProfilerConfig.ProfilingParameters": _option("profiler"),
        "ProfilerConfig.DisableProfiler": _option("disable_profiler"),
        "ProfilerRuleConfigurations": _option("profiler_rules"),
        "Environment": _option("environment", note="and ours"),
        "RetryStrategy.MaximumRetryAttempts": _option("retry_attempts"),
        "ServerlessJobConfig": _never("such a job runs a model of SageMaker's, and no image"),
    },
    "CreateProcessingJob": {
        "ProcessingJobName": _NAME,
        "ProcessingInputs[].InputName": _channel("parameter, or `Channel(name)`"),
        "ProcessingInputs[].S3Input.S3Uri": _channel("the parameter's value"),
        "ProcessingInputs[].S3Input.LocalPath": _channel("set by us: `/opt/ml/processing/input/…`"),
        "ProcessingInputs[].S3Input.S3DataType": _channel("`Channel(data_type=…)`"),
        "ProcessingInputs[].S3Input.S3InputMode": _channel("set by us: `File`"),
        "ProcessingInputs[].S3Input.S3DataDistributionType": _channel("`Channel(distribution=…)`"),
        "ProcessingInputs[].S3Input.S3CompressionType": _channel("set by us: `None`"),
        "ProcessingOutputConfig.Outputs[].OutputName": _channel("set by us: `cdao`"),
        "ProcessingOutputConfig.Outputs[].S3Output.S3Uri": _channel("`output_path`, job's name"),
        "ProcessingOutputConfig.Outputs[].S3Output.LocalPath": _channel("set by us"),
        "ProcessingOutputConfig.Outputs[].S3Output.S3UploadMode": _channel("`output_upload_mode`"),
        "ProcessingOutputConfig.KmsKeyId": _OUTPUT_KEY,
        "ProcessingResources.ClusterConfig.InstanceCount": _option("instance_count"),
        "ProcessingResources.ClusterConfig.InstanceType": _option("instance_type"),
        "ProcessingResources.ClusterConfig.VolumeSizeInGB": _option("volume_size_gb"),
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId": _VOLUME_KEY,
        "ProcessingResources.ClusterConfig.InstancePreferences": _PREFERENCES,
        "ProcessingResources.ClusterConfig.SelectedInstanceType": _SELECTED,
        "ProcessingResources.ClusterConfig.SelectedInstanceCount": _SELECTED,
        "StoppingCondition.MaxRuntimeInSeconds": _option("max_runtime_seconds"),
        "AppSpecification.ImageUri": _option(
            "container_image", "framework", "framework_version", "python_version"
        ),
        "AppSpecification.ContainerEntrypoint": _ours("the runner, which calls the function"),
        "AppSpecification.ContainerArguments": _never("the function's inputs are its arguments"),
        "Environment": _option("environment", note="and ours"),
        "NetworkConfig.EnableInterContainerTrafficEncryption": _option(
            "encrypt_inter_container_traffic"
        ),
        "NetworkConfig.EnableNetworkIsolation": _option("enable_network_isolation"),
        **{f"NetworkConfig.{path}": owner for path, owner in _VPC.items()},
        "RoleArn": _ROLE,
        "Tags": _TAGS,
        **_EXPERIMENT,
    },
    "CreateModel": {
        "ModelName": _NAME,
        "PrimaryContainer.Image": _option(
            *("container_image", "framework", "framework_version", "python_version"),
            note="else what trained the model",
        ),
        "PrimaryContainer.ImageConfig.RepositoryAccessMode": _option("repository_access"),
        "PrimaryContainer.ImageConfig.RepositoryAuthConfig": _option(
            "repository_credentials_provider"
        ),
        "PrimaryContainer.ModelDataUrl": _ours("the parameter that holds the model"),
        "PrimaryContainer.ModelDataSource": _never("a batch transform takes archives only"),
        "Containers[].ModelDataSource": _never("a batch transform takes archives only"),
        "PrimaryContainer.Environment": _option(
            "model_environment", note="and parameters of the task"
        ),
        "PrimaryContainer.ModelPackageName": _never("the model is a parameter of the task"),
        "PrimaryContainer.InferenceSpecificationName": _never("it belongs to a model package"),
        "ExecutionRoleArn": _ROLE,
        "Tags": _TAGS,
        **_VPC,
        "EnableNetworkIsolation": _option("enable_network_isolation"),
    },
    "CreateTransformJob": {
        "TransformJobName": _NAME,
        "ModelName": _NAME,
        "MaxConcurrentTransforms": _option("max_concurrent_transforms"),
        "ModelClientConfig.InvocationsTimeoutInSeconds": _option("model_timeout_seconds"),
        "ModelClientConfig.InvocationsMaxRetries": _option("model_max_retries"),
        "MaxPayloadInMB": _option("max_payload_mb"),
        "BatchStrategy": _option("strategy"),
        "Environment": _option("environment"),
        "TransformInput.DataSource.S3DataSource.S3DataType": Owner(note="`Channel(data_type=…)`"),
        "TransformInput.DataSource.S3DataSource.S3Uri": _ours("the parameter that holds the data"),
        "TransformInput.ContentType": _option("content_type", note="or `Channel(content_type=…)`"),
        "TransformInput.CompressionType": Owner(note="`Channel(compression=…)`"),
        "TransformInput.SplitType": _option("split_type"),
        "TransformOutput.S3OutputPath": _option("output_path", note="else the settings' bucket"),
        "TransformOutput.Accept": _option("accept"),
        "TransformOutput.AssembleWith": _option("assemble_with"),
        "TransformOutput.KmsKeyId": _OUTPUT_KEY,
        "DataCaptureConfig.DestinationS3Uri": _option("data_capture_path"),
        "DataCaptureConfig.KmsKeyId": _option(
            "data_capture_kms_key_id", "output_kms_key_id", "kms_key_id"
        ),
        "DataCaptureConfig.GenerateInferenceId": _option("data_capture_inference_id"),
        "TransformResources.InstanceType": _option("instance_type"),
        "TransformResources.InstanceCount": _option("instance_count"),
        "TransformResources.VolumeKmsKeyId": _VOLUME_KEY,
        "DataProcessing.InputFilter": _option("input_filter"),
        "DataProcessing.OutputFilter": _option("output_filter"),
        "DataProcessing.JoinSource": _option("join_source"),
        "Tags": _TAGS,
        **_EXPERIMENT,
    },
}

WITHOUT_A_FUNCTION = (
    "AlgorithmSpecification.ContainerEntrypoint",
    "AlgorithmSpecification.ContainerArguments",
)
"""What ``extra`` may set as long as no function of the user's runs in the job."""


def owner(operation: str, path: str) -> Owner | None:
    """Who sets a field; ``None`` if that is left to ``extra``.

    Example:
        >>> str(owner("CreateTrainingJob", "RetryStrategy.MaximumRetryAttempts"))
        '`retry_attempts`'
    """
    owners = OWNERS[operation]
    while path:
        if path in owners:
            return owners[path]
        path = path.rpartition(".")[0] if not path.endswith("[]") else path[:-2]
    return None


def is_always_set(operation: str, path: str) -> bool:
    """Whether every request has a field, or something below it, without ``extra``."""
    found = owner(operation, path)
    if found is not None:
        return not found.optional
    return any(known.startswith(f"{path}.") for known in OWNERS[operation])


def described(operation: str) -> tuple[tuple[str, str], ...]:
    """Every field of an operation's request, with who sets it in one line of Markdown."""
    return tuple((path, str(owner(operation, path) or "`extra`")) for path in leaves(operation))
