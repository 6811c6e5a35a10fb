"""Goes through a workflow's nodes as a run would, without running anything.

Each job's requests come from the connector, on clients that write down instead of sending. What a
step will put out stays a placeholder, but for URIs that follow from a request.
"""

# flytekit ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from flytekit.core.array_node import ArrayNode
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.condition import BranchNode
from flytekit.core.constants import GLOBAL_INPUT_NODE_ID
from flytekit.core.launch_plan import LaunchPlan, ReferenceLaunchPlan
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase
from flytekit.models import literals as lit

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import CdaoError
from cdao_sdk.flyte.create_request import execution_metadata, task_template
from cdao_sdk.flyte.entities import compiling
from cdao_sdk.flyte.flytekit_runtime import staged
from cdao_sdk.flyte.node_policy import node_policy
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.flyte.planning.conditions import cases
from cdao_sdk.flyte.planning.jobs import Circumstances, planned_job
from cdao_sdk.flyte.planning.placeholders import Unknown, elements, literal, member
from cdao_sdk.flyte.planning.recording import OpenQuestion, artifact_uri
from cdao_sdk.flyte.planning.values import OtherStep
from cdao_sdk.flyte.results import uri_literal
from cdao_sdk.flyte.run_inputs import launch_plan_literals
from cdao_sdk.flyte.submitter import Submitter
from cdao_sdk.flyte.task import SageMakerTask
from cdao_sdk.flyte.task_request import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.core.base_task import PythonTask
    from flytekit.core.node import Node
    from flytekit.models.task import TaskTemplate

    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.planning.placeholders import Value
    from cdao_sdk.flyte.planning.recording import RecordingClients
    from cdao_sdk.flyte.planning.values import PlannedJob
    from cdao_sdk.kinds.job import ApiCall
    from cdao_sdk.kinds.parameters import ParameterRole

__all__ = ["Walk"]

Values = dict[str, "Value"]
_PLACES = ("channel", "input", "model")
_NO_PREFIX = "s3://<output prefix of the cluster>"


@dataclass
class Walk:
    """One way through an entity; what it finds gathers here.

    Attributes:
        run: The execution that a run would be; its services send nothing.
        clients: Those services' clients.
        jobs: The steps that become jobs.
        others: The other steps.
        problems: Why steps cannot become jobs.
    """

    run: LocalRun
    clients: RecordingClients
    jobs: list[PlannedJob] = field(default_factory=list["PlannedJob"])
    others: list[OtherStep] = field(default_factory=list[OtherStep])
    problems: list[str] = field(default_factory=list[str])

    def entity(self, entity: object, inputs: Values, at: Circumstances) -> Values:
        """Go through a workflow, a launch plan or a task, and give what it puts out."""
        if isinstance(entity, ReferenceEntity):
            return self._other(entity, at, "it is defined on the cluster", is_open=True)
        if isinstance(entity, LaunchPlan):
            return self._launch_plan(entity, inputs, at)
        if isinstance(entity, WorkflowBase):
            return self._workflow(entity, inputs, at)
        if isinstance(entity, (ArrayNodeMapTask, ArrayNode)):
            return self._map(entity, inputs, at)
        if isinstance(entity, SageMakerTask):
            return self._job(entity, inputs, at)
        behavior = getattr(entity, "execution_mode", PythonFunctionTask.ExecutionBehavior.DEFAULT)
        if behavior != PythonFunctionTask.ExecutionBehavior.DEFAULT:
            why = f"@{behavior.name.lower()}: its steps are decided at run time"
            return self._other(entity, at, why, is_open=True)
        return self._other(entity, at, "no SageMaker job; it runs as a Flyte task")

    def _other(
        self, entity: object, at: Circumstances, why: str, *, is_open: bool = False
    ) -> Values:
        task = cast("PythonTask", entity)
        name = task.name.rpartition(".")[2]
        self.others.append(OtherStep(at.node or "n0", name, why, is_open=is_open))
        return self._unknown(task, at)

    def _unknown(self, task: PythonTask, at: Circumstances, model_uri: str = "") -> Values:
        return {
            name: Unknown(name, at.node or "n0", model_uri=model_uri)
            for name in task.interface.outputs
        }

    # --- workflows ---

    def _launch_plan(self, plan: LaunchPlan, inputs: Values, at: Circumstances) -> Values:
        if isinstance(plan, ReferenceLaunchPlan):
            return self._other(plan, at, "it is defined on the cluster", is_open=True)
        return self._workflow(plan.workflow, {**launch_plan_literals(plan), **inputs}, at)

    def _workflow(self, workflow: WorkflowBase, inputs: Values, at: Circumstances) -> Values:
        with compiling(workflow):
            workflow.compile()
        own = workflow.workflow_metadata_defaults
        at = replace(at, interruptible=at.interruptible or bool(own and own.interruptible))
        known: dict[str, Values] = {GLOBAL_INPUT_NODE_ID: inputs}
        for node in workflow.nodes:
            known[node.id] = self._node(node, known, at.inside(str(node.id)))
        self._on_failure(workflow, inputs, at)
        return {binding.var: _bound(binding.binding, known) for binding in workflow.output_bindings}

    def _on_failure(self, workflow: WorkflowBase, inputs: Values, at: Circumstances) -> None:
        handler = workflow.on_failure
        if handler is None:
            return
        names = handler.python_interface.inputs
        values: Values = {name: inputs.get(name, Unknown(name)) for name in names}
        self.entity(handler, values, at.inside("fn", "if the workflow fails"))

    def _node(self, node: Node, known: Mapping[str, Values], at: Circumstances) -> Values:
        entity = node.flyte_entity
        if isinstance(entity, BranchNode):
            return self._branch(entity, known, at)
        values = {binding.var: _bound(binding.binding, known) for binding in node.bindings}
        return self.entity(entity, values, replace(at, metadata=node.metadata))

    def _branch(self, branch: BranchNode, known: Mapping[str, Values], at: Circumstances) -> Values:
        names: set[str] = set()
        for number, (condition, inner) in enumerate(cases(branch)):
            names |= set(self._node(inner, known, at.in_case(condition, number, str(inner.id))))
        return {name: Unknown(name, at.node) for name in names}

    # --- map tasks ---

    def _map(
        self, entity: ArrayNodeMapTask | ArrayNode, inputs: Values, at: Circumstances
    ) -> Values:
        """One job stands for all elements: the first."""
        is_task = isinstance(entity, ArrayNodeMapTask)
        inner = cast("PythonTask", entity.python_function_task if is_task else entity.target)
        bound: set[str] = set(entity.bound_inputs) if is_task else set()
        lists = {name: value for name, value in inputs.items() if name not in bound}
        lengths = {len(items) for value in lists.values() if (items := elements(value)) is not None}
        count = lengths.pop() if len(lengths) == 1 else None
        first: Values = {
            name: value if name in bound else _first(value) for name, value in inputs.items()
        }
        if count == 0:
            return self._other(inner, at, "the map has no elements")
        fixed = launch_plan_literals(inner) if isinstance(inner, LaunchPlan) else {}
        metadata = entity.sub_node_metadata if is_task else None
        self.entity(inner, {**fixed, **first}, at.element(count, metadata))
        return self._unknown(cast("PythonTask", entity), at)

    # --- jobs ---

    def _job(self, task: SageMakerTask, inputs: Values, at: Circumstances) -> Values:
        at = at if at.node else at.inside("n0")
        try:
            job = self._planned(task, inputs, at)
        except OpenQuestion as error:
            return self._other(task, at, str(error), is_open=True)
        except CdaoError as error:
            self.problems.append(f"{at.node} {task.name.rpartition('.')[2]}: {error}")
            return self._unknown(task, at)
        self.jobs.append(job)
        return self._put_out(task, job.requests[-1], at)

    def _planned(self, task: SageMakerTask, inputs: Values, at: Circumstances) -> PlannedJob:
        first = len(self.clients.calls)
        template = self._template(task)
        payload = TaskPayload.from_json(cast("Mapping[str, object]", template.custom))
        _ask_nothing_of_an_unknown_model(payload, inputs)
        literals = {
            role.name: self._literal(task, role, inputs[role.name])
            for role in payload.roles
            if role.name in inputs
        }
        name = self._create(task, template, literals, at)
        requests, objects = self.clients.take(first)
        return planned_job(
            task,
            payload,
            name,
            at,
            values={role.name: inputs[role.name] for role in payload.roles},
            requests=requests,
            objects=objects,
            region=self.clients.target.region,
        )

    def _put_out(self, task: SageMakerTask, request: ApiCall, at: Circumstances) -> Values:
        model = artifact_uri(request.parameters)
        if task.runs_body:
            return self._unknown(task, at, model)
        answered = {**request.parameters, "ModelArtifacts": {"S3ModelArtifacts": model}}
        uri = task.job_kind.artifact(answered)
        return {
            name: uri_literal(uri, variable.type)
            for name, variable in task.interface.outputs.items()
        }

    def _literal(self, task: SageMakerTask, role: ParameterRole, value: Value) -> lit.Literal:
        if role.role == "model" and isinstance(value, Unknown) and value.model_uri:
            # Whatever a training task returns of its model lies in the job's artefact.
            value = uri_literal(value.model_uri, task.interface.inputs[role.name].type)
        literal_type = task.interface.inputs[role.name].type
        return literal(value, literal_type, is_place=role.role in _PLACES)

    def _template(self, task: SageMakerTask) -> TaskTemplate:
        code_uri = self.run.code_uri(task) if self.run.services.bucket else f"{_NO_PREFIX}/code"
        return task_template(task, code_uri)

    def _create(
        self,
        task: SageMakerTask,
        template: TaskTemplate,
        literals: Mapping[str, lit.Literal],
        at: Circumstances,
    ) -> str:
        """Have the job made, as the connector would; returns its name."""
        services, inputs = self.run.services, lit.LiteralMap(dict(literals))
        policy = node_policy(task, at.metadata, interruptible=at.interruptible)
        metadata = execution_metadata(
            self.run, template.id.name, node=at.node, interruptible=policy.interruptible
        )
        # Without a bucket it is the cluster that says where flytekit reads and writes.
        writable = replace(services, bucket=services.bucket or _NO_PREFIX.removeprefix("s3://"))
        template, output_prefix = bridge.run(staged(writable, template, inputs, metadata))
        request = TaskRequest(template, output_prefix or _NO_PREFIX, inputs, metadata)
        sending = Submitter(task.job_kind, services).send(request)
        return bridge.run(sending).job_name


def _ask_nothing_of_an_unknown_model(payload: TaskPayload, inputs: Values) -> None:
    """Refuse a model of which nobody can say yet what serves it.

    Raises:
        OpenQuestion: Neither the task names an image, nor is the training job known.
    """
    if payload.spec.container_image or payload.spec.framework:
        return
    for role in payload.roles:
        value = inputs.get(role.name)
        if role.role == "model" and isinstance(value, Unknown) and not value.model_uri:
            msg = f"its image follows from the model, {value}, which a run will know"
            raise OpenQuestion(msg)


def _first(value: Value) -> Value:
    items = elements(value)
    if items:
        return items[0]
    return replace(value, path=(*value.path, 0)) if isinstance(value, Unknown) else value


def _bound(binding: lit.BindingData, known: Mapping[str, Values]) -> Value:
    """What a binding stands for, as far as it is known."""
    if binding.collection is not None:
        return [_bound(item, known) for item in binding.collection.bindings]
    if binding.map is not None:
        return {key: _bound(item, known) for key, item in binding.map.bindings.items()}
    if binding.promise is None:
        return lit.Literal(scalar=binding.scalar)
    output = binding.promise
    missing = Unknown(output.var, "" if output.node_id == GLOBAL_INPUT_NODE_ID else output.node_id)
    value = known.get(output.node_id, {}).get(output.var, missing)
    return member(value, list(output.attr_path or ()))
