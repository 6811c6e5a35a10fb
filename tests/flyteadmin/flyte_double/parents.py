"""Nodes that hold others: subworkflows, launch plans, branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution

from flyte_double.compiler import END, START, branches, key_of, needed_by
from flyte_double.executions import Executions
from flyte_double.names import joined
from flyte_double.nodes import NodeExecutor, NodeFailed
from flyte_double.refusals import Code, Refused
from flyte_double.state import (
    DONE,
    OVER,
    Context,
    Error,
    Phase,
    Scope,
    system_error,
    task_template,
    user_error,
)
from flyte_double.tasks import RUNNING, Result
from flyte_double.values import BadBinding, holds

_Mode = execution_pb2.ExecutionMetadata


@dataclass
class Parents:
    """Handlers of the nodes whose work is that of other nodes."""

    executor: NodeExecutor
    executions: Callable[[], Executions]

    def install(self) -> None:
        handlers, aborts = self.executor.handlers, self.executor.aborts
        handlers |= {"workflow_node": self.workflow, "branch_node": self.branch}
        aborts |= {"workflow_node": self.abort_workflow, "branch_node": self.abort_branch}

    # --- subworkflows ---

    async def workflow(self, ctx: Context) -> Result:
        if ctx.node.workflow_node.HasField("launchplan_ref"):
            return await self._launch_plan(ctx)
        scope, status = self._sub_scope(ctx), ctx.status
        if START not in status.children:
            inputs = self._inputs(ctx)
            self.executor.start_node(scope, inputs)
        if status.failing:
            await self.executor.abort(scope, "Some node execution failed, auto-abort.")
            return Result("FAILED", status.error)
        try:
            done = await self.executor.walk(scope)
        except NodeFailed as error:
            status.failing = True
            return Result("RUNNING", error.error)
        if not done:
            return RUNNING
        return Result("SUCCESS", outputs_uri=self._outputs(ctx, scope.output_dir(END)))

    def _sub_scope(self, ctx: Context) -> Scope:
        template = ctx.resource.sub_workflows[key_of(ctx.node.workflow_node.sub_workflow_ref)]
        return Scope(ctx.resource, template, ctx.status.children, ctx.output_dir, ctx.as_parent)

    def _inputs(self, ctx: Context) -> literals_pb2.LiteralMap:
        return self.executor.blobs.read(ctx.inputs_uri, literals_pb2.LiteralMap())

    def _outputs(self, ctx: Context, source: str) -> str:
        blobs, uri = self.executor.blobs, f"{ctx.output_dir}/outputs.pb"
        if blobs.etag(f"{source}/outputs.pb") is None:
            return ""
        blobs.copy(f"{source}/outputs.pb", uri)
        return uri

    async def abort_workflow(self, ctx: Context, reason: str) -> None:
        if ctx.node.workflow_node.HasField("sub_workflow_ref"):
            await self.executor.abort(self._sub_scope(ctx), reason)
            return
        text = f"cascading abort as parent execution id [{ctx.resource.id.name}] aborted, reason"
        try:
            self.executions().terminate(
                execution_pb2.ExecutionTerminateRequest(
                    id=self._child(ctx), cause=f"{text} [{reason}]"
                )
            )
        except Refused as error:
            if error.code not in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
                raise

    # --- launch plans ---

    def _child(self, ctx: Context) -> identifier_pb2.WorkflowExecutionIdentifier:
        own, attempt = ctx.resource.id, str(ctx.status.attempts)
        name = joined(20, own.name, ctx.unique_id, attempt, bits=64)
        return identifier_pb2.WorkflowExecutionIdentifier(
            project=own.project, domain=own.domain, name=name
        )

    async def _launch_plan(self, ctx: Context) -> Result:
        child, executions = self._child(ctx), self.executions()
        try:
            closure = executions.database.execution(child).proto.closure
        except Refused:
            try:
                executions.create(self._request(ctx, child))
            except Refused as error:
                return Result("FAILED", user_error("RuntimeExecutionError", error.message))
            return Result("RUNNING", launched=child)
        if closure.phase == WorkflowExecution.SUCCEEDED:
            uri = closure.outputs.uri
            outputs = self._outputs(ctx, uri.removesuffix("/outputs.pb")) if uri else ""
            return Result("SUCCESS", outputs_uri=outputs, launched=child)
        if closure.phase == WorkflowExecution.FAILED:
            return Result("FAILED", closure.error, launched=child)
        if closure.phase == WorkflowExecution.ABORTED:
            text = f"launchplan [{child.name}] aborted"
            error = user_error("RemoteChildWorkflowExecutionFailed", text)
            return Result("FAILED", error, launched=child)
        return RUNNING

    def _request(self, ctx: Context, child: Any) -> execution_pb2.ExecutionCreateRequest:
        resource = ctx.resource
        metadata = _Mode(mode=_Mode.CHILD_WORKFLOW, nesting=1)
        metadata.parent_node_execution.execution_id.CopyFrom(resource.id)
        metadata.parent_node_execution.node_id = ctx.unique_id
        spec = execution_pb2.ExecutionSpec(
            launch_plan=ctx.node.workflow_node.launchplan_ref, metadata=metadata
        )
        spec.labels.values.update(resource.labels)
        spec.annotations.values.update(resource.annotations)
        spec.interruptible.value = resource.interruptible
        for key, value in resource.environment.items():
            spec.envs.values.add(key=key, value=value)
        return execution_pb2.ExecutionCreateRequest(
            project=child.project,
            domain=child.domain,
            name=child.name,
            spec=spec,
            inputs=self._inputs(ctx),
        )

    # --- branches ---

    async def branch(self, ctx: Context) -> Result:
        if not ctx.status.branch:
            try:
                chosen = self._choose(ctx)
            except BadBinding as error:
                return Result("FAILED", user_error("MalformedBranchUserError", str(error)))
            if isinstance(chosen, Error):
                return Result("FAILED", chosen)
            ctx.status.branch = chosen
        child = self._taken(ctx)
        if child.status.phase not in OVER:
            needed = [name for name in needed_by(child.node) if name != ctx.node.id]
            await self.executor.step(child, needed)
        if child.status.phase in DONE | {Phase.SKIPPED}:
            return Result("SUCCESS", outputs_uri=self._outputs(ctx, child.output_dir))
        if child.status.phase in (Phase.FAILED, Phase.TIMED_OUT):
            return Result(
                "FAILED", child.status.error or system_error("Timeout", "Timeout in node")
            )
        return RUNNING

    def _choose(self, ctx: Context) -> str | Error:
        choice = ctx.node.branch_node.if_else
        inputs = self._inputs(ctx).literals
        chosen = ""
        for case in [choice.case, *choice.other]:
            if not chosen and holds(case.condition, inputs):
                chosen = case.then_node.id
        if not chosen and choice.HasField("else_node"):
            chosen = choice.else_node.id
        for node in branches(ctx.node):
            if node.id != chosen:
                ctx.scope.status(node.id).phase = Phase.SKIPPED
        if chosen:
            return chosen
        if choice.HasField("error"):
            return user_error("UserProvidedError", choice.error.message)
        return user_error("MalformedBranchUserError", "No branch satisfied")

    def _taken(self, ctx: Context) -> Context:
        node = next(node for node in branches(ctx.node) if node.id == ctx.status.branch)
        return Context(
            scope=ctx.scope,
            node=node,
            status=ctx.scope.status(node.id),
            data_dir=f"{ctx.output_dir}/{node.id}",
            parent=ctx.as_parent,
            template=task_template(ctx.resource, node),
        )

    async def abort_branch(self, ctx: Context, reason: str) -> None:
        if not ctx.status.branch:
            return
        child = self._taken(ctx)
        if child.status.phase not in OVER | {Phase.NOT_STARTED}:
            await self.executor.abort_node(child, reason, is_final=True)
