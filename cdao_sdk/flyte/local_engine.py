"""Runs a workflow in this process, independent nodes at the same time.

flytekit's own local run takes one node after the other. Here each node starts as soon as the nodes
that it needs are done, as on a cluster: inside conditionals, ``@dynamic`` and map tasks, too.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.array_node import ArrayNode
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import PythonTask
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.promise import Promise, VoidPromise
from flytekit.core.python_function_task import EagerAsyncPythonFunctionTask
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase
from flytekit.models import literals as lit
from flytekit.types.error.error import FlyteError

from cdao_sdk.errors import JobStopped
from cdao_sdk.flyte.local_attempts import until_done
from cdao_sdk.flyte.local_checks import check_runs_here
from cdao_sdk.flyte.local_dynamic import is_dynamic, workflow_of
from cdao_sdk.flyte.local_map import MapRule, element_inputs, run_elements
from cdao_sdk.flyte.local_nodes import WorkflowNodes
from cdao_sdk.flyte.local_run import NodeRun, current_node
from cdao_sdk.flyte.local_tasks import run_job, run_plain, through_cache
from cdao_sdk.flyte.node_policy import node_policy
from cdao_sdk.flyte.run_inputs import launch_plan_literals
from cdao_sdk.flyte.task import SageMakerTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.core.node import Node
    from flytekit.core.python_function_task import PythonFunctionTask
    from flytekit.models.core.workflow import NodeMetadata

    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.node_policy import NodePolicy
    from cdao_sdk.flyte.run_inputs import Entity

__all__ = ["execute", "node_needs", "node_order"]

logger = logging.getLogger(__name__)

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
        engine = _Engine(run)
        workflow = _workflow_of(entity)
        if workflow is not None:
            return engine.workflow(workflow, dict(inputs), prefix="")
        return engine.entity(entity, dict(inputs), "n0")


def node_order(entity: Entity) -> list[str]:
    """Ids of an entity's nodes in the order of their dependencies, subworkflows resolved."""
    if isinstance(entity, LaunchPlan):
        entity = entity.workflow
    if not isinstance(entity, WorkflowBase):
        return ["n0"]
    entity.compile()
    found: list[str] = []
    for node in entity.nodes:
        inner = _workflow_of(node.flyte_entity)
        ids = [f"{node.id}-{name}" for name in node_order(inner)] if inner else [str(node.id)]
        found += ids
    return found


def node_needs(entity: Entity) -> dict[str, tuple[str, ...]]:
    """Node's id → ids of the nodes that it waits for.

    Nodes of a subworkflow have ids that begin with its node's, and wait for what that one waits
    for besides.
    """
    workflow = _workflow_of(entity)
    if workflow is None:
        return {}
    workflow.compile()
    needs: dict[str, tuple[str, ...]] = {}
    for node in workflow.nodes:
        above = (str(upstream.id) for upstream in node.upstream_nodes)
        needs[str(node.id)] = tuple(name for name in above if name != GLOBAL_INPUT_NODE_ID)
        for inner, names in node_needs(node.flyte_entity).items():
            needs[f"{node.id}-{inner}"] = tuple(f"{node.id}-{name}" for name in names)
    return needs


def _workflow_of(entity: Any) -> WorkflowBase | None:
    if isinstance(entity, LaunchPlan) and not isinstance(entity, ReferenceEntity):
        entity = entity.workflow
    return entity if isinstance(entity, WorkflowBase) else None


class _Engine:
    """Runs entities of one execution, each in the thread that calls.

    Args:
        run: The execution, or a part of it that can be stopped alone.
        interruptible: What the workflow around says of nodes that say nothing themselves.
    """

    def __init__(self, run: LocalRun, *, interruptible: bool = False) -> None:
        self.run = run
        self.interruptible = interruptible

    def workflow(self, workflow: WorkflowBase, inputs: Outputs, prefix: str) -> Outputs:
        workflow.compile()
        try:
            engine = self._within(workflow)
            return WorkflowNodes(workflow, inputs, prefix, engine.run.stop).run_all(engine.node)
        except Exception as error:
            self._on_failure(workflow, inputs, error, prefix)
            raise

    def _within(self, workflow: WorkflowBase) -> _Engine:
        """An engine whose failure stops what runs beside it, not the workflow around."""
        own = workflow.workflow_metadata_defaults
        return self.child(interruptible=self.interruptible or bool(own and own.interruptible))

    def child(self, *, interruptible: bool | None = None) -> _Engine:
        """An engine that can be stopped alone."""
        run = replace(self.run, stop=self.run.stop.child())
        inherited = self.interruptible if interruptible is None else interruptible
        return _Engine(run, interruptible=inherited)

    def _on_failure(
        self, workflow: WorkflowBase, inputs: Outputs, error: Exception, prefix: str
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
            name = node.id if node else ""
            arguments["err"] = FlyteError(failed_node_id=name, message=str(error))
        token = current_node.set(NodeRun(self.run, f"{prefix}fn"))
        try:
            handler(**arguments)
        except Exception:  # the failure that brought us here is the one to report
            logger.exception("the failure handler of %s failed itself", workflow.name)
        finally:
            current_node.reset(token)

    def node(self, node: Node, inputs: Outputs, name: str) -> Outputs:
        """Run a node under a name, which those of its jobs begin with."""
        return self.entity(node.flyte_entity, inputs, name, node.metadata)

    def entity(
        self, entity: Any, inputs: Outputs, name: str, metadata: NodeMetadata | None = None
    ) -> Outputs:
        """Run whatever a node can be.

        Args:
            entity: Task, workflow, launch plan, map or one of flytekit's other entities.
            inputs: Its inputs.
            name: Id of its node, those of the workflows around it included.
            metadata: The node's own word on retries, timeout and so on.
        """
        inner = _workflow_of(entity)
        if inner is not None:
            return self.workflow(inner, inputs, f"{name}-")
        if isinstance(entity, (ArrayNodeMapTask, ArrayNode)):
            return self._map(entity, inputs, name)
        if not isinstance(entity, PythonTask) or isinstance(entity, _CALLED):
            # Gates, references with a stand-in, eager functions.
            node = NodeRun(self.run, f"{name}-", serial=itertools.count())
            return _call(cast("PythonTask", entity), inputs, node)
        return self._task(entity, inputs, name, metadata)

    def _task(
        self, task: PythonTask, inputs: Outputs, name: str, metadata: NodeMetadata | None
    ) -> Outputs:
        policy = node_policy(task, metadata, interruptible=self.interruptible)
        literals = lit.LiteralMap(inputs)
        if isinstance(task, SageMakerTask) and not task.has_stand_in:
            return _values(run_job(task, literals, NodeRun(self.run, name, policy)))
        # A task of another kind may call several of ours: each gets a number.
        node = NodeRun(self.run, f"{name}-", policy, serial=itertools.count())
        if is_dynamic(task):
            return self._dynamic(cast("PythonFunctionTask", task), literals, node, policy, name)
        return _values(run_plain(task, literals, node))

    def _dynamic(
        self,
        task: PythonFunctionTask,
        inputs: lit.LiteralMap,
        node: NodeRun,
        policy: NodePolicy,
        name: str,
    ) -> Outputs:
        """Call the function once; the nodes that it made have retries of their own."""

        def run() -> lit.LiteralMap:
            workflow = until_done(
                name,
                policy.retries,
                lambda _: workflow_of(task, inputs),
                is_stopped=self.run.stop.is_set,
            )
            check_runs_here(workflow)
            return lit.LiteralMap(self.workflow(workflow, dict(inputs.literals), f"{name}-"))

        return _values(through_cache(task, inputs, node, policy, run))

    def _map(self, entity: ArrayNodeMapTask | ArrayNode, inputs: Outputs, name: str) -> Outputs:
        is_task = isinstance(entity, ArrayNodeMapTask)
        target = entity.python_function_task if is_task else entity.target
        metadata = entity.sub_node_metadata if is_task else None
        rule = MapRule(
            name=name,
            concurrency=entity.concurrency,
            min_successes=entity.min_successes,
            min_success_ratio=entity.min_success_ratio,
            runs_all=entity.run_all_sub_nodes,
        )
        fixed = launch_plan_literals(target) if isinstance(target, LaunchPlan) else {}
        engine = self.child()
        bound = entity.bound_inputs
        found = run_elements(
            rule,
            element_inputs(inputs, bound, name),
            # Named as Propeller names an array node's elements.
            lambda index, own: engine.entity(
                target, {**fixed, **own}, f"{name}-n{index}", metadata
            ),
            engine.run.stop,
        )
        gathered: Outputs = {}
        for output in target.python_interface.outputs:
            items = [_NONE if one is None else one[output] for one in found]
            gathered[output] = lit.Literal(collection=lit.LiteralCollection(items))
        return gathered


# Tasks that do more in their call than to turn inputs into outputs, or have nothing else.
_CALLED = (EagerAsyncPythonFunctionTask, ReferenceEntity)
_NONE = lit.Literal(scalar=lit.Scalar(none_type=lit.Void()))


def _values(literals: lit.LiteralMap) -> Outputs:
    return dict(literals.literals)


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
