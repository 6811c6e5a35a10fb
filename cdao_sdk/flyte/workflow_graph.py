"""Which nodes a registered workflow has, what they run, and which waits for which."""

# flyteidl and flytekit ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from flyteidl.admin import common_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk.flyte.remote import Cluster

__all__ = ["WorkflowGraph", "read_graph"]

_ENDS = frozenset({"start-node", "end-node"})
_DEEPEST = 20  # subworkflows inside subworkflows


@dataclass(frozen=True)
class WorkflowGraph:
    """The nodes of a workflow, those of its subworkflows with ids as Propeller makes them.

    Attributes:
        tasks: Task's name by node's id, in the order of the nodes' dependencies; empty where a
            node runs no task of its own.
        needs: Node's id → ids of the nodes that it waits for.
    """

    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])


def read_graph(cluster: Cluster, workflow_id: Any) -> WorkflowGraph:
    """The graph that FlyteAdmin has compiled; one call.

    Args:
        cluster: Where it is registered.
        workflow_id: The workflow's identifier, as a message.

    Raises:
        CdaoError: FlyteAdmin refused, or does not answer.
    """
    request = common_pb2.ObjectGetRequest(id=workflow_id)
    compiled = cluster.call(Admin.get_workflow, request).closure.compiled_workflow
    parts = {_key(sub.template.id): sub for sub in compiled.sub_workflows}
    tasks: dict[str, str] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for node, task, above in _nodes(compiled.primary, parts):
        tasks[node] = task
        needs[node] = above
    return WorkflowGraph(tasks, needs)


def _key(identifier: Any) -> tuple[str, str, str, str]:
    return identifier.project, identifier.domain, identifier.name, identifier.version


def _nodes(
    workflow: Any, parts: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(id, task, ids that it waits for) of each node, in the order of their dependencies."""
    by_id = {node.id: node for node in workflow.template.nodes if node.id not in _ENDS}
    upstream = {
        name: sorted(each for each in workflow.connections.upstream[name].ids if each in by_id)
        if name in workflow.connections.upstream
        else []
        for name in by_id
    }
    for name in TopologicalSorter(upstream).static_order():
        node = by_id[name]
        above = tuple(f"{prefix}{each}" for each in upstream[name])
        yield f"{prefix}{name}", str(node.task_node.reference_id.name), above
        inner = parts.get(_key(node.workflow_node.sub_workflow_ref))
        if inner is not None and depth < _DEEPEST:
            # A node inside: <its parent>-<the parent's attempt>-<its id>, the first attempt here.
            yield from _nodes(inner, parts, f"{prefix}{name}-0-", depth + 1)
