"""Jobs in which the real flytekit runs the function, on the embedded SageMaker."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import flytekit_jobs
import grpc
import pandas as pd
import pytest
from flyteidl.admin.agent_pb2 import CreateTaskRequest, GetTaskRequest, TaskCategory
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import (
    AsyncAgentServiceStub,
    add_AsyncAgentServiceServicer_to_server,
)
from flytekit.extend.backend.connector_service import AsyncConnectorService

import cdao_sdk
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import JobFailed
from cdao_sdk.flyte.connector import register_connectors
from cdao_sdk.flyte.flytekit_runtime import read_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

TIMEOUT = 90


@pytest.mark.usefixtures("on_embedded")
def test_every_type_passes_from_job_to_job_with_a_deck(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cdao_sdk")
    notes = tmp_path / "notes.txt"
    notes.write_text("seen")
    inputs = {
        "frame": pd.DataFrame({"x": [1, 2, 3]}),
        "notes": str(notes),
        "options": {"scale": 0.5},
    }
    execution = cdao_sdk.run(flytekit_jobs.pipeline, inputs=inputs).wait(TIMEOUT)
    outputs = execution.outputs
    assert outputs["o0"] == 6.0
    with open(outputs["o1"]) as file:  # noqa: PTH123 # it is downloaded when it is opened
        assert file.read() == f"seen training {execution.id}"
    text = "\n".join(line.text for line in execution.logs())
    assert "[cdao:metric] rows=3" in text
    assert "Unclosed" not in text
    assert "n0: its deck is s3://cdao-tests/cdao/" in caplog.text
    assert execution.decks["n0"].startswith("s3://cdao-tests/cdao/")


@pytest.mark.usefixtures("on_embedded")
def test_error_of_the_function_fails_the_job_in_its_own_words() -> None:
    execution = cdao_sdk.run(flytekit_jobs.failing, inputs={"key": "k"})
    with pytest.raises(JobFailed, match="failed: KeyError: 'k'") as raised:
        execution.wait(TIMEOUT)
    assert "in failing" in raised.value.user_traceback
    assert "site-packages" not in raised.value.user_traceback
    (job,) = execution.jobs()
    assert job.status == "Failed"
    assert "KeyError: 'k'" in job.seen.failure_reason


@pytest.mark.usefixtures("on_embedded")
def test_recoverable_error_is_tried_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    execution = cdao_sdk.run(flytekit_jobs.flaky, inputs={"path": str(marks)}).wait(TIMEOUT)
    assert execution.outputs == {"o0": 1}
    assert marks.read_text() == "xx"


def test_propellers_request_runs_on_two_hosts_and_leaves_outputs_to_flyte(
    embedded: LocalSageMaker, driven: Any, services: Services, boto: Any
) -> None:
    cdao_sdk.configure(
        endpoint_url=embedded.url, default_bucket="cdao-tests", sagemaker_role=services.role_arn
    )
    register_connectors()  # fresh ones: they keep the services of their first call
    job = driven(flytekit_jobs.on_two_hosts)
    base = f"s3://cdao-tests/{'metadata/' * 40}{job.execution}"  # longer than an argument may be
    values = {
        "{{.input}}": f"{base}/inputs.pb",
        "{{.outputPrefix}}": f"{base}/0",
        "{{.rawOutputDataPrefix}}": f"{base}/raw",
        "{{.checkpointOutputPrefix}}": f"{base}/checkpoints",
        "{{.prevCheckpointPrefix}}": "",
    }
    template = job.template
    template.container._args = [values.get(arg, arg) for arg in template.container.args]
    inputs = job.literals({"number": 3}).to_flyte_idl()
    key = values["{{.input}}"].removeprefix("s3://cdao-tests/")
    boto("s3").put_object(Bucket="cdao-tests", Key=key, Body=inputs.SerializeToString())
    request = CreateTaskRequest(
        template=template.to_flyte_idl(),
        inputs=inputs,
        output_prefix=f"{base}/0",
        task_execution_metadata=job.metadata().to_flyte_idl(),
    )

    async def talk() -> Any:
        server = grpc.aio.server()
        add_AsyncAgentServiceServicer_to_server(AsyncConnectorService(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = AsyncAgentServiceStub(channel)
                created = await stub.CreateTask(request)
                category = TaskCategory(name="sagemaker_processing", version=0)
                get = GetTaskRequest(task_category=category, resource_meta=created.resource_meta)
                ends = (TaskExecution.SUCCEEDED, TaskExecution.FAILED)
                while (found := (await stub.GetTask(get)).resource).phase not in ends:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # Propeller polls, too
                return found
        finally:
            await server.stop(None)
            from cdao_sdk.flyte.services import services_from_settings

            await services_from_settings().clients.close()

    try:
        resource = asyncio.run(talk())
    finally:
        register_connectors()
    assert resource.phase == TaskExecution.SUCCEEDED, resource.message
    assert not resource.HasField("outputs")
    literals = bridge.run(read_outputs(services.clients, f"{base}/0")).literals
    assert literals["o0"].scalar.primitive.string_value == "3 algo-1 of 2"
    literals = bridge.run(read_outputs(services.clients, f"{base}/0/hosts/algo-2")).literals
    assert literals["o0"].scalar.primitive.string_value == "3 algo-2 of 2"
