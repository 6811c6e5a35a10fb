"""What SageMaker's requests say, read from the requests themselves; of any kind of job."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cdao_sdk.flyte.planning.values import PlannedChannel
from cdao_sdk.kinds.parameters import RESERVED_CHANNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.kinds.job import ApiCall

__all__ = ["channels", "hyperparameters", "image_uri", "outputs", "role_arn", "tags"]

# Where a fact may stand in a request; paths that a request lacks are passed over.
_IMAGES = (
    "AlgorithmSpecification.TrainingImage",
    "AppSpecification.ImageUri",
    "PrimaryContainer.Image",
)
_ROLES = ("RoleArn", "ExecutionRoleArn")
_OUTPUTS = (
    "OutputDataConfig.S3OutputPath",
    "TransformOutput.S3OutputPath",
    "CheckpointConfig.S3Uri",
    "TensorBoardOutputConfig.S3OutputPath",
    "DebugHookConfig.S3OutputPath",
    "ProfilerConfig.S3OutputPath",
)


def image_uri(calls: Sequence[ApiCall]) -> str:
    """The container image; empty if none is named."""
    return next(_texts(calls, _IMAGES), "")


def role_arn(calls: Sequence[ApiCall]) -> str:
    """The role that the job assumes."""
    return next(_texts(calls, _ROLES), "")


def outputs(calls: Sequence[ApiCall]) -> tuple[str, ...]:
    """S3 prefixes that the job writes to."""
    listed = [
        _text(output, "S3Output.S3Uri")
        for call in calls
        for output in _entries(call.parameters, "ProcessingOutputConfig.Outputs")
    ]
    return tuple(uri for uri in (*_texts(calls, _OUTPUTS), *listed) if uri)


def channels(calls: Sequence[ApiCall]) -> tuple[PlannedChannel, ...]:
    """What the job reads, the user's data first."""
    found = [channel for call in calls for channel in _channels(call.parameters)]
    return tuple(sorted(found, key=lambda channel: channel.is_ours))


def _channels(request: Mapping[str, object]) -> Iterator[PlannedChannel]:
    default = _text(request, "AlgorithmSpecification.TrainingInputMode") or "File"
    for entry in _entries(request, "InputDataConfig"):
        uri = _text(entry, "DataSource.S3DataSource.S3Uri")
        yield _channel(_text(entry, "ChannelName"), uri, _text(entry, "InputMode") or default)
    for entry in _entries(request, "ProcessingInputs"):
        uri, mode = _text(entry, "S3Input.S3Uri"), _text(entry, "S3Input.S3InputMode")
        yield _channel(_text(entry, "InputName"), uri, mode or "File")
    transformed = _text(request, "TransformInput.DataSource.S3DataSource.S3Uri")
    if transformed:
        yield _channel("input", transformed, "File")
    model = _text(request, "PrimaryContainer.ModelDataUrl")
    if model:
        yield _channel("model", model, "File")


def _channel(name: str, uri: str, mode: str) -> PlannedChannel:
    return PlannedChannel(name, uri, mode, is_ours=name in RESERVED_CHANNELS)


def hyperparameters(calls: Sequence[ApiCall]) -> dict[str, str]:
    """Hyperparameters of a training job."""
    return {
        name: value
        for call in calls
        for name, value in cast(
            "Mapping[str, str]", call.parameters.get("HyperParameters", {})
        ).items()
    }


def tags(calls: Sequence[ApiCall]) -> dict[str, str]:
    """Tags of the job."""
    return {
        _text(entry, "Key"): _text(entry, "Value")
        for call in calls
        for entry in _entries(call.parameters, "Tags")
    }


def _at(value: object, path: str) -> object:
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(name)
    return value


def _text(value: object, path: str) -> str:
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def _texts(calls: Sequence[ApiCall], paths: Sequence[str]) -> Iterator[str]:
    for call in calls:
        for path in paths:
            if found := _text(dict(call.parameters), path):
                yield found


def _entries(request: object, path: str) -> list[dict[str, object]]:
    found = _at(dict(cast("Mapping[str, object]", request)), path)
    return cast("list[dict[str, object]]", found) if isinstance(found, list) else []
