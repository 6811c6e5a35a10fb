"""Propeller's node executor: one transition of a node in one round."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from flyteidl.core import literals_pb2, workflow_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import NodeExecution
from flyteidl.event import event_pb2

from flyte_double.blobs import Blobs
from flyte_double.catalog import Catalog, is_cached
from flyte_double.compiler import END, START
from flyte_double.database import Database
from flyte_double.names import now
from flyte_double.state import (
    DONE,
    OVER,
    Context,
    Error,
    Phase,
    Scope,
    context,
    system_error,
    user_error,
)
from flyte_double.tasks import RUNNING, Result, TaskHandler
from flyte_double.template import checkpoint_uri
from flyte_double.values import BadBinding, resolve

Handle = Callable[[Context], Awaitable[Result]]
_Node = NodeExecution
_SYSTEM_RETRIES = 3
_EVENTS = {
    Phase.QUEUED: _Node.QUEUED,
    Phase.RUNNING: _Node.RUNNING,
    Phase.SUCCEEDING: _Node.SUCCEEDED,
    Phase.FAILING: _Node.FAILED,
    Phase.TIMING_OUT: _Node.TIMED_OUT,
    Phase.SKIPPED: _Node.SKIPPED,
    Phase.RECOVERED: _Node.RECOVERED,
}


class NodeFailed(Exception):
    """A node of a workflow has failed for good."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class AbortFailed(Exception):
    """Something that runs could not be aborted."""


@dataclass
class NodeExecutor:
    """Walks the nodes of a scope.

    Attributes:
        handlers: Of nodes that hold others, by the name of the node's target.
        aborts: How those are aborted.
    """

    blobs: Blobs
    database: Database
    tasks: TaskHandler
    catalog: Catalog
    wake: Callable[[Context], Callable[[], None]]
    handlers: dict[str, Handle]
    aborts: dict[str, Callable[[Context, str], Awaitable[None]]]

    # --- the graph ---

    async def walk(self, scope: Scope) -> bool:
        """Give each node that can move its turn; whether all are over.

        Raises:
            NodeFailed: a node failed, and the others may not go on.
        """
        waits = scope.template.metadata.on_failure == workflow_pb2.WorkflowMetadata.FAIL_IMMEDIATELY
        edges, failure = scope.edges, None
        for node in scope.template.nodes:
            if node.id == START:
                continue
            status = scope.status(node.id)
            if status.phase not in OVER:
                await self.step(context(scope, node), edges[node.id])
            if status.phase in (Phase.FAILED, Phase.TIMED_OUT):
                timeout = user_error("Timeout", "Timeout in node")
                failure = status.error if status.phase is Phase.FAILED else timeout
                if waits:
                    raise NodeFailed(failure or Error())
        done = all(scope.status(node_id).phase in OVER for node_id in edges)
        if done and failure is not None:
            raise NodeFailed(failure)
        return done

    async def abort(self, scope: Scope, reason: str, of: str = START) -> None:
        """Abort what runs behind a node; a node with two ways to it is aborted twice."""
        problems = []
        for node_id, needed in scope.edges.items():
            if of not in needed:
                continue
            ctx = context(scope, scope.node(node_id))
            try:
                if ctx.status.phase in DONE | {Phase.SKIPPED}:
                    await self.abort(scope, reason, node_id)
                elif ctx.status.phase not in OVER | {Phase.NOT_STARTED}:
                    await self.abort_node(ctx, reason, is_final=True)
            except Exception as error:  # noqa: BLE001 # the others are aborted all the same
                problems.append(error)
        if problems:
            lines = [f"{index}: {error}" for index, error in enumerate(problems)]
            raise AbortFailed("\r\n".join(lines))

    # --- one node ---

    async def step(self, ctx: Context, needed: list[str]) -> None:
        status, scope = ctx.status, ctx.scope
        before = status.phase
        if status.phase is Phase.NOT_STARTED:
            self._start(ctx, needed)
        elif status.phase in (Phase.QUEUED, Phase.RUNNING):
            await self._run(ctx)
        elif status.phase is Phase.SUCCEEDING:
            self._finalize(ctx)
            status.phase = Phase.SUCCEEDED
        elif status.phase is Phase.RETRYABLE:
            await self.abort_node(ctx, status.message, is_final=False)
            status.next_attempt()
        elif status.phase is Phase.FAILING:
            await self.abort_node(ctx, "node failing", is_final=False)
            status.phase = Phase.FAILED
        elif status.phase is Phase.TIMING_OUT:
            await self.abort_node(ctx, "node timed out", is_final=False)
            status.phase = Phase.TIMED_OUT
        if status.phase is not before:
            scope.dirty.add(ctx.node.id)

    def _start(self, ctx: Context, needed: list[str]) -> None:
        phases = [self._seen(ctx.scope, node_id) for node_id in needed]
        if any(phase not in OVER for phase in phases):
            return
        if any(phase not in DONE for phase in phases):
            self._move(ctx, Phase.SKIPPED)
        elif not self._recover(ctx):
            try:
                inputs = self._inputs(ctx)
            except BadBinding as error:
                text = f"failed at Node[{ctx.node.id}]. BindingResolutionError: {error}"
                said = system_error("BindingResolutionFailure", text)
                ctx.status.error = said
                self._move(ctx, Phase.FAILING, Result("FAILED", said))
                return
            if ctx.given_inputs is None:
                self.blobs.write(ctx.inputs_uri, inputs)
            ctx.status.queued_at = time.time()
            if not self._from_catalog(ctx, inputs):
                self._move(ctx, Phase.QUEUED)

    def _from_catalog(self, ctx: Context, inputs: literals_pb2.LiteralMap) -> bool:
        known = self.catalog.get(ctx.template, inputs)
        if known is None or ctx.resource.overwrite_cache:
            return False
        uri = self.blobs.write(f"{ctx.output_dir}/outputs.pb", known)
        hit = CatalogCacheStatus.CACHE_HIT
        self._move(ctx, Phase.SUCCEEDING, Result("SUCCESS", outputs_uri=uri, cache_status=hit))
        return True

    def _to_catalog(self, ctx: Context, result: Result) -> Result:
        """Keep the outputs of a task that is cached."""
        if result.phase != "SUCCESS" or not is_cached(ctx.template):
            return result
        inputs, outputs = literals_pb2.LiteralMap(), literals_pb2.LiteralMap()
        inputs = ctx.given_inputs or self.blobs.read(ctx.inputs_uri, inputs)
        self.catalog.put(ctx.template, inputs, self.blobs.read(result.outputs_uri, outputs))
        return replace(result, cache_status=CatalogCacheStatus.CACHE_POPULATED)

    def _seen(self, scope: Scope, node_id: str) -> Phase:
        if node_id == START:
            return Phase.SUCCEEDED
        # What moved in this round is not looked at before the next one.
        return Phase.RUNNING if node_id in scope.dirty else scope.status(node_id).phase

    def _inputs(self, ctx: Context) -> literals_pb2.LiteralMap:
        if ctx.given_inputs is not None:
            return ctx.given_inputs
        inputs = literals_pb2.LiteralMap()
        for item in ctx.node.inputs:
            try:
                literal = resolve(item.binding, lambda said: self._output(ctx.scope, said))
            except (BadBinding, FileNotFoundError) as error:
                raise BadBinding(
                    f"Error binding Var [wf].[{item.var}], caused by: {error}"
                ) from error
            inputs.literals[item.var].CopyFrom(literal)
        return inputs

    def _output(self, scope: Scope, reference: Any) -> literals_pb2.Literal:
        folder = scope.output_dir(reference.node_id or START)
        outputs = self.blobs.read(f"{folder}/outputs.pb", literals_pb2.LiteralMap())
        if reference.var not in outputs.literals:
            where = f"[{reference.node_id}].[{reference.var}]"
            node = f"failed at Node[{reference.node_id}]"
            msg = f"{node}. OutputsNotFoundError: Failed to find {where}"
            raise BadBinding(msg)
        return outputs.literals[reference.var]

    async def _run(self, ctx: Context) -> None:
        status, before = ctx.status, ctx.status.task
        if status.phase is Phase.RUNNING and not status.attempt_started_at:
            status.attempt_started_at = time.time()
        result = self._in_time(ctx, await self._handle(ctx))
        if result.phase == "RETRYABLE":
            result = self._retry(ctx, result)
        if result.phase == "RETRYABLE":
            # The plugin's new state is dropped, so that the attempt is still aborted.
            status.task, status.phase = before, Phase.RETRYABLE
            status.message = result.error.message if result.error else ""
            self._count(ctx, result.error)
            return
        status.error = result.error
        phases = {
            "RUNNING": Phase.RUNNING,
            "SUCCESS": Phase.SUCCEEDING,
            "FAILED": Phase.FAILING,
            "TIMED_OUT": Phase.TIMING_OUT,
        }
        self._move(ctx, phases[result.phase], result)

    async def _handle(self, ctx: Context) -> Result:
        if ctx.node.id == END:
            inputs = self.blobs.read(ctx.inputs_uri, literals_pb2.LiteralMap())
            self.blobs.write(f"{ctx.output_dir}/outputs.pb", inputs)
            return Result("SUCCESS")
        target = ctx.node.WhichOneof("target")
        if target == "task_node":
            return self._to_catalog(ctx, await self.tasks.handle(ctx, self.wake(ctx)))
        if target not in self.handlers:
            said = system_error("UnsupportedNode", f"the double has no handler for {target}")
            return Result("FAILED", said)
        return await self.handlers[target](ctx)

    def _in_time(self, ctx: Context, result: Result) -> Result:
        """The execution deadline fails an attempt, twice as much time the node."""
        seconds = ctx.node.metadata.timeout.ToTimedelta().total_seconds()
        if result.phase != "RUNNING" or not seconds:
            return result
        status, moment = ctx.status, time.time()
        if status.queued_at and moment > status.queued_at + 2 * seconds:
            return Result("TIMED_OUT")
        if status.attempt_started_at and moment > status.attempt_started_at + seconds:
            text = f"task execution timeout [{_go_seconds(seconds)}] expired"
            return Result("RETRYABLE", user_error("TimeoutExpired", text))
        return result

    def _retry(self, ctx: Context, result: Result) -> Result:
        status, error = ctx.status, result.error or Error()
        if error.kind == Error.SYSTEM:
            current, most = status.system_failures, _SYSTEM_RETRIES
        else:
            current = status.attempts + 1 - status.system_failures
            most = ctx.max_attempts
        if current < most:
            return result
        kind = Error.ErrorKind.Name(error.kind)
        text = f"[{current}/{most}] currentAttempt done. Last Error: {kind}::{error.message}"
        said = user_error(f"RetriesExhausted|{error.code}", text)
        return Result("FAILED", said, deck_uri=result.deck_uri)

    def _count(self, ctx: Context, error: Error | None) -> None:
        if error is not None and error.kind == Error.SYSTEM:
            ctx.status.system_failures += 1

    async def abort_node(self, ctx: Context, reason: str, *, is_final: bool) -> None:
        target = ctx.node.WhichOneof("target")
        if target == "task_node":
            await self.tasks.abort(ctx)
        elif target in self.aborts:
            await self.aborts[target](ctx, reason)
        self._finalize(ctx)
        if is_final:
            event = self._event(ctx, _Node.ABORTED)
            event.error.CopyFrom(Error(code="NodeAborted", message=reason))
            self._send(ctx, event)

    def _finalize(self, ctx: Context) -> None:
        if ctx.node.WhichOneof("target") == "task_node":
            self.tasks.finalize(ctx)

    # --- recovery ---

    def _recover(self, ctx: Context) -> bool:
        """Take over what an earlier execution has finished; whether there was anything."""
        source = ctx.resource.recovers
        key = (source.project, source.domain, source.name, ctx.unique_id) if source else None
        with self.database.lock:
            row = self.database.nodes.get(key) if key else None
            if row is None or row.proto.closure.phase not in (_Node.SUCCEEDED, _Node.RECOVERED):
                return False
            input_uri, closure = row.proto.input_uri, row.proto.closure
            output_uri, deck_uri = closure.output_uri, closure.deck_uri
        if input_uri:
            self.blobs.write(ctx.inputs_uri, self.blobs.read(input_uri, literals_pb2.LiteralMap()))
        outputs = self.blobs.read(output_uri, literals_pb2.LiteralMap())
        uri = self.blobs.write(f"{ctx.output_dir}/outputs.pb", outputs)
        self._move(ctx, Phase.RECOVERED, Result("SUCCESS", outputs_uri=uri, deck_uri=deck_uri))
        return True

    # --- events ---

    def start_node(self, scope: Scope, inputs: literals_pb2.LiteralMap) -> None:
        """Write a workflow's inputs as the outputs of its start node."""
        ctx = context(scope, scope.node(START))
        ctx.status.phase = Phase.SUCCEEDED
        uri = self.blobs.write(f"{ctx.output_dir}/outputs.pb", inputs)
        event = self._event(ctx, _Node.SUCCEEDED)
        event.output_uri = uri
        self._send(ctx, event)

    def _move(self, ctx: Context, phase: Phase, result: Result = RUNNING) -> None:
        if ctx.status.phase is phase:
            return
        ctx.status.phase = phase
        if phase is Phase.RUNNING and not ctx.status.attempt_started_at:
            ctx.status.attempt_started_at = time.time()
        event = self._event(ctx, _EVENTS[phase])
        if result.error is not None:
            event.error.CopyFrom(result.error)
        elif result.outputs_uri:
            event.output_uri = result.outputs_uri
        event.deck_uri = result.deck_uri
        if ctx.node.HasField("task_node") and phase in (Phase.SUCCEEDING, Phase.FAILING):
            event.task_node_metadata.checkpoint_uri = checkpoint_uri(ctx)
            event.task_node_metadata.cache_status = result.cache_status
        if result.launched is not None:
            event.workflow_node_metadata.execution_id.CopyFrom(result.launched)
        self._send(ctx, event)

    def _event(self, ctx: Context, phase: Any) -> event_pb2.NodeExecutionEvent:
        event = event_pb2.NodeExecutionEvent(
            phase=phase,
            occurred_at=now(),
            reported_at=now(),
            input_uri="" if ctx.node.id == START else ctx.inputs_uri,
            spec_node_id=ctx.node.id,
            node_name=ctx.node.metadata.name,
            is_parent=ctx.node.workflow_node.HasField("sub_workflow_ref"),
            is_array=ctx.node.HasField("array_node"),
        )
        event.id.execution_id.CopyFrom(ctx.resource.id)
        event.id.node_id = ctx.unique_id
        if ctx.parent is not None:
            event.parent_node_metadata.node_id = ctx.parent.unique_id
            event.retry_group = str(ctx.parent.attempt)
        return event

    def _send(self, ctx: Context, event: event_pb2.NodeExecutionEvent) -> None:
        if ctx.record is None:
            self.database.node_event(event)


def _go_seconds(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
