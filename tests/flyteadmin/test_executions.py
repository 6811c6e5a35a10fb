"""The double, driven by the real FlyteRemote; its tasks are jobs of the embedded SageMaker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backend_flows
import pytest
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution
from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings

if TYPE_CHECKING:
    from flyte_double import FlyteDouble


class Client:
    """FlyteRemote, with the registrations and waits that these tests share."""

    def __init__(self, flyte: FlyteDouble) -> None:
        self.flyte, self.remote = flyte, flyte.remote()
        _, uri = self.remote.upload_file(Path(backend_flows.__file__))
        self.settings = SerializationSettings(
            image_config=ImageConfig.auto(img_name="python:3.11"),
            project="flytesnacks",
            domain="development",
            version="v1",
            fast_serialization_settings=FastSerializationSettings(
                enabled=True, destination_dir=".", distribution_location=uri
            ),
        )

    def register(self, workflow: Any) -> Any:
        return self.remote.register_workflow(workflow, self.settings, version="v1")

    def execute(self, workflow: Any, **inputs: object) -> Any:
        return self.remote.execute(self.register(workflow), inputs=inputs)

    def phase(self, execution: Any) -> int:
        return int(self.remote.client.get_execution(execution.id).closure.phase)

    def wait(self, execution: Any, *phases: int, seconds: float = 40) -> Any:
        wanted = phases or (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED)
        deadline = time.monotonic() + seconds
        while (phase := self.phase(execution)) not in wanted:
            assert time.monotonic() < deadline, (phase, self.flyte.errors)
            time.sleep(0.02)
        fresh = self.remote.fetch_execution(name=execution.id.name)
        return self.remote.sync(fresh, sync_nodes=True)


@pytest.fixture
def client(flyte: FlyteDouble) -> Client:
    return Client(flyte)


def test_two_jobs_run_and_their_outputs_come_back(client: Client) -> None:
    execution = client.wait(client.execute(backend_flows.two_steps, number=4))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == 9
    assert set(execution.node_executions) == {"start-node", "n0", "n1", "end-node"}
    (first,) = execution.node_executions["n0"].task_executions
    assert first.closure.phase == TaskExecution.SUCCEEDED
    assert first.outputs["o0"] == 8
