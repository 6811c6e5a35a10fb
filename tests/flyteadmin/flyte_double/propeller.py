"""The propeller loop: rounds over executions, in a thread of its own."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.event import event_pb2

from flyte_double.arrays import Arrays
from flyte_double.blobs import Blobs
from flyte_double.catalog import Catalog
from flyte_double.compiler import END
from flyte_double.connector_plugin import ConnectorPlugin
from flyte_double.container_plugin import ContainerPlugin
from flyte_double.database import Database, ExecutionKey, execution_key
from flyte_double.executions import Executions
from flyte_double.names import now
from flyte_double.nodes import AbortFailed, NodeExecutor, NodeFailed
from flyte_double.parents import Parents
from flyte_double.state import Context, Error, Phase, Resource, Scope, context, system_error
from flyte_double.tasks import TaskHandler

_MAX_RETRIES = 10
_Workflow = WorkflowExecution
_EVENTS = {
    "RUNNING": _Workflow.RUNNING,
    "SUCCEEDING": _Workflow.SUCCEEDING,
    "SUCCESS": _Workflow.SUCCEEDED,
    "FAILING": _Workflow.FAILING,
    "FAILED": _Workflow.FAILED,
    "ABORTED": _Workflow.ABORTED,
}


@dataclass
class Settings:
    """How a Propeller is set up; see ``FlyteDouble``."""

    reeval_seconds: float
    keeps_map_state: bool
    connector: Callable[[], ConnectorPlugin | None]
    poll_seconds: float


@dataclass
class Propeller:
    """One life of Propeller. What it knows lies in `resources`, and outlives it."""

    database: Database
    blobs: Blobs
    containers: ContainerPlugin
    resources: dict[ExecutionKey, Resource]
    settings: Settings
    catalog: Catalog
    executions: Callable[[], Executions]
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._wakes: dict[ExecutionKey, asyncio.Event] = {}
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self.connector: ConnectorPlugin | None = None
        self._thread = threading.Thread(target=self._live, name="propeller", daemon=True)
        self._thread.start()
        self._ready.wait()

    # --- from other threads ---

    def add(self, key: ExecutionKey) -> None:
        self._loop.call_soon_threadsafe(self._follow, key)

    def wake(self, key: ExecutionKey) -> None:
        self._loop.call_soon_threadsafe(
            lambda: self._wakes[key].set() if key in self._wakes else None
        )

    def kill(self) -> None:
        """End at once, wherever it is; the rounds under way leave no trace."""
        if self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=10)

    # --- in the loop ---

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self.connector = self.settings.connector()
        self._executor = self._node_executor()
        self._tasks: set[asyncio.Task[None]] = set()
        if self.connector:
            self._keep(self.connector.watch(self.settings.poll_seconds))
        for key, resource in self.resources.items():
            if not resource.is_over:
                self._follow(key)
        self._ready.set()
        await self._stop.wait()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self.connector:
            await self.connector.close()

    def _node_executor(self) -> NodeExecutor:
        tasks = TaskHandler(self.blobs, self.connector, self.containers, self.database.task_event)
        executor = NodeExecutor(self.blobs, self.database, tasks, self.catalog, self._waker, {}, {})
        Parents(executor, self.executions).install()
        Arrays(executor, self.settings.keeps_map_state).install()
        return executor

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _follow(self, key: ExecutionKey) -> None:
        if key not in self._wakes:
            self._wakes[key] = asyncio.Event()
            self._keep(self._drive(key))

    def _waker(self, ctx: Context) -> Callable[[], None]:
        key = execution_key(ctx.resource.id)
        return lambda: self._wakes[key].set() if key in self._wakes else None

    async def _drive(self, key: ExecutionKey) -> None:
        resource, wake = self.resources[key], self._wakes[key]
        if self.connector:  # Propeller starts with a list of what its connectors can do
            await self.connector.is_known.wait()
        while not resource.is_over:
            wake.clear()
            if await self._round(resource):
                await asyncio.sleep(0)
                continue
            try:
                # What failed is tried again soon, as the work queue does.
                failed = resource.status.failed_attempts > 0
                seconds = min(self.settings.reeval_seconds, 0.02 if failed else 1e9)
                await asyncio.wait_for(wake.wait(), seconds)
            except (TimeoutError, asyncio.TimeoutError):
                continue
        del self._wakes[key]
        parent = self.database.execution(resource.id).proto.spec.metadata.parent_node_execution
        self.wake(execution_key(parent.execution_id))

    async def _round(self, resource: Resource) -> bool:
        """One round; whether it changed anything."""
        worked = copy.copy(resource)
        worked.status = copy.deepcopy(resource.status)
        try:
            if resource.is_deleted or worked.status.failed_attempts > _MAX_RETRIES:
                await self._abort(worked)
            else:
                await _STEPS[worked.status.phase](self, worked)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 # a system error: the round is tried again
            self.errors.append(error)
            resource.status.failed_attempts += 1
            resource.status.message = str(error)
            return False
        changed = worked.status != resource.status
        resource.status = worked.status
        return changed

    # --- a workflow's phases ---

    def _scope(self, resource: Resource) -> Scope:
        own = resource.id
        folder = self.blobs.uri("metadata", "propeller", f"{own.project}-{own.domain}-{own.name}")
        return Scope(resource, resource.template, resource.status.nodes, folder, None)

    async def _ready_phase(self, resource: Resource) -> None:
        self._executor.start_node(self._scope(resource), resource.inputs)
        self._move(resource, "RUNNING")

    async def _running(self, resource: Resource) -> None:
        try:
            if await self._executor.walk(self._scope(resource)):
                self._move(resource, "SUCCEEDING")
        except NodeFailed as failure:
            self._move(resource, "FAILING", failure.error)

    async def _succeeding(self, resource: Resource) -> None:
        scope = self._scope(resource)
        has_outputs = scope.status(END).phase is Phase.SUCCEEDED
        uri = f"{scope.output_dir(END)}/outputs.pb" if has_outputs else ""
        self._move(resource, "SUCCESS", outputs_uri=uri)

    async def _clean_up(self, resource: Resource, reason: str) -> None:
        try:
            await self._executor.abort(self._scope(resource), reason)
        except AbortFailed as error:
            text = (
                f"Workflow[{resource.workflow_name}] failed. CausedByError: Failed to propagate"
                f" Abort for workflow. Error: {error}"
            )
            raise AbortFailed(text) from error

    async def _failing(self, resource: Resource) -> None:
        await self._clean_up(resource, "Some node execution failed, auto-abort.")
        if resource.template.HasField("failure_node"):
            resource.status.phase = "FAILURE_NODE"
        else:
            self._move(resource, "FAILED", resource.status.error)

    async def _failure_node(self, resource: Resource) -> None:
        node = context(self._scope(resource), resource.template.failure_node)
        await self._executor.step(node, [])
        if node.status.phase in (Phase.FAILED, Phase.TIMED_OUT):
            self._move(resource, "FAILED", node.status.error)
        elif node.status.phase in (Phase.SUCCEEDED, Phase.SKIPPED):
            self._move(resource, "FAILED", resource.status.error)

    async def _abort(self, resource: Resource) -> None:
        status = resource.status
        tries = f"[{status.failed_attempts}/{_MAX_RETRIES}] exhausted"
        reason = f"max number of system retry attempts {tries} - system failure."
        if resource.is_deleted:
            reason = "Workflow aborted."
        try:
            await self._clean_up(resource, reason)
        except AbortFailed:
            if status.failed_attempts <= _MAX_RETRIES:
                raise
        if status.failed_attempts > _MAX_RETRIES:
            text = (
                f"Workflow[{resource.workflow_name}] failed. RuntimeExecutionError: max number of"
                f" system retry attempts {tries}. Last known status message: {status.message}"
            )
            self._move(resource, "FAILED", system_error("Workflow abort failed", text))
        else:
            self._move(resource, "ABORTED")

    def _move(
        self, resource: Resource, phase: str, error: Error | None = None, outputs_uri: str = ""
    ) -> None:
        resource.status.phase, resource.status.error = phase, error
        event = event_pb2.WorkflowExecutionEvent(phase=_EVENTS[phase], occurred_at=now())
        event.execution_id.CopyFrom(resource.id)
        if outputs_uri:
            event.output_uri = outputs_uri
        elif error is not None:
            event.error.CopyFrom(error)
        self.database.workflow_event(event)


_Step = Callable[[Propeller, Resource], Awaitable[None]]
_STEPS: dict[str, _Step] = {
    "READY": Propeller._ready_phase,
    "RUNNING": Propeller._running,
    "SUCCEEDING": Propeller._succeeding,
    "FAILING": Propeller._failing,
    "FAILURE_NODE": Propeller._failure_node,
}
