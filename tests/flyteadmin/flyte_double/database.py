"""FlyteAdmin's database: what was registered, executions, and what events made of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from flyteidl.admin import (
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    project_pb2,
    task_execution_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import identifier_pb2
from flyteidl.event import event_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from flyte_double.compiler import Key
from flyte_double.refusals import missing

ExecutionKey = tuple[str, str, str]
NodeKey = tuple[str, str, str, str]
_Workflow, _Node, _Task = phases.WorkflowExecution, phases.NodeExecution, phases.TaskExecution
TERMINAL = {_Workflow.SUCCEEDED, _Workflow.FAILED, _Workflow.TIMED_OUT, _Workflow.ABORTED}
_NODE_TERMINAL = {
    *(_Node.SUCCEEDED, _Node.FAILED, _Node.TIMED_OUT),
    *(_Node.ABORTED, _Node.SKIPPED, _Node.RECOVERED),
}
_TASK_TERMINAL = {_Task.SUCCEEDED, _Task.FAILED, _Task.ABORTED}


def execution_key(identifier: identifier_pb2.WorkflowExecutionIdentifier) -> ExecutionKey:
    return identifier.project, identifier.domain, identifier.name


def node_key(identifier: identifier_pb2.NodeExecutionIdentifier) -> NodeKey:
    return (*execution_key(identifier.execution_id), identifier.node_id)


@dataclass
class ExecutionRow:
    """An execution, and the inputs that lie in the store."""

    proto: execution_pb2.Execution
    inputs_uri: str
    user_inputs_uri: str


@dataclass
class NodeRow:
    """A node execution; `parent`: the unique id of the node that it is inside of."""

    proto: node_execution_pb2.NodeExecution
    parent: str


@dataclass
class TaskRow:
    """A task execution, and the version of its last phase."""

    proto: task_execution_pb2.TaskExecution
    version: int


@dataclass
class Database:
    """All tables. Whoever reads or writes holds the lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    projects: dict[str, project_pb2.Project] = field(default_factory=dict)
    tasks: dict[Key, task_pb2.Task] = field(default_factory=dict)
    workflows: dict[Key, workflow_pb2.Workflow] = field(default_factory=dict)
    launch_plans: dict[Key, launch_plan_pb2.LaunchPlan] = field(default_factory=dict)
    executions: dict[ExecutionKey, ExecutionRow] = field(default_factory=dict)
    nodes: dict[NodeKey, NodeRow] = field(default_factory=dict)
    task_executions: dict[tuple[Any, ...], TaskRow] = field(default_factory=dict)

    def execution(self, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> ExecutionRow:
        found = self.executions.get(execution_key(identifier))
        return found or missing("execution", identifier)

    def node(self, identifier: identifier_pb2.NodeExecutionIdentifier) -> NodeRow:
        return self.nodes.get(node_key(identifier)) or missing("node execution", identifier)

    def task_execution(self, identifier: identifier_pb2.TaskExecutionIdentifier) -> TaskRow:
        found = self.task_executions.get(_task_key(identifier))
        return found or missing("task execution", identifier)

    # --- events ---

    def workflow_event(self, event: event_pb2.WorkflowExecutionEvent) -> bool:
        """Record a phase of an execution; whether that changed anything."""
        with self.lock:
            closure = self.execution(event.execution_id).proto.closure
            if closure.phase == event.phase or closure.phase in TERMINAL:
                return False
            if closure.phase == _Workflow.ABORTING and event.phase not in TERMINAL:
                return False
            closure.phase = event.phase
            closure.updated_at.CopyFrom(event.occurred_at)
            if event.phase == _Workflow.RUNNING:
                closure.started_at.CopyFrom(event.occurred_at)
            elif event.phase in TERMINAL and closure.HasField("started_at"):
                _set_duration(closure, event.occurred_at)
            if event.output_uri:
                closure.outputs.uri = event.output_uri
            elif event.HasField("error"):
                closure.error.CopyFrom(event.error)
            return True

    def node_event(self, event: event_pb2.NodeExecutionEvent) -> bool:
        """Record a phase of a node; whether that changed anything."""
        with self.lock:
            row = self.nodes.get(node_key(event.id))
            if row is None:
                proto = node_execution_pb2.NodeExecution(id=event.id)
                proto.closure.created_at.CopyFrom(event.occurred_at)
                proto.metadata.retry_group = event.retry_group
                proto.metadata.spec_node_id = event.spec_node_id
                row = NodeRow(proto, event.parent_node_metadata.node_id)
                self.nodes[node_key(event.id)] = row
                parent = self.nodes.get((*execution_key(event.id.execution_id), row.parent))
                if parent is not None:
                    parent.proto.metadata.is_parent_node = True
            elif row.proto.closure.phase in {event.phase, *_NODE_TERMINAL}:
                return False
            _apply_node(row.proto, event)
            return True

    def task_event(self, event: event_pb2.TaskExecutionEvent) -> bool:
        """Record a phase of a task execution; whether that changed anything."""
        identifier = identifier_pb2.TaskExecutionIdentifier(
            task_id=event.task_id,
            node_execution_id=event.parent_node_execution_id,
            retry_attempt=event.retry_attempt,
        )
        with self.lock:
            row = self.task_executions.get(_task_key(identifier))
            created = row is None
            if row is None:
                proto = task_execution_pb2.TaskExecution(id=identifier, input_uri=event.input_uri)
                proto.closure.created_at.CopyFrom(event.occurred_at)
                proto.closure.task_type = event.task_type
                row = TaskRow(proto, event.phase_version)
                self.task_executions[_task_key(identifier)] = row
            else:
                phase = row.proto.closure.phase
                # A version that is not higher says nothing new of the same phase.
                if phase == event.phase and row.version >= event.phase_version:
                    return False
                if phase in _TASK_TERMINAL:
                    return False
            row.version = event.phase_version
            _apply_task(row.proto, event, created=created)
            return True


def _task_key(identifier: identifier_pb2.TaskExecutionIdentifier) -> tuple[Any, ...]:
    task = identifier.task_id
    return (
        *node_key(identifier.node_execution_id),
        *(task.project, task.domain, task.name, task.version),
        identifier.retry_attempt,
    )


def _set_duration(closure: Any, ended: Any) -> None:
    span = ended.ToNanoseconds() - closure.started_at.ToNanoseconds()
    closure.duration.FromNanoseconds(max(span, 0))


def _apply_node(
    proto: node_execution_pb2.NodeExecution, event: event_pb2.NodeExecutionEvent
) -> None:
    closure = proto.closure
    closure.phase = event.phase
    closure.updated_at.CopyFrom(event.occurred_at)
    proto.input_uri = proto.input_uri or event.input_uri
    proto.metadata.is_parent_node |= event.is_parent
    proto.metadata.is_array |= event.is_array
    if event.phase == _Node.RUNNING:
        closure.started_at.CopyFrom(event.occurred_at)
    if event.phase in _NODE_TERMINAL:
        if closure.HasField("started_at"):
            _set_duration(closure, event.occurred_at)
        if event.output_uri:
            closure.output_uri = event.output_uri
        elif event.HasField("error"):
            closure.error.CopyFrom(event.error)
        closure.deck_uri = event.deck_uri
    if event.HasField("workflow_node_metadata"):
        launched = event.workflow_node_metadata.execution_id
        closure.workflow_node_metadata.execution_id.CopyFrom(launched)
    if event.HasField("task_node_metadata"):
        closure.task_node_metadata.checkpoint_uri = event.task_node_metadata.checkpoint_uri
        closure.task_node_metadata.cache_status = event.task_node_metadata.cache_status


def _apply_task(
    proto: task_execution_pb2.TaskExecution, event: event_pb2.TaskExecutionEvent, *, created: bool
) -> None:
    closure, is_new_phase = proto.closure, proto.closure.phase != event.phase
    closure.phase = event.phase
    closure.updated_at.CopyFrom(event.reported_at)
    closure.event_version = event.event_version
    logs = event.logs
    if not created:
        logs = _visible(_merged_logs(closure.logs, event.logs), event.phase)
    kept = list(logs)
    del closure.logs[:]
    closure.logs.extend(kept)
    for reason in event.reasons:
        closure.reasons.add(occurred_at=reason.occurred_at, message=reason.reason)
        closure.reason = reason.reason
    if event.HasField("custom_info"):
        merged = {**MessageToDict(closure.custom_info), **MessageToDict(event.custom_info)}
        ParseDict(merged, closure.custom_info)
    if event.phase == _Task.RUNNING and is_new_phase:
        closure.started_at.CopyFrom(event.occurred_at)
    if event.phase in _TASK_TERMINAL:
        if closure.HasField("started_at"):
            _set_duration(closure, event.occurred_at)
        if event.output_uri:
            closure.output_uri = event.output_uri
        elif event.HasField("error"):
            closure.error.CopyFrom(event.error)
    _merge_metadata(closure.metadata, event.metadata)


def _merge_metadata(kept: Any, latest: Any) -> None:
    resources = {(item.index, item.retry_attempt): item for item in kept.external_resources}
    for item in latest.external_resources:
        resources[item.index, item.retry_attempt] = item
    ordered = [resources[key] for key in sorted(resources)]
    merged = event_pb2.TaskExecutionMetadata(external_resources=ordered)
    for name in ("generated_name", "plugin_identifier", "instance_class"):
        setattr(merged, name, getattr(latest, name) or getattr(kept, name))
    kept.CopyFrom(merged)


def _merged_logs(kept: Any, latest: Any) -> list[phases.TaskLog]:
    if not latest:
        return list(kept)
    uris, names = {log.uri for log in latest}, {log.name for log in latest if log.name}
    old = [log for log in kept if log.uri not in uris and log.name not in names]
    return [*latest, *old]


def _visible(logs: list[phases.TaskLog], phase: int) -> list[phases.TaskLog]:
    """FlyteAdmin hides links before and after the run that do not ask to be seen then."""
    if phase in _TASK_TERMINAL:
        return [log for log in logs if not log.HideOnceFinished]
    if phase in (_Task.QUEUED, _Task.INITIALIZING):
        return [log for log in logs if log.ShowWhilePending]
    return logs
