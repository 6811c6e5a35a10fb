"""The nodes of one workflow, each started as soon as those that it needs are done."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flytekit.core.condition import BranchNode
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.promise import Promise, resolve_attr_path_in_promise
from flytekit.core.workflow import WorkflowFailurePolicy
from flytekit.models import literals as lit
from flytekit.utils.asyn import loop_manager

from cdao_sdk.errors import CdaoError, JobStopped
from cdao_sdk.flyte.conditions import taken
from cdao_sdk.flyte.threads import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flytekit.core.node import Node
    from flytekit.core.workflow import WorkflowBase

    from cdao_sdk.flyte.stop_signal import StopSignal

__all__ = ["WorkflowNodes"]

_MOST_NODES_AT_ONCE = 64

Outputs = dict[str, lit.Literal]


@dataclass(frozen=True)
class _Step:
    """A node that is to run: under which id its outputs are known, and what its jobs are named."""

    node: Node
    id: str
    name: str


class WorkflowNodes:
    """One workflow's nodes, and what they have put out so far.

    Args:
        workflow: The compiled workflow.
        inputs: Its inputs.
        prefix: What its nodes' names begin with.
        stop: Set to start no more of them; set here after a failure.
    """

    def __init__(
        self, workflow: WorkflowBase, inputs: Outputs, prefix: str, stop: StopSignal
    ) -> None:
        self._workflow = workflow
        self._stop = stop
        promises = {name: Promise(name, value) for name, value in inputs.items()}
        self._outputs: dict[str, dict[str, Promise]] = {GLOBAL_INPUT_NODE_ID: promises}
        self._waiting = [_Step(node, node.id, f"{prefix}{node.id}") for node in workflow.nodes]
        self._errors: list[Exception] = []

    def run_all(self, run_node: Callable[[Node, Outputs, str], Outputs]) -> Outputs:
        """Run all nodes, and give the workflow's outputs.

        Args:
            run_node: Runs one, given its inputs and its name.

        Raises:
            Exception: Of the node that failed first, if any did.
            JobStopped: The execution was stopped.
        """
        running: dict[Future[Outputs], _Step] = {}
        width = min(len(self._waiting), _MOST_NODES_AT_ONCE) or 1
        with ThreadPoolExecutor(width, "cdao-node") as pool:
            while self._waiting or running:
                if not self._halted():
                    for step in self._ready():
                        inputs = self._inputs(step.node)
                        running[submit(pool, run_node, step.node, inputs, step.name)] = step
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
