"""Propeller's rules, as v1.16.8 has them; the connector plays scripts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import scripted
from flyte_double import ConnectorCall, LostCall
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution

if TYPE_CHECKING:
    from collections.abc import Callable

LAUNCHED = ["Allocation token required", "launched"]


def reasons(task: Any) -> list[str]:
    return [reason.message for reason in task.reasons]


def running(client: Any, execution: Any, node: str = "n0") -> Callable[[], bool]:
    def check() -> bool:
        task = client.task(execution, node)
        return bool(task) and task.phase == TaskExecution.RUNNING

    return check


def test_phases_tell_their_message_but_queued_and_running(bare: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.starting))
    task = client.task(execution)
    assert reasons(task) == [*LAUNCHED, "it is INITIALIZING"]
    assert [log.name for log in task.logs] == ["log"]
    assert execution.outputs["o0"] == 2


def test_each_attempt_is_created_anew_and_a_failed_one_deleted(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.retried))
    assert execution.is_successful
    phases = [client.task(execution, attempt=number).phase for number in range(3)]
    assert phases == [TaskExecution.FAILED, TaskExecution.FAILED, TaskExecution.SUCCEEDED]
    attempts = [item.task_execution_id.retry_attempt for item in scripts.requests]
    assert attempts == [0, 1, 2]
    assert len(scripts.deleted) == 1  # of the refused attempt there is nothing to delete


def test_refused_create_fails_the_node_when_no_retry_is_left(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.refusing))
    assert execution.error.code == "RetriesExhausted|TaskFailedWithError"
    assert execution.error.message.startswith("[1/1] currentAttempt done. Last Error: USER::")
    assert "the test refuses it" in execution.error.message
    assert not scripts.deleted


def test_lost_answer_of_create_leaves_the_resource_alone(bare: Any, scripts: Any) -> None:
    client = bare()

    def lose(call: ConnectorCall) -> None:
        if call.method == "CreateTask" and call.moment == "after":
            raise LostCall("connection reset")

    client.flyte.on_connector_call = lose
    execution = client.wait(client.execute(scripted.one))
    assert "code = Unavailable desc = connection reset" in execution.error.message
    assert len(scripts.requests) == 1
    assert not scripts.deleted


def test_six_failed_looks_freeze_a_task_that_was_never_seen(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.lost))
    assert execution.error.code == "AutoRefreshCacheFailed"
    assert client.flyte.connector_calls["GetTask"] == 6
    assert not scripts.deleted


def test_failing_node_aborts_the_others(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.one_fails))
    assert execution.error.message == "failed to run the job: boom FAILED"
    phases = {name: node.closure.phase for name, node in execution.node_executions.items()}
    assert (phases["n1"], phases["n2"]) == (NodeExecution.FAILED, NodeExecution.ABORTED)
    assert [key.split("/")[-3] for key in scripts.deleted] == ["n2"]


def test_abort_is_tried_eleven_times(bare: Any) -> None:
    client = bare()

    def refuse(call: ConnectorCall) -> None:
        if call.method == "DeleteTask":
            raise LostCall("no answer")

    client.flyte.on_connector_call = refuse
    execution = client.execute(scripted.forever)
    client.wait(execution, until=running(client, execution))
    client.remote.terminate(execution, "enough")
    ended = client.wait(execution)
    assert ended.closure.phase == WorkflowExecution.FAILED
    assert ended.error.code == "Workflow abort failed"
    assert "Failed to propagate Abort for workflow" in ended.error.message
    assert client.flyte.connector_calls["DeleteTask"] == 12


def test_timeout_fails_an_attempt_and_deletes_it(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.timing_out))
    assert client.task(execution, attempt=1) is not None
    assert len(scripts.deleted) == 2
    assert execution.error.code in ("Timeout", "RetriesExhausted|TimeoutExpired")


def test_killed_propeller_repeats_the_round_it_died_in(bare: Any, scripts: Any) -> None:
    client = bare()
    reached, go_on = threading.Event(), threading.Event()

    async def hang(call: ConnectorCall) -> None:
        if call.method == "CreateTask" and call.moment == "after" and not reached.is_set():
            import asyncio

            reached.set()
            await asyncio.sleep(30)

    client.flyte.on_connector_call = hang
    execution = client.execute(scripted.one)
    assert reached.wait(10)
    client.flyte.restart_propeller()
    go_on.set()
    assert client.wait(execution).is_successful
    first, second = (item.task_execution_id for item in scripts.requests)
    assert first == second


def test_subworkflow_nodes_have_the_same_node_id_for_a_connector(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.nested))
    assert execution.outputs["o0"] == 4
    nodes = [item.task_execution_id.node_execution_id.node_id for item in scripts.requests]
    assert nodes == ["n0", "n0", "n2"]
    assert client.task(execution, "n1-0-n0").metadata.generated_name.endswith("-n1-0-n0-0")


@pytest.mark.parametrize(("number", "result"), [(1, 3), (20, 22), (-5, None)])
def test_branches_are_chosen_by_their_conditions(bare: Any, number: int, result: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.choosing, number=number))
    if result is None:
        assert (execution.error.code, execution.error.message) == ("UserProvidedError", "too small")
    else:
        assert execution.outputs["o0"] == result


def test_launch_plan_node_runs_an_execution_of_its_own(bare: Any) -> None:
    client = bare()
    client.remote.register_launch_plan(
        scripted.one_from_five, "v1", serialization_settings=client.settings()
    )
    execution = client.wait(client.execute(scripted.launching))
    assert execution.outputs["o0"] == 3
    assert len(client.flyte.executions) == 2


def test_map_task_of_a_connector_fails_in_this_version(bare: Any, scripts: Any) -> None:
    client = bare()
    execution = client.wait(client.execute(scripted.mapped, numbers=[1, 2]))
    assert "gob: wrong type (webapi.Phase)" in execution.error.message
    assert not scripts.requests


def test_map_task_runs_where_its_state_is_kept(bare: Any) -> None:
    client = bare(keeps_map_state=True)
    execution = client.wait(client.execute(scripted.mapped, numbers=[1, 2]))
    assert execution.outputs["o0"] == [2, 3]
    resources = client.task(execution).metadata.external_resources
    assert [item.phase for item in resources] == [TaskExecution.SUCCEEDED] * 2


def test_cached_task_runs_once_unless_its_cache_is_overwritten(bare: Any, scripts: Any) -> None:
    client = bare()
    first, second = (client.wait(client.execute(scripted.keeping)) for _ in range(2))
    assert first.outputs["o0"] == second.outputs["o0"] == 2
    assert len(scripts.requests) == 1
    workflow = client.remote.fetch_workflow(name="scripted.keeping", version="v1")
    client.wait(client.remote.execute(workflow, inputs={}, overwrite_cache=True))
    assert len(scripts.requests) == 2
