"""Propeller's connector plugin: launch, cache and abort of webapi tasks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2, identifier_pb2, literals_pb2
from flyteidl.service.agent_pb2_grpc import AgentMetadataServiceStub, AsyncAgentServiceStub

from flyte_double.blobs import Blobs
from flyte_double.faults import ConnectorCall, LostCall
from flyte_double.names import label_value
from flyte_double.state import Context, PhaseInfo, Plugin, user_error
from flyte_double.template import rendered

_MAX_SYNC_FAILURES = 5
_TASK_FAILED = "TaskFailedWithError"
_Phase = execution_pb2.TaskExecution
_FAILED_STATES = {
    agent_pb2.RETRYABLE_FAILURE: Plugin.RETRYABLE,
    agent_pb2.PERMANENT_FAILURE: Plugin.PERMANENT,
}
_TERMINAL = {_Phase.SUCCEEDED, _Phase.FAILED, _Phase.ABORTED}


class ConnectorError(Exception):
    """A call to the connector failed; the text is what Go prints of it."""


@dataclass(frozen=True)
class WebState:
    """The plugin's state; it is kept with the node, the cache is not."""

    phase: str = "NotStarted"
    meta: bytes | None = None
    output_prefix: str = ""
    category: agent_pb2.TaskCategory | None = None


@dataclass
class _Item:
    """An item of the cache that refreshes itself."""

    state: WebState
    resource: agent_pb2.Resource | None = None
    failures: int = 0
    error: str = ""
    is_frozen: bool = False
    task: asyncio.Task[None] | None = None


@dataclass
class ConnectorPlugin:
    """Calls a connector service as v1.16.8 does.

    Attributes:
        endpoint: The service's address.
        blobs: Flyte's store.
        resync_seconds: Between two looks at one resource.
        timeouts: Deadline of a method, in seconds.
        hook: Sees each call, and may lose it.
        calls: How often each method was called.
    """

    endpoint: str
    blobs: Blobs
    resync_seconds: float
    timeouts: dict[str, float]
    hook: Callable[[ConnectorCall], Any]
    calls: Counter[str] = field(default_factory=Counter)

    id = "connector-service"

    def __post_init__(self) -> None:
        self.task_types: set[str] = set()
        self.is_known = asyncio.Event()
        self._items: dict[str, _Item] = {}
        self._workers = asyncio.Semaphore(10)
        self._channel = grpc.aio.insecure_channel(self.endpoint)
        self._stub = AsyncAgentServiceStub(self._channel)
        self._metadata = AgentMetadataServiceStub(self._channel)

    async def watch(self, interval_seconds: float) -> None:
        """Ask again and again what task types the connector has."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                listed = await self._metadata.ListAgents(
                    agent_pb2.ListAgentsRequest(), timeout=self.timeouts["ListAgents"]
                )
                self.task_types = {
                    name
                    for agent in listed.agents
                    for name in [
                        *agent.supported_task_types,
                        *(category.name for category in agent.supported_task_categories),
                    ]
                }
                self.is_known.set()
            await asyncio.sleep(interval_seconds if self.task_types else 0.05)

    async def close(self) -> None:
        await self._channel.close()

    # --- the core plugin ---

    async def handle(self, ctx: Context, wake: Callable[[], None]) -> tuple[WebState, PhaseInfo]:
        state = ctx.status.task.plugin_state or WebState()
        if state.phase == "NotStarted":
            info = PhaseInfo(Plugin.QUEUED, reason="Allocation token required")
            return WebState("AllocationTokenAcquired"), info
        if state.phase == "AllocationTokenAcquired":
            return await self._launch(ctx, state, wake)
        return self._monitor(ctx, state, wake)

    async def abort(self, ctx: Context) -> None:
        state = ctx.status.task.plugin_state
        if state is None or state.meta is None:
            return
        request = agent_pb2.DeleteTaskRequest(
            task_type=state.category.name, task_category=state.category, resource_meta=state.meta
        )
        try:
            await self._call("DeleteTask", request)
        except ConnectorError as error:
            raise ConnectorError(f"failed to delete task from connector with {error}") from error

    def finalize(self, ctx: Context) -> None:
        item = self._items.pop(ctx.generated_name, None)
        if item and item.task:
            item.task.cancel()  # a look that is under way may still reach the connector

    async def _launch(
        self, ctx: Context, state: WebState, wake: Callable[[], None]
    ) -> tuple[WebState, PhaseInfo]:
        template, inputs = rendered(ctx, self.blobs)
        request = agent_pb2.CreateTaskRequest(
            inputs=inputs,
            template=template,
            output_prefix=ctx.output_dir,
            task_execution_metadata=_metadata(ctx),
        )
        try:
            answer = await self._call("CreateTask", request)
        except ConnectorError as error:
            text = f"failed to create task from connector with {error}"
            return state, PhaseInfo(Plugin.RETRYABLE, error=user_error(_TASK_FAILED, text))
        category = agent_pb2.TaskCategory(name=template.type, version=template.task_type_version)
        state = WebState("ResourcesCreated", answer.resource_meta, ctx.output_dir, category)
        self._item(ctx, state, wake)
        return state, PhaseInfo(Plugin.QUEUED, version=2, reason="launched")

    def _monitor(
        self, ctx: Context, state: WebState, wake: Callable[[], None]
    ) -> tuple[WebState, PhaseInfo]:
        item = self._item(ctx, state, wake)
        if item.resource is None:
            if item.is_frozen:
                return state, PhaseInfo(
                    Plugin.PERMANENT, error=user_error("AutoRefreshCacheFailed", item.error)
                )
            return state, PhaseInfo(Plugin.QUEUED, version=2, reason="job submitted")
        return state, _status(item.resource)

    def written_outputs(self, ctx: Context) -> tuple[bool, literals_pb2.LiteralMap | None]:
        """Whether the resource came with outputs, and what they are."""
        item = self._items.get(ctx.generated_name)
        resource = item.resource if item else None
        if resource is None or not resource.HasField("outputs"):
            return False, None
        return True, resource.outputs

    # --- the cache ---

    def _item(self, ctx: Context, state: WebState, wake: Callable[[], None]) -> _Item:
        name = ctx.generated_name
        if name not in self._items:
            item = self._items[name] = _Item(state)
            item.task = asyncio.create_task(self._refresh(item, wake))
        return self._items[name]

    async def _refresh(self, item: _Item, wake: Callable[[], None]) -> None:
        while not (item.resource and item.resource.phase in _TERMINAL):
            if item.failures > _MAX_SYNC_FAILURES:
                item.is_frozen = True
                wake()
                return
            async with self._workers:
                await self._look(item)
            wake()
            await asyncio.sleep(self.resync_seconds)

    async def _look(self, item: _Item) -> None:
        state = item.state
        request = agent_pb2.GetTaskRequest(
            task_type=state.category.name if state.category else "",
            task_category=state.category,
            resource_meta=state.meta or b"",
            output_prefix=state.output_prefix,
        )
        try:
            item.resource = (await self._call("GetTask", request)).resource
        except ConnectorError as error:
            item.failures += 1  # it is never set back
            item.error = f"failed to get task from connector with {error}"

    async def _call(self, method: str, request: Any) -> Any:
        self.calls[method] += 1
        try:
            await self._tell(ConnectorCall(method, request, "before"))
            answer = await getattr(self._stub, method)(request, timeout=self.timeouts[method])
            await self._tell(ConnectorCall(method, request, "after"))
        except LostCall as error:
            said = f"rpc error: code = Unavailable desc = {error}"
            raise ConnectorError(said) from error
        except grpc.aio.AioRpcError as error:
            code = "".join(part.title() for part in error.code().name.split("_"))
            late = code == "DeadlineExceeded"
            text = "context deadline exceeded" if late else error.details()
            said = f"rpc error: code = {code} desc = {text}"
            raise ConnectorError(said) from error
        return answer

    async def _tell(self, call: ConnectorCall) -> None:
        result = self.hook(call)
        if inspect.isawaitable(result):
            await result


def _status(resource: agent_pb2.Resource) -> PhaseInfo:
    """What a resource means for the task; RUNNING has no message, ABORTED a fixed one."""
    custom = resource.custom_info if resource.HasField("custom_info") else None
    info = PhaseInfo(Plugin.RUNNING, logs=list(resource.log_links), custom_info=custom)
    phase = resource.phase
    if phase in (_Phase.QUEUED, _Phase.WAITING_FOR_RESOURCES, _Phase.INITIALIZING):
        return replace(info, phase=Plugin(phase), reason=resource.message)
    if phase in (_Phase.RUNNING, _Phase.SUCCEEDED):
        return replace(info, phase=Plugin(phase))
    if phase in (_Phase.FAILED, _Phase.RETRYABLE_FAILED):
        error = user_error(_TASK_FAILED, f"failed to run the job: {resource.message}")
        return replace(info, phase=Plugin(phase), error=error)
    if phase == _Phase.ABORTED:
        error = user_error(_TASK_FAILED, "failed to run the job with aborted phase.")
        return replace(info, phase=Plugin.PERMANENT, error=error)
    if phase == _Phase.UNDEFINED and resource.state in _FAILED_STATES:
        # Connectors of old told a state; none at all is the one that may be tried again.
        error = user_error(_TASK_FAILED, f"failed to run the job.\n{resource.message}")
        return replace(info, phase=_FAILED_STATES[resource.state], error=error)
    raise RuntimeError(f"[SystemError] unknown execution phase [{phase}].")


def _metadata(ctx: Context) -> agent_pb2.TaskExecutionMetadata:
    """What a connector hears of an execution; `node_id` is the one in its own (sub)workflow."""
    resource, template = ctx.resource, ctx.template
    node = identifier_pb2.NodeExecutionIdentifier(node_id=ctx.node.id, execution_id=resource.id)
    labels = {
        **resource.labels,
        "node-id": label_value(ctx.node.id),
        "task-name": label_value(template.id.name if template else ""),
        "interruptible": str(ctx.interruptible).lower(),
    }
    return agent_pb2.TaskExecutionMetadata(
        task_execution_id=identifier_pb2.TaskExecutionIdentifier(
            task_id=template.id if template else None,
            node_execution_id=node,
            retry_attempt=ctx.status.attempts,
        ),
        namespace=f"{resource.id.project}-{resource.id.domain}",
        labels=labels,
        annotations=resource.annotations,
        k8s_service_account=resource.service_account,
        environment_variables={**resource.environment, **ctx.environment},
        identity=resource.identity,
    )
