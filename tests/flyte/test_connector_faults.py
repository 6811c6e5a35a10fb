"""The connector among the faults of AWS: no job twice, none lost, and a plain word to the user."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faulty_jobs
import odd_jobs
import pytest
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.extend.backend.utils import is_terminal_phase
from flytekit.types.file import FlyteFile

from cdao_sdk.errors import ResourcesUnavailable, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable


WAITING = TaskExecution.WAITING_FOR_RESOURCES
GOING_ON = (TaskExecution.INITIALIZING, TaskExecution.RUNNING)


def jobs(boto: Any, execution: str) -> list[str]:
    found = boto("sagemaker").list_processing_jobs(NameContains=execution)
    return [job["ProcessingJobName"] for job in found["ProcessingJobSummaries"]]


def again(call: Callable[[], Any]) -> Any:
    """What a call of the connector's gives, in as many tries as Propeller would take."""
    for _ in range(20):
        try:
            return call()
        except ResourcesUnavailable:
            time.sleep(0.05)
    return call()


def phases(job: Any, meta: Any) -> list[int]:
    """The phases that a job goes through, each once."""
    seen: list[int] = []
    deadline = time.monotonic() + 30
    while not seen or seen[-1] not in (TaskExecution.SUCCEEDED, TaskExecution.FAILED):
        phase = job.get(meta).phase
        if phase not in seen[-1:]:
            seen.append(phase)
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "throttling"},
        {"fault": "server_error"},
        {"fault": "server_error", "code": "ServiceUnavailable", "when": "after"},
        {"fault": "dropped_connection"},
        {"fault": "dropped_connection", "when": "after"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_create_that_meets_a_fault_makes_one_job(
    driven: Any, boto: Any, faults: Any, fault: dict[str, object]
) -> None:
    job = driven(faulty_jobs.quick)
    struck = faults({**fault, "operations": "CreateProcessingJob", "first": 1})
    meta = job.create(number=3)
    assert struck() == [1]
    assert jobs(boto, job.execution) == [meta.job_name]
    assert job.value(job.finish(meta)) == 4


def test_create_that_is_throttled_for_long_waits_and_is_sent_again(
    driven: Any, boto: Any, faults: Any
) -> None:
    job = driven(faulty_jobs.quick)
    # Three tries of the client's, in create and in the first get.
    faults({"fault": "throttling", "operations": "CreateProcessingJob", "first": 6})
    meta = job.create(number=3)
    resource = job.get(meta)
    assert resource.phase == WAITING
    assert "Rate exceeded" in resource.message
    assert jobs(boto, job.execution) == []
    assert job.value(job.finish(meta)) == 4
    assert jobs(boto, job.execution) == [meta.job_name]


def test_quota_that_is_used_up_is_waited_for(driven: Any, boto: Any, faults: Any) -> None:
    job = driven(faulty_jobs.quick)
    faults({"fault": "quota", "limit": 0, "operations": "CreateProcessingJob"})
    meta = job.create(number=3)
    resource = job.get(meta)
    assert resource.phase == WAITING
    assert "for processing job usage' is 0 Instances" in resource.message
    assert "Service Quotas" in resource.message
    faults()
    assert job.value(job.finish(meta)) == 4


def test_model_whose_answer_was_lost_is_used(driven: Any, boto: Any, faults: Any) -> None:
    boto("s3").put_object(Bucket="cdao-tests", Key="faults/rows.csv", Body=b"1,2\n")
    job = driven(faulty_jobs.predict)
    rule = {"fault": "dropped_connection", "when": "after", "first": 1}
    struck = faults({**rule, "operations": "Create*", "per_name": True})
    meta = job.create(
        model_path="s3://cdao-tests/none.tar.gz", data=FlyteFile("s3://cdao-tests/faults/rows.csv")
    )
    assert struck() == [1]  # model and job have the same name
    found = boto("sagemaker").list_transform_jobs(NameContains=job.execution)
    assert [one["TransformJobName"] for one in found["TransformJobSummaries"]] == [meta.job_name]


def test_upload_that_meets_a_fault_is_sent_again(driven: Any, faults: Any) -> None:
    job = driven(faulty_jobs.quick)
    name = f"*{job.execution}*"
    struck = faults(
        {"fault": "server_error", "operations": "s3:PutObject", "names": name, "first": 1},
        {"fault": "dropped_connection", "operations": "s3:GetObject", "names": name, "first": 1},
    )
    assert job.value(job.finish(job.create(number=3))) == 4
    assert struck() == [1, 1]


@pytest.mark.parametrize("fault", ["throttling", "server_error"])
def test_look_that_is_refused_says_nothing_about_the_job(
    driven: Any, faults: Any, fault: str
) -> None:
    job = driven(faulty_jobs.quick)
    meta = job.create(number=3)
    faults({"fault": fault, "operations": "DescribeProcessingJob"})
    assert job.get(meta).phase in GOING_ON
    faults()
    assert job.value(job.finish(meta)) == 4


def test_look_whose_connection_drops_is_taken_again(driven: Any, faults: Any) -> None:
    job = driven(odd_jobs.slow)
    meta = job.create(seconds=60.0)
    rule = {"fault": "dropped_connection", "operations": "DescribeProcessingJob"}
    struck = faults({**rule, "first": 1})
    while struck() != [1]:  # what was made just now is not looked at for a moment
        assert job.get(meta).phase in GOING_ON
        time.sleep(0.05)
    faults(rule)
    deadline = time.monotonic() + 60
    while "unanswered" not in (resource := job.get(meta)).custom_info:
        assert resource.phase in GOING_ON  # never an error: Propeller counts them, and gives up
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert resource.custom_info["unanswered"] == "ConnectionError"
    faults()
    job.delete(meta)
    assert job.finish(meta).custom_info["status"] == "Stopped"


@pytest.mark.parametrize("task", [faulty_jobs.quick, faulty_jobs.train], ids=lambda task: task.name)
def test_missing_capacity_may_be_tried_again(driven: Any, faults: Any, task: Any) -> None:
    job = driven(task)
    faults({"fault": "capacity"})
    resource = job.finish(job.create(number=3))
    assert resource.phase == TaskExecution.RETRYABLE_FAILED
    assert "CapacityError: Unable to provision" in resource.message
    assert resource.custom_info["failure_reason"].startswith("CapacityError")


def test_slow_start_is_seen_phase_after_phase(driven: Any, faults: Any) -> None:
    job = driven(faulty_jobs.train)
    faults(
        {"fault": "capacity", "outcome": "wait", "seconds": 0.3},
        {"fault": "slow_start", "seconds": 0.3},
    )
    seen = phases(job, job.create(number=3))
    order = [TaskExecution.QUEUED, TaskExecution.INITIALIZING]
    assert [phase for phase in seen if phase in order][-2:] == order
    assert seen[-1] == TaskExecution.SUCCEEDED


def test_spot_job_that_is_interrupted_goes_on(driven: Any, faults: Any) -> None:
    job = driven(faulty_jobs.resume)
    faults({"fault": "interruption", "seconds": 1.5, "names": f"*{job.execution}*"})
    resource = job.finish(job.create(seconds=30.0))
    assert resource.phase == TaskExecution.SUCCEEDED
    assert job.value(resource) == "went on"


def test_clock_that_is_off_is_named(driven: Any, faults: Any) -> None:
    job = driven(faulty_jobs.quick)
    faults({"fault": "clock_skew", "seconds": 600, "operations": "CreateProcessingJob"})
    with pytest.raises(SubmissionError, match=r"(?s)Signature expired.*clock") as error:
        job.create(number=3)
    assert error.value.code == "InvalidSignatureException"
    assert "PassRole" not in str(error.value)


def test_twenty_jobs_among_random_faults_are_twenty_jobs(
    driven: Any, boto: Any, faults: Any
) -> None:
    """Calls fail at random, before and after they took effect; Propeller asks again."""
    first = driven(faulty_jobs.quick)
    driven_jobs = [replace(first, node=f"n{number}") for number in range(20)]
    chance: dict[str, object] = {"probability": 0.1}
    struck = faults(
        {**chance, "fault": "throttling"},
        {**chance, "fault": "server_error"},
        {**chance, "fault": "server_error", "when": "after", "code": "ServiceUnavailable"},
        {**chance, "fault": "dropped_connection"},
        {**chance, "fault": "dropped_connection", "when": "after"},
        {**chance, "fault": "latency", "seconds": 0.05},
    )

    def run(number: int) -> object:
        job = driven_jobs[number]
        meta = again(lambda: job.create(number=number))
        deadline = time.monotonic() + 50
        while not is_terminal_phase((resource := again(lambda: job.get(meta))).phase):
            assert time.monotonic() < deadline, resource
            time.sleep(0.1)
        assert resource.phase == TaskExecution.SUCCEEDED, resource.message
        return meta.job_name, job.value(resource)

    with ThreadPoolExecutor(8) as pool:
        ended = dict(pool.map(run, range(20)))
    assert min(struck()) > 0
    faults()
    found = boto("sagemaker").list_processing_jobs(NameContains=first.execution, MaxResults=100)
    names = {job["ProcessingJobName"] for job in found["ProcessingJobSummaries"]}
    assert names == ended.keys()
    assert sorted(ended.values()) == list(range(1, 21))
