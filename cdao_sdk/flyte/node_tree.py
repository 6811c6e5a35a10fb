"""The nodes of an execution on a cluster, as FlyteAdmin tells of them: values, frozen."""

# flyteidl and flytekit ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from flyteidl.admin import common_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import catalog_pb2, execution_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin
from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cdao_sdk.flyte.remote import Cluster

__all__ = ["LogLink", "NodeExecution", "TaskAttempt", "read_nodes", "walk"]

_PAGE = 100
_CALLS_AT_ONCE = 8
# Subworkflows inside subworkflows, and executions started by executions.
_DEEPEST = 20
_ENDS = frozenset({"start-node", "end-node"})
_CONNECTORS_PREFIX = "failed to run the job: "  # flytekit's, before the connector's own words


@dataclass(frozen=True)
class LogLink:
    """A page with logs, or about the job.

    Attributes:
        name: What it is called in Flyte's console.
        uri: Where it is.
    """

    name: str
    uri: str


@dataclass(frozen=True)
class TaskAttempt:
    """One try of a task, or of one element of a map.

    Attributes:
        number: Which, from 0.
        phase: Flyte's word, such as ``"RUNNING"`` or ``"WAITING_FOR_RESOURCES"``.
        task: The task's name.
        task_type: Such as ``"sagemaker_training"`` or ``"python-task"``.
        message: Why it is in this phase.
        error: Why it failed; empty otherwise.
        logs: Links to logs.
        custom_info: What the connector tells: the job's name, ARN, instance, seconds and so on.
        index: Which element of a map; None for a task of its own.
        elements: The elements of a map.
    """

    number: int
    phase: str
    task: str = ""
    task_type: str = ""
    message: str = ""
    error: str = ""
    logs: tuple[LogLink, ...] = ()
    custom_info: Mapping[str, object] = field(default_factory=dict[str, object])
    index: int | None = None
    elements: tuple[TaskAttempt, ...] = ()

    @property
    def job_name(self) -> str:
        """The SageMaker job's name; empty if it is none, or not known yet."""
        return str(self.custom_info.get("job_name", ""))


@dataclass(frozen=True)
class NodeExecution:
    """One node.

    Attributes:
        id: Its id in the execution.
        phase: Flyte's word, such as ``"QUEUED"``, ``"RUNNING"`` or ``"SUCCEEDED"``.
        task: Name of the task that it runs; empty for a subworkflow or a branch.
        attempts: The tries of that task, in order.
        error: Why it failed; empty otherwise.
        children: Nodes inside of it: of a subworkflow, a branch, a dynamic task or a launch plan.
        is_cached: Whether its result came from Flyte's cache.
        deck_uri: Where its deck lies; empty if it has none.
        started: When it began, in UTC.
        duration_seconds: How long it took; None before its end.
        execution_id: The execution that it has started; empty if none.
    """

    id: str
    phase: str
    task: str = ""
    attempts: tuple[TaskAttempt, ...] = ()
    error: str = ""
    children: tuple[NodeExecution, ...] = ()
    is_cached: bool = False
    deck_uri: str = ""
    started: datetime | None = None
    duration_seconds: float | None = None
    execution_id: str = ""

    @property
    def logs(self) -> tuple[LogLink, ...]:
        """Log links of its last attempt."""
        return self.attempts[-1].logs if self.attempts else ()

    @property
    def custom_info(self) -> Mapping[str, object]:
        """What the connector tells of its last attempt."""
        return self.attempts[-1].custom_info if self.attempts else {}

    @property
    def is_failed(self) -> bool:
        """Whether it failed, by itself or by what is in it."""
        return self.phase in ("FAILED", "TIMED_OUT")


def walk(nodes: Iterable[NodeExecution]) -> Iterator[NodeExecution]:
    """Every node, those inside others after these."""
    for node in nodes:
        yield node
        yield from walk(node.children)


def read_nodes(cluster: Cluster, execution: Any, *, attempts: bool = True) -> list[NodeExecution]:
    """The nodes of an execution now, in the order of their creation.

    Args:
        cluster: Where it runs.
        execution: Its identifier, as a message.
        attempts: Whether to ask for each task's attempts, too: a call a node.
    """
    with ThreadPoolExecutor(_CALLS_AT_ONCE, "cdao-nodes") as pool:
        return _Reader(cluster, pool, attempts=attempts).nodes(execution)


class _Reader:
    def __init__(self, cluster: Cluster, pool: ThreadPoolExecutor, *, attempts: bool) -> None:
        self._cluster = cluster
        self._pool = pool
        self._attempts = attempts

    def nodes(self, execution: Any, parent: str = "", depth: int = 0) -> list[NodeExecution]:
        """Nodes of one level; attempts are asked for together, levels one after the other."""
        sort = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING)
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=execution, limit=_PAGE, unique_parent_id=parent, sort_by=sort
        )
        found = [
            message
            for message in self._pages(
                Admin.list_node_executions_paginated, request, "node_executions"
            )
            if message.id.node_id not in _ENDS and message.metadata.spec_node_id not in _ENDS
        ]
        tries = list(self._each(self._attempts_of, found))
        return [
            self._node(message, attempts, self._inside(message, depth))
            for message, attempts in zip(found, tries, strict=True)
        ]

    def _inside(self, message: Any, depth: int) -> list[NodeExecution]:
        if depth >= _DEEPEST:
            return []
        started = message.closure.workflow_node_metadata.executionId
        if started.name:
            return self.nodes(started, depth=depth + 1)
        if message.metadata.is_parent_node and not message.metadata.is_array:
            return self.nodes(message.id.execution_id, message.id.node_id, depth + 1)
        return []

    def _each(
        self, action: Callable[[Any], tuple[TaskAttempt, ...]], messages: Sequence[Any]
    ) -> Iterator[tuple[TaskAttempt, ...]]:
        calls = [self._pool.submit(copy_context().run, action, message) for message in messages]
        return (call.result() for call in calls)

    def _attempts_of(self, message: Any) -> tuple[TaskAttempt, ...]:
        if not self._attempts or message.closure.workflow_node_metadata.executionId.name:
            return ()
        request = task_execution_pb2.TaskExecutionListRequest(
            node_execution_id=message.id, limit=_PAGE
        )
        found = self._pages(Admin.list_task_executions_paginated, request, "task_executions")
        return tuple(sorted(map(_attempt, found), key=lambda attempt: attempt.number))

    def _pages(self, method: Callable[..., Any], request: Any, name: str) -> Iterator[Any]:
        while True:
            answer = self._cluster.call(method, request)
            yield from getattr(answer, name)
            if not answer.token:
                return
            request.token = answer.token

    @staticmethod
    def _node(
        message: Any, attempts: tuple[TaskAttempt, ...], children: Sequence[NodeExecution]
    ) -> NodeExecution:
        closure = message.closure
        cache = closure.task_node_metadata.cache_status
        over = closure.HasField("duration") and closure.phase > execution_pb2.NodeExecution.RUNNING
        return NodeExecution(
            id=message.id.node_id,
            phase=execution_pb2.NodeExecution.Phase.Name(closure.phase),
            task=attempts[-1].task if attempts else "",
            attempts=attempts,
            error=_plain(closure.error.message),
            children=tuple(children),
            is_cached=cache == catalog_pb2.CACHE_HIT,
            deck_uri=closure.deck_uri,
            started=_moment(closure, "started_at"),
            duration_seconds=closure.duration.ToTimedelta().total_seconds() if over else None,
            execution_id=closure.workflow_node_metadata.executionId.name,
        )


def _attempt(message: Any) -> TaskAttempt:
    closure = message.closure
    task = message.id.task_id.name
    return TaskAttempt(
        number=message.id.retry_attempt,
        phase=_phase(closure.phase),
        task=task,
        task_type=closure.task_type,
        message=closure.reason,
        error=_plain(closure.error.message),
        logs=_links(closure.logs),
        custom_info=_info(closure.custom_info),
        elements=tuple(
            TaskAttempt(
                number=element.retry_attempt,
                phase=_phase(element.phase),
                task=task,
                task_type=closure.task_type,
                logs=_links(element.logs),
                custom_info=_info(getattr(element, "custom_info", None)),
                index=element.index,
            )
            for element in closure.metadata.external_resources
        ),
    )


def _plain(message: str) -> str:
    return message.replace(_CONNECTORS_PREFIX, "", 1).strip()


def _phase(phase: int) -> str:
    return str(execution_pb2.TaskExecution.Phase.Name(phase))


def _links(logs: Any) -> tuple[LogLink, ...]:
    return tuple(LogLink(log.name, log.uri) for log in logs)


def _info(struct: Any) -> Mapping[str, object]:
    return cast("dict[str, object]", MessageToDict(struct)) if struct is not None else {}


def _moment(closure: Any, name: str) -> datetime | None:
    if not closure.HasField(name):
        return None
    return cast("datetime", getattr(closure, name).ToDatetime()).replace(tzinfo=timezone.utc)
