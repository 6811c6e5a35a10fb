"""Checkpoints through all layers: Flyte's retries and spot interruptions share one place in S3."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any

import pytest
import resuming as flows

import cdao_sdk

if TYPE_CHECKING:
    from cdao_sdk.local.server import LocalSageMaker

pytestmark = pytest.mark.usefixtures("on_embedded")


def described(boto: Any, execution: str) -> list[dict[str, Any]]:
    client = boto("sagemaker")
    found = client.list_training_jobs(NameContains=execution)["TrainingJobSummaries"]
    found.sort(key=lambda job: int(job["TrainingJobName"].rpartition("-")[2]))  # by attempt
    return [client.describe_training_job(TrainingJobName=job["TrainingJobName"]) for job in found]


def test_a_retry_goes_on_at_the_checkpoint_of_the_attempt_before(boto: Any) -> None:
    execution = cdao_sdk.run(flows.by_retry, {"steps": 6}).wait(timeout=90)
    assert execution.outputs["o0"] == [3, 6]
    jobs = described(boto, execution.id)
    assert [job["TrainingJobStatus"] for job in jobs] == ["Failed", "Completed"]
    uris = {job["CheckpointConfig"]["S3Uri"] for job in jobs}
    assert len(uris) == 1
    assert uris.pop().endswith(f"{execution.id}/n0/checkpoints")


def test_a_reclaimed_spot_job_goes_on_at_its_checkpoint(
    boto: Any, embedded: LocalSageMaker
) -> None:
    execution = cdao_sdk.run(flows.on_spot, {"steps": 6})
    deadline = time.monotonic() + 60
    job: dict[str, Any] = {}
    while "step 3" not in logged(boto, job):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        job = next(iter(described(boto, execution.id)), {})
    name = job["TrainingJobName"]
    connection = http.client.HTTPConnection(embedded.url.removeprefix("http://"))
    connection.request("POST", f"/_cdao/interruptions/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    assert execution.wait(timeout=60).outputs["o0"] == [3, 6]
    (job,) = described(boto, execution.id)
    phases = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert phases.count("Interrupted") == 1
    assert phases.count("Training") == 2
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def logged(boto: Any, job: dict[str, Any]) -> str:
    if not job:
        return ""
    client = boto("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = client.describe_log_streams(
        logGroupName=group, logStreamNamePrefix=job["TrainingJobName"]
    )["logStreams"]
    lines: list[str] = []
    for stream in streams:
        events = client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
        lines += [event["message"] for event in events["events"]]
    return "\n".join(lines)
