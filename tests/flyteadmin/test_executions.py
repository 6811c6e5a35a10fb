"""Executions whose tasks are jobs of the embedded SageMaker, through the real FlyteRemote."""

from __future__ import annotations

from typing import Any

import backend_flows
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution

SOURCE = backend_flows.__file__


def test_two_jobs_run_and_their_outputs_come_back(client: Any) -> None:
    execution = client.wait(client.execute(backend_flows.two_steps, SOURCE, number=4))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == 9
    assert set(execution.node_executions) == {"start-node", "n0", "n1", "end-node"}
    (first,) = execution.node_executions["n0"].task_executions
    assert first.closure.phase == TaskExecution.SUCCEEDED
    assert first.outputs["o0"] == 8


def test_terminating_an_execution_stops_its_job(client: Any, boto: Any) -> None:
    execution = client.execute(backend_flows.sleeping, SOURCE, seconds=60.0)

    def runs() -> bool:
        task = client.task(execution)
        return bool(task) and task.phase == TaskExecution.RUNNING

    client.wait(execution, until=runs)
    job = client.task(execution).custom_info["job_name"]
    client.remote.terminate(execution, "enough")
    ended = client.wait(execution)
    assert ended.closure.phase == WorkflowExecution.ABORTED
    assert ended.closure.abort_metadata.cause == "enough"
    assert client.task(execution).phase == TaskExecution.ABORTED
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] in ("Stopping", "Stopped")


def test_recovery_takes_over_what_has_succeeded(client: Any) -> None:
    failed = client.wait(client.execute(backend_flows.half_broken, SOURCE, number=2))
    assert "no good: 4" in failed.error.message
    before = client.flyte.connector_calls["CreateTask"]
    again = client.remote.client.recover_execution(failed.id, "second-try")
    recovered = client.wait(client.remote.fetch_execution(name=again.name))
    assert recovered.node_executions["n0"].closure.phase == NodeExecution.RECOVERED
    assert recovered.node_executions["n1"].closure.phase == NodeExecution.FAILED
    assert client.flyte.connector_calls["CreateTask"] == before + 1
