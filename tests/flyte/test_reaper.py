"""What processes that were killed have left is found by one that nobody has asked anything."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import odd_jobs
import pytest
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.types.file import FlyteFile

import cdao_sdk
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.session import AwsClients, embedded_target
from cdao_sdk.flyte.connector import SageMakerConnector
from cdao_sdk.flyte.reaper import Reaper
from cdao_sdk.flyte.request_store import MARKS
from cdao_sdk.kinds.registry import kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

BUCKET = "cdao-tests"


def status_of(boto: Any, name: str) -> str:
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=name)
    return str(described["ProcessingJobStatus"])


@pytest.fixture
def rows(boto: Any) -> FlyteFile:
    """What a transform reads."""
    boto("s3").put_object(Bucket=BUCKET, Key="reaper/rows.csv", Body=b"1,2\n")
    return FlyteFile(f"s3://{BUCKET}/reaper/rows.csv")


@pytest.fixture
def new_process(services: Services, embedded: LocalSageMaker) -> Iterator[Services]:
    """The services of a process that knows of no job."""
    clients = AwsClients(embedded_target(embedded.url))
    yield replace(services, clients=clients)
    bridge.run(clients.close())


def test_job_of_an_execution_that_is_over_is_found_though_nobody_asks_after_any(
    driven: Callable[..., Any], new_process: Services, boto: Any
) -> None:
    left = driven(odd_jobs.slow)
    meta = left.create(seconds=60.0)
    asked: list[tuple[str, str, str]] = []

    async def is_over(*execution: str) -> bool:
        asked.append(execution)
        return execution[-1] == left.execution

    other = driven(odd_jobs.slow, services=new_process)
    other.connector.desk("project", "development")
    reaper = Reaper(lambda: other.connector.desks, is_over, unasked_seconds=0.0)
    assert meta.job_name in bridge.run(reaper.sweep())
    assert ("project", "development", left.execution) in asked
    assert status_of(boto, meta.job_name) in ("Stopping", "Stopped")


def test_marked_job_is_stopped_before_anybody_calls(
    driven: Callable[..., Any], embedded: LocalSageMaker, boto: Any
) -> None:
    left = driven(odd_jobs.slow)
    meta = left.create(seconds=60.0)
    boto("s3").put_object(Bucket=BUCKET, Key=f"{MARKS}/processing/{meta.job_name}")
    cdao_sdk.configure(endpoint_url=embedded.url, accounts={"ml": {"default_bucket": BUCKET}})
    connector: SageMakerConnector
    reaper = Reaper(lambda: connector.desks, pause_seconds=0.05)
    connector = SageMakerConnector(kind("processing"), reaper=reaper)

    async def begin() -> None:
        connector.begin()

    bridge.run(begin())
    assert len(connector.desks) == 2  # one for each account
    deadline = time.monotonic() + 20
    while status_of(boto, meta.job_name) == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    bridge.run(connector.close())


def test_marked_job_is_found_among_thousands_of_marks(
    driven: Callable[..., Any], boto: Any
) -> None:
    job = driven(odd_jobs.slow)
    meta = job.create(seconds=60.0)
    # Those of jobs that were never made come before it, and fill the first page.
    names = [f"a{number}-n0-slow-aaaaaaaa-0" for number in range(1001)]
    s3 = boto("s3")

    def mark(name: str) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"{MARKS}/processing/{name}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(mark, [*names, meta.job_name]))
    assert bridge.run(Reaper(lambda: job.connector.desks).sweep()) == [meta.job_name]
    assert status_of(boto, meta.job_name) in ("Stopping", "Stopped")
    for page in range(0, len(names), 1000):
        keys = [{"Key": f"{MARKS}/processing/{name}"} for name in names[page : page + 1000]]
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})


def test_model_of_a_marked_job_that_was_never_made_is_removed(
    driven: Callable[..., Any], boto: Any, rows: FlyteFile
) -> None:
    """Whoever made it was killed before the job."""
    job = driven(odd_jobs.predict)
    meta = job.store(model_path=f"s3://{BUCKET}/none.tar.gz", data=rows)
    job.delete(meta)
    boto("sagemaker").create_model(
        ModelName=meta.job_name,
        ExecutionRoleArn=job.services.role_arn,
        PrimaryContainer={"Image": "image:1"},
    )
    bridge.run(Reaper(lambda: job.connector.desks, mark_seconds=0.0).sweep())
    assert boto("sagemaker").list_models(NameContains=job.execution)["Models"] == []


def test_model_of_a_job_that_never_came_is_removed_once_its_execution_is_over(
    driven: Callable[..., Any], boto: Any, rows: FlyteFile
) -> None:
    """Whoever made it was killed before the job, and nobody asks after that any more."""
    job = driven(odd_jobs.predict)
    meta = job.store(model_path=f"s3://{BUCKET}/none.tar.gz", data=rows)
    identity = {"project": "project", "domain": "development", "execution": job.execution}
    tags = [{"Key": f"cdao:{key}", "Value": value} for key, value in identity.items()]
    foreign = f"{job.execution}-n0-other-aaaaaaaa-0"
    for name, own in ((meta.job_name, tags), (foreign, [])):
        boto("sagemaker").create_model(
            ModelName=name,
            ExecutionRoleArn=job.services.role_arn,
            PrimaryContainer={"Image": "image:1"},
            Tags=own,
        )
    over: list[str] = []

    async def is_over(*execution: str) -> bool:
        return execution[-1] in over

    def models() -> set[str]:
        found = boto("sagemaker").list_models(NameContains=job.execution)["Models"]
        return {model["ModelName"] for model in found}

    desks = job.connector.desks
    reaper = Reaper(lambda: desks, is_over, mark_seconds=0.0, unasked_seconds=0.0)
    bridge.run(reaper.sweep())
    assert models() == {meta.job_name, foreign}
    over.append(job.execution)
    bridge.run(reaper.sweep())
    assert models() == {foreign}
    boto("sagemaker").delete_model(ModelName=foreign)


def test_request_that_is_sent_again_when_the_job_is_over_leaves_no_model(
    driven: Callable[..., Any], boto: Any, rows: FlyteFile
) -> None:
    job = driven(odd_jobs.predict)
    inputs = {"model_path": f"s3://{BUCKET}/none.tar.gz", "data": rows}
    assert job.finish(job.store(**inputs)).phase == TaskExecution.FAILED
    replace(job).create(**inputs)  # another replica, which has kept the same request
    assert boto("sagemaker").list_models(NameContains=job.execution)["Models"] == []
