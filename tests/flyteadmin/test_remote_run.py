"""``run()`` on a cluster: what it starts, and what the execution tells and does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_flows as flows
import grpc
import pytest

import cdao_sdk
from cdao_sdk import (
    ConfigurationError,
    ExecutionTimeout,
    JobFailed,
    JobStopped,
    NotFound,
    PlanError,
    ResourcesUnavailable,
    SubmissionError,
)
from cdao_sdk.flyte.node_tree import walk

if TYPE_CHECKING:
    from flyte_double import FlyteDouble


def test_workflow_runs_and_tells_of_itself(cluster: FlyteDouble) -> None:
    execution: Any = cdao_sdk.run(flows.numbers, inputs={"number": 4})
    assert execution.wait(timeout=60).outputs == {"o0": 16}
    assert (execution.status, execution.error, execution.phase) == ("SUCCEEDED", None, "SUCCEEDED")
    assert execution.url == (
        f"http://{cluster.endpoint}/console/projects/flytesnacks/domains/development/executions/"
        + execution.id
    )
    remote = execution.flyte_remote
    assert execution.url == remote.generate_console_url(remote.fetch_execution(name=execution.id))
    first, second = execution.nodes
    assert [first.id, second.id] == ["n0", "n1"]
    assert (first.phase, first.task, first.attempts[0].number) == (
        "SUCCEEDED", "cluster_flows.double", 0,
    )  # fmt: skip
    jobs = execution.jobs()
    assert [job.name for job in jobs] == [
        first.custom_info["job_name"],
        second.custom_info["job_name"],
    ]
    assert [job.status for job in jobs] == ["Completed", "Completed"]
    assert [line.text for line in execution.logs(jobs[1].name)] == ["doubling 8"]
    assert (execution.workflow, execution.cached_nodes) == ("cluster_flows.numbers", ())


def test_plain_tasks_import_from_the_same_archive_as_jobs(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.mixed, inputs={"number": 5})
    assert execution.wait(timeout=90).outputs == {"o0": 21}
    assert [node.attempts[0].job_name != "" for node in execution.nodes] == [True, False]


def test_local_file_goes_in_and_a_file_comes_out(cluster: FlyteDouble, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("ab")
    execution = cdao_sdk.run(flows.files, inputs={"data": str(source), "times": 1})
    result: Any = execution.wait(timeout=60).outputs["o0"]
    assert Path(result).read_text() == "abab"  # downloaded only now


def test_single_task_runs(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.double, inputs={"number": 7})
    assert execution.wait(timeout=60).outputs == {"o0": 14}


def test_launch_plan_runs_with_what_it_has_fixed(cluster: FlyteDouble) -> None:
    assert cdao_sdk.run(flows.five).wait(timeout=60).outputs == {"o0": 20}


def test_nodes_of_subworkflows_are_inside_their_node(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.outer, inputs={"number": 1}).wait(timeout=60)
    first, second = execution.nodes
    assert [len(node.children) for node in (first, second)] == [1, 1]
    assert first.children[0].task == "cluster_flows.double"
    assert len(list(walk(execution.nodes))) == 4
    assert len(execution.jobs()) == 2


def test_failed_job_reads_as_in_a_run_here(cluster: FlyteDouble) -> None:
    execution: Any = cdao_sdk.run(flows.failing, inputs={"number": 3})
    with pytest.raises(JobFailed, match="no good: 6") as caught:
        execution.wait(timeout=60)
    error = caught.value
    assert "at node n1 (broken)" in str(error)
    assert execution.url in str(error)
    assert error.job_name == execution.jobs()[1].name
    assert error.reason.startswith("ValueError: no good: 6")
    assert any("no good: 6" in line for line in error.log_tail)
    assert execution.status == "FAILED"
    with pytest.raises(JobFailed):
        _ = execution.outputs


def test_failed_execution_is_recovered_and_relaunched(cluster: FlyteDouble) -> None:
    execution: Any = cdao_sdk.run(flows.failing, inputs={"number": 3})
    assert execution.finished(60)
    recovered = execution.recover()
    assert recovered.id != execution.id
    assert recovered.finished(60)
    assert [node.id for node in recovered.nodes] == ["n0", "n1"]
    assert [job.name.startswith(recovered.id) for job in recovered.jobs()] == [True]
    relaunched = execution.relaunch()
    assert relaunched.finished(60)
    assert len(relaunched.jobs()) == 2


def test_only_what_failed_is_recovered(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.double, inputs={"number": 1}).wait(timeout=60)
    with pytest.raises(cdao_sdk.CdaoError, match="only one that has failed"):
        execution.recover()


def test_cancel_ends_the_execution_and_may_come_twice(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.sleeping)
    with pytest.raises(ExecutionTimeout, match="goes on"):
        execution.wait(timeout=0.3)
    execution.cancel()
    with pytest.raises(JobStopped, match="stopped with cdao-sdk"):
        execution.wait(timeout=30)
    execution.cancel()
    assert isinstance(execution.error, JobStopped)


def test_execution_is_found_by_id_whole_name_and_url(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.double, inputs={"number": 2}).wait(timeout=60)
    for text in (execution.id, f"flytesnacks:development:{execution.id}", execution.url):
        found = cdao_sdk.get_execution(text)
        assert isinstance(found, cdao_sdk.Execution)
        assert found.outputs == {"o0": 4}  # types guessed
    with pytest.raises(NotFound, match=r"flytesnacks/development .* another project"):
        cdao_sdk.get_execution("a123")


def test_jobs_are_told_by_flyte_where_aws_does_not_answer(cluster: FlyteDouble) -> None:
    execution = cdao_sdk.run(flows.failing, inputs={"number": 3}, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(JobFailed):
        execution.wait(timeout=60)
    first, second = execution.jobs()
    assert (first.status, second.status) == ("Completed", "Failed")
    assert "no good: 6" in second.seen.failure_reason
    assert (second.kind, second.is_over) == ("processing", True)


def test_files_go_to_the_cluster_of_the_run_not_to_the_last_one(
    make_flyte: Any, use_cluster: Any, tmp_path: Path
) -> None:
    source = tmp_path / "in.txt"
    source.write_text("ab")
    first = use_cluster(make_flyte())
    cdao_sdk.run(flows.double, inputs={"number": 1}).cancel()
    second = use_cluster(make_flyte())
    cdao_sdk.run(flows.double, inputs={"number": 1}).cancel()
    use_cluster(first)
    uploads = second.calls["CreateUploadLocation"]
    cdao_sdk.run(flows.files, inputs={"data": str(source)}).cancel()
    assert second.calls["CreateUploadLocation"] == uploads


def test_lost_answer_starts_no_second_execution(
    cluster: FlyteDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdao_sdk.flyte.remote import cluster_for
    from cdao_sdk.settings import holder

    client: Any = cluster_for(holder.gather().settings).remote.client
    create, lost = client._stub.CreateExecution, []

    def loses_its_first_answer(request: Any, **options: Any) -> Any:
        answer = create(request, **options)
        if not lost:
            lost.append(answer)
            raise _Unavailable
        return answer

    monkeypatch.setattr(client._stub, "CreateExecution", loses_its_first_answer)
    execution = cdao_sdk.run(flows.double, inputs={"number": 2})
    assert execution.wait(timeout=60).outputs == {"o0": 4}
    assert [one.id.name for one in cluster.executions] == [execution.id]


class _Unavailable(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the answer was lost"


def test_short_silence_of_flyteadmin_ends_no_wait(make_flyte: Any, use_cluster: Any) -> None:
    flyte = use_cluster(make_flyte())
    execution: Any = cdao_sdk.run(flows.sleeping)
    assert execution.status == "RUNNING"
    flyte._server.stop(0).wait()
    with pytest.raises(ExecutionTimeout):
        execution.wait(timeout=0.2)
    assert execution.status == "RUNNING"


# --- what is refused ---


def test_inputs_are_refused_before_anything_is_registered(
    cluster: FlyteDouble, calls_of: Any
) -> None:
    def attempt() -> None:
        with pytest.raises(PlanError) as caught:
            cdao_sdk.run(flows.numbers, inputs={"number": "four", "depth": 1})
        assert len(caught.value.problems) == 2

    assert calls_of(attempt) == {}


def test_names_and_versions_that_flyte_would_refuse(cluster: FlyteDouble) -> None:
    with pytest.raises(PlanError, match="name='My Run'"):
        cdao_sdk.run(flows.numbers, name="My Run")
    with pytest.raises(PlanError, match="version='a b'"):
        cdao_sdk.run(flows.numbers, version="a b")


def test_name_that_is_taken_is_refused(cluster: FlyteDouble) -> None:
    cdao_sdk.run(flows.double, inputs={"number": 1}, name="mine").wait(timeout=60)
    with pytest.raises(SubmissionError, match="execution 'mine' already"):
        cdao_sdk.run(flows.double, inputs={"number": 1}, name="mine")


def test_project_that_is_not_there_is_named(cluster: FlyteDouble) -> None:
    with pytest.raises(ConfigurationError, match="no project 'nowhere'"):
        cdao_sdk.run(flows.numbers, project="nowhere")


@pytest.mark.parametrize(
    ("endpoint", "hint"),
    [("http://127.0.0.1:1", "admin_endpoint"), ("https://{}", "http:// before the endpoint")],
)
def test_endpoint_that_does_not_answer_is_named_soon(
    cluster: FlyteDouble, endpoint: str, hint: str
) -> None:
    started = time.monotonic()
    with pytest.raises(ResourcesUnavailable, match=hint) as caught:
        cdao_sdk.run(flows.numbers, admin_endpoint=endpoint.format(cluster.endpoint))
    assert "127.0.0.1" in str(caught.value)
    assert time.monotonic() - started < 10


def test_reference_is_not_registered_again(cluster: FlyteDouble) -> None:
    from flytekit import reference_task

    @reference_task(project="p", domain="d", name="n", version="v")
    def elsewhere(number: int) -> int: ...

    with pytest.raises(PlanError, match="is a reference"):
        cdao_sdk.run(elsewhere, inputs={"number": 1})


def test_image_that_is_none_is_named(cluster: FlyteDouble) -> None:
    with pytest.raises(ConfigurationError, match="image='not an image'"):
        cdao_sdk.run(flows.numbers, image="not an image")


def test_cluster_options_are_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigurationError, match="admin_endpoint is not set"):
        cdao_sdk.run(flows.numbers, version="v1")
