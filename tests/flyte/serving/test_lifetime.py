"""Start, stop and sudden death of the service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import odd_jobs
import pytest
from flyteidl.admin.agent_pb2 import GetTaskRequest, ListAgentsRequest, TaskCategory
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import AgentMetadataServiceStub, AsyncAgentServiceStub
from flytekit.extend.backend.utils import is_terminal_phase
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Served

    from cdao_sdk.local.server import LocalSageMaker

CATEGORY = TaskCategory(name="sagemaker_processing", version=0)


def test_sigterm_lets_the_call_in_flight_finish(
    start_service: Callable[..., Served], create_request: Callable[..., Any], slow_aws: str
) -> None:
    service = start_service(CDAO_ENDPOINT_URL=slow_aws)
    request = create_request(number=1)
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        call = stub.CreateTask.future(request, timeout=60)
        wait_until(lambda: service.metrics()["cdao_connector_requests_in_flight"] == 1)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        states = iter(watch)
        assert next(states).status == health_pb2.HealthCheckResponse.SERVING
        service.process.send_signal(signal.SIGTERM)
        assert next(states).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert call.result().resource_meta
        assert service.process.wait(30) == 0
    events = [line["event"] for line in service.lines() if "event" in line]
    assert events == ["serving", "stopping", "stopped"]
    assert not service.ready_file.exists()


def test_grace_ends_calls_that_take_too_long(
    start_service: Callable[..., Served], create_request: Callable[..., Any], slow_aws: str
) -> None:
    service = start_service("--grace", "0.2", CDAO_ENDPOINT_URL=slow_aws)
    with service.channel() as channel:
        call = AsyncAgentServiceStub(channel).CreateTask.future(create_request(), timeout=60)
        wait_until(lambda: service.metrics()["cdao_connector_requests_in_flight"] == 1)
        started = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - started < 10
        assert call.exception() is not None


def test_a_killed_service_is_followed_by_one_that_knows_its_jobs(
    start_service: Callable[..., Served],
    create_request: Callable[..., Any],
    outputs_of: Callable[..., Any],
) -> None:
    first = start_service()
    with first.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        request = create_request(odd_jobs.slow, seconds=1.0)
        meta = stub.CreateTask(request, timeout=30).resource_meta
        first.process.kill()
        first.process.wait()
    second = start_service()
    get = GetTaskRequest(task_category=CATEGORY, resource_meta=meta)
    with second.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        deadline = time.monotonic() + 40
        while not is_terminal_phase((resource := stub.GetTask(get, timeout=30).resource).phase):
            assert time.monotonic() < deadline, resource
            time.sleep(0.1)
        assert resource.phase == TaskExecution.SUCCEEDED
        assert outputs_of(request)["o0"].scalar.primitive.float_value == 1.0
    assert second.end(signal.SIGINT) == 0


def test_a_port_in_use_is_told_before_anything_is_loaded(
    start_service: Callable[..., Served],
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for option in ("--port", "--metrics-port"):
            started = start_service(option, str(port), wait=False)
            assert started.process.wait(30) == 2
            log = started.log.read_text()
            assert f"Cannot listen on 127.0.0.1:{port}: another process listens there" in log
            assert option in log
            assert "Traceback" not in log


def test_wrong_settings_end_the_start(start_service: Callable[..., Served]) -> None:
    started = start_service(wait=False, CDAO_SAGEMAKER_ROLE="admin")
    assert started.process.wait(60) == 2
    assert "sagemaker_role='admin'" in started.log.read_text()


def test_ready_file_and_first_line_tell_the_address(service: Served) -> None:
    facts = json.loads(service.ready_file.read_text())
    os.kill(facts["pid"], 0)  # raises where there is no such process
    assert facts["metrics_port"] == service.metrics_port
    (line,) = [line for line in service.lines() if line.get("event") == "serving"]
    assert (line["port"], line["address"]) == (facts["port"], f"127.0.0.1:{facts['port']}")


def test_tls_is_served_with_the_given_certificate(
    start_service: Callable[..., Served], certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    service = start_service("--tls-cert", str(cert), "--tls-key", str(key))
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    with grpc.secure_channel(f"localhost:{service.port}", credentials) as channel:
        assert AgentMetadataServiceStub(channel).ListAgents(ListAgentsRequest(), timeout=20).agents
    assert service.end() == 0


def test_a_key_that_does_not_fit_is_told(
    start_service: Callable[..., Served], certificate: tuple[Path, Path]
) -> None:
    cert, _ = certificate
    started = start_service("--tls-cert", str(cert), "--tls-key", str(cert), wait=False)
    assert started.process.wait(30) == 2
    assert "--tls-key" in started.log.read_text()


def test_flyteskits_own_command_serves_the_same_connectors(
    embedded: LocalSageMaker, create_request: Callable[..., Any], free_ports: list[int]
) -> None:
    port, metrics_port = free_ports
    settings = {"CDAO_ENDPOINT_URL": embedded.url, "CDAO_DEFAULT_BUCKET": "cdao-tests"}
    command = [str(Path(sys.executable).with_name("pyflyte")), "serve", "connector"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--prometheus_port", str(metrics_port)],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = AsyncAgentServiceStub(channel)
            created = stub.CreateTask(create_request(), timeout=60, wait_for_ready=True)
            get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
            assert stub.GetTask(get, timeout=30).resource.phase
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_arguments_that_contradict_each_other(start_service: Callable[..., Served]) -> None:
    started = start_service("--port", "8123", "--metrics-port", "8123", wait=False)
    assert started.process.wait(30) == 2
    assert "both 8123" in started.log.read_text()
    with pytest.raises(json.JSONDecodeError):
        started.lines()  # an error on the command line is for people
