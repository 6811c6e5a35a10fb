"""flytekit's own connector service over real gRPC, as Propeller calls it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import odd_jobs
import pytest
from flyteidl.admin.agent_pb2 import (
    CreateTaskRequest,
    DeleteTaskRequest,
    GetTaskRequest,
    ListAgentsRequest,
    TaskCategory,
)
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.service.agent_pb2_grpc import (
    AgentMetadataServiceStub,
    AsyncAgentServiceStub,
    add_AgentMetadataServiceServicer_to_server,
    add_AsyncAgentServiceServicer_to_server,
)
from flytekit.extend.backend.base_connector import ConnectorRegistry
from flytekit.extend.backend.connector_service import (
    AsyncConnectorService,
    ConnectorMetadataService,
)

import cdao_sdk
from cdao_sdk.aws.storage import split_s3_uri
from cdao_sdk.flyte.connector import register_connectors
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cdao_sdk.local.server import LocalSageMaker

CATEGORY = TaskCategory(name="sagemaker_processing", version=0)


@pytest.fixture
def serve(embedded: LocalSageMaker) -> Any:
    """Runs a conversation with a service whose connectors read the settings."""
    cdao_sdk.configure(
        endpoint_url=embedded.url,
        default_bucket="cdao-tests",
        sagemaker_role="arn:aws:iam::123456789012:role/FlyteRole",
    )
    register_connectors()  # fresh ones: they keep the services of their first call

    async def converse(talk: Callable[[grpc.aio.Channel], Awaitable[None]]) -> None:
        server = grpc.aio.server()
        add_AsyncAgentServiceServicer_to_server(AsyncConnectorService(), server)
        add_AgentMetadataServiceServicer_to_server(ConnectorMetadataService(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await talk(channel)
        finally:
            await server.stop(None)
            from cdao_sdk.flyte.services import services_from_settings

            for kind in KINDS.values():
                await ConnectorRegistry.get_connector(kind.task_type).close()

            await services_from_settings().clients.close()

    yield lambda talk: asyncio.run(converse(talk))
    register_connectors()


def request_for(job: Any, inputs: dict[str, object]) -> CreateTaskRequest:
    return CreateTaskRequest(
        template=job.template.to_flyte_idl(),
        inputs=job.literals(inputs).to_flyte_idl(),
        output_prefix="s3://cdao-tests/grpc/out",
        task_execution_metadata=job.metadata().to_flyte_idl(),
    )


def test_create_get_and_delete_over_the_wire(serve: Any, driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)

    def read(uri: str) -> bytes:
        bucket, key = split_s3_uri(uri)
        return boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    async def talk(channel: grpc.aio.Channel) -> None:
        stub = AsyncAgentServiceStub(channel)
        created = await stub.CreateTask(request_for(job, {"number": 3}))
        get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        phase = TaskExecution.QUEUED
        while phase not in (TaskExecution.SUCCEEDED, TaskExecution.FAILED):
            resource = (await stub.GetTask(get)).resource
            phase = resource.phase
            await asyncio.sleep(0.02)
        assert phase == TaskExecution.SUCCEEDED, resource
        # Outputs and deck lie where Propeller looks for them: below the output prefix.
        assert not resource.outputs.literals
        written = await asyncio.to_thread(read, "s3://cdao-tests/grpc/out/outputs.pb")
        outputs = LiteralMap.FromString(written)
        assert outputs.literals["o0"].scalar.primitive.integer == 4
        assert b"<html" in await asyncio.to_thread(read, "s3://cdao-tests/grpc/out/deck.html")
        assert resource.custom_info["job_name"].startswith(job.execution)
        delete = DeleteTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        await stub.DeleteTask(delete)

    serve(talk)


def test_failure_crosses_the_wire_whole(serve: Any, driven: Any) -> None:
    job = driven(odd_jobs.raising)

    async def talk(channel: grpc.aio.Channel) -> None:
        stub = AsyncAgentServiceStub(channel)
        created = await stub.CreateTask(request_for(job, {"number": 3}))
        get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        while (resource := (await stub.GetTask(get)).resource).phase != TaskExecution.FAILED:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # Propeller polls, too
        assert "KeyError: 'key 3'" in resource.message
        assert "the line before" in list(resource.custom_info["log_tail"])

    serve(talk)


def test_refusal_reaches_propeller_with_its_words(serve: Any, driven: Any) -> None:
    job = driven(odd_jobs.quick)

    async def talk(channel: grpc.aio.Channel) -> None:
        stub = AsyncAgentServiceStub(channel)
        created = await stub.CreateTask(request_for(job, {}))
        get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        # As the job's failure and not as the call's: another attempt would not mend it.
        resource = (await stub.GetTask(get)).resource
        assert resource.phase == TaskExecution.FAILED
        assert "lack number" in resource.message
        hostile = GetTaskRequest(task_category=CATEGORY, resource_meta=b"\x80\x04]\x94.")
        with pytest.raises(grpc.aio.AioRpcError, match="resource meta"):
            await stub.GetTask(hostile)

    serve(talk)


def test_all_kinds_are_listed(serve: Any) -> None:
    async def talk(channel: grpc.aio.Channel) -> None:
        listed = await AgentMetadataServiceStub(channel).ListAgents(ListAgentsRequest())
        ours = [agent for agent in listed.agents if agent.name == "CDAO SageMaker Connector"]
        served = {category.name for agent in ours for category in agent.supported_task_categories}
        assert served >= {"sagemaker_training", "sagemaker_processing", "sagemaker_transform"}

    serve(talk)
