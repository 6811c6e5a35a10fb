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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.array_node import ArrayNode
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import PythonTask
from flytekit.core.condition import BranchNode
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.promise import Promise, VoidPromise, resolve_attr_path_in_promise
from flytekit.core.python_function_task import EagerAsyncPythonFunctionTask
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase, WorkflowFailurePolicy
from flytekit.models import literals as lit
from flytekit.types.error.error import FlyteError
from flytekit.utils.asyn import loop_manager

from cdao_sdk.errors import CdaoError, JobStopped
from cdao_sdk.flyte.conditions import taken
from cdao_sdk.flyte.local_attempts import until_done
from cdao_sdk.flyte.local_checks import check_runs_here
from cdao_sdk.flyte.local_dynamic import is_dynamic, workflow_of
from cdao_sdk.flyte.local_map import MapRule, element_inputs, run_elements
from cdao_sdk.flyte.local_run import NodeRun, current_node
from cdao_sdk.flyte.local_tasks import run_job, run_plain, through_cache
from cdao_sdk.flyte.node_policy import node_policy
from cdao_sdk.flyte.run_inputs import launch_plan_literals
from cdao_sdk.flyte.task import SageMakerTask
from cdao_sdk.flyte.threads import submit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flytekit.core.node import Node
    from flytekit.core.python_function_task import PythonFunctionTask
    from flytekit.models.core.workflow import NodeMetadata

    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.node_policy import NodePolicy
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
            return _Nodes(self._within(workflow), workflow, inputs, prefix).run_all()
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


@dataclass(frozen=True)
class _Step:
    """A node that is to run: under which id its outputs are known, and what its jobs are named."""

    node: Node
    id: str
    name: str


class _Nodes:
    """One workflow's nodes, and what they have put out so far."""

    def __init__(
        self, engine: _Engine, workflow: WorkflowBase, inputs: Outputs, prefix: str
    ) -> None:
        self._engine = engine
        self._workflow = workflow
        self._stop = engine.run.stop
        promises = {name: Promise(name, value) for name, value in inputs.items()}
        self._outputs: dict[str, dict[str, Promise]] = {GLOBAL_INPUT_NODE_ID: promises}
        self._waiting = [_Step(node, node.id, f"{prefix}{node.id}") for node in workflow.nodes]
        self._errors: list[Exception] = []

    def run_all(self) -> Outputs:
        running: dict[Future[Outputs], _Step] = {}
        width = min(len(self._waiting), _MOST_NODES_AT_ONCE) or 1
        with ThreadPoolExecutor(width, "cdao-node") as pool:
            while self._waiting or running:
                if not self._halted():
                    for step in self._ready():
                        inputs = self._inputs(step.node)
                        running[submit(pool, self._run, step, inputs)] = step
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(running.pop(future), future)
        if self._errors:
            # A sibling that was stopped because of the failure is not the failure.
            errors = self._errors
            raise next((e for e in errors if not isinstance(e, JobStopped)), errors[0])
        if self._waiting:
            msg = "The execution was stopped before all of its nodes had started."
            raise JobStopped(msg)
        return {
            binding.var: self._promise(binding.binding).val
            for binding in self._workflow.output_bindings
        }

    def _halted(self) -> bool:
        policy = self._workflow.workflow_metadata.on_failure
        return self._stop.is_set() or (
            bool(self._errors) and policy == WorkflowFailurePolicy.FAIL_IMMEDIATELY
        )

    def _ready(self) -> list[_Step]:
        """Take the steps that can start now; a conditional becomes the branch that is taken."""
        ready: list[_Step] = []
        still: list[_Step] = []
        pending = self._waiting[::-1]
        while pending:
            step = pending.pop()
            if not all(upstream.id in self._outputs for upstream in _upstream(step.node)):
                still.append(step)
            elif isinstance(step.node.flyte_entity, BranchNode):
                pending += self._branch(step, step.node.flyte_entity)
            else:
                ready.append(step)
        self._waiting = still
        return ready

    def _branch(self, step: _Step, branch: BranchNode) -> list[_Step]:
        try:
            node = taken(branch, self._inputs(step.node))
        except CdaoError as error:
            self._failed(error)
            return []
        return [_Step(node, step.id, f"{step.name}-{node.id}")]

    def _inputs(self, node: Node) -> Outputs:
        return {binding.var: self._promise(binding.binding).val for binding in node.bindings}

    def _run(self, step: _Step, inputs: Outputs) -> Outputs:
        node = step.node
        return self._engine.entity(node.flyte_entity, inputs, step.name, node.metadata)

    def _finish(self, step: _Step, future: Future[Outputs]) -> None:
        error = future.exception()
        if error is None:
            self._outputs[step.id] = {k: Promise(k, v) for k, v in future.result().items()}
        elif isinstance(error, Exception):
            self._failed(error)
        else:
            raise error

    def _failed(self, error: Exception) -> None:
        self._errors.append(error)
        if self._halted():
            self._stop.set()

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
