"""What a workflow asks for that a run in this process could not do as it is written."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flytekit.core.array_node import ArrayNode
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.condition import BranchNode
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.conditions import branches
from cdao_sdk.flyte.node_overrides import lost_overrides
from cdao_sdk.flyte.task import SageMakerTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flytekit.core.node import Node

    from cdao_sdk.flyte.run_inputs import Entity

__all__ = ["check_runs_here"]


def check_runs_here(entity: Entity) -> None:
    """Refuse what cannot be run, before anything is created.

    Args:
        entity: Workflow, launch plan or task.

    Raises:
        PlanError: All that stands in the way.
    """
    problems = list(dict.fromkeys(_problems(entity, str(entity.name))))
    if problems:
        msg = f"{entity.name} cannot be run here."
        raise PlanError(msg, problems=problems)


def _problems(entity: Any, where: str) -> Iterator[str]:
    if _is_remote(entity):
        yield (
            f"{where}: only a reference to what is registered on a cluster; use the workflow or"
            " task itself, or give the reference a stand-in with flytekit.testing.patch"
        )
    elif isinstance(entity, LaunchPlan):
        yield from _problems(entity.workflow, where)
    elif isinstance(entity, WorkflowBase):
        entity.compile()
        for node in entity.nodes:
            here = f"{where}, node {node.id}"
            if _needs_another(node, entity.nodes):
                yield (
                    f"{here}: a task is called inside if_(…) or elif_(…), where it is no step of"
                    " the workflow; call it before conditional(…)"
                )
            yield from _node_problems(node, entity.nodes, here)
    elif isinstance(entity, ArrayNode):
        yield from _problems(entity.target, where)


def _is_remote(entity: object) -> bool:
    """Whether there is nothing here to run; a stand-in for it counts as something."""
    if isinstance(entity, ReferenceEntity):
        return "execute" not in vars(entity)
    return type(entity).__module__.startswith("flytekit.remote")


def _node_problems(node: Node, known: Sequence[Node], where: str) -> Iterator[str]:
    entity = node.flyte_entity
    if not isinstance(entity, BranchNode):
        if isinstance(entity, ArrayNodeMapTask):  # any other node has refused them itself
            yield from _override_problems(node, where)
        yield from _problems(entity, where)
        return
    for inner in branches(entity):
        if _needs_another(inner, known):
            # flytekit numbers such nodes anew, so that on a cluster they take each other's outputs.
            yield (
                f"{where}: a branch of conditional {entity.name!r} has more than one step; make"
                " them a workflow of their own and name that in .then(…)"
            )
        yield from _node_problems(inner, known, f"{where}, branch {inner.id}")


def _needs_another(node: Node, known: Sequence[Node]) -> bool:
    """Whether a node needs one that is not among these."""
    return any(
        upstream.id != GLOBAL_INPUT_NODE_ID and all(upstream is not other for other in known)
        for upstream in node.upstream_nodes
    )


def _override_problems(node: Node, where: str) -> Iterator[str]:
    if not isinstance(node.flyte_entity.python_function_task, SageMakerTask):
        return
    given = {
        "container_image": node._container_image,  # noqa: SLF001 # flytekit offers no other way
        "resources, requests or limits": node._resources,  # noqa: SLF001
        "accelerator or shared_memory": node._extended_resources,  # noqa: SLF001
        "pod_template": node._pod_template,  # noqa: SLF001
    }
    named = [name for name, value in given.items() if cast("object", value) is not None]
    if named:
        yield f"{where}: {lost_overrides(named)}"
