"""Registration: tasks, workflows and launch plans, as FlyteAdmin's managers keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2

from flyte_double.compiler import Key, compile_workflow, key_of
from flyte_double.database import Database
from flyte_double.names import now
from flyte_double.refusals import Code, Refused, exists, invalid, missing

_DIFFERS = (
    "{name} {kind} with different structure already exists."
    " (Please register a new version of the {kind}):\n"
)
_SAME = "{kind} with identical structure already exists"
DOMAINS = ("development", "staging", "production")


@dataclass
class Registry:
    """Creates and finds what users register."""

    database: Database

    def check_place(self, project: str, domain: str) -> None:
        if project not in self.database.projects:
            invalid(
                f"failed to validate that project [{project}] and domain [{domain}] are"
                f" registered, err: [project [{project}] not found]"
            )
        if domain not in DOMAINS:
            invalid(f"domain [{domain}] is unrecognized by system")

    def _check(self, identifier: identifier_pb2.Identifier) -> None:
        for name in ("project", "domain", "name", "version"):
            if not getattr(identifier, name):
                invalid(f"missing {name}")
        self.check_place(identifier.project, identifier.domain)

    def _put(self, table: dict[Key, Any], kind: str, entity: Any, said: Any) -> None:
        """Add an entity; `said` of it tells whether one that is there is the same."""
        key = key_of(entity.id)
        if key in table:
            same = said(table[key]) == said(entity)
            text = (_SAME if same else _DIFFERS).format(kind=kind, name=entity.id.name)
            exists(text) if same else invalid(text)
        entity.closure.created_at.CopyFrom(now())
        if hasattr(entity.closure, "updated_at"):
            entity.closure.updated_at.CopyFrom(entity.closure.created_at)
        table[key] = entity

    # --- tasks ---

    def create_task(self, request: task_pb2.TaskCreateRequest) -> None:
        self._check(request.id)
        task = task_pb2.Task(id=request.id)
        task.closure.compiled_task.template.CopyFrom(request.spec.template)
        task.closure.compiled_task.template.id.CopyFrom(request.id)
        with self.database.lock:
            self._put(
                self.database.tasks, "task", task, lambda entity: entity.closure.compiled_task
            )

    def task(self, identifier: identifier_pb2.Identifier) -> task_pb2.Task:
        found = self.database.tasks.get(key_of(identifier))
        return found or missing("TASK", identifier)

    def compiled_task(self, identifier: identifier_pb2.Identifier) -> compiler_pb2.CompiledTask:
        return self.task(identifier).closure.compiled_task

    # --- workflows ---

    def create_workflow(self, request: workflow_pb2.WorkflowCreateRequest) -> None:
        self._check(request.id)
        request.spec.template.id.CopyFrom(request.id)
        with self.database.lock:
            closure = compile_workflow(request.spec, self.compiled_task, self.launch_plan)
            workflow = workflow_pb2.Workflow(id=request.id)
            workflow.closure.compiled_workflow.CopyFrom(closure)
            self._put(
                self.database.workflows,
                "workflow",
                workflow,
                lambda entity: entity.closure.compiled_workflow,
            )

    def workflow(self, identifier: identifier_pb2.Identifier) -> workflow_pb2.Workflow:
        found = self.database.workflows.get(key_of(identifier))
        return found or missing("WORKFLOW", identifier)

    # --- launch plans ---

    def create_launch_plan(self, request: launch_plan_pb2.LaunchPlanCreateRequest) -> None:
        self._check(request.id)
        with self.database.lock:
            workflow = self.workflow(request.spec.workflow_id)
            interface = workflow.closure.compiled_workflow.primary.template.interface
            plan = plan_of(request.id, request.spec, interface)
            self._put(
                self.database.launch_plans,
                "launch plan",
                plan,
                lambda entity: (entity.spec, entity.closure.expected_outputs),
            )

    def launch_plan(self, identifier: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan:
        found = self.database.launch_plans.get(key_of(identifier))
        return found or missing("LAUNCH_PLAN", identifier)

    def update_launch_plan(self, request: launch_plan_pb2.LaunchPlanUpdateRequest) -> None:
        with self.database.lock:
            chosen = self.launch_plan(request.id)
            if request.state == launch_plan_pb2.ACTIVE:
                for plan in self.versions(self.database.launch_plans.values(), request.id):
                    plan.closure.state = launch_plan_pb2.INACTIVE
            chosen.closure.state = request.state

    def active_launch_plan(self, identifier: Any) -> launch_plan_pb2.LaunchPlan:
        plans = self.versions(self.database.launch_plans.values(), identifier)
        active = [plan for plan in plans if plan.closure.state == launch_plan_pb2.ACTIVE]
        if not active:
            name = f"{identifier.project}:{identifier.domain}:{identifier.name}"
            raise Refused(Code.NOT_FOUND, f"No active launch plan could be found: {name}")
        return active[0]

    @staticmethod
    def versions(entities: Iterable[Any], identifier: Any) -> list[Any]:
        """The entities of a project and domain, and of a name if there is one."""
        return [
            entity
            for entity in entities
            if (entity.id.project, entity.id.domain) == (identifier.project, identifier.domain)
            and getattr(identifier, "name", "") in ("", entity.id.name)
        ]


def plan_of(
    identifier: identifier_pb2.Identifier,
    spec: launch_plan_pb2.LaunchPlanSpec,
    interface: interface_pb2.TypedInterface,
) -> launch_plan_pb2.LaunchPlan:
    """A launch plan that asks for what neither a default nor a fixed input gives."""
    known = interface.inputs.variables
    defaults, fixed = spec.default_inputs.parameters, spec.fixed_inputs.literals
    for kind, names in (("default_input", defaults), ("fixed_input", fixed)):
        for name in names:
            if name not in known:
                invalid(f"unexpected {kind} {name}")
    plan = launch_plan_pb2.LaunchPlan(id=identifier, spec=spec)
    plan.id.resource_type = identifier_pb2.LAUNCH_PLAN
    expected = plan.spec.default_inputs.parameters
    for name, variable in known.items():
        if name not in expected and name not in fixed:
            expected[name].var.CopyFrom(variable)
            expected[name].required = True
    plan.closure.expected_inputs.CopyFrom(plan.spec.default_inputs)
    plan.closure.expected_outputs.CopyFrom(interface.outputs)
    return plan
