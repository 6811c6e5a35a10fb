"""flytekit's own ways with SageMaker tasks: maps, branches, caches, retries, timeouts, spot."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flytekit_ways as flows
import pytest
from flytekit import Resources
from flytekit.testing import patch, task_mock

import cdao_sdk
from cdao_sdk.errors import CdaoError, JobFailed, PlanError, SpecError

pytestmark = pytest.mark.usefixtures("on_embedded")


def run(entity: Any, **inputs: object) -> Any:
    return cdao_sdk.run(entity, inputs).wait(timeout=60)


def outputs_of(entity: Any, **inputs: object) -> Any:
    found = run(entity, **inputs).outputs
    return found["o0"] if list(found) == ["o0"] else tuple(found.values())


# --- map tasks ---


def test_elements_of_a_map_run_at_the_same_time() -> None:
    began = outputs_of(flows.mapped_naps, seconds=[0.7, 0.7, 0.7])
    assert max(began) - min(began) < 0.7


def test_concurrency_of_a_map_is_kept() -> None:
    began = outputs_of(flows.mapped_one_by_one, seconds=[0.3, 0.3])
    assert began[1] - began[0] > 0.3


@pytest.mark.parametrize(
    ("entity", "inputs", "expected"),
    [
        (flows.mapped_partial, {"numbers": [3, 1, 2], "factor": 10}, [30, 10, 20]),
        (flows.mapped_partial, {"numbers": [], "factor": 10}, []),
        (flows.mapped_both, {"numbers": [1, 2], "factors": [5, 6]}, [5, 12]),
        (flows.mapped_plan, {"numbers": [1, 2]}, [3, 6]),
        (flows.mapped_some, {"numbers": [1, -1, 3]}, [2, None, 6]),
        (flows.mapped_then_counted, {"numbers": [1, -1]}, 1),
    ],
)
def test_map_gives_its_results_in_order(entity: Any, inputs: Any, expected: object) -> None:
    assert outputs_of(entity, **inputs) == expected


def test_each_element_is_a_job_named_by_its_index() -> None:
    execution = run(flows.mapped_partial, numbers=[5, 6], factor=1)
    names = sorted(job.name for job in execution.jobs())
    assert [name.removeprefix(execution.id)[:7] for name in names] == ["-n0-n0-", "-n0-n1-"]


def test_failure_of_a_map_names_the_element() -> None:
    with pytest.raises(JobFailed, match=r"Element 1 of n0: .*(\n.*)*no root of -7"):
        run(flows.mapped_partial, numbers=[1, -7], factor=1)


def test_too_many_failures_are_one_too_many() -> None:
    with pytest.raises(JobFailed, match=r"Element \d of n0"):
        run(flows.mapped_some, numbers=[-1, -2, 3])


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(PlanError, match="must be equally long"):
        run(flows.mapped_both, numbers=[1, 2], factors=[1])


# --- dynamic, conditionals ---


def test_steps_of_dynamic_functions_run_at_the_same_time() -> None:
    first, second = outputs_of(flows.two_dynamic, seconds=0.8)
    began = [*first, *second]
    assert max(began) - min(began) < 0.8


@pytest.mark.parametrize(("number", "expected"), [(30, 30), (4, 8)])
def test_dynamic_calls_subworkflows(number: int, expected: int) -> None:
    assert outputs_of(flows.dynamic_nested, number=number) == expected


@pytest.mark.parametrize(("number", "expected"), [(11, 22), (0, 100), (1, 2), (100, 200)])
def test_first_case_that_holds_is_taken(number: int, expected: int) -> None:
    assert outputs_of(flows.choice, number=number, seconds=0.0)[0] == expected


def test_steps_beside_a_conditional_run_at_the_same_time() -> None:
    _, first, second = outputs_of(flows.choice, number=100, seconds=0.6)
    assert abs(first - second) < 0.6


def test_conditional_may_fail_with_its_own_words() -> None:
    with pytest.raises(CdaoError, match="Conditional 'size' failed: only from 0 on"):
        run(flows.choice, number=-1, seconds=0.0)


def test_branch_of_several_steps_is_refused_before_anything_runs() -> None:
    with pytest.raises(PlanError, match="conditional 'x' has more than one step"):
        cdao_sdk.run(flows.two_in_a_branch, {"number": 3})


# --- launch plans and references ---


@pytest.mark.parametrize(
    ("plan", "inputs", "expected"),
    [(flows.nightly, {}, 20), (flows.nightly, {"number": 2}, 10), (flows.hourly, {}, 5)],
)
def test_launch_plan_with_a_schedule_runs_with_its_inputs(
    plan: Any, inputs: Any, expected: int
) -> None:
    assert outputs_of(plan, **inputs) == expected


def test_fixed_input_of_a_launch_plan_cannot_be_given() -> None:
    with pytest.raises(PlanError, match="factor=7: the launch plan has fixed"):
        cdao_sdk.run(flows.nightly, {"factor": 7})


def test_reference_needs_a_stand_in() -> None:
    with pytest.raises(PlanError, match="node n0: only a reference to what is registered"):
        cdao_sdk.run(flows.with_reference, {"number": 3})

    @patch(flows.elsewhere)
    def with_stand_in(stand_in: Any) -> Any:
        stand_in.return_value = 4
        return outputs_of(flows.with_reference, number=3)

    assert with_stand_in() == 8


def test_stand_in_takes_the_place_of_a_job() -> None:
    with task_mock(flows.double) as stand_in:
        stand_in.return_value = 5
        execution = run(flows.doubled_twice, number=3)
        assert flows.double(number=3) == 5
    assert (execution.outputs, execution.jobs()) == ({"o0": 5}, [])


# --- caching ---


def test_cached_results_make_no_job() -> None:
    first, second = run(flows.cached_map, numbers=[1, 2]), run(flows.cached_map, numbers=[2, 3])
    assert [len(execution.jobs()) for execution in (first, second)] == [2, 1]
    assert second.outputs == {"o0": [3, 4]}
    assert second.cached_nodes == ("n0-n0",)


def test_ignored_inputs_do_not_count() -> None:
    first = run(flows.cached_but, number=1, note="a")
    second = run(flows.cached_but, number=1, note="b")
    assert (len(first.jobs()), len(second.jobs())) == (1, 0)


def test_node_may_decide_on_caching_itself() -> None:
    jobs = [
        len(run(flow, number=1).jobs())
        for flow in (flows.cached_by_override, flows.cached_by_override, flows.uncached_by_override)
    ]
    assert jobs == [1, 0, 1]


def test_direct_call_uses_the_same_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flows.cached(number=3) == 4
    assert run(flows.cached, number=3).jobs() == []
    monkeypatch.setenv("FLYTE_LOCAL_CACHE_ENABLED", "false")
    assert len(run(flows.cached, number=3).jobs()) == 1


def test_plain_task_is_cached_too_and_no_pickle_is_kept(tmp_path: Path, on_embedded: Path) -> None:
    mark = str(tmp_path / "mark")
    for _ in range(2):
        assert outputs_of(flows.cached_plain, number=3, mark=mark) == 3
    assert Path(mark).read_text() == "x"
    (kept,) = (on_embedded / "cache").iterdir()
    kept.write_bytes(b"\x80\x04damaged")
    assert outputs_of(flows.cached_plain, number=3, mark=mark) == 3


def test_of_equal_runs_at_one_time_one_makes_the_job() -> None:
    with ThreadPoolExecutor() as pool:
        executions = list(pool.map(lambda _: run(flows.cached_alone, number=7), range(3)))
    assert sorted(len(execution.jobs()) for execution in executions) == [0, 0, 1]
    assert {execution.outputs["o0"] for execution in executions} == {8}


def test_of_equal_runs_of_two_processes_one_makes_the_job(embedded: Any) -> None:
    script = (
        "import cdao_sdk, flytekit_ways\n"
        "execution = cdao_sdk.run(flytekit_ways.cached_alone, {'number': 9}).wait(timeout=60)\n"
        "print(len(execution.jobs()), execution.outputs)"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(flows.__file__).parent),
        "CDAO_ENDPOINT_URL": embedded.url,
        "CDAO_DEFAULT_BUCKET": "cdao-tests",
    }
    command = [sys.executable, "-c", script]
    start = functools.partial(
        subprocess.Popen, command, env=environment, stdout=subprocess.PIPE, text=True
    )
    processes = [start(), start()]
    said = sorted(process.communicate(timeout=90)[0].strip() for process in processes)
    assert said == ["0 {'o0': 10}", "1 {'o0': 10}"]


# --- retries and timeouts ---


def test_recoverable_failure_is_tried_again_as_another_job() -> None:
    execution = run(flows.recovers, after=2)
    assert execution.outputs == {"o0": 2}
    assert len({job.name for job in execution.jobs()}) == 3


@pytest.mark.parametrize(
    ("flow", "inputs", "reason"),
    [(flows.hopeless, {"number": 1}, "never"), (flows.no_retries, {"after": 1}, "not yet")],
)
def test_final_failure_and_no_retries_make_one_job(flow: Any, inputs: Any, reason: str) -> None:
    execution = cdao_sdk.run(flow, inputs)
    with pytest.raises(JobFailed, match=reason):
        execution.wait(timeout=60)
    assert len(execution.jobs()) == 1


def test_plain_task_is_tried_again_after_a_recoverable_failure(tmp_path: Path) -> None:
    assert outputs_of(flows.plain_recovers, mark=str(tmp_path / "a"), after=2) == 3
    with pytest.raises(ValueError, match="never"):
        run(flows.plain_hopeless, mark=str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "x"


def test_job_that_outlasts_its_timeout_is_stopped() -> None:
    execution = cdao_sdk.run(flows.slow, {"seconds": 60.0})
    with pytest.raises(JobFailed, match=r"n0 did not end within its timeout of 1 s"):
        execution.wait(timeout=30)
    (job,) = execution.jobs()
    deadline = time.monotonic() + 20
    while job.status == "Stopping" and time.monotonic() < deadline:
        time.sleep(0.05)
        (job,) = execution.jobs()
    assert job.status == "Stopped"


def test_timeout_is_tried_again_and_a_node_may_have_its_own() -> None:
    assert outputs_of(flows.slow_at_first, seconds=60.0) == 1
    assert outputs_of(flows.given_time, seconds=1.2) == 1.2


def test_plain_task_that_outlasts_its_timeout_fails() -> None:
    began = time.monotonic()
    with pytest.raises(JobFailed, match=r"timeout of 0\.5 s"):
        run(flows.plain_slow, seconds=5.0)
    assert time.monotonic() - began < 4


# --- interruptible ---


def request_of(boto: Any, name: str) -> dict[str, Any]:
    return boto("sagemaker").describe_training_job(TrainingJobName=name)


def test_interruptible_training_is_on_spot_unless_said_otherwise(boto: Any) -> None:
    (job,) = run(flows.on_spot, number=1).jobs()
    asked = request_of(boto, job.name)
    condition = asked["StoppingCondition"]
    assert asked["EnableManagedSpotTraining"]
    assert condition["MaxWaitTimeInSeconds"] == condition["MaxRuntimeInSeconds"] + 3600
    assert asked["CheckpointConfig"]["S3Uri"].endswith("/checkpoints")
    execution = run(flows.all_on_spot, number=1)
    spot = {
        job.name.split("-")[1]: request_of(boto, job.name).get("EnableManagedSpotTraining", False)
        for job in execution.jobs()
    }
    assert spot == {"n0": True, "n1": False, "n2": False}


def test_interruptible_is_ignored_with_a_note_where_there_is_no_spot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @cdao_sdk.sagemaker_processing_task(framework="sklearn", interruptible=True)
    def process(number: int) -> int:
        return number

    assert "interruptible is ignored: processing jobs have no spot" in caplog.text.lower()


def test_what_propeller_says_of_spot_comes_through_the_connector_service() -> None:
    from flyteidl.admin.agent_pb2 import TaskExecutionMetadata as Message
    from flytekit.models.task import TaskExecutionMetadata

    for said in (True, False):
        message = Message(interruptible=said, max_attempts=1)
        metadata: Any = TaskExecutionMetadata.from_flyte_idl(message)
        assert metadata.interruptible is said
    # Propeller 1.16.8 leaves the field out, and says it in a label.
    assert not hasattr(TaskExecutionMetadata.from_flyte_idl(Message()), "interruptible")


@pytest.mark.parametrize(("label", "spot"), [("true", True), ("false", False)])
def test_what_propeller_says_of_spot_in_a_label_holds(
    driven: Any, monkeypatch: pytest.MonkeyPatch, label: str, spot: bool
) -> None:
    from cdao_sdk.flyte.attempt_spec import spec_for_attempt
    from cdao_sdk.kinds.build import build_spec

    job = driven(flows.double)
    metadata = job.metadata()
    metadata.labels["interruptible"] = label
    spec = spec_for_attempt(
        build_spec("training", {"framework": "pytorch"}), job.template, metadata
    )
    assert getattr(spec, "use_spot_instances", None) is spot


def test_forgotten_job_ends_soon_after_its_timeout(driven: Any, boto: Any) -> None:
    attempt = driven(flows.slow)
    meta = attempt.create(seconds=0.0)
    attempt.finish(meta)
    asked = boto("sagemaker").describe_processing_job(ProcessingJobName=meta.job_name)
    assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 61}


# --- overrides that cannot reach a job ---


@pytest.mark.parametrize(
    "overrides",
    [{"container_image": "python:3.12"}, {"requests": Resources(mem="1Gi")}, {"pod_template": 1}],
    ids=lambda overrides: next(iter(overrides)),
)
def test_override_that_does_not_reach_a_job_is_refused_where_it_is_written(
    overrides: dict[str, Any],
) -> None:
    from flytekit import workflow

    @workflow
    def flow(number: int) -> int:
        return flows.double(number=number).with_overrides(name="x", **overrides)

    # Registration compiles, too, and does nothing else with a node that one of ours could see.
    with pytest.raises(SpecError, match=rf"with_overrides\({next(iter(overrides))}\) does not"):
        flow.compile()


def test_override_of_a_map_that_does_not_reach_its_jobs_is_refused() -> None:
    with pytest.raises(PlanError, match=r"with_overrides\(container_image\) does not reach"):
        cdao_sdk.run(flows.other_image, {"numbers": [1]})


def test_task_that_is_called_inside_a_condition_is_refused() -> None:
    from flytekit import conditional, workflow

    @workflow
    def flow(number: int) -> int:
        case = conditional("large").if_(flows.double(number=number) > 3)
        return case.then(flows.double(number=number)).else_().then(flows.double(number=number))

    with pytest.raises(PlanError, match=r"call it before conditional\(…\)"):
        cdao_sdk.run(flow, {"number": 1})


def test_task_config_of_one_node_is_refused() -> None:
    from flytekit import workflow

    @workflow
    def flow(number: int) -> int:
        config = flows.double.task_config
        return flows.double(number=number).with_overrides(task_config=config)

    with pytest.raises(SpecError, match="decorate the function a second time"):
        cdao_sdk.run(flow, {"number": 1})
