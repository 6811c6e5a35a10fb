"""Runs a workflow in this process, independent nodes at the same time.

flytekit's own local run takes one node after the other. Here each node starts as soon as the nodes
that it needs are done, as on a cluster. Conditionals are left to flytekit, node after node.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import contextvars
import itertools
import logging
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from flytekit.core.condition import BranchNode
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.context_manager import (
    ExecutionState,
    FlyteContextManager,
    flyte_context_Var,
)
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.promise import Promise, VoidPromise, resolve_attr_path_in_promise
from flytekit.core.workflow import WorkflowBase, WorkflowFailurePolicy
from flytekit.models import literals as lit
from flytekit.types.error.error import FlyteError
from flytekit.utils.asyn import loop_manager

from cdao_sdk.errors import JobStopped
from cdao_sdk.flyte.local_run import NodeRun, current_node
from cdao_sdk.flyte.task import SageMakerTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flytekit.core.base_task import PythonTask
    from flytekit.core.node import Node

    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.run_inputs import Entity

__all__ = ["execute", "node_order"]

logger = logging.getLogger(__name__)

_MOST_NODES_AT_ONCE = 64

Outputs = dict[str, lit.Literal]


def execute(entity: Entity, inputs: Mapping[str, lit.Literal], run: LocalRun) -> Outputs:
    """Run a workflow, launch plan or task.

    Args:
        entity: What to run.
        inputs: All of its inputs, defaults included.
        run: The execution that it belongs to.

    Returns:
        Output's name → literal.

    Raises:
        JobFailed: A job failed; or whatever a plain Python task raised.
        JobStopped: The run was stopped.
    """
    context = FlyteContextManager.current_context()
    state = context.new_execution_state().with_params(
        mode=ExecutionState.Mode.LOCAL_WORKFLOW_EXECUTION
    )
    with FlyteContextManager.with_context(context.with_execution_state(state)):
        if isinstance(entity, LaunchPlan):
            entity = entity.workflow
        if isinstance(entity, WorkflowBase):
            return _run_workflow(entity, dict(inputs), run, prefix="")
        return _call(cast("PythonTask", entity), dict(inputs), NodeRun(run, "n0"))


def own_context_stack() -> None:
    """Give this thread a stack of flytekit contexts of its own.

    The context variable holds a list, which copies of a ``contextvars`` context share: threads
    would push and pop on each other's.
    """
    flyte_context_Var.set(list(flyte_context_Var.get()))


def node_order(entity: Entity) -> list[str]:
    """Ids of an entity's nodes in the order of their dependencies, subworkflows resolved."""
    if isinstance(entity, LaunchPlan):
        entity = entity.workflow
    if not isinstance(entity, WorkflowBase):
        return ["n0"]
    entity.compile()
    found: list[str] = []
    for node in entity.nodes:
        inner = _workflow_of(node)
        ids = [f"{node.id}-{name}" for name in node_order(inner)] if inner else [str(node.id)]
        found += ids
    return found


def _workflow_of(node: Node) -> WorkflowBase | None:
    entity = node.flyte_entity
    if isinstance(entity, LaunchPlan):
        entity = entity.workflow
    return entity if isinstance(entity, WorkflowBase) else None


def _run_workflow(workflow: WorkflowBase, inputs: Outputs, run: LocalRun, prefix: str) -> Outputs:
    workflow.compile()
    if any(isinstance(node.flyte_entity, BranchNode) for node in workflow.nodes):
        # flytekit calls the failure handler itself, too.
        return _call(workflow, inputs, NodeRun(run, f"{prefix}n", serial=itertools.count()))
    try:
        return _Nodes(workflow, inputs, run, prefix).run_all()
    except Exception as error:
        _on_failure(workflow, inputs, error, run, prefix)
        raise


def _on_failure(
    workflow: WorkflowBase, inputs: Outputs, error: Exception, run: LocalRun, prefix: str
) -> None:
    handler = workflow.on_failure
    if handler is None or isinstance(error, JobStopped):
        return
    arguments: dict[str, object] = {
        name: Promise(name, inputs[name])
        for name in handler.python_interface.inputs
        if name in inputs
    }
    if "err" in handler.python_interface.inputs:
        node = workflow.failure_node
        arguments["err"] = FlyteError(failed_node_id=node.id if node else "", message=str(error))
    token = current_node.set(NodeRun(run, f"{prefix}fn"))
    try:
        handler(**arguments)
    except Exception:  # the failure that brought us here is the one to report
        logger.exception("the failure handler of %s failed itself", workflow.name)
    finally:
        current_node.reset(token)


class _Nodes:
    """One workflow's nodes, and what they have put out so far."""

    def __init__(self, workflow: WorkflowBase, inputs: Outputs, run: LocalRun, prefix: str) -> None:
        self._workflow = workflow
        # A failure stops what runs beside it, not the workflow around this one.
        self._run = replace(run, stop=run.stop.child())
        self._prefix = prefix
        promises = {name: Promise(name, value) for name, value in inputs.items()}
        self._outputs: dict[str, dict[str, Promise]] = {GLOBAL_INPUT_NODE_ID: promises}

    def run_all(self) -> Outputs:
        nodes: list[Node] = list(self._workflow.nodes)
        waiting = {node.id: node for node in nodes}
        running: dict[Future[Outputs], Node] = {}
        errors: list[Exception] = []
        with ThreadPoolExecutor(min(len(nodes), _MOST_NODES_AT_ONCE) or 1, "cdao-node") as pool:
            while waiting or running:
                if not self._halted(errors):
                    self._start_ready(waiting, running, pool)
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(running.pop(future), future, errors)
        if errors:
            # A sibling that was stopped because of the failure is not the failure.
            raise next((e for e in errors if not isinstance(e, JobStopped)), errors[0])
        if waiting:
            msg = "The execution was stopped before all of its nodes had started."
            raise JobStopped(msg)
        return {
            binding.var: self._promise(binding.binding).val
            for binding in self._workflow.output_bindings
        }

    def _halted(self, errors: list[Exception]) -> bool:
        policy = self._workflow.workflow_metadata.on_failure
        return self._run.stop.is_set() or (
            bool(errors) and policy == WorkflowFailurePolicy.FAIL_IMMEDIATELY
        )

    def _start_ready(
        self,
        waiting: dict[str, Node],
        running: dict[Future[Outputs], Node],
        pool: ThreadPoolExecutor,
    ) -> None:
        for node in list(waiting.values()):
            if all(upstream.id in self._outputs for upstream in _upstream(node)):
                del waiting[node.id]
                context = contextvars.copy_context()
                running[pool.submit(context.run, self._run_node, node)] = node

    def _finish(self, node: Node, future: Future[Outputs], errors: list[Exception]) -> None:
        error = future.exception()
        if error is None:
            self._outputs[node.id] = {k: Promise(k, v) for k, v in future.result().items()}
            return
        if not isinstance(error, Exception):
            raise error
        errors.append(error)
        if self._halted(errors):
            self._run.stop.set()

    def _run_node(self, node: Node) -> Outputs:
        own_context_stack()
        name = f"{self._prefix}{node.id}"
        inputs = {binding.var: self._promise(binding.binding).val for binding in node.bindings}
        inner = _workflow_of(node)
        if inner is not None:
            return _run_workflow(inner, inputs, self._run, f"{name}-")
        entity = node.flyte_entity
        retries = node.metadata.retries.retries if node.metadata.retries else 0
        # A task of another kind (dynamic, map) may call several of ours: each gets a number.
        serial = None if isinstance(entity, SageMakerTask) else itertools.count()
        suffix = "" if serial is None else "-"
        return _call(entity, inputs, NodeRun(self._run, name + suffix, retries, serial))

    def _promise(self, binding: lit.BindingData) -> Promise:
        """What a binding stands for, with attribute paths such as ``result.model`` resolved."""
        if binding.collection is not None:
            items = [self._promise(item).val for item in binding.collection.bindings]
            return Promise("list", lit.Literal(collection=lit.LiteralCollection(items)))
        if binding.map is not None:
            entries = {key: self._promise(item).val for key, item in binding.map.bindings.items()}
            return Promise("map", lit.Literal(map=lit.LiteralMap(entries)))
        if binding.promise is None:
            return Promise("constant", lit.Literal(scalar=binding.scalar))
        output = binding.promise
        promise = self._outputs[output.node_id][output.var]
        if not output.attr_path:
            return promise
        found = promise.deepcopy()
        found._attr_path = list(output.attr_path)  # noqa: SLF001 # flytekit offers no other way
        return cast("Promise", loop_manager.run_sync(resolve_attr_path_in_promise, found))


def _upstream(node: Node) -> Iterable[Node]:
    return (upstream for upstream in node.upstream_nodes if upstream.id != GLOBAL_INPUT_NODE_ID)


def _call(entity: WorkflowBase | PythonTask, inputs: Outputs, node: NodeRun) -> Outputs:
    """Call one entity as flytekit's local run does, and give its outputs as literals."""
    token = current_node.set(node)
    try:
        context = FlyteContextManager.current_context()
        with FlyteContextManager.with_context(context.new_builder()):
            promises = {name: Promise(name, value) for name, value in inputs.items()}
            results = entity(**promises)
    finally:
        current_node.reset(token)
    names = list(entity.python_interface.outputs)
    if not names or results is None or isinstance(results, VoidPromise):
        return {}
    if len(names) == 1 and not isinstance(results, tuple):
        results = (results,)
    return {
        name: promise.val
        for name, promise in zip(names, cast("tuple[Promise, ...]", results), strict=True)
    }
