"""Flyte's services for connectors, over ours; errors become statuses in ``calls``."""

# flytekit and grpc ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from flyteidl.admin import agent_pb2
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service import agent_pb2 as service_pb2
from flytekit.extend.backend.utils import is_terminal_phase
from google.protobuf.timestamp_pb2 import Timestamp

from cdao_sdk.flyte.serving.call_facts import add_facts
from cdao_sdk.flyte.serving.job_logs import log_page
from cdao_sdk.flyte.serving.requests import Served, create_call, meta_of
from cdao_sdk.flyte.serving.statuses import UnknownTaskType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.serving.calls import Calls
    from cdao_sdk.flyte.serving.open_jobs import OpenJobs

__all__ = ["SERVICE_NAMES", "ConnectorService", "served_connectors"]

_ASYNC = service_pb2.DESCRIPTOR.services_by_name["AsyncAgentService"].full_name
_METADATA = service_pb2.DESCRIPTOR.services_by_name["AgentMetadataService"].full_name

SERVICE_NAMES: tuple[str, ...] = (_ASYNC, _METADATA)
"""The services' full names, for health and reflection."""


def served_connectors() -> Mapping[tuple[str, int], Served]:
    """(task type, version) → our connector for it, the object that flytekit's registry holds."""
    from flytekit.extend.backend.base_connector import ConnectorRegistry

    from cdao_sdk.kinds.registry import KINDS

    found: dict[tuple[str, int], Served] = {}
    for kind in KINDS.values():
        connector = ConnectorRegistry.get_connector(kind.task_type)
        category = connector.task_category
        found[category.name, category.version] = Served(kind, connector)
    return found


class ConnectorService:
    """AsyncAgentService and AgentMetadataService.

    Args:
        connectors: What is served; connectors of other plugins are not: some read pickles.
        calls: How calls are answered.
        jobs: Notes the jobs that are asked about.
        clients: Gives the AWS clients that read logs.
    """

    def __init__(
        self,
        connectors: Mapping[tuple[str, int], Served],
        calls: Calls,
        jobs: OpenJobs,
        clients: Callable[[], AwsClients],
    ) -> None:
        self._connectors = connectors
        self._calls = calls
        self._jobs = jobs
        self._clients = clients

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """What a server needs to serve both; methods that are not there are UNIMPLEMENTED."""
        unary, stream = self._calls.unary, self._calls.stream
        tasks = {
            "CreateTask": unary("CreateTask", agent_pb2.CreateTaskRequest, self.create_task),
            "GetTask": unary("GetTask", agent_pb2.GetTaskRequest, self.get_task),
            "DeleteTask": unary("DeleteTask", agent_pb2.DeleteTaskRequest, self.delete_task),
            "GetTaskLogs": stream("GetTaskLogs", agent_pb2.GetTaskLogsRequest, self.get_task_logs),
        }
        metadata = {
            "ListAgents": unary("ListAgents", agent_pb2.ListAgentsRequest, self.list_agents),
            "GetAgent": unary("GetAgent", agent_pb2.GetAgentRequest, self.get_agent),
        }
        return [
            grpc.method_handlers_generic_handler(_ASYNC, tasks),
            grpc.method_handlers_generic_handler(_METADATA, metadata),
        ]

    async def create_task(self, request: agent_pb2.CreateTaskRequest) -> Message:
        """Create a job, or find the one that an earlier call made."""
        call = await create_call(self._connectors, request)
        meta = await call.served.connector.create(
            task_template=call.template,
            output_prefix=call.output_prefix,
            inputs=call.inputs,
            task_execution_metadata=call.metadata,
            message=request,
        )
        add_facts(job_name=meta.job_name, news=True)
        return agent_pb2.CreateTaskResponse(resource_meta=meta.encode())

    async def get_task(self, request: agent_pb2.GetTaskRequest) -> Message:
        """Where a job stands."""
        served, meta = meta_of(self._connectors, request)
        resource = await served.connector.get(resource_meta=meta)
        phase = TaskExecution.Phase.Name(resource.phase)
        is_over = is_terminal_phase(resource.phase)
        is_news = self._jobs.saw(meta.job_name, phase, is_over=is_over)
        add_facts(phase=phase, news=is_news)
        return agent_pb2.GetTaskResponse(resource=await resource.to_flyte_idl())

    async def delete_task(self, request: agent_pb2.DeleteTaskRequest) -> Message:
        """Stop a job."""
        served, meta = meta_of(self._connectors, request)
        add_facts(news=True)
        await served.connector.delete(resource_meta=meta)
        self._jobs.forget(meta.job_name)
        return agent_pb2.DeleteTaskResponse()

    async def get_task_logs(self, request: agent_pb2.GetTaskLogsRequest) -> list[Message]:
        """A page of a job's log: the token of the page before it in time, then the lines."""
        served, meta = meta_of(self._connectors, request)
        lines, token = await log_page(
            self._clients(),
            served.kind.api.log_group,
            meta.job_name,
            lines=request.lines,
            token=request.token,
        )
        structured: list[agent_pb2.LogLine] = []
        for line in lines:
            stamp = Timestamp()
            stamp.FromDatetime(line.time)
            structured.append(
                agent_pb2.LogLine(timestamp=stamp, message=f"{line.text}\n", originator="USER")
            )
        body = agent_pb2.GetTaskLogsResponseBody(
            results=[line.text for line in lines], structured_lines=structured
        )
        return [
            agent_pb2.GetTaskLogsResponse(header=agent_pb2.GetTaskLogsResponseHeader(token=token)),
            agent_pb2.GetTaskLogsResponse(body=body),
        ]

    async def list_agents(self, request: agent_pb2.ListAgentsRequest) -> Message:
        """Who serves which task types; Propeller asks every 10 s and routes by it."""
        del request
        return agent_pb2.ListAgentsResponse(agents=list(self._agents().values()))

    async def get_agent(self, request: agent_pb2.GetAgentRequest) -> Message:
        """One of them by name."""
        agents = self._agents()
        if request.name not in agents:
            msg = f"No connector is named {request.name!r:.100}; there are {', '.join(agents)}."
            raise UnknownTaskType(msg)
        return agent_pb2.GetAgentResponse(agent=agents[request.name])

    def _agents(self) -> Mapping[str, agent_pb2.Agent]:
        agents: dict[str, agent_pb2.Agent] = {}
        for (task_type, version), served in self._connectors.items():
            name: str = served.connector.name
            agent = agents.setdefault(name, agent_pb2.Agent(name=name, is_sync=False))
            # Propeller before 1.11 reads the deprecated names alone.
            agent.supported_task_types.append(task_type)
            category = agent_pb2.TaskCategory(name=task_type, version=version)
            agent.supported_task_categories.append(category)
        return agents
