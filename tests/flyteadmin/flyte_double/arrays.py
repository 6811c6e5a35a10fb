"""Array nodes: map tasks, one subnode an element."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flyteidl.core import literals_pb2, tasks_pb2
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.core.workflow_pb2 import Node
from flyteidl.event import event_pb2

from flyte_double.connector_plugin import ConnectorPlugin
from flyte_double.names import joined, now
from flyte_double.nodes import NodeExecutor
from flyte_double.state import (
    OVER,
    Context,
    Error,
    NodeStatus,
    Phase,
    task_template,
    user_error,
)
from flyte_double.tasks import RUNNING, Result

_PLUGIN_STATE = (
    "[{index}]: failed at Node[n{index}]. RuntimeExecutionError:"
    " failed during plugin execution, caused by: failed to execute handle for plugin"
    " [connector-service]: [CorruptedPluginState] Failed to unmarshal custom state in Handle,"
    " caused by: gob: wrong type (webapi.Phase) for received field PluginState.Phase"
)


@dataclass
class Arrays:
    """The handler of array nodes.

    Attributes:
        keeps_plugin_state: v1.16.8 does not keep the state of a subnode's plugin: it gives each
            the state of a Kubernetes plugin, which the connector plugin cannot read. So a map task
            of a connector's task fails there; with this it works as it would with its state.
    """

    executor: NodeExecutor
    keeps_plugin_state: bool

    def install(self) -> None:
        self.executor.handlers["array_node"] = self.handle
        self.executor.aborts["array_node"] = self.abort

    async def handle(self, ctx: Context) -> Result:
        inputs = self.executor.blobs.read(ctx.inputs_uri, literals_pb2.LiteralMap())
        size = _size(ctx.node, inputs)
        if isinstance(size, Error):
            return Result("FAILED", size)
        children = [self._child(ctx, inputs, index) for index in range(size)]
        if not ctx.status.resources:
            for child, index in children:
                self._note(ctx, index, child.status.attempts, TaskExecution.UNDEFINED)
            self._send(ctx, TaskExecution.QUEUED)
            return RUNNING
        await self._advance(ctx, children)
        phases = [child.status.phase for child, _ in children]
        failed = [phase in (Phase.FAILED, Phase.TIMED_OUT) for phase in phases]
        if size - sum(failed) < _needed(ctx.node, size):
            await self.abort(ctx, "ArrayNodeFailing", TaskExecution.FAILED)
            lines = [
                f"[{index}]: {_message(child)}" for child, index in children if _message(child)
            ]
            return Result("FAILED", Error(message="\n".join(lines)))
        if any(phase not in OVER for phase in phases):
            return RUNNING
        uri = self._gather(ctx, children)
        self._send(ctx, TaskExecution.SUCCEEDED, uri)
        return Result("SUCCESS", outputs_uri=uri)

    async def _advance(self, ctx: Context, children: list[tuple[Context, int]]) -> None:
        limit = ctx.node.array_node.parallelism or len(children)
        waiting = [pair for pair in children if pair[0].status.phase not in OVER]
        seen = dict(ctx.status.resources)
        self._check_plugin_state(waiting[:limit])
        for child, _ in waiting[:limit]:
            await self.executor.step(child, [])
        if seen != ctx.status.resources:
            self._send(ctx, TaskExecution.RUNNING)

    def _check_plugin_state(self, children: list[tuple[Context, int]]) -> None:
        lost = [
            _PLUGIN_STATE.format(index=index)
            for child, index in children
            if not self.keeps_plugin_state
            and child.status.phase in (Phase.QUEUED, Phase.RUNNING)
            and isinstance(self.executor.tasks.plugin(child), ConnectorPlugin)
        ]
        if lost:
            raise RuntimeError("worker error(s) encountered: " + "\n".join(lost))

    def _child(
        self, ctx: Context, inputs: literals_pb2.LiteralMap, index: int
    ) -> tuple[Context, int]:
        array = ctx.node.array_node
        node = Node()
        node.CopyFrom(array.node)
        node.id = node.metadata.name = f"n{index}"
        del node.inputs[:]
        own = literals_pb2.LiteralMap()
        for name, literal in inputs.literals.items():
            is_bound = name in array.bound_inputs or not literal.HasField("collection")
            own.literals[name].CopyFrom(literal if is_bound else literal.collection.literals[index])

        def record(event: event_pb2.TaskExecutionEvent) -> None:
            for log in event.logs:
                log.name = f"{log.name}-{index}"
            self._note(ctx, index, event.retry_attempt, event.phase, event)

        child = Context(
            scope=ctx.scope,
            node=node,
            status=ctx.status.children.setdefault(node.id, NodeStatus()),
            data_dir=f"{ctx.data_dir}/{index}",
            parent=ctx.as_parent,
            output_base=f"{ctx.output_dir}/{index}",
            inputs_at=ctx.inputs_uri,
            given_inputs=own,
            template=_singular(task_template(ctx.resource, node)),
            environment={
                "BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX",
                "FLYTE_K8S_ARRAY_INDEX": str(index),
            },
            record=record,
        )
        return child, index

    def _note(self, ctx: Context, index: int, attempt: int, phase: Any, event: Any = None) -> None:
        name = joined(50, ctx.resource.id.name, ctx.unique_id, str(ctx.status.attempts))
        resource = event_pb2.ExternalResourceInfo(
            external_id=f"{name}-n{index}-{attempt}",
            index=index,
            retry_attempt=attempt,
            phase=phase,
            logs=event.logs if event else (),
        )
        if event is not None and event.HasField("custom_info"):
            resource.custom_info.CopyFrom(event.custom_info)
        ctx.status.resources[index, attempt] = resource

    def _send(self, ctx: Context, phase: Any, outputs_uri: str = "") -> None:
        template = task_template(ctx.resource, ctx.node.array_node.node)
        event = event_pb2.TaskExecutionEvent(
            task_id=template.id if template else None,
            phase=phase,
            occurred_at=now(),
            reported_at=now(),
            task_type="container_array",
            input_uri=ctx.inputs_uri,
            event_version=1,
        )
        # Of the same phase only a higher version is heard, so each change has one.
        event.phase_version = ctx.status.task.version = ctx.status.task.version + 1
        event.parent_node_execution_id.execution_id.CopyFrom(ctx.resource.id)
        event.parent_node_execution_id.node_id = ctx.unique_id
        event.metadata.external_resources.extend(ctx.status.resources.values())
        event.metadata.plugin_identifier = "k8s-array"
        if outputs_uri:
            event.output_uri = outputs_uri
        if phase == TaskExecution.FAILED:
            failures = [child.error for child in ctx.status.children.values() if child.error]
            event.error.message = failures[0].message if failures else ""
        self.executor.tasks.record(event)

    def _gather(self, ctx: Context, children: list[tuple[Context, int]]) -> str:
        template = task_template(ctx.resource, ctx.node.array_node.node)
        names = list(template.interface.outputs.variables) if template else []
        outputs = literals_pb2.LiteralMap()
        for name in names:
            outputs.literals[name].collection.SetInParent()
        for child, _ in children:
            own = literals_pb2.LiteralMap()
            if child.status.phase is Phase.SUCCEEDED:
                self.executor.blobs.read(f"{child.output_dir}/outputs.pb", own)
            for name in names:
                literal = own.literals[name]
                if literal.WhichOneof("value") is None:
                    literal.scalar.none_type.SetInParent()
                outputs.literals[name].collection.literals.append(literal)
        return self.executor.blobs.write(f"{ctx.output_dir}/outputs.pb", outputs)

    async def abort(self, ctx: Context, reason: str, phase: Any = TaskExecution.ABORTED) -> None:
        inputs = self.executor.blobs.read(ctx.inputs_uri, literals_pb2.LiteralMap())
        children = [self._child(ctx, inputs, index) for index in range(len(ctx.status.children))]
        self._check_plugin_state(children)
        for child, _ in children:
            if child.status.phase not in OVER | {Phase.NOT_STARTED}:
                await self.executor.abort_node(child, reason, is_final=False)
        self._send(ctx, phase)


def _size(node: Node, inputs: literals_pb2.LiteralMap) -> int | Error:
    bound = node.array_node.bound_inputs
    sizes = [
        len(literal.collection.literals)
        for name, literal in inputs.literals.items()
        if name not in bound and literal.HasField("collection")
    ]
    if not sizes:
        return user_error("InvalidArrayLength", "no input array provided")
    for size in sizes:
        if size != sizes[0]:
            text = f"input arrays have different lengths: expecting '{sizes[0]}' found '{size}'"
            return user_error("InvalidArrayLength", text)
    return sizes[0]


def _needed(node: Node, size: int) -> int:
    kind = node.array_node.WhichOneof("success_criteria")
    if kind == "min_successes":
        return int(node.array_node.min_successes)
    if kind == "min_success_ratio":
        return math.ceil(node.array_node.min_success_ratio * size)
    return size


def _message(child: Context) -> str:
    return child.status.error.message if child.status.error else ""


def _singular(template: tasks_pb2.TaskTemplate | None) -> tasks_pb2.TaskTemplate | None:
    """The task as a subnode sees it: an element where the map task has a list."""
    if template is None:
        return None
    own = tasks_pb2.TaskTemplate()
    own.CopyFrom(template)
    for variable in own.interface.outputs.variables.values():
        if variable.type.HasField("collection_type"):
            inner = variable.type.collection_type
            kept = type(inner)()
            kept.CopyFrom(inner)
            variable.type.CopyFrom(kept)
    return own
