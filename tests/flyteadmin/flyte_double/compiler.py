"""Compiles a registered workflow: sentinel nodes, edges, the tasks that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2, types_pb2, workflow_pb2

from flyte_double.refusals import Refused, go_text, invalid

if TYPE_CHECKING:
    from flyteidl.admin.workflow_pb2 import WorkflowSpec

START, END = "start-node", "end-node"
Key = tuple[str, str, str, str]
FindTask = Callable[[identifier_pb2.Identifier], compiler_pb2.CompiledTask]
FindPlan = Callable[[identifier_pb2.Identifier], object]


def key_of(identifier: identifier_pb2.Identifier) -> Key:
    return identifier.project, identifier.domain, identifier.name, identifier.version


def compile_workflow(
    spec: WorkflowSpec, find_task: FindTask, find_plan: FindPlan
) -> compiler_pb2.CompiledWorkflowClosure:
    """The closure of a workflow.

    Raises:
        Refused: something that it refers to is not there.
    """
    try:
        primary = _compiled(spec.template)
        subs = {key_of(sub.id): _compiled(sub) for sub in spec.sub_workflows}
        templates = [spec.template, *spec.sub_workflows]
        nodes = [node for template in templates for node in every_node(template)]
        for node in nodes:
            reference = node.workflow_node
            if reference.HasField("launchplan_ref"):
                find_plan(reference.launchplan_ref)
            elif reference.HasField("sub_workflow_ref"):
                _known(subs, reference.sub_workflow_ref)
        ids = {key_of(node.task_node.reference_id): node for node in nodes if _is_task(node)}
        tasks = [find_task(ids[key].task_node.reference_id) for key in sorted(ids)]
    except Refused as error:
        invalid(
            f"failed to compile workflow for [{go_text(spec.template.id)}] with err:"
            f" {error.message}"
        )
    return compiler_pb2.CompiledWorkflowClosure(
        primary=primary, sub_workflows=subs.values(), tasks=tasks
    )


def _is_task(node: workflow_pb2.Node) -> bool:
    return node.task_node.HasField("reference_id")


def _known(subs: dict[Key, compiler_pb2.CompiledWorkflow], ref: identifier_pb2.Identifier) -> None:
    if key_of(ref) not in subs:
        invalid(f"WorkflowReferenceNotFound: {ref.name}")


def _compiled(template: workflow_pb2.WorkflowTemplate) -> compiler_pb2.CompiledWorkflow:
    if not template.nodes:
        invalid(f"NoNodesFound: {template.id.name}")
    compiled = compiler_pb2.CompiledWorkflow(template=template)
    nodes = [workflow_pb2.Node(id=START), workflow_pb2.Node(id=END, inputs=template.outputs)]
    del compiled.template.nodes[:]
    compiled.template.nodes.extend([*nodes, *template.nodes])
    for node in every_node(compiled.template):
        for child in branches(node):  # breadth first: a parent has its name before its children
            child.id = f"{node.id}-{child.id}"
        for promise in promises(binding.binding for binding in node.inputs):
            promise.node_id = promise.node_id or START
    edges = upstream(compiled.template)
    for node, needed in edges.items():
        for other in needed:
            if other not in edges and other != START:
                invalid(f"NodeReferenceNotFound: {other} of {node}")
            compiled.connections.downstream[other].ids.append(node)
        compiled.connections.upstream[node].ids.extend(sorted(needed))
    return compiled


def upstream(template: workflow_pb2.WorkflowTemplate) -> dict[str, list[str]]:
    """Each node's predecessors, in a compiled template; leaves lead to the end node."""
    edges: dict[str, list[str]] = {}
    for node in template.nodes:
        if node.id != START:
            edges[node.id] = needed_by(node) or ([] if node.id == END else [START])
    used = {other for needed in edges.values() for other in needed}
    edges[END] += [name for name in edges if name not in used | {END}]
    return edges


def needed_by(node: workflow_pb2.Node) -> list[str]:
    """The nodes that have to be over before this one starts."""
    bound = (promise.node_id for promise in promises(item.binding for item in node.inputs))
    return list(dict.fromkeys([*node.upstream_node_ids, *bound]))


def promises(
    bindings: Iterable[literals_pb2.BindingData],
) -> Iterator[types_pb2.OutputReference]:
    for binding in bindings:
        kind = binding.WhichOneof("value")
        if kind == "promise":
            yield binding.promise
        elif kind == "collection":
            yield from promises(binding.collection.bindings)
        elif kind == "map":
            yield from promises(binding.map.bindings.values())


def branches(node: workflow_pb2.Node) -> list[workflow_pb2.Node]:
    """The nodes inside a branch node."""
    if not node.HasField("branch_node"):
        return []
    choice = node.branch_node.if_else
    inner = [choice.case.then_node, *(other.then_node for other in choice.other)]
    return inner + ([choice.else_node] if choice.HasField("else_node") else [])


def every_node(template: workflow_pb2.WorkflowTemplate) -> Iterator[workflow_pb2.Node]:
    failure = [template.failure_node] if template.HasField("failure_node") else []
    waiting = [*template.nodes, *failure]
    while waiting:
        node = waiting.pop(0)
        yield node
        waiting += branches(node)
        if node.HasField("array_node"):
            waiting.append(node.array_node.node)
