"""Jobs that go wrong: what the user is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import odd_jobs
import pytest
from flyteidl.core.execution_pb2 import TaskExecution

import cdao_sdk
from cdao_sdk.errors import CdaoError, JobFailed, JobInterrupted

if TYPE_CHECKING:
    from pathlib import Path

FAILED = TaskExecution.FAILED


def test_failure_names_job_reason_traceback_and_last_log_lines(driven: Any) -> None:
    job = driven(odd_jobs.raising)
    meta = job.create(number=3)
    resource = job.finish(meta)
    assert resource.phase == FAILED
    head, *rest = resource.message.splitlines()
    assert head == f"Processing job {meta.job_name} failed: KeyError: 'key 3'"
    assert rest[0].startswith("  odd_jobs.py:")
    assert 'return {}["key %d" % number]' in rest[0]
    assert "  algo-1| the line before" in rest
    assert resource.custom_info["failure_reason"].startswith("[cdao:USER] KeyError")


def test_job_that_ends_well_without_a_result_fails(driven: Any) -> None:
    job = driven(odd_jobs.leaving)
    resource = job.finish(job.create(number=3))
    assert resource.phase == FAILED
    assert "ended well, but left no result" in resource.message


def test_job_that_exits_0_by_itself_fails(driven: Any) -> None:
    job = driven(odd_jobs.exiting)
    resource = job.finish(job.create(number=3))
    assert resource.phase == FAILED
    assert "ended by sys.exit before returning its result" in resource.message


def test_job_that_is_killed_fails(driven: Any) -> None:
    job = driven(odd_jobs.killed)
    resource = job.finish(job.create(number=3))
    assert resource.phase == FAILED
    assert job.create(number=3).job_name in resource.message
    assert "137" in resource.message or "SIGKILL" in resource.message


def test_result_of_the_wrong_type_fails(driven: Any) -> None:
    job = driven(odd_jobs.mistyped)
    resource = job.finish(job.create(number=3))
    assert resource.phase == FAILED
    assert "'seven'" in resource.message
    assert "int" in resource.message


def test_job_that_fills_its_log_is_done_all_the_same(driven: Any) -> None:
    job = driven(odd_jobs.chatty)
    assert job.value(job.finish(job.create(lines=50_000))) == 50_000


def test_error_of_a_run_has_its_parts(on_embedded: Path) -> None:
    execution = cdao_sdk.run(odd_jobs.raising, {"number": 3})
    with pytest.raises(JobFailed) as caught:
        execution.wait(timeout=60)
    error = caught.value
    (job,) = execution.jobs()
    assert error.job_name == job.name
    assert error.reason == job.seen.failure_reason
    assert error.user_traceback.startswith("  odd_jobs.py:")
    assert "the line before" in error.log_tail
    assert execution.error is error
    assert str(execution.status) == "FAILED"
    with pytest.raises(JobFailed):
        _ = execution.outputs


def test_recoverable_failure_is_tried_again(on_embedded: Path, tmp_path: Path) -> None:
    inputs = {"path": str(tmp_path / "count"), "failures": 2}
    execution = cdao_sdk.run(odd_jobs.flaky, inputs).wait(timeout=60)
    assert execution.outputs == {"o0": 3}
    assert [job.status for job in execution.jobs()] == ["Failed", "Failed", "Completed"]


def test_retries_have_an_end(on_embedded: Path, tmp_path: Path) -> None:
    inputs = {"path": str(tmp_path / "count"), "failures": 9}
    execution = cdao_sdk.run(odd_jobs.flaky, inputs)
    with pytest.raises(JobInterrupted, match="attempt 3"):
        execution.wait(timeout=60)
    assert len(execution.jobs()) == 3


def test_request_that_sagemaker_refuses_is_no_bare_boto_error(on_embedded: Path) -> None:
    execution = cdao_sdk.run(
        odd_jobs.predict, {"model_path": "s3://nowhere/m.tar.gz", "data": "s3://nowhere/x.csv"}
    )
    with pytest.raises(CdaoError) as caught:
        execution.wait(timeout=60)
    assert "nowhere" in str(caught.value)
