"""What asks for a job: template, inputs, and which attempt of which node they are for.

The connector keeps it in S3 until SageMaker has taken the job, so that any replica can send it, as
often as it takes, and Propeller need not remember more than where it is.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from flyteidl.admin.agent_pb2 import CreateTaskRequest
from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate
from google.protobuf.message import DecodeError

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.submission import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.models.core.identifier import WorkflowExecutionIdentifier
    from flytekit.models.literals import Literal

__all__ = ["TaskRequest"]


def _node_path(output_prefix: str, execution: WorkflowExecutionIdentifier) -> str:
    """The node's id within the whole execution, such as ``n1-0-n0``; empty if nothing says it.

    Propeller 1.16.8 sends the id within the subworkflow, which the same subworkflow has as often as
    it is called. Where outputs go is told apart: ``<project>-<domain>-<execution>/n1/data/0/n0/0``.
    """
    folder = f"/{execution.project}-{execution.domain}-{execution.name}/"
    _, found, path = output_prefix.partition(folder)
    parts = path.strip("/").split("/")
    if not found or "data" not in parts:
        return ""
    return "-".join(part for part in parts[:-1] if part != "data")


def _kept(message: CreateTaskRequest) -> CreateTaskRequest:
    """What is kept of a message, and no more: a newer Flyte may send secrets beside it."""
    kept = CreateTaskRequest(template=message.template, output_prefix=message.output_prefix)
    if message.HasField("inputs"):
        kept.inputs.CopyFrom(message.inputs)
    if message.HasField("task_execution_metadata"):
        kept.task_execution_metadata.CopyFrom(message.task_execution_metadata)
    return kept


@dataclass(frozen=True)
class TaskRequest:
    """A request for one job, as Propeller makes it.

    Attributes:
        template: The task's template.
        output_prefix: Where Flyte expects outputs and deck; empty in a run in this process.
        inputs: The task's inputs.
        metadata: Which attempt of which node of which execution it is for.
        message: The message that all this was read from, if there was one.
    """

    template: TaskTemplate
    output_prefix: str
    inputs: LiteralMap | None = None
    metadata: TaskExecutionMetadata | None = None
    message: CreateTaskRequest | None = field(default=None, repr=False, compare=False)

    @property
    def literals(self) -> Mapping[str, Literal]:
        """The inputs by name."""
        return self.inputs.literals if self.inputs is not None else {}

    @property
    def attempt(self) -> Attempt:
        """Which try of which node it is.

        Raises:
            PlanError: It does not say so, nor where its outputs go.
        """
        task = self.template.id.name if self.template.id else ""
        identifier = self.metadata.task_execution_id if self.metadata else None
        # Without metadata flytekit's service hands on one that is there, but empty.
        if identifier is None or not identifier.node_execution_id.execution_id.name:
            if not self.output_prefix:
                msg = (
                    "The request names neither an execution nor an output prefix; it has no"
                    " identity."
                )
                raise PlanError(msg)
            digest = hashlib.sha256(self.output_prefix.encode()).hexdigest()[:20]
            return Attempt(execution=f"x{digest}", node="n0", attempt=0, task=task)
        node = identifier.node_execution_id
        execution = node.execution_id
        return Attempt(
            execution=execution.name,
            node=_node_path(self.output_prefix, execution) or node.node_id,
            attempt=identifier.retry_attempt,
            project=execution.project,
            domain=execution.domain,
            task=task,
        )

    def to_bytes(self) -> bytes:
        """The request as Flyte's own message; the same bytes for the same request."""
        if self.message is not None:
            return _kept(self.message).SerializeToString(deterministic=True)
        message = CreateTaskRequest(
            template=self.template.to_flyte_idl(), output_prefix=self.output_prefix
        )
        if self.inputs is not None:
            message.inputs.CopyFrom(self.inputs.to_flyte_idl())
        if self.metadata is not None:
            metadata = message.task_execution_metadata
            metadata.CopyFrom(self.metadata.to_flyte_idl())
            said = getattr(self.metadata, "interruptible", None)
            if said is not None:  # flytekit's class drops it; see keep_interruptible
                cast("Any", metadata).interruptible = said
                metadata.max_attempts = max(metadata.max_attempts, 1)
        return message.SerializeToString(deterministic=True)

    @classmethod
    def from_bytes(cls, content: bytes) -> TaskRequest:
        """Read what ``to_bytes`` wrote.

        Raises:
            PlanError: It is not that.
        """
        try:
            message = CreateTaskRequest.FromString(content)
        except DecodeError as error:
            msg = f"The stored request cannot be read: {error}"
            raise PlanError(msg) from error
        has_metadata = message.HasField("task_execution_metadata")
        return cls(
            template=TaskTemplate.from_flyte_idl(message.template),
            output_prefix=message.output_prefix,
            inputs=LiteralMap.from_flyte_idl(message.inputs),
            metadata=TaskExecutionMetadata.from_flyte_idl(message.task_execution_metadata)
            if has_metadata
            else None,
        )
