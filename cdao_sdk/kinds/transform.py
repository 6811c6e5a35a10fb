"""Batch transform: a trained model over a whole data set. SageMaker runs it; there is no body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds import observation as read
from cdao_sdk.kinds.channel_rules import TRANSFORM_RULES
from cdao_sdk.kinds.extra import is_place, with_extra
from cdao_sdk.kinds.job import ApiCall, JobApi, JobKind, ModelSource, Observation, Phase
from cdao_sdk.kinds.parameters import transform_roles
from cdao_sdk.kinds.requests import content_type, merged_environment, merged_tags, pruned
from cdao_sdk.kinds.transform_spec import MODEL_LIMITS, TransformSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from cdao_sdk.kinds.job import DataSource, JobContext
    from cdao_sdk.kinds.parameters import Parameter, ParameterRole

SCRIPT_MODEL_ENVIRONMENT: Mapping[str, str] = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
"""What AWS's images must be told to serve a model that the runner has put ``code/`` into."""

# These images have no handlers of their own: their models always bring inference.py.
_SCRIPT_FRAMEWORKS = ("scikit-learn", "pytorch")


def requests(spec: TransformSpec, context: JobContext) -> tuple[ApiCall, ...]:
    """CreateModel and CreateTransformJob for one run; the model bears the job's name.

    Raises:
        PlanError: Model, image or input is missing, or something is more than SageMaker takes.
    """
    if context.model is None or set(context.channels) != {"input"}:
        msg = (
            "a batch transform needs a model and one input; "
            f"model: {context.model}, inputs: {', '.join(context.channels) or 'none'}"
        )
        raise PlanError(msg)
    tags = merged_tags(spec.tags, context.tags)
    model = {**_model(spec, context, context.model), "Tags": tags}
    job = {**_job(spec, context, context.channels["input"]), "Tags": tags}
    return (
        ApiCall(
            "CreateModel", _in_pipeline(with_extra(pruned(model), _extra(spec, "CreateModel")))
        ),
        ApiCall("CreateTransformJob", with_extra(pruned(job), _extra(spec, "CreateTransformJob"))),
    )


def _extra(spec: TransformSpec, operation: str) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", spec.extra.get(operation, {}))


def _in_pipeline(model: dict[str, object]) -> dict[str, object]:
    """With ``Containers``, the task's own model stands where they leave a place for it."""
    containers = cast("list[dict[str, object]]", model.get("Containers", []))
    if not containers:
        return model
    own = cast("dict[str, object]", model["PrimaryContainer"])
    placed = [{**each, **own} if is_place(each) else each for each in containers]
    rest = {name: value for name, value in model.items() if name != "PrimaryContainer"}
    return {**rest, "Containers": placed}


def _model(spec: TransformSpec, context: JobContext, model: ModelSource) -> dict[str, object]:
    return {
        "ModelName": context.job_name,
        "ExecutionRoleArn": spec.sagemaker_role or context.role_arn,
        "PrimaryContainer": {
            "Image": _image(spec, context, model),
            "ImageConfig": {
                "RepositoryAccessMode": spec.repository_access,
                "RepositoryAuthConfig": {
                    "RepositoryCredentialsProviderArn": spec.repository_credentials_provider
                },
            },
            "Environment": _model_environment(spec, context, model),
            **_model_data(model.artifact_uri),
        },
        "VpcConfig": spec.vpc,
        "EnableNetworkIsolation": spec.enable_network_isolation,
    }


def _image(spec: TransformSpec, context: JobContext, model: ModelSource) -> str:
    """The spec's own choice first; else whatever serves what trained the model."""
    if spec.container_image is None and spec.framework is None and model.image_uri is not None:
        return model.image_uri
    return spec.image(context.region)


def _model_environment(
    spec: TransformSpec, context: JobContext, model: ModelSource
) -> dict[str, str]:
    users = {**model.environment, **spec.model_environment}
    if spec.framework in _SCRIPT_FRAMEWORKS:
        users = {**SCRIPT_MODEL_ENVIRONMENT, **users}
    return merged_environment(users, context.environment, MODEL_LIMITS)


def _model_data(uri: str) -> dict[str, object]:
    """Where the model is.

    Raises:
        PlanError: It is no archive: "You cannot use ModelDataSource in conjunction with SageMaker
            batch transform" (API reference of ContainerDefinition).
    """
    if uri.endswith(".tar.gz"):
        return {"ModelDataUrl": uri}
    msg = (
        f"model {uri!r} is no .tar.gz archive, and SageMaker's batch transform takes nothing else: "
        "train it without output_compression='NONE', or with model_archive=True"
    )
    raise PlanError(msg)


def _accept(context: JobContext, input_type: str) -> str | None:
    """CSV in, CSV out, for models that our own handlers serve: some images would answer JSON."""
    ours = context.model is not None and context.model.environment == SCRIPT_MODEL_ENVIRONMENT
    return "text/csv" if ours and input_type == "text/csv" else None


def _job(spec: TransformSpec, context: JobContext, source: DataSource) -> dict[str, object]:
    input_type = source.content_type or spec.content_type or content_type(source)
    return {
        "TransformJobName": context.job_name,
        "ModelName": context.job_name,
        "MaxConcurrentTransforms": spec.max_concurrent_transforms,
        "MaxPayloadInMB": spec.max_payload_mb,
        # SageMaker refuses a strategy for input that is not split into records.
        "BatchStrategy": None if spec.split_type == "None" else spec.strategy,
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": spec.model_timeout_seconds,
            "InvocationsMaxRetries": spec.model_max_retries,
        },
        "Environment": spec.environment,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": source.data_type, "S3Uri": source.uri}},
            "ContentType": input_type,
            "CompressionType": source.compression or "None",
            "SplitType": spec.split_type,
        },
        "TransformOutput": {
            "S3OutputPath": f"{context.output_uri}/{context.job_name}",
            "Accept": spec.accept or _accept(context, input_type),
            "AssembleWith": spec.assemble_with,
            "KmsKeyId": spec.output_key,
        },
        "TransformResources": {
            "InstanceType": spec.instance_type,
            "InstanceCount": spec.instance_count,
            "VolumeKmsKeyId": spec.volume_key,
        },
        "DataCaptureConfig": _data_capture(spec),
        "ExperimentConfig": spec.experiment.request() if spec.experiment else None,
        "DataProcessing": {
            "InputFilter": spec.input_filter,
            "OutputFilter": spec.output_filter,
            "JoinSource": spec.join_source,
        },
    }


def _data_capture(spec: TransformSpec) -> dict[str, object]:
    if spec.data_capture_path is None:
        return {}
    return {
        "DestinationS3Uri": spec.data_capture_path,
        "KmsKeyId": spec.data_capture_kms_key_id or spec.output_key,
        "GenerateInferenceId": spec.data_capture_inference_id,
    }


def parameter_environment(values: Mapping[str, JsonValue]) -> dict[str, str]:
    """Parameters as the model's container finds them: ``CDAO_PARAM_<NAME>``, in JSON.

    Args:
        values: Value by parameter.

    Raises:
        PlanError: A value is too long, or two names differ in case only.

    Example:
        >>> parameter_environment({"threshold": 0.5})
        {'CDAO_PARAM_THRESHOLD': '0.5'}
    """
    environment: dict[str, str] = {}
    problems: list[str] = []
    for name, value in values.items():
        variable = f"CDAO_PARAM_{name.upper()}"
        text = json.dumps(value, ensure_ascii=False)
        if variable in environment:
            problems.append(f"{name}: another parameter is {variable} already; rename one")
        if not variable.isascii():
            problems.append(f"{name}: the model's environment takes ASCII names only; rename it")
        if len(text) > MODEL_LIMITS.value:
            problems.append(
                f"{name}: {len(text)} characters of JSON; the model's environment takes "
                f"{MODEL_LIMITS.value} for each parameter"
            )
        environment[variable] = text
    if problems:
        msg = "the task's parameters do not fit into the model's environment"
        raise PlanError(msg, problems=problems)
    return environment


def cleanup(job_name: str) -> tuple[ApiCall, ...]:
    """DeleteModel: the model was made for this job alone."""
    return (ApiCall("DeleteModel", {"ModelName": job_name}),)


def observe(description: Mapping[str, object]) -> Observation:
    """Where a transform job stands, from DescribeTransformJob."""
    status = read.text(description, "TransformJobStatus")
    started = read.moment(description, "TransformStartTime")
    ended = read.moment(description, "TransformEndTime")
    reason = read.text(description, "FailureReason")
    failure = read.classify(reason) if status == "Failed" else None
    phase = read.phase_of(status)
    if status == "InProgress" and started is None:
        phase = Phase.INITIALIZING
    resources = read.section(description, "TransformResources")
    return Observation(
        phase=failure.phase if failure else phase,
        status=status,
        message=failure.message if failure else read.plain_message(status, phase),
        failure_reason=reason,
        failure_class=failure.failure_class if failure else "",
        created=read.moment(description, "CreationTime"),
        started=started,
        ended=ended,
        billable_seconds=read.elapsed_seconds(started, ended),
        instance_type=read.text(resources, "InstanceType"),
        instance_count=read.number(resources, "InstanceCount") or 0,
    )


def artifact(description: Mapping[str, object]) -> str:
    """URI of the prefix with the predictions."""
    return read.text(read.section(description, "TransformOutput"), "S3OutputPath")


def result_uri(_description: Mapping[str, object]) -> str | None:
    """None: no function of the user's runs in a transform."""
    return None


def parameter_roles(
    parameters: Sequence[Parameter],
    *,
    has_body: bool,  # noqa: ARG001 - never: a transform runs no function
    spec: TransformSpec,  # noqa: ARG001 - no option changes what a parameter becomes
) -> tuple[ParameterRole, ...]:
    """One model, one input, the rest environment."""
    return transform_roles(parameters, TRANSFORM_RULES)


KIND = JobKind(
    name="transform",
    title="Batch transform",
    task_type="sagemaker_transform",
    aliases=("batch_transform",),
    spec=TransformSpec,
    api=JobApi(
        create="CreateTransformJob",
        describe="DescribeTransformJob",
        stop="StopTransformJob",
        list="ListTransformJobs",
        name_field="TransformJobName",
        arn_field="TransformJobArn",
        status_field="TransformJobStatus",
        summaries_field="TransformJobSummaries",
        log_group="/aws/sagemaker/TransformJobs",
        console_path="transform-jobs",
        numbers_hosts=False,
    ),
    iam_actions=(
        "sagemaker:AddTags",
        "sagemaker:CreateModel",
        "sagemaker:CreateTransformJob",
        "sagemaker:DeleteModel",
        "sagemaker:DescribeModel",
        "sagemaker:DescribeTransformJob",
        "sagemaker:ListTransformJobs",
        "sagemaker:StopTransformJob",
    ),
    body="stub",
    requests=requests,
    cleanup=cleanup,
    observe=observe,
    artifact=artifact,
    result_uri=result_uri,
    parameters=parameter_roles,
)
