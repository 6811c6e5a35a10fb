"""`cdao connector serve`, as Propeller, Kubernetes, Prometheus and grpcurl meet it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import odd_jobs
import pytest
from flyteidl.admin import agent_pb2
from flyteidl.admin.agent_pb2 import (
    DeleteTaskRequest,
    GetAgentRequest,
    GetTaskLogsRequest,
    GetTaskMetricsRequest,
    GetTaskRequest,
    ListAgentsRequest,
    TaskCategory,
)
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import AgentMetadataServiceStub, AsyncAgentServiceStub
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Served

CATEGORY = TaskCategory(name="sagemaker_processing", version=0)
SECONDS = 30


def finished(stub: AsyncAgentServiceStub, meta: bytes) -> Any:
    get = GetTaskRequest(task_category=CATEGORY, resource_meta=meta)
    deadline = time.monotonic() + 40
    while True:
        resource = stub.GetTask(get, timeout=SECONDS).resource
        if resource.phase in (TaskExecution.SUCCEEDED, TaskExecution.FAILED):
            return resource
        assert time.monotonic() < deadline, resource
        time.sleep(0.05)


def refused(call: Callable[..., Any], request: Any, **more: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=SECONDS, **more)
    return caught.value


def test_a_job_is_created_watched_and_deleted(
    service: Served, create_request: Callable[..., Any], outputs_of: Callable[..., Any]
) -> None:
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        request = create_request(number=41)
        created = stub.CreateTask(request, timeout=SECONDS)
        again = stub.CreateTask(request, timeout=SECONDS)
        resource = finished(stub, created.resource_meta)
        assert resource.phase == TaskExecution.SUCCEEDED, resource
        assert outputs_of(request)["o0"].scalar.primitive.integer == 42
        # The second meta names the same job.
        assert finished(stub, again.resource_meta).custom_info == resource.custom_info
        delete = DeleteTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        stub.DeleteTask(delete, timeout=SECONDS)


def test_log_pages_go_back_from_the_last_line(
    service: Served, create_request: Callable[..., Any]
) -> None:
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        meta = stub.CreateTask(create_request(odd_jobs.chatty, lines=25), timeout=SECONDS)
        finished(stub, meta.resource_meta)
        lines: list[str] = []
        token, pages = "", 0
        while pages == 0 or token:
            request = GetTaskLogsRequest(
                task_category=CATEGORY, resource_meta=meta.resource_meta, lines=10, token=token
            )
            header, body = stub.GetTaskLogs(request, timeout=SECONDS)
            token, pages = header.header.token, pages + 1
            assert len(body.body.results) <= 10
            assert [line.message.rstrip("\n") for line in body.body.structured_lines] == list(
                body.body.results
            )
            lines = [*body.body.results, *lines]
        printed = [line for line in lines if line.startswith("line ")]
        assert [line.split()[1] for line in printed] == [str(number) for number in range(25)]
        assert pages >= 3

        error = refused(
            lambda request, timeout: list(stub.GetTaskLogs(request, timeout=timeout)),
            GetTaskLogsRequest(
                task_category=CATEGORY, resource_meta=meta.resource_meta, token="../1"
            ),
        )
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_every_kind_is_listed_once(service: Served) -> None:
    from cdao_sdk.kinds.registry import KINDS

    types = [kind.task_type for kind in KINDS.values()]
    with service.channel() as channel:
        stub = AgentMetadataServiceStub(channel)
        (agent,) = stub.ListAgents(ListAgentsRequest(), timeout=SECONDS).agents
        assert agent.name == "CDAO SageMaker Connector"
        assert list(agent.supported_task_types) == types
        assert [category.name for category in agent.supported_task_categories] == types
        assert not agent.is_sync
        named = GetAgentRequest(name=agent.name)
        assert stub.GetAgent(named, timeout=SECONDS).agent == agent
        error = refused(stub.GetAgent, GetAgentRequest(name="Databricks Connector"))
        assert error.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "name",
    ["", "flyteidl.service.AsyncAgentService", "flyteidl.service.AgentMetadataService"],
)
def test_probes_hear_that_it_serves(service: Served, name: str) -> None:
    with service.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_tells_services_and_messages(service: Served) -> None:
    with service.channel() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "flyteidl.service.AsyncAgentService",
            "flyteidl.service.AgentMetadataService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        pool = DescriptorPool(database)
        found = pool.FindServiceByName("flyteidl.service.AsyncAgentService")
        fields = found.methods_by_name["CreateTask"].input_type.fields_by_name
        assert {"template", "inputs"} <= set(fields)


def test_what_is_not_offered_is_unimplemented(service: Served) -> None:
    with service.channel() as channel:
        error = refused(AsyncAgentServiceStub(channel).GetTaskMetrics, GetTaskMetricsRequest())
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        sync = channel.stream_stream(
            "/flyteidl.service.SyncAgentService/ExecuteTaskSync",
            request_serializer=agent_pb2.ExecuteTaskSyncRequest.SerializeToString,
            response_deserializer=agent_pb2.ExecuteTaskSyncResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(sync(iter([agent_pb2.ExecuteTaskSyncRequest()]), timeout=SECONDS))
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_prometheus_reads_calls_and_open_jobs(
    service: Served, create_request: Callable[..., Any]
) -> None:
    key = (
        'cdao_connector_requests_total{{code="{1}",method="{0}",task_type="sagemaker_processing"}}'
    )
    before = service.metrics()
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        created = stub.CreateTask(create_request(odd_jobs.slow, seconds=60.0), timeout=SECONDS)
        get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        stub.GetTask(get, timeout=SECONDS)
        during = service.metrics()
        delete = DeleteTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        stub.DeleteTask(delete, timeout=SECONDS)
    after = service.metrics()
    opened = {name: value for name, value in during.items() if "jobs_open{" in name}
    assert sum(opened.values()) >= 1
    for method in ("CreateTask", "GetTask", "DeleteTask"):
        name = key.format(method, "OK")
        assert after[name] == before.get(name, 0) + 1, method
    seconds = (
        'cdao_connector_request_seconds_count{method="GetTask",task_type="sagemaker_processing"}'
    )
    assert after[seconds] >= 1
    assert after["cdao_connector_requests_in_flight"] == 0
    assert after["cdao_connector_serving"] == 1
    assert any(name.startswith("cdao_connector_build_info{") for name in after)
    # Dashboards that were made for flytekit's own service go on.
    labels = '{operation="create",task_type="sagemaker_processing"}'
    assert after[f"flyte_connector_requests_success_total{labels}"] >= 1


def test_a_log_line_says_whose_call_it_was(
    service: Served, create_request: Callable[..., Any]
) -> None:
    request = create_request(number=5)
    metadata = (("x-request-id", "trace-77"),)
    with service.channel() as channel:
        _, call = AsyncAgentServiceStub(channel).CreateTask.with_call(
            request, timeout=SECONDS, metadata=metadata
        )
    assert ("x-request-id", "trace-77") in [tuple(item) for item in call.trailing_metadata()]
    execution = request.task_execution_metadata.task_execution_id.node_execution_id
    (line,) = [line for line in service.lines() if line.get("request_id") == "trace-77"]
    assert line["execution"] == execution.execution_id.name
    assert line["job_name"].startswith(execution.execution_id.name)
    assert (line["node"], line["attempt"], line["rpc"]) == ("n0", 0, "CreateTask")
    assert (line["task_type"], line["code"]) == ("sagemaker_processing", "OK")
    assert 0 < line["seconds"] < SECONDS
    assert line["level"] == "info"
    assert line["logger"].startswith("cdao_sdk.")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"type": "bigquery_query_job_task"}, grpc.StatusCode.NOT_FOUND, "sagemaker_processing"),
        ({"task_type_version": 7}, grpc.StatusCode.NOT_FOUND, "version 7"),
        ({"type": "sagemaker_training"}, grpc.StatusCode.INVALID_ARGUMENT, "processing"),
    ],
)
def test_a_wrong_create_is_told_in_one_line(
    service: Served,
    create_request: Callable[..., Any],
    change: dict[str, Any],
    code: grpc.StatusCode,
    words: str,
) -> None:
    request = create_request()
    for name, value in change.items():
        target = request if name == "inputs" else request.template
        if value is None:
            target.ClearField(name)
        else:
            setattr(target, name, value)
    with service.channel() as channel:
        error = refused(AsyncAgentServiceStub(channel).CreateTask, request)
    assert error.code() == code, error.details()
    assert words in error.details()
    assert "\n" not in error.details()
    assert "Traceback" not in error.details()


@pytest.mark.parametrize(("name", "words"), [("inputs", "lack number"), ("custom", "payload")])
def test_what_is_wrong_with_a_task_is_told_as_its_failure(
    service: Served, create_request: Callable[..., Any], name: str, words: str
) -> None:
    """An error of CreateTask would cost attempts, and none of them can mend it."""
    request = create_request()
    (request if name == "inputs" else request.template).ClearField(name)
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        resource = finished(stub, stub.CreateTask(request, timeout=SECONDS).resource_meta)
    assert resource.phase == TaskExecution.FAILED
    assert words in resource.message


def test_a_meta_of_another_kind_is_refused(
    service: Served, create_request: Callable[..., Any]
) -> None:
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        created = stub.CreateTask(create_request(), timeout=SECONDS)
        get = GetTaskRequest(
            task_category=TaskCategory(name="sagemaker_training"),
            resource_meta=created.resource_meta,
        )
        error = refused(stub.GetTask, get)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "processing" in error.details()


def test_the_deprecated_task_type_is_enough(
    service: Served, create_request: Callable[..., Any]
) -> None:
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        created = stub.CreateTask(create_request(), timeout=SECONDS)
        get = GetTaskRequest(task_type="sagemaker_processing", resource_meta=created.resource_meta)
        assert stub.GetTask(get, timeout=SECONDS).resource.phase
