"""Workflows in this process: what runs when, and what comes out."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import small_flows as flows

import cdao_sdk
from cdao_sdk.errors import CdaoError, JobFailed, JobStopped

pytestmark = pytest.mark.usefixtures("on_embedded")


def outputs_of(entity: Any, **inputs: object) -> Any:
    found = cdao_sdk.run(entity, inputs).wait(timeout=90).outputs
    return found["o0"] if list(found) == ["o0"] else tuple(found.values())


def test_independent_nodes_run_at_the_same_time() -> None:
    times = outputs_of(flows.four_naps, seconds=0.6)
    began, ended = times[0::2], times[1::2]
    assert max(began) < min(ended), "all four were asleep at one moment"


@pytest.mark.parametrize(
    ("entity", "inputs", "expected"),
    [
        (flows.doubling, {}, 42),
        (flows.doubling, {"number": 4}, 8),
        (flows.chain, {"number": 3}, 16),
        (flows.nested, {"number": 3}, (16, 32)),
        (flows.double, {"number": 4}, 8),
        (flows.attributes, {"x": 4}, (8, 10, 4.5, "4")),
        (flows.gathered, {"x": 4}, 4 + 5 + 8),
        (flows.branching, {"number": 3}, 6),
        (flows.branching, {"number": -3}, -3),
        (flows.branch_inside, {"number": 3}, 12),
        (flows.dynamic_flow, {"count": 3}, [0, 2, 4]),
        (flows.mapped, {"numbers": [1, 2, 3]}, [2, 4, 6]),
        (flows.no_outputs, {"number": 1}, ()),
        (flows.plain_add, {"a": 1, "b": 2}, 3),
        (flows.folder_flow, {"names": ["b", "a"]}, ["a", "b"]),
        (flows.fixed_plan, {}, 14),
        (flows.imperative, {"number": 3}, 12),
    ],
    ids=lambda value: getattr(value, "name", None) and value.name.rpartition(".")[2],
)
def test_shape_of_workflow(entity: Any, inputs: dict[str, object], expected: object) -> None:
    assert outputs_of(entity, **inputs) == expected


def test_named_outputs_keep_their_names() -> None:
    execution = cdao_sdk.run(flows.pair, {"number": 3}).wait(timeout=60)
    assert execution.outputs == {"first": 3, "second": "3"}


def test_files_travel_between_tasks_and_to_the_caller() -> None:
    first, texts, file = outputs_of(flows.files_flow, text="hello")
    assert (first, texts) == ("hello", ["hello", "!"])
    with open(file) as opened:  # noqa: PTH123 # as a user does; it downloads
        assert opened.read() == "!"


def test_data_frames_travel_between_tasks_and_to_the_caller() -> None:
    total, frame = outputs_of(flows.frames_flow, rows=3)
    assert total == 3
    assert list(frame["x"]) == [0, 1, 2]


def test_pickled_input_is_unpickled_in_the_job_alone() -> None:
    # The value unpickles to the id of the process that does it.
    unpickler = outputs_of(flows.config_value, config={"pid": flows.Unpickler(), "b": [1, 2]})
    assert unpickler > 0
    assert unpickler != os.getpid()


def test_training_task_returns_its_model() -> None:
    execution = cdao_sdk.run(flows.fit, {"number": 3}).wait(timeout=60)
    (job,) = execution.jobs()
    assert execution.outputs == {"o0": job.artifact}
    assert job.artifact.endswith("model.tar.gz")


def test_failure_stops_what_runs_beside_it() -> None:
    execution = cdao_sdk.run(flows.failing_early, {"seconds": 60.0})
    with pytest.raises(JobFailed, match="not to my taste"):
        execution.wait(timeout=30)
    assert sorted(job.status for job in execution.jobs()) in (["Failed"], ["Failed", "Stopped"])


@pytest.mark.parametrize("flow", [flows.failing_late, flows.failing_inside])
def test_policy_may_let_the_others_finish(flow: Any) -> None:
    execution = cdao_sdk.run(flow, {"seconds": 1.0})
    with pytest.raises(JobFailed, match="not to my taste"):
        execution.wait(timeout=30)
    assert sorted(job.status for job in execution.jobs()) == ["Completed", "Failed"]


def test_nothing_starts_after_a_failure() -> None:
    execution = cdao_sdk.run(flows.failing, {"number": 3})
    with pytest.raises(JobFailed):
        execution.wait(timeout=30)
    assert len(execution.jobs()) == 1


@pytest.mark.parametrize("flow", [flows.handled, flows.handled_branching])
def test_failure_handler_runs_once_and_the_failure_is_told(flow: Any) -> None:
    execution = cdao_sdk.run(flow, {"text": "abc"})
    with pytest.raises(JobFailed, match="not to my taste"):
        execution.wait(timeout=30)
    handlers = [job for job in execution.jobs() if "clean-up" in job.name]
    assert [job.status for job in handlers] == ["Completed"]


def test_error_of_a_plain_task_is_the_error_of_the_execution() -> None:
    execution = cdao_sdk.run(flows.plain_fail, {"number": 3})
    with pytest.raises(KeyError, match="plain 3"):
        execution.wait(timeout=30)
    assert isinstance(execution.error, KeyError)


def test_plain_task_that_exits_does_not_leave_the_caller_waiting() -> None:
    execution = cdao_sdk.run(flows.plain_exit, {"number": 3})
    with pytest.raises(CdaoError, match=r"SystemExit\(3\)"):
        execution.wait(timeout=30)


def test_cached_task_runs_once() -> None:
    number = time.time_ns() % 10**9
    first = cdao_sdk.run(flows.cached, {"number": number}).wait(timeout=30)
    second = cdao_sdk.run(flows.cached, {"number": number}).wait(timeout=30)
    assert first.outputs == second.outputs == {"o0": number + 1}
    assert (len(first.jobs()), len(second.jobs())) == (1, 0)
    assert (first.cached_nodes, second.cached_nodes) == ((), ("n0",))


def test_cancel_half_way_stops_the_jobs() -> None:
    execution = cdao_sdk.run(flows.long_chain, {"seconds": 60.0})
    while not any(job.status == "InProgress" for job in execution.jobs()):
        time.sleep(0.02)
    execution.cancel()
    with pytest.raises(JobStopped):
        execution.wait(timeout=30)
    assert str(execution.status) == "ABORTED"
    assert [job.status for job in execution.jobs()] == ["Stopped"]


def test_two_executions_at_once_keep_apart() -> None:
    executions = [cdao_sdk.run(flows.chain, {"number": number}) for number in (1, 10)]
    assert [e.wait(timeout=60).outputs for e in executions] == [{"o0": 8}, {"o0": 44}]
    assert [len(e.jobs()) for e in executions] == [2, 2]
    assert executions[0].id != executions[1].id


@pytest.mark.parametrize(
    ("entity", "inputs", "expected"),
    [(flows.double, {"number": 4}, 8), (flows.chain, {"number": 3}, 16)],
)
def test_called_as_flytekit_does_it_runs_on_the_embedded_server(
    entity: Any, inputs: Any, expected: int
) -> None:
    assert entity(**inputs) == expected
