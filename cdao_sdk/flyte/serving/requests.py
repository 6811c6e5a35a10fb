"""What comes from outside, read with suspicion: kinds, limits, and no pickle."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.serving.call_facts import add_facts
from cdao_sdk.flyte.serving.statuses import BadRequest, UnknownTaskType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyteidl.admin.agent_pb2 import CreateTaskRequest, TaskCategory

    from cdao_sdk.flyte.connector import SageMakerConnector
    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.kinds.job import JobKind

__all__ = ["CreateCall", "Served", "create_call", "meta_of"]

# What cdao-sdk writes has a few KB; what is far beyond is not ours.
_LONGEST_CUSTOM = 1024 * 1024
_LONGEST_META = 1024 * 1024
_LONGEST_URI = 2_048
_READ_IN_THREAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Served:
    """One kind of job, and the connector that serves it."""

    kind: JobKind[Any]
    connector: SageMakerConnector


@dataclass(frozen=True)
class CreateCall:
    """A CreateTask request in flytekit's own models."""

    served: Served
    template: TaskTemplate
    inputs: LiteralMap | None
    output_prefix: str
    metadata: TaskExecutionMetadata


class AboutTask(Protocol):
    """What GetTask, DeleteTask and GetTaskLogs have in common."""

    task_type: str
    task_category: TaskCategory
    resource_meta: bytes


def find_served(connectors: Mapping[tuple[str, int], Served], name: str, version: int) -> Served:
    """The connector for a task type.

    Raises:
        UnknownTaskType: There is none.
    """
    found = connectors.get((name, version))
    if found is None:
        known = ", ".join(sorted({name for name, _ in connectors}))
        msg = f"No connector for task type {name!r:.100} of version {version}; there are {known}."
        raise UnknownTaskType(msg)
    add_facts(task_type=name)
    return found


async def create_call(
    connectors: Mapping[tuple[str, int], Served], request: CreateTaskRequest
) -> CreateCall:
    """Read a CreateTask request.

    Raises:
        UnknownTaskType: The task type is not ours.
        BadRequest: It cannot be read, or is beyond the limits.
    """
    template = request.template
    served = find_served(connectors, template.type, template.task_type_version)
    _add_identity(request)
    size = template.custom.ByteSize()
    if size > _LONGEST_CUSTOM:
        msg = f"The template's custom has {size} bytes; at most {_LONGEST_CUSTOM} are read."
        raise BadRequest(msg)
    if len(request.output_prefix) > _LONGEST_URI:
        msg = f"The output prefix has {len(request.output_prefix)} characters, over {_LONGEST_URI}."
        raise BadRequest(msg)

    def read() -> CreateCall:
        return CreateCall(
            served=served,
            template=TaskTemplate.from_flyte_idl(template),
            inputs=LiteralMap.from_flyte_idl(request.inputs) if request.inputs else None,
            output_prefix=request.output_prefix,
            metadata=TaskExecutionMetadata.from_flyte_idl(request.task_execution_metadata),
        )

    call = await _guarded(read, request.ByteSize())
    custom = cast("object", call.template.custom)
    given = cast("Mapping[str, object]", custom).get("kind") if isinstance(custom, dict) else None
    if isinstance(given, str) and given != served.kind.name:
        msg = f"The task is a {given!r:.50} job, but its type is {served.kind.task_type!r}."
        raise BadRequest(msg)
    return call


def meta_of(
    connectors: Mapping[tuple[str, int], Served], request: AboutTask
) -> tuple[Served, JobMeta]:
    """The connector and the meta that a request names.

    Raises:
        UnknownTaskType: The task type is not ours.
        BadRequest: The meta is not what this connector writes.
    """
    category = request.task_category
    # Propeller sends both; older ones the deprecated name alone.
    name = category.name or request.task_type
    served = find_served(connectors, name, category.version)
    size = len(request.resource_meta)
    if size > _LONGEST_META:
        msg = f"The resource meta has {size} bytes; at most {_LONGEST_META} are read."
        raise BadRequest(msg)
    try:
        meta: JobMeta = served.connector.metadata_type.decode(request.resource_meta)
    except ConfigurationError as error:
        raise BadRequest(str(error)) from error
    add_facts(job_name=meta.job_name)
    if meta.kind != served.kind.name:
        msg = f"The resource meta is of a {meta.kind!r:.50} job; the call is for {name!r}."
        raise BadRequest(msg)
    return served, meta


def _add_identity(request: CreateTaskRequest) -> None:
    identifier = request.task_execution_metadata.task_execution_id
    add_facts(
        execution=identifier.node_execution_id.execution_id.name,
        node=identifier.node_execution_id.node_id,
        attempt=identifier.retry_attempt,
    )


async def _guarded(read: Callable[[], CreateCall], size: int) -> CreateCall:
    """Run flytekit's own reading, which trusts what it reads."""
    try:
        if size > _READ_IN_THREAD_BYTES:
            return await asyncio.to_thread(read)
        return read()
    except Exception as error:  # whatever it is: the request is not one of Flyte's
        msg = f"The request cannot be read: {type(error).__name__}: {error!s:.300}"
        raise BadRequest(msg) from error
