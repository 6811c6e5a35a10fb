"""What Propeller keeps of an execution: the part of its FlyteWorkflow resource that matters here.

A round works on a copy; the copy is kept when the round is over. A Propeller that dies in a round
loses all of it, as with etcd.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core import execution_pb2, identifier_pb2, literals_pb2, tasks_pb2, workflow_pb2

from flyte_double.compiler import Key, upstream
from flyte_double.names import joined

Error = execution_pb2.ExecutionError


class Phase(enum.Enum):
    """A node's phase."""

    NOT_STARTED = enum.auto()
    QUEUED = enum.auto()
    RUNNING = enum.auto()
    SUCCEEDING = enum.auto()
    FAILING = enum.auto()
    RETRYABLE = enum.auto()
    TIMING_OUT = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    TIMED_OUT = enum.auto()
    SKIPPED = enum.auto()
    RECOVERED = enum.auto()


DONE = {Phase.SUCCEEDED, Phase.RECOVERED}
OVER = DONE | {Phase.FAILED, Phase.TIMED_OUT, Phase.SKIPPED}


class Plugin(enum.Enum):
    """A task's phase, as its plugin reports it."""

    UNDEFINED = execution_pb2.TaskExecution.UNDEFINED
    QUEUED = execution_pb2.TaskExecution.QUEUED
    WAITING = execution_pb2.TaskExecution.WAITING_FOR_RESOURCES
    INITIALIZING = execution_pb2.TaskExecution.INITIALIZING
    RUNNING = execution_pb2.TaskExecution.RUNNING
    SUCCESS = execution_pb2.TaskExecution.SUCCEEDED
    PERMANENT = execution_pb2.TaskExecution.FAILED
    RETRYABLE = execution_pb2.TaskExecution.RETRYABLE_FAILED

    @property
    def is_terminal(self) -> bool:
        return self in (Plugin.SUCCESS, Plugin.PERMANENT, Plugin.RETRYABLE)


@dataclass
class PhaseInfo:
    """What a plugin says of a task in one round."""

    phase: Plugin
    version: int = 0
    reason: str = ""
    error: Error | None = None
    logs: Any = ()
    custom_info: Any = None


@dataclass
class TaskStatus:
    """The task handler's state: the phase that was seen last, and the plugin's own state."""

    phase: Plugin = Plugin.UNDEFINED
    version: int = 0
    plugin_state: Any = None


@dataclass
class NodeStatus:
    """The state of a node; `children`: of the nodes inside of it."""

    phase: Phase = Phase.NOT_STARTED
    attempts: int = 0
    system_failures: int = 0
    queued_at: float = 0
    attempt_started_at: float = 0
    message: str = ""
    error: Error | None = None
    task: TaskStatus = field(default_factory=TaskStatus)
    branch: str = ""
    failing: bool = False
    children: dict[str, NodeStatus] = field(default_factory=dict)
    resources: dict[tuple[int, int], Any] = field(default_factory=dict)

    def next_attempt(self) -> None:
        self.attempts += 1
        self.phase, self.message = Phase.RUNNING, "retrying"
        self.attempt_started_at = 0
        self.task, self.branch, self.failing = TaskStatus(), "", False
        self.children, self.resources = {}, {}


@dataclass
class WorkflowStatus:
    """The state of an execution."""

    phase: str = "READY"
    failed_attempts: int = 0
    message: str = ""
    error: Error | None = None
    nodes: dict[str, NodeStatus] = field(default_factory=dict)


@dataclass
class Resource:
    """A FlyteWorkflow resource."""

    id: identifier_pb2.WorkflowExecutionIdentifier
    workflow_name: str
    template: workflow_pb2.WorkflowTemplate
    sub_workflows: dict[Key, workflow_pb2.WorkflowTemplate]
    tasks: dict[Key, tasks_pb2.TaskTemplate]
    inputs: literals_pb2.LiteralMap
    labels: dict[str, str]
    annotations: dict[str, str]
    environment: dict[str, str]
    service_account: str
    identity: Any
    interruptible: bool
    overwrite_cache: bool
    raw_output_prefix: str
    recovers: identifier_pb2.WorkflowExecutionIdentifier | None
    status: WorkflowStatus = field(default_factory=WorkflowStatus)
    is_deleted: bool = False

    @property
    def is_over(self) -> bool:
        return self.status.phase in ("SUCCESS", "FAILED", "ABORTED")


@dataclass(frozen=True)
class Parent:
    """The node that others are inside of."""

    unique_id: str
    attempt: int


@dataclass(frozen=True)
class Scope:
    """The nodes of one workflow or subworkflow in an execution."""

    resource: Resource
    template: workflow_pb2.WorkflowTemplate
    statuses: dict[str, NodeStatus]
    folder: str
    parent: Parent | None
    dirty: set[str] = field(default_factory=set)

    def status(self, node_id: str) -> NodeStatus:
        return self.statuses.setdefault(node_id, NodeStatus())

    @property
    def edges(self) -> dict[str, list[str]]:
        return upstream(self.template)

    def node(self, node_id: str) -> workflow_pb2.Node:
        return next(node for node in self.template.nodes if node.id == node_id)

    def data_dir(self, node_id: str) -> str:
        data = "" if self.parent else "/data"
        return f"{self.folder}/{node_id}{data}"

    def output_dir(self, node_id: str) -> str:
        return f"{self.data_dir(node_id)}/{self.status(node_id).attempts}"


@dataclass
class Context:
    """One node in one round.

    `record`: where its events go, if not to FlyteAdmin (subnodes of a map task).
    """

    scope: Scope
    node: workflow_pb2.Node
    status: NodeStatus
    data_dir: str
    parent: Parent | None
    output_base: str = ""
    inputs_at: str = ""
    given_inputs: literals_pb2.LiteralMap | None = None
    template: tasks_pb2.TaskTemplate | None = None
    environment: dict[str, str] = field(default_factory=dict)
    record: Any = None

    @property
    def resource(self) -> Resource:
        return self.scope.resource

    @property
    def output_dir(self) -> str:
        return f"{self.output_base or self.data_dir}/{self.status.attempts}"

    @property
    def inputs_uri(self) -> str:
        return self.inputs_at or f"{self.data_dir}/inputs.pb"

    @property
    def unique_id(self) -> str:
        if self.parent is None:
            return joined(20, self.node.id)
        return joined(20, self.parent.unique_id, str(self.parent.attempt), self.node.id)

    @property
    def generated_name(self) -> str:
        return joined(50, self.resource.id.name, self.unique_id, str(self.status.attempts))

    @property
    def as_parent(self) -> Parent:
        return Parent(self.unique_id, self.status.attempts)

    @property
    def max_attempts(self) -> int:
        retries = self.node.metadata.retries.retries
        if not retries and self.template is not None:
            retries = self.template.metadata.retries.retries
        return int(retries) + 1

    @property
    def interruptible(self) -> bool:
        # v1.16.8 drops it once there were as many system failures as the node may have.
        own = self.node.metadata
        says = own.HasField("interruptible")
        wanted = own.interruptible if says else self.resource.interruptible
        return bool(wanted) and self.status.system_failures < 3


def context(scope: Scope, node: workflow_pb2.Node) -> Context:
    """The context of a node that stands directly in the workflow of a scope."""
    return Context(
        scope=scope,
        node=node,
        status=scope.status(node.id),
        data_dir=scope.data_dir(node.id),
        parent=scope.parent,
        template=task_template(scope.resource, node),
    )


def task_template(resource: Resource, node: workflow_pb2.Node) -> tasks_pb2.TaskTemplate | None:
    ref = node.task_node.reference_id
    return resource.tasks.get((ref.project, ref.domain, ref.name, ref.version))


def user_error(code: str, message: str) -> Error:
    return Error(code=code, message=message, kind=Error.USER)


def system_error(code: str, message: str) -> Error:
    return Error(code=code, message=message, kind=Error.SYSTEM)
