"""Creates executions: inputs, skeleton workflows of single tasks, relaunch and recovery."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from flyteidl.admin import execution_pb2, launch_plan_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow
from flyteidl.core.execution_pb2 import WorkflowExecution

from flyte_double.blobs import Blobs
from flyte_double.compiler import START, key_of
from flyte_double.database import TERMINAL, Database, ExecutionRow, execution_key
from flyte_double.names import execution_name, now
from flyte_double.refusals import Code, Refused, exists, go_text, invalid
from flyte_double.registry import Registry, plan_of

Start = Callable[[ExecutionRow, workflow_pb2.Workflow, launch_plan_pb2.LaunchPlan], None]
_NAME = re.compile(r"[a-z][a-z\-0-9]*")
_DUPLICATE = (
    "value with matching already exists (duplicate key value violates unique constraint"
    ' "executions_pkey")'
)
# The primitives that have a simple type, and its name.
_SIMPLE = {
    "integer": "INTEGER",
    "float_value": "FLOAT",
    "string_value": "STRING",
    "boolean": "BOOLEAN",
    "datetime": "DATETIME",
    "duration": "DURATION",
}


@dataclass
class Executions:
    """What FlyteAdmin's execution manager does.

    Attributes:
        start: Hands an execution to Propeller.
        abort: Tells Propeller that one is to end.
    """

    database: Database
    registry: Registry
    blobs: Blobs
    start: Start
    abort: Callable[[ExecutionRow], None]

    def create(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Create an execution.

        Raises:
            Refused: the name is taken, the inputs do not fit, or what it runs is not there.
        """
        self.registry.check_place(request.project, request.domain)
        name = request.name or execution_name()
        if len(name) > 63:
            invalid(f"size of name exceeded length 63 : {name}")
        if not _NAME.fullmatch(name.lower()):
            invalid(f"invalid name format: {name}, does not match regex '^[a-z][a-z\\-0-9]*$'")
        identifier = identifier_pb2.WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=name
        )
        with self.database.lock:
            workflow, plan = self._target(request.spec)
            given = request.inputs if request.inputs.literals else request.spec.inputs
            inputs = _inputs(given, plan)
            if execution_key(identifier) in self.database.executions:
                exists(_DUPLICATE)
            place = ("metadata", "admin", request.project, request.domain, name)
            row = ExecutionRow(
                execution_pb2.Execution(id=identifier, spec=request.spec),
                self.blobs.write(self.blobs.uri(*place, "inputs"), inputs),
                self.blobs.write(self.blobs.uri(*place, "user_inputs"), given),
            )
            _describe(row.proto, workflow)
            self.database.executions[execution_key(identifier)] = row
        self.start(row, workflow, plan)
        return identifier

    def again(
        self,
        source: identifier_pb2.WorkflowExecutionIdentifier,
        name: str,
        mode: execution_pb2.ExecutionMetadata.ExecutionMode.ValueType,
        *,
        overwrite_cache: bool | None = None,
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Relaunch or recover an execution with the inputs that the user gave."""
        row = self.database.execution(source)
        spec = execution_pb2.ExecutionSpec()
        spec.CopyFrom(row.proto.spec)
        spec.metadata.mode = mode
        spec.metadata.reference_execution.CopyFrom(row.proto.id)
        if overwrite_cache is not None:
            spec.overwrite_cache = overwrite_cache
        inputs = self.blobs.read(row.user_inputs_uri, literals_pb2.LiteralMap())
        return self.create(
            execution_pb2.ExecutionCreateRequest(
                project=source.project, domain=source.domain, name=name, spec=spec, inputs=inputs
            )
        )

    def terminate(self, request: execution_pb2.ExecutionTerminateRequest) -> None:
        with self.database.lock:
            row = self.database.execution(request.id)
            closure = row.proto.closure
            if closure.phase in TERMINAL:
                raise Refused(
                    Code.FAILED_PRECONDITION,
                    "Cannot abort an already terminated workflow execution",
                )
            closure.abort_metadata.cause = request.cause
            closure.phase = WorkflowExecution.ABORTING
        self.abort(row)

    def _target(
        self, spec: execution_pb2.ExecutionSpec
    ) -> tuple[workflow_pb2.Workflow, launch_plan_pb2.LaunchPlan]:
        target = spec.launch_plan
        if target.resource_type == identifier_pb2.TASK:
            return self._skeleton(target)
        if target.resource_type != identifier_pb2.LAUNCH_PLAN:
            kind = identifier_pb2.ResourceType.Name(target.resource_type)
            invalid(f"Invalid reference entity resource type [{kind}]")
        plan = self.registry.launch_plan(target)
        return self.registry.workflow(plan.spec.workflow_id), plan

    def _skeleton(
        self, task_id: identifier_pb2.Identifier
    ) -> tuple[workflow_pb2.Workflow, launch_plan_pb2.LaunchPlan]:
        """The workflow around a single task."""
        task = self.registry.task(task_id).closure.compiled_task.template
        identifier = identifier_pb2.Identifier()
        identifier.CopyFrom(task_id)
        identifier.name = f".flytegen.{task_id.name}"
        identifier.resource_type = identifier_pb2.WORKFLOW
        if key_of(identifier) not in self.database.workflows:
            name = re.sub(r"[^-\w]|_", "", task_id.name[-63:])
            node = core_workflow.Node(id=name, inputs=_bound(task.interface.inputs, START))
            node.metadata.name = name
            has_retries = task.metadata.HasField("retries")
            node.metadata.retries.retries = task.metadata.retries.retries if has_retries else 3
            node.task_node.reference_id.CopyFrom(task_id)
            template = core_workflow.WorkflowTemplate(
                interface=task.interface, nodes=[node], outputs=_bound(task.interface.outputs, name)
            )
            self.registry.create_workflow(
                workflow_pb2.WorkflowCreateRequest(
                    id=identifier, spec=workflow_pb2.WorkflowSpec(template=template)
                )
            )
        workflow = self.registry.workflow(identifier)
        spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=task_id)
        return workflow, plan_of(identifier, spec, task.interface)


def _bound(variables: object, node: str) -> list[literals_pb2.Binding]:
    names = list(variables.variables)  # type: ignore[attr-defined] # a VariableMap
    bindings = []
    for name in sorted(names):
        binding = literals_pb2.Binding(var=name)
        binding.binding.promise.node_id, binding.binding.promise.var = node, name
        bindings.append(binding)
    return bindings


def _describe(proto: execution_pb2.Execution, workflow: workflow_pb2.Workflow) -> None:
    proto.spec.ClearField("inputs")
    metadata = proto.spec.metadata
    metadata.principal = ""
    metadata.system_metadata.namespace = f"{proto.id.project}-{proto.id.domain}"
    if not proto.spec.HasField("security_context"):
        proto.spec.security_context.run_as.SetInParent()
    if proto.spec.launch_plan.resource_type != identifier_pb2.TASK:
        proto.spec.max_parallelism = proto.spec.max_parallelism or 25
    proto.closure.workflow_id.CopyFrom(workflow.id)
    proto.closure.created_at.CopyFrom(now())
    proto.closure.updated_at.CopyFrom(proto.closure.created_at)
    proto.closure.state_change_details.occurred_at.CopyFrom(proto.closure.created_at)


def _inputs(
    given: literals_pb2.LiteralMap, plan: launch_plan_pb2.LaunchPlan
) -> literals_pb2.LiteralMap:
    """The inputs of an execution: the user's, defaults, what is fixed."""
    expected, fixed = plan.closure.expected_inputs.parameters, plan.spec.fixed_inputs.literals
    inputs = literals_pb2.LiteralMap()
    for name, literal in given.literals.items():
        if name not in expected:
            invalid(f"invalid input {name}")
        _check_type(name, literal, expected[name].var.type)
        inputs.literals[name].CopyFrom(literal)
    for name, parameter in expected.items():
        if name not in inputs.literals:
            if parameter.required:
                invalid(f"expected_inputs {name} missing")
            inputs.literals[name].CopyFrom(parameter.default)
    for name, literal in fixed.items():
        if name in inputs.literals:
            invalid(f"fixed_inputs {name} cannot be overridden")
        inputs.literals[name].CopyFrom(literal)
    return inputs


def _check_type(name: str, literal: literals_pb2.Literal, wanted: types_pb2.LiteralType) -> None:
    """Refuse a primitive of another type than is asked for; other literals are not looked into."""
    got = _SIMPLE.get(literal.scalar.primitive.WhichOneof("value") or "")
    if got is None or not wanted.HasField("simple"):
        return
    if types_pb2.SimpleType.Name(wanted.simple) != got:
        text = f"Expected {go_text(wanted)}, but got simple:{got}"
        invalid(f"invalid {name} input wrong type. {text}")
