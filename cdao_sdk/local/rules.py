"""SageMaker's rules between members of one request: those that no shape of the model states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Request = Mapping[str, Any]
    Rule = Callable[[Request], Iterator[str]]

_DEFAULT_MAX_PAYLOAD_MB = 6
_MOST_PAYLOAD_MB = 100
_DEFAULT_RUNTIME_SECONDS = 86_400


def broken_rules(operation: str, request: Mapping[str, object]) -> list[str]:
    """What breaks a rule between members; only for requests whose shape is right."""
    rules = (*_RULES.get(operation, ()), _tag_keys)
    return [message for rule in rules for message in rule(request)]


def _spot(request: Request) -> Iterator[str]:
    condition = request.get("StoppingCondition", {})
    wait = condition.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            yield (
                "Invalid MaxWaitTimeInSeconds. It is only supported when "
                "EnableManagedSpotTraining is set to true"
            )
        return
    if wait is None or wait < condition.get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS):
        yield (
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    if request.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds"):
        yield "Invalid KeepAlivePeriodInSeconds. It is not supported with managed spot training"


def _training_members(request: Request) -> Iterator[str]:
    # Not required by the model since serverless customisation jobs came, which have none of them.
    for name in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if name not in request:
            yield (
                f"Invalid request. {name} must be specified "
                "(the embedded SageMaker does not offer ServerlessJobConfig)"
            )


def _algorithm(request: Request) -> Iterator[str]:
    algorithm = request.get("AlgorithmSpecification")
    if algorithm and ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        yield "Invalid AlgorithmSpecification. Specify exactly one of TrainingImage, AlgorithmName"


def _instances(request: Request) -> Iterator[str]:
    resources = request.get("ResourceConfig")
    if not resources:
        return
    one_type = "InstanceType" in resources and "InstanceCount" in resources
    if one_type == ("InstanceGroups" in resources):
        yield (
            "Invalid ResourceConfig. Specify either InstanceType and InstanceCount, "
            "or InstanceGroups"
        )


def _channel_names(request: Request) -> Iterator[str]:
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    yield from _repeated(names, "InputDataConfig. Channel name")


def _processing_names(request: Request) -> Iterator[str]:
    inputs = request.get("ProcessingInputs", [])
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    yield from _repeated([one["InputName"] for one in inputs], "ProcessingInputs. Input name")
    yield from _repeated([one["OutputName"] for one in outputs], "ProcessingOutputs. Output name")


def _processing_sources(request: Request) -> Iterator[str]:
    for one in request.get("ProcessingInputs", []):
        if ("S3Input" in one) == ("DatasetDefinition" in one):
            name = one["InputName"]
            yield (
                f"Invalid ProcessingInputs. Input {name!r} must have exactly one of S3Input, "
                "DatasetDefinition"
            )


def _payload(request: Request) -> Iterator[str]:
    calls = request.get("MaxConcurrentTransforms") or 1
    payload = request.get("MaxPayloadInMB", _DEFAULT_MAX_PAYLOAD_MB)
    if calls * payload > _MOST_PAYLOAD_MB:
        yield (
            f"Invalid MaxPayloadInMB. MaxConcurrentTransforms * MaxPayloadInMB must not exceed "
            f"{_MOST_PAYLOAD_MB} MB: {calls} * {payload} = {calls * payload}"
        )


def _containers(request: Request) -> Iterator[str]:
    if ("PrimaryContainer" in request) == ("Containers" in request):
        yield "Invalid request. Specify exactly one of PrimaryContainer, Containers"
    containers = request.get("Containers") or [request.get("PrimaryContainer", {"Image": ""})]
    for container in cast("list[dict[str, object]]", containers):
        if "Image" not in container and "ModelPackageName" not in container:
            yield "Invalid container. Specify Image or ModelPackageName"


def _tag_keys(request: Request) -> Iterator[str]:
    tags = request.get("Tags", [])
    yield from _repeated([tag["Key"] for tag in tags], "Tags. Tag key")
    for tag in tags:
        if tag["Key"].lower().startswith("aws:"):
            yield f"Invalid Tags. Tag key {tag['Key']!r} must not start with aws:"


def _repeated(names: Sequence[str], what: str) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Invalid {what} {name!r} is used more than once"


_RULES: dict[str, tuple[Rule, ...]] = {
    "CreateTrainingJob": (_training_members, _spot, _algorithm, _instances, _channel_names),
    "CreateProcessingJob": (_processing_names, _processing_sources),
    "CreateTransformJob": (_payload,),
    "CreateModel": (_containers,),
}
