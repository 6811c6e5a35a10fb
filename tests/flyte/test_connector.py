"""The connector as Propeller drives it: create, get, delete, each any number of times."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import odd_jobs
import pytest
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.extend.backend.base_connector import ConnectorRegistry
from flytekit.types.file import FlyteFile

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import (
    ConfigurationError,
    PlanError,
    ResourcesUnavailable,
    SpecError,
    SubmissionError,
)
from cdao_sdk.flyte.connector import SageMakerConnector
from cdao_sdk.flyte.deadline import deadline_in
from cdao_sdk.flyte.job_meta import JobMeta
from cdao_sdk.flyte.reaper import Reaper
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

WAITING = TaskExecution.WAITING_FOR_RESOURCES


def names(boto: Any, execution: str) -> list[str]:
    """Names of all jobs of an execution."""
    client = boto("sagemaker")
    found = client.list_processing_jobs(NameContains=execution)["ProcessingJobSummaries"]
    return [job["ProcessingJobName"] for job in found]


def models(boto: Any, execution: str) -> list[Any]:
    return boto("sagemaker").list_models(NameContains=execution)["Models"]


def put(boto: Any, key: str, body: bytes) -> str:
    boto("s3").put_object(Bucket="cdao-tests", Key=key, Body=body)
    return f"s3://cdao-tests/{key}"


def test_job_runs_and_its_result_becomes_the_outputs(driven: Any) -> None:
    job = driven(odd_jobs.quick)
    resource = job.finish(job.create(number=3))
    assert resource.phase == TaskExecution.SUCCEEDED
    assert job.value(resource) == 4
    assert resource.custom_info["kind"] == "processing"
    assert resource.custom_info["status"] == "Completed"


def test_create_twice_makes_one_job(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)
    first, second = job.create(number=3), job.create(number=3)
    assert first == replace(second, created=first.created)
    assert names(boto, job.execution) == [first.job_name]
    assert job.value(job.finish(second)) == 4


def test_concurrent_creates_make_one_job(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)

    async def together() -> list[JobMeta]:
        return await asyncio.gather(*(job.create_async(number=3) for _ in range(6)))

    metas = bridge.run(together())
    assert {meta.job_name for meta in metas} == set(names(boto, job.execution))
    assert len(set(names(boto, job.execution))) == 1


def test_node_and_attempt_are_in_the_jobs_name(driven: Any) -> None:
    first = driven(odd_jobs.quick, execution="t0names")
    other = [replace(first, attempt=1), replace(first, node="n1"), replace(first, execution="t1")]
    made = [job.create(number=1).job_name for job in (first, *other)]
    assert len(set(made)) == 4
    assert made[0].startswith("t0names-n0-quick-")
    assert made[0].endswith("-0")
    assert made[1].endswith("-1")


def test_job_is_tagged_with_where_it_comes_from(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)
    job = replace(job, services=replace(job.services, tags={"cost-centre": "42"}))
    client = boto("sagemaker")
    described = client.describe_processing_job(ProcessingJobName=job.create(number=3).job_name)
    tags = client.list_tags(ResourceArn=described["ProcessingJobArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "cdao:execution": job.execution,
        "cdao:node": "n0",
        "cdao:project": "project",
        "cdao:domain": "development",
        "cdao:task": "odd_jobs.quick",
        "cost-centre": "42",
    }


def test_refused_second_call_leaves_no_model(
    driven: Any, proxied: Services, proxy: Any, boto: Any
) -> None:
    proxy.refusals["CreateTransformJob"] = "ValidationException"
    job = driven(odd_jobs.predict, services=proxied)
    data = FlyteFile(put(boto, "connector/rows.csv", b"1,2\n"))
    with pytest.raises(SubmissionError, match="the test refuses CreateTransformJob"):
        job.create(model_path="s3://cdao-tests/m.tar.gz", data=data)
    assert proxy.seen.count("CreateModel") == 1
    assert models(boto, job.execution) == []


def test_delete_stops_a_running_job(driven: Any) -> None:
    job = driven(odd_jobs.slow)
    meta = job.create(seconds=60.0)
    while job.get(meta).phase != TaskExecution.RUNNING:
        pass
    job.delete(meta)
    job.delete(meta)
    resource = job.finish(meta)
    assert resource.phase == TaskExecution.FAILED
    assert "was stopped, and not by Flyte" in resource.message
    assert resource.custom_info["status"] == "Stopped"
    job.delete(meta)


def test_delete_leaves_a_finished_job_alone(driven: Any) -> None:
    job = driven(odd_jobs.quick)
    meta = job.create(number=1)
    job.finish(meta)
    job.delete(meta)
    assert job.get(meta).phase == TaskExecution.SUCCEEDED


def test_create_makes_nothing_and_get_makes_the_job(driven: Any, boto: Any) -> None:
    """Propeller does not come back to a job whose creation it has no answer of."""
    job = driven(odd_jobs.quick)
    meta = job.store(number=3)
    assert names(boto, job.execution) == []
    job.get(meta)
    assert names(boto, job.execution) == [meta.job_name]
    assert job.value(job.finish(meta)) == 4


def test_any_replica_makes_the_job(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)
    meta = job.store(number=3)
    other = replace(job)  # another connector, that knows nothing but the meta
    assert other.connector is not job.connector
    assert other.value(other.finish(meta)) == 4
    assert job.value(job.finish(meta)) == 4
    assert names(boto, job.execution) == [meta.job_name]


def test_request_that_nobody_asks_after_is_sent_all_the_same(
    driven: Any, boto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdao_sdk.flyte.job_desk._KICK_SECONDS", 0.05)
    job = driven(odd_jobs.quick)
    meta = job.store(number=3)
    deadline = time.monotonic() + 20
    while names(boto, job.execution) != [meta.job_name]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job.value(job.finish(meta)) == 4


def test_job_that_was_stopped_before_it_was_made_is_never_made(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)
    meta = job.store(number=1)
    job.delete(meta)
    for connector in (job, replace(job)):  # Propeller may ask once more, and another replica
        resource = connector.get(meta)
        assert resource.phase == TaskExecution.FAILED
        assert "was stopped before it was made" in resource.message
    assert names(boto, job.execution) == []


def test_job_that_is_made_while_it_is_stopped_elsewhere_is_stopped(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.slow)
    meta = job.store(seconds=60.0)
    replace(job).delete(meta)  # this replica is not told of it
    job.get(meta)
    bridge.run(Reaper(lambda: job.connector.desks).sweep())
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=meta.job_name)
    assert described["ProcessingJobStatus"] in ("Stopping", "Stopped")


def test_job_that_sagemaker_does_not_stop_now_is_stopped_later(
    driven: Any, proxied: Services, proxy: Any, boto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Propeller gives up on an abort that fails a dozen times in a row."""
    monkeypatch.setattr("cdao_sdk.flyte.job_desk._STOP_SECONDS", 0.0)
    job = driven(odd_jobs.slow, services=proxied)
    meta = job.create(seconds=60.0)
    proxy.refusals["StopProcessingJob"] = "InternalFailure"
    job.delete(meta)
    proxy.refusals.clear()
    other = replace(job)  # this process may be gone by then
    other.store(seconds=0.0)
    assert bridge.run(Reaper(lambda: other.connector.desks).sweep()) == [meta.job_name]
    assert bridge.run(Reaper(lambda: other.connector.desks).sweep()) == []
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=meta.job_name)
    assert described["ProcessingJobStatus"] in ("Stopping", "Stopped")


def test_attempt_stops_the_job_of_the_one_before(driven: Any, boto: Any) -> None:
    """Propeller calls an attempt failed when the answer to its creation is lost."""
    first = driven(odd_jobs.slow)
    lost = first.create(seconds=60.0)
    second = replace(first, attempt=1)
    meta = second.create(seconds=0.0)
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=lost.job_name)
    assert described["ProcessingJobStatus"] in ("Stopping", "Stopped")
    assert second.finish(meta).phase == TaskExecution.SUCCEEDED


def test_attempt_stops_the_jobs_of_all_before(driven: Any, boto: Any) -> None:
    """The one in between was never made, so it could not do so."""
    first = driven(odd_jobs.slow)
    lost = first.create(seconds=60.0)
    replace(first, attempt=1).store(seconds=60.0)
    third = replace(first, attempt=2)
    third.create(seconds=0.0)
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=lost.job_name)
    assert described["ProcessingJobStatus"] in ("Stopping", "Stopped")


def test_attempt_whose_successor_is_there_is_not_made_any_more(
    driven: Any, boto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica that would send it by itself is told of nothing."""
    monkeypatch.setattr("cdao_sdk.flyte.job_desk._KICK_SECONDS", 1.0)
    first = driven(odd_jobs.slow)
    first.store(seconds=60.0)
    second = replace(first, attempt=1)
    assert second.finish(second.create(seconds=0.0)).phase == TaskExecution.SUCCEEDED
    time.sleep(1.5)
    assert len(names(boto, first.execution)) == 1


def test_stopped_request_that_waits_in_line_elsewhere_is_never_made(
    driven: Any, proxied: Services, proxy: Any, boto: Any
) -> None:
    job = driven(odd_jobs.slow, services=proxied)
    proxy.refusals["CreateProcessingJob"] = "ResourceLimitExceeded"
    meta = job.store(seconds=60.0)
    assert job.get(meta).phase == TaskExecution.WAITING_FOR_RESOURCES
    replace(job).delete(meta)  # this replica is not told of it
    proxy.refusals.clear()
    finish_other = replace(job, node="n1")  # who asks after another job moves the line on
    finish_other.finish(finish_other.store(seconds=0.0))
    bridge.run(asyncio.sleep(1))
    client = boto("sagemaker")
    statuses = [
        client.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]
        for name in names(boto, job.execution)
        if name == meta.job_name
    ]
    assert statuses in ([], ["Stopping"], ["Stopped"])


def test_job_that_another_replica_has_made_meanwhile_is_no_lost_one(driven: Any) -> None:
    """Its log is there already when this replica, which has just not found the job, looks."""
    job = driven(odd_jobs.quick)
    meta = job.create(number=1)
    job.finish(meta)
    other = replace(job)
    bridge.run(other.connector.submit(meta))
    assert other.get(meta).phase == TaskExecution.SUCCEEDED


def test_job_whose_record_was_deleted_is_not_made_again(
    driven: Any, boto: Any, embedded: LocalSageMaker
) -> None:
    job = driven(odd_jobs.quick)
    meta = job.create(number=1)
    job.finish(meta)
    gone = replace(meta, job_names=(f"{meta.job_name}-gone",))
    jobs = embedded.state_dir / "sagemaker" / "processing"
    shutil.copytree(jobs / meta.job_name / "logs", jobs / gone.job_name / "logs")
    resource = job.get(gone)
    assert resource.phase == TaskExecution.FAILED
    assert "not there any more" in resource.message


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "CapacityError"])
def test_request_that_has_to_wait_is_sent_by_a_later_get(
    driven: Any, proxied: Services, proxy: Any, boto: Any, code: str
) -> None:
    proxy.refusals["CreateProcessingJob"] = code
    job = driven(odd_jobs.quick, services=proxied)
    meta = job.create(number=3)
    for _ in range(2):
        resource = job.get(meta)
        assert resource.phase == WAITING
        assert "the test refuses CreateProcessingJob" in resource.message
    assert names(boto, job.execution) == []
    proxy.refusals.clear()
    assert job.value(job.finish(meta)) == 4


def test_waiting_request_that_is_refused_for_good_fails(
    driven: Any, proxied: Services, proxy: Any
) -> None:
    proxy.refusals["CreateProcessingJob"] = "ResourceLimitExceeded"
    job = driven(odd_jobs.quick, services=proxied)
    meta = job.create(number=3)
    proxy.refusals["CreateProcessingJob"] = "AccessDeniedException"
    resource = job.finish(meta)
    assert resource.phase == TaskExecution.FAILED
    assert "iam:PassRole" in resource.message


def test_instance_type_that_the_region_lacks_is_not_waited_for(
    driven: Any, proxied: Services, proxy: Any
) -> None:
    proxy.refusals["CreateProcessingJob"] = "ResourceLimitExceeded"
    proxy.words = "The requested resource ml.p4d.24xlarge is not available in this region."
    job = driven(odd_jobs.quick, services=proxied)
    resource = job.get(job.store(number=3))
    assert resource.phase == TaskExecution.FAILED
    assert "not available in this region" in resource.message


LIMIT = (
    "The account-level service limit 'ml.p3.2xlarge for training job usage' is 2 Instances, with"
    " current utilization of 2 Instances and a request delta of 1 Instances. Please use AWS Service"
    " Quotas to request an increase for this quota."
)


def test_quota_is_named_to_flyte(driven: Any, proxied: Services, proxy: Any) -> None:
    proxy.refusals["CreateProcessingJob"], proxy.words = "ResourceLimitExceeded", LIMIT
    job = driven(odd_jobs.quick, services=proxied)
    resource = job.get(job.store(number=3))
    assert resource.phase == WAITING
    assert resource.custom_info["quota"] == "ml.p3.2xlarge for training job usage"
    assert "Service Quotas" in resource.message


def test_those_who_wait_are_made_in_the_order_in_which_they_came(
    driven: Any, proxied: Services, proxy: Any, boto: Any
) -> None:
    proxy.refusals["CreateProcessingJob"], proxy.words = "ResourceLimitExceeded", LIMIT
    first = driven(odd_jobs.quick, services=proxied)
    jobs = [replace(first, node=f"n{number}") for number in range(4)]
    for job in jobs:
        job.connector = first.connector  # one replica
    metas = [job.store(number=1) for job in jobs]
    messages = [job.get(meta).message for job, meta in zip(jobs, metas, strict=True)]
    assert ["place 4 of 4" in message for message in messages] == [False, False, False, True], (
        messages
    )
    proxy.refusals.clear()
    deadline = time.monotonic() + 20
    while len(names(boto, first.execution)) < 4:  # asked by the last one alone
        jobs[-1].get(metas[-1])
        assert time.monotonic() < deadline
    client = boto("sagemaker")
    created = [
        client.describe_processing_job(ProcessingJobName=meta.job_name)["CreationTime"]
        for meta in metas
    ]
    assert created == sorted(created)


def test_list_of_instance_types_is_walked_where_capacity_lacks(
    driven: Any, faults: Any, boto: Any
) -> None:
    job = driven(odd_jobs.choosy)
    faults({"fault": "capacity", "names": f"*{job.execution}*", "first": 2})
    meta = job.store(number=3)
    resource = job.finish(meta)
    assert resource.phase == TaskExecution.SUCCEEDED, resource.message
    assert job.value(resource) == 4
    assert resource.custom_info["instance_type"] == "ml.c5.xlarge"
    client = boto("sagemaker")
    types = {
        name: client.describe_processing_job(ProcessingJobName=name)
        for name in names(boto, job.execution)
    }
    assert {
        name: (
            found["ProcessingJobStatus"],
            found["ProcessingResources"]["ClusterConfig"]["InstanceType"],
        )
        for name, found in types.items()
    } == {
        meta.job_names[0]: ("Failed", "ml.m5.large"),
        meta.job_names[1]: ("Failed", "ml.m5.xlarge"),
        meta.job_names[2]: ("Completed", "ml.c5.xlarge"),
    }


def test_delete_of_a_waiting_request_leaves_nothing(
    driven: Any, proxied: Services, proxy: Any, boto: Any
) -> None:
    proxy.refusals["CreateTransformJob"] = "ResourceLimitExceeded"
    job = driven(odd_jobs.predict, services=proxied)
    data = FlyteFile(put(boto, "connector/rows.csv", b"1,2\n"))
    meta = job.create(model_path="s3://cdao-tests/m.tar.gz", data=data)
    assert len(models(boto, job.execution)) == 1
    job.delete(meta)
    assert models(boto, job.execution) == []


def test_answer_that_nobody_comes_for_is_forgotten(
    driven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdao_sdk.flyte.connector._KEPT_SECONDS", 2.0)
    job = driven(odd_jobs.quick)
    meta = job.create(number=1)
    job.finish(meta)  # by now a look has its result to read

    async def hurried() -> None:
        with deadline_in(0.0):
            await job.connector.get(meta)

    bridge.run(hurried())
    assert job.connector._looks
    deadline = time.monotonic() + 20
    while job.connector._looks:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_throttled_look_is_no_failure(driven: Any, proxied: Services, proxy: Any) -> None:
    job = driven(odd_jobs.quick, services=proxied)
    meta = job.create(number=3)
    proxy.refusals["DescribeProcessingJob"] = "ThrottlingException"
    proxy.refusals["ListProcessingJobs"] = "ThrottlingException"
    for _ in range(3):
        assert job.get(meta).phase in (TaskExecution.INITIALIZING, TaskExecution.RUNNING)
    proxy.refusals.clear()
    assert job.value(job.finish(meta)) == 4


def test_unreachable_endpoint_is_named(driven: Any, services: Services) -> None:
    from cdao_sdk.aws.session import AwsClients, embedded_target

    clients = AwsClients(embedded_target("http://127.0.0.1:9"))
    job = driven(odd_jobs.quick)
    meta = job.create(number=3)
    job.connector = SageMakerConnector(job.task.job_kind, replace(services, clients=clients))
    deadline = time.monotonic() + 30
    while "http://127.0.0.1:9 did not answer" not in (resource := job.get(meta)).message:
        assert time.monotonic() < deadline
    assert resource.phase == TaskExecution.QUEUED  # which says nothing about the job
    with pytest.raises(ResourcesUnavailable, match=r"http://127\.0\.0\.1:9 did not answer"):
        job.store(number=3)
    bridge.run(clients.close())


def test_role_that_nobody_named_is_asked_for(driven: Any, services: Services) -> None:
    job = driven(odd_jobs.quick, services=replace(services, role_arn=None))
    with pytest.raises(ConfigurationError, match="CDAO_SAGEMAKER_ROLE"):
        job.create(number=3)


def test_input_that_is_missing_is_named(driven: Any) -> None:
    job = driven(odd_jobs.quick)
    with pytest.raises(PlanError, match="lack number"):
        job.create()
    job = driven(odd_jobs.predict)
    with pytest.raises(PlanError, match="lack model_path, data"):
        job.create()


def test_model_that_is_no_s3_uri_is_refused(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.predict)
    data = FlyteFile(put(boto, "connector/rows.csv", b"1,2\n"))
    with pytest.raises(PlanError, match=r"model_path='model\.tar\.gz'.*s3://"):
        job.create(model_path="model.tar.gz", data=data)
    assert models(boto, job.execution) == []


def test_template_of_another_release_is_refused(driven: Any) -> None:
    job = driven(odd_jobs.quick)
    template = job.template
    template.custom["version"] = 99
    meta = bridge.run(
        job.connector.create(
            task_template=template, output_prefix="s3://b/x", inputs=job.literals({"number": 1})
        )
    )
    # No error of create: Propeller would try again what no attempt can mend.
    resource = job.get(meta)
    assert resource.phase == TaskExecution.FAILED
    assert "version 99" in resource.message
    with pytest.raises(SpecError, match="version 99"):
        bridge.run(job.connector.submit(meta))
    job.delete(meta)


def test_request_without_metadata_is_known_by_its_output_prefix(driven: Any) -> None:
    job = driven(odd_jobs.quick)

    async def create(prefix: str) -> JobMeta:
        return await job.connector.create(
            task_template=job.template, output_prefix=prefix, inputs=job.literals({"number": 1})
        )

    made = [bridge.run(create(f"s3://b/{part}")).job_name for part in ("a", "a", job.execution)]
    assert made[0] == made[1] != made[2]
    with pytest.raises(PlanError, match="no identity"):
        bridge.run(create(""))


def test_without_a_bucket_everything_goes_below_flytes_prefix(
    driven: Any, services: Services, boto: Any
) -> None:
    # The code is uploaded by whoever registers.
    job = driven(odd_jobs.quick, output_prefix="s3://cdao-tests/flyte/out")
    job.connector = SageMakerConnector(job.task.job_kind, replace(services, bucket=None))
    meta = job.create(number=3)
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=meta.job_name)
    (output,) = described["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri"].startswith("s3://cdao-tests/flyte/out/")
    assert job.value(job.finish(meta)) == 4


def test_runner_that_was_removed_is_put_back(driven: Any, boto: Any) -> None:
    job = driven(odd_jobs.quick)
    job.finish(job.create(number=1))
    listed = boto("s3").list_objects_v2(Bucket="cdao-tests", Prefix="cdao/runtime/")
    for entry in listed["Contents"]:
        boto("s3").delete_object(Bucket="cdao-tests", Key=entry["Key"])
    again = driven(odd_jobs.quick)
    assert again.value(again.finish(again.create(number=1))) == 2


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))
def test_flytekit_finds_a_connector_for_each_kind(kind: Any) -> None:
    connector = ConnectorRegistry.get_connector(kind.task_type)
    assert isinstance(connector, SageMakerConnector)
    assert connector.metadata_type is JobMeta
