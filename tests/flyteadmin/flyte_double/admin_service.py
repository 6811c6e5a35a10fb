"""AdminService over gRPC: each call goes to the registry, the executions or the database."""

# ruff: noqa: N802, ARG002 # gRPC's names and arguments

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from flyteidl.admin import (
    common_pb2,
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    project_pb2,
    task_execution_pb2,
    task_pb2,
    version_pb2,
    workflow_pb2,
)
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service.admin_pb2_grpc import AdminServiceServicer

from flyte_double.blobs import Blobs
from flyte_double.database import Database, ExecutionRow, NodeRow, TaskRow, node_key
from flyte_double.executions import Executions
from flyte_double.listing import page
from flyte_double.registry import DOMAINS, Registry

VERSION = "v1.16.8"
_Mode = execution_pb2.ExecutionMetadata


class AdminService(AdminServiceServicer):
    """What clients of FlyteAdmin call; what is not here is UNIMPLEMENTED."""

    def __init__(
        self, database: Database, registry: Registry, executions: Executions, blobs: Blobs
    ) -> None:
        self._database, self._registry = database, registry
        self._executions, self._blobs = executions, blobs

    # --- registration ---

    def CreateTask(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._registry.create_task(request)
        return task_pb2.TaskCreateResponse()

    def CreateWorkflow(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._registry.create_workflow(request)
        return workflow_pb2.WorkflowCreateResponse()

    def CreateLaunchPlan(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._registry.create_launch_plan(request)
        return launch_plan_pb2.LaunchPlanCreateResponse()

    def UpdateLaunchPlan(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._registry.update_launch_plan(request)
        return launch_plan_pb2.LaunchPlanUpdateResponse()

    def GetTask(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._registry.task(request.id)

    def GetWorkflow(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._registry.workflow(request.id)

    def GetLaunchPlan(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._registry.launch_plan(request.id)

    def GetActiveLaunchPlan(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._registry.active_launch_plan(request.id)

    def ListTasks(self, request: Any, context: grpc.ServicerContext) -> Any:
        found, token = self._versions(self._database.tasks, request)
        return task_pb2.TaskList(tasks=found, token=token)

    def ListWorkflows(self, request: Any, context: grpc.ServicerContext) -> Any:
        found, token = self._versions(self._database.workflows, request)
        bare = [_without_closure(workflow) for workflow in found]
        return workflow_pb2.WorkflowList(workflows=bare, token=token)

    def ListLaunchPlans(self, request: Any, context: grpc.ServicerContext) -> Any:
        found, token = self._versions(self._database.launch_plans, request)
        return launch_plan_pb2.LaunchPlanList(launch_plans=found, token=token)

    def ListActiveLaunchPlans(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._database.lock:
            plans = self._registry.versions(self._database.launch_plans.values(), request)
            active = [plan for plan in plans if plan.closure.state == launch_plan_pb2.ACTIVE]
        found, token = page(active, _Unfiltered(request), _versioned)
        return launch_plan_pb2.LaunchPlanList(launch_plans=found, token=token)

    def ListTaskIds(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._names(self._database.tasks, request)

    def ListWorkflowIds(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._names(self._database.workflows, request)

    def ListLaunchPlanIds(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._names(self._database.launch_plans, request)

    def ListNamedEntities(self, request: Any, context: grpc.ServicerContext) -> Any:
        tables: dict[int, Mapping[Any, Any]] = {
            identifier_pb2.TASK: self._database.tasks,
            identifier_pb2.WORKFLOW: self._database.workflows,
            identifier_pb2.LAUNCH_PLAN: self._database.launch_plans,
        }
        ids = self._identifiers(tables.get(request.resource_type, {}), request)
        entities = [
            common_pb2.NamedEntity(
                resource_type=request.resource_type,
                id=identifier,
                metadata=common_pb2.NamedEntityMetadata(),
            )
            for identifier in ids
        ]
        found, token = page(entities, request, lambda entity: {"name": entity.id.name, "state": 0})
        return common_pb2.NamedEntityList(entities=found, token=token)

    def _versions(self, table: Mapping[Any, Any], request: Any) -> tuple[list[Any], str]:
        with self._database.lock:
            return page(self._registry.versions(table.values(), request.id), request, _versioned)

    def _identifiers(self, table: Mapping[Any, Any], request: Any) -> list[Any]:
        with self._database.lock:
            found = self._registry.versions(table.values(), request)
        names = dict.fromkeys(entity.id.name for entity in found)
        return [
            common_pb2.NamedEntityIdentifier(
                project=request.project, domain=request.domain, name=name
            )
            for name in names
        ]

    def _names(self, table: Mapping[Any, Any], request: Any) -> Any:
        ids = self._identifiers(table, request)
        found, token = page(ids, _Unfiltered(request), lambda item: {"name": item.name})
        return common_pb2.NamedEntityIdentifierList(entities=found, token=token)

    # --- projects ---

    def ListProjects(self, request: Any, context: grpc.ServicerContext) -> Any:
        projects = list(self._database.projects.values())
        request.limit = request.limit or 100
        found, token = page(
            projects, request, lambda item: {"identifier": item.id, "name": item.name}
        )
        return project_pb2.Projects(projects=found, token=token)

    def RegisterProject(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._database.projects[request.project.id] = request.project
        return project_pb2.ProjectRegisterResponse()

    def GetDomains(self, request: Any, context: grpc.ServicerContext) -> Any:
        domains = [project_pb2.Domain(id=name, name=name) for name in DOMAINS]
        return project_pb2.GetDomainsResponse(domains=domains)

    def GetVersion(self, request: Any, context: grpc.ServicerContext) -> Any:
        version = version_pb2.Version(Version=VERSION)
        return version_pb2.GetVersionResponse(control_plane_version=version)

    # --- executions ---

    def CreateExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        return execution_pb2.ExecutionCreateResponse(id=self._executions.create(request))

    def RelaunchExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        created = self._executions.again(
            request.id,
            request.name,
            _Mode.RELAUNCH,
            overwrite_cache=request.overwrite_cache,
        )
        return execution_pb2.ExecutionCreateResponse(id=created)

    def RecoverExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        created = self._executions.again(request.id, request.name, _Mode.RECOVERED)
        return execution_pb2.ExecutionCreateResponse(id=created)

    def TerminateExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._executions.terminate(request)
        return execution_pb2.ExecutionTerminateResponse()

    def GetExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _copy(self._database, self._database.execution(request.id).proto)

    def GetExecutionData(self, request: Any, context: grpc.ServicerContext) -> Any:
        row = self._database.execution(request.id)
        return execution_pb2.WorkflowExecutionGetDataResponse(
            **self._data(row.inputs_uri, row.proto.closure.outputs.uri)
        )

    def ListExecutions(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._database.lock:
            rows = [
                row
                for row in self._database.executions.values()
                if row.proto.id.project == request.id.project
                and row.proto.id.domain == request.id.domain
                and request.id.name in ("", row.proto.id.name)
            ]
            found, token = page(rows, request, _execution_row)
            return execution_pb2.ExecutionList(executions=[row.proto for row in found], token=token)

    # --- nodes and tasks ---

    def GetNodeExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _copy(self._database, self._database.node(request.id).proto)

    def GetNodeExecutionData(self, request: Any, context: grpc.ServicerContext) -> Any:
        proto = self._database.node(request.id).proto
        return node_execution_pb2.NodeExecutionGetDataResponse(
            **self._data(proto.input_uri, proto.closure.output_uri),
            flyte_urls=_urls(proto.id, has_deck=bool(proto.closure.deck_uri)),
        )

    def ListNodeExecutions(self, request: Any, context: grpc.ServicerContext) -> Any:
        execution = request.workflow_execution_id
        with self._database.lock:
            if request.unique_parent_id:
                parent = identifier_pb2.NodeExecutionIdentifier(
                    execution_id=execution, node_id=request.unique_parent_id
                )
                self._database.node(parent)
            rows = [
                row
                for row in self._database.nodes.values()
                if row.proto.id.execution_id == execution and row.parent == request.unique_parent_id
            ]
            found, token = page(rows, request, _node_row)
            return node_execution_pb2.NodeExecutionList(
                node_executions=[row.proto for row in found], token=token
            )

    def GetTaskExecution(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _copy(self._database, self._database.task_execution(request.id).proto)

    def GetTaskExecutionData(self, request: Any, context: grpc.ServicerContext) -> Any:
        proto = self._database.task_execution(request.id).proto
        node = proto.id.node_execution_id
        return task_execution_pb2.TaskExecutionGetDataResponse(
            **self._data(proto.input_uri, proto.closure.output_uri),
            flyte_urls=_urls(node, attempt=f"/{proto.id.retry_attempt}"),
        )

    def ListTaskExecutions(self, request: Any, context: grpc.ServicerContext) -> Any:
        node = node_key(request.node_execution_id)
        with self._database.lock:
            rows = [
                row
                for key, row in self._database.task_executions.items()
                if key[: len(node)] == node
            ]
            found, token = page(rows, request, _task_row)
            return task_execution_pb2.TaskExecutionList(
                task_executions=[row.proto for row in found], token=token
            )

    def _data(self, inputs_uri: str, outputs_uri: str) -> dict[str, Any]:
        return {
            "inputs": common_pb2.UrlBlob(),
            "outputs": common_pb2.UrlBlob(),
            "full_inputs": self._literals(inputs_uri),
            "full_outputs": self._literals(outputs_uri),
        }

    def _literals(self, uri: str) -> literals_pb2.LiteralMap:
        try:
            return self._blobs.read(uri, literals_pb2.LiteralMap())
        except FileNotFoundError:
            return literals_pb2.LiteralMap()  # FlyteAdmin logs it, and answers all the same


class _Unfiltered:
    """A request for a list that has no filters."""

    def __init__(self, request: Any) -> None:
        self.limit, self.token, self.filters = request.limit, request.token, ""
        self.sort_by = request.sort_by
        self.HasField = request.HasField


def _copy(database: Database, message: Any) -> Any:
    with database.lock:  # Propeller writes to it from its own thread
        copied = type(message)()
        copied.CopyFrom(message)
        return copied


def _without_closure(workflow: workflow_pb2.Workflow) -> workflow_pb2.Workflow:
    bare = workflow_pb2.Workflow(id=workflow.id)
    bare.closure.created_at.CopyFrom(workflow.closure.created_at)
    template = bare.closure.compiled_workflow.primary.template
    template.interface.CopyFrom(workflow.closure.compiled_workflow.primary.template.interface)
    return bare


def _versioned(entity: Any) -> dict[str, Any]:
    identifier = entity.id
    state = getattr(entity.closure, "state", 0)
    return {
        "project": identifier.project,
        "domain": identifier.domain,
        "name": identifier.name,
        "version": identifier.version,
        "created_at": entity.closure.created_at.ToJsonString(),
        "state": state,
    }


def _execution_row(row: ExecutionRow) -> dict[str, Any]:
    proto, target = row.proto, row.proto.spec.launch_plan
    phase = phases.WorkflowExecution.Phase.Name(proto.closure.phase)
    return {
        "execution_project": proto.id.project,
        "execution_domain": proto.id.domain,
        "execution_name": proto.id.name,
        "name": proto.id.name,
        "phase": phase,
        "mode": proto.spec.metadata.mode,
        "state": 0,
        "user": proto.spec.metadata.principal,
        "launch_plan.name": target.name,
        "launch_plan.version": target.version,
        "workflow.name": proto.closure.workflow_id.name,
        "workflow.version": proto.closure.workflow_id.version,
        "task.name": target.name,
        "created_at": proto.closure.created_at.ToJsonString(),
        "execution_created_at": proto.closure.created_at.ToJsonString(),
    }


def _node_row(row: NodeRow) -> dict[str, Any]:
    closure = row.proto.closure
    return {
        "node_id": row.proto.id.node_id,
        "phase": phases.NodeExecution.Phase.Name(closure.phase),
        "created_at": closure.created_at.ToJsonString(),
    }


def _task_row(row: TaskRow) -> dict[str, Any]:
    closure = row.proto.closure
    return {
        "retry_attempt": row.proto.id.retry_attempt,
        "phase": phases.TaskExecution.Phase.Name(closure.phase),
        "created_at": closure.created_at.ToJsonString(),
    }


def _urls(
    node: identifier_pb2.NodeExecutionIdentifier, attempt: str = "", *, has_deck: bool = False
) -> common_pb2.FlyteURLs:
    execution = node.execution_id
    place = f"{execution.project}/{execution.domain}/{execution.name}/{node.node_id}{attempt}"
    base = f"flyte://v1/{place}"
    return common_pb2.FlyteURLs(
        inputs=f"{base}/i", outputs=f"{base}/o", deck=f"{base}/d" if has_deck else ""
    )
