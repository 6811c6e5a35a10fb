"""From a task and its inputs to the requests of one job: no network, no disk."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, cast

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.flytekit_runtime import uses_flytekit
from cdao_sdk.flyte.inputs import InputEncoder, plain_value
from cdao_sdk.kinds.hyperparameters import hyperparameter_text
from cdao_sdk.kinds.job import DataSource, JobContext, ModelSource, RuntimeFiles
from cdao_sdk.kinds.registry import kind as find_kind
from cdao_sdk.kinds.transform import parameter_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.literals import Literal
    from flytekit.models.types import LiteralType
    from pydantic import JsonValue

    from cdao_sdk.flyte.flytekit_runtime import FlytekitCall
    from cdao_sdk.flyte.payload import TaskPayload
    from cdao_sdk.kinds.job import ApiCall
    from cdao_sdk.kinds.parameters import ParameterRole
    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["Attempt", "Place", "Submission", "job_label", "model_uri", "prepare"]

_INPUT_ROOT = {
    "training": "/opt/ml/input/data",
    "processing": "/opt/ml/processing/input",
}
_RESULT_DIR = {
    "training": "/opt/ml/output/data",
    "processing": "/opt/ml/processing/output/cdao",
}


@dataclass(frozen=True)
class Attempt:
    """Which try of which node of which execution a job belongs to."""

    execution: str
    node: str
    attempt: int
    project: str = ""
    domain: str = ""
    task: str = ""


@dataclass(frozen=True)
class Place:
    """Where a job runs and writes.

    Attributes:
        base_uri: S3 prefix for this execution, without a trailing slash.
        role_arn: The role that the job assumes, unless its spec names one.
        region: AWS region.
        runtime_uri: S3 prefix that holds ``runner.py``.
        tags: Tags for every resource.
    """

    base_uri: str
    role_arn: str
    region: str
    runtime_uri: str
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Submission:
    """All that has to be sent for one job, in this order: copies, objects, calls.

    Attributes:
        job_name: The job's name.
        copies: (source, target) S3 URIs: pickled inputs, their bytes unread.
        objects: S3 URI → content.
        calls: SageMaker requests; the last one creates the job.
    """

    job_name: str
    copies: Sequence[tuple[str, str]]
    objects: Mapping[str, bytes]
    calls: Sequence[ApiCall]


def job_label(payload: TaskPayload, attempt: Attempt) -> str:
    """What a job's name says beside its execution: with the function, it is known at sight."""
    return f"{attempt.node}-{payload.entry.function}"  # n1-train, not n1


def model_uri(payload: TaskPayload, inputs: Mapping[str, Literal]) -> str | None:
    """URI of the model that a job serves; None if its kind serves none."""
    for role in payload.roles:
        if role.role == "model" and role.name in inputs:  # `prepare` tells what is missing
            return _uri(role, inputs[role.name])
    return None


def prepare(
    payload: TaskPayload,
    inputs: Mapping[str, Literal],
    attempt: Attempt,
    place: Place,
    model: ModelSource | None = None,
    *,
    job_name: str,
    types: Mapping[str, LiteralType] | None = None,
    flytekit: FlytekitCall | None = None,
    secrets: Sequence[Mapping[str, object]] = (),
) -> Submission:
    """Build everything that one job needs.

    Args:
        payload: The task.
        inputs: Its inputs.
        attempt: Which try this is.
        place: Where it runs.
        model: The model, for a kind that serves one.
        job_name: The job's name, a function of the attempt.
        types: The inputs' declared types; they tell files inside structures from other values.
        flytekit: How flytekit is started, for a task that it runs; without it the requests are
            the same, but the job's document does not say it.
        secrets: References to what the job may fetch from Secrets Manager; never values.

    Raises:
        PlanError: The inputs do not fit the job.
    """
    missing = [role.name for role in payload.roles if role.name not in inputs]
    if missing:
        msg = f"The task's inputs lack {', '.join(missing)}."
        raise PlanError(msg)
    output_uri = f"{place.base_uri}/{attempt.node}"
    payload = replace(payload, spec=_with_checkpoints(payload, output_uri))
    context = JobContext(
        job_name=job_name,
        role_arn=place.role_arn,
        region=place.region,
        output_uri=output_uri,
        model=model,
        tags=_tags(attempt, place),
    )
    if payload.runs_body:
        return _with_body(
            payload,
            inputs,
            attempt,
            place,
            context,
            types=types or {},
            flytekit=flytekit,
            secrets=secrets,
        )
    context = _without_body(payload, inputs, context)
    return Submission(job_name, (), {}, _calls(payload, context))


def _with_checkpoints(payload: TaskPayload, output_uri: str) -> JobSpec:
    """A training job gets a checkpoint URI, unless it has one, that all attempts of its node share.

    So does a function on demand: Flyte's retries and ``current_context().checkpoint`` live by it,
    and it costs nothing as long as the function writes no checkpoint. A built-in algorithm writes
    its checkpoints unasked, so it gets the URI on spot only.
    """
    spec = payload.spec
    wants = payload.runs_body or getattr(spec, "use_spot_instances", False)
    if wants and hasattr(spec, "checkpoint_uri") and not getattr(spec, "checkpoint_uri", None):
        return spec.model_copy(update={"checkpoint_uri": f"{output_uri}/checkpoints"})
    return spec


def _distribution(spec: JobSpec) -> dict[str, object] | None:
    """How several processes are started, for the script runtime."""
    kind = getattr(spec, "distribution", None)
    if kind is None:
        return None
    return {"kind": kind, "processes_per_host": getattr(spec, "processes_per_host", None)}


def _calls(payload: TaskPayload, context: JobContext) -> tuple[ApiCall, ...]:
    return find_kind(payload.kind).requests(payload.spec, context)


def _tags(attempt: Attempt, place: Place) -> dict[str, str]:
    ours = {
        "cdao:execution": attempt.execution,
        "cdao:node": attempt.node,
        "cdao:project": attempt.project,
        "cdao:domain": attempt.domain,
        "cdao:task": attempt.task,
    }
    return {**{key: value for key, value in ours.items() if value}, **place.tags}


def _uri(role: ParameterRole, literal: Literal) -> str:
    value = plain_value(role.name, literal)
    if not isinstance(value, str) or not value.startswith("s3://"):
        msg = (
            f"{role.name}={value!r} is the job's {role.channel or role.role} and must be an s3://"
            " URI; a local file goes in through a parameter annotated FlyteFile."
        )
        raise PlanError(msg)
    return value


# --- the job is an algorithm or a service ---------------------------------------------------


def _without_body(
    payload: TaskPayload, inputs: Mapping[str, Literal], context: JobContext
) -> JobContext:
    channels: dict[str, DataSource] = {}
    hyperparameters: dict[str, str] = {}
    environment: dict[str, JsonValue] = {}
    for role in payload.roles:
        literal = inputs[role.name]
        if role.role in ("channel", "input"):
            channels[role.channel or role.name] = role.source(_uri(role, literal))
        elif role.role == "hyperparameter":
            hyperparameters[role.name] = hyperparameter_text(
                cast("JsonValue", plain_value(role.name, literal))
            )
        elif role.role == "hyperparameters":
            hyperparameters.update(_hyperparameters(role.name, literal))
        elif role.role == "environment":
            environment[role.name] = cast("JsonValue", plain_value(role.name, literal))
    return replace(
        context,
        channels=channels,
        hyperparameters=hyperparameters,
        environment=parameter_environment(environment) if environment else {},
    )


def _hyperparameters(name: str, literal: Literal) -> dict[str, str]:
    value = plain_value(name, literal)
    if value is None:
        return {}
    if not isinstance(value, dict):
        msg = f"{name}={value!r} holds hyperparameters and must be a dict of names to values."
        raise PlanError(msg)
    entries = cast("dict[str, JsonValue]", value)
    return {str(key): hyperparameter_text(entry) for key, entry in entries.items()}


# --- the body is the job --------------------------------------------------------------------


def _with_body(
    payload: TaskPayload,
    inputs: Mapping[str, Literal],
    attempt: Attempt,
    place: Place,
    context: JobContext,
    *,
    types: Mapping[str, LiteralType],
    flytekit: FlytekitCall | None,
    secrets: Sequence[Mapping[str, object]],
) -> Submission:
    if uses_flytekit(payload.spec):  # it brings inputs and code by itself
        payload, inputs = replace(payload, roles=(), outputs=(), code_uri=None), {}
    root = _INPUT_ROOT[payload.kind]
    encoder = InputEncoder(root, f"{context.output_uri}/{context.job_name}/manifests")
    encoded = {
        role.name: _encode(encoder, role, inputs[role.name], types.get(role.name))
        for role in payload.roles
    }
    for role in payload.roles:
        if role.instance_groups:  # hosts of other groups get None
            encoded[role.name]["instance_groups"] = list(role.instance_groups)
    job_uri = f"{context.output_uri}/{context.job_name}/job/"
    runtime = RuntimeFiles(
        runtime_uri=f"{place.runtime_uri}/", job_uri=job_uri, code_uri=payload.code_uri
    )
    context = replace(context, runtime=runtime, channels=encoder.channels)
    document = {
        "version": 1,
        "kind": payload.kind,
        "entry": asdict(payload.entry),
        "code": [f"{root}/cdao-code"] if payload.code_uri else [],
        "inputs": encoded,
        "outputs": list(payload.outputs),
        "result_dir": _RESULT_DIR[payload.kind],
        "model_dir": "/opt/ml/model" if payload.kind == "training" else None,
        "handlers": {name: asdict(entry) for name, entry in payload.handlers.items()},
        "job": {
            "name": context.job_name,
            "execution": attempt.execution,
            "node": attempt.node,
            "attempt": attempt.attempt,
        },
        "hyperparameters": getattr(payload.spec, "hyperparameters", {}),
        "distribution": _distribution(payload.spec),
    }
    if secrets:
        document["secrets"] = list(secrets)
    if flytekit is not None:
        document["flytekit"] = asdict(flytekit)
    return Submission(
        job_name=context.job_name,
        copies=[(source, job_uri + path) for source, path in encoder.copies.items()],
        objects={**encoder.objects, f"{job_uri}spec.json": json.dumps(document).encode()},
        calls=_calls(payload, context),
    )


def _encode(
    encoder: InputEncoder, role: ParameterRole, literal: Literal, kind: LiteralType | None
) -> dict[str, object]:
    if role.role != "channel":
        return encoder.encode(role.name, literal, literal_type=kind)
    channel = role.channel or role.name
    scalar = literal.scalar
    if scalar is not None and scalar.primitive is not None:
        # A string that was declared a channel: the body gets the channel's folder.
        uri = _uri(role, literal)
        encoder.channels[channel] = role.source(uri)
        return {"directory": f"{encoder.input_root}/{channel}", "uri": uri}
    return encoder.encode(channel, literal, role.source(""), kind)
