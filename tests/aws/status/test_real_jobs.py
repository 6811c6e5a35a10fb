"""The status of jobs that really run on the embedded SageMaker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.job_status import StatusOptions
from cdao_sdk.aws.session import AwsClients, AwsTarget, embedded_target
from cdao_sdk.aws.status import status_watcher
from cdao_sdk.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.job_status import JobStatus
    from cdao_sdk.flyte.services import Services


def status_of(services: Services, kind: str, name: str) -> JobStatus:
    async def ask() -> JobStatus:
        return await services.watcher.status(kind, name)

    return bridge.run(ask(), timeout=30)


def test_jobs_of_every_kind_are_followed_to_their_ends(
    services: Services, unique: str, start_jobs: Callable[[str], list[str]], until: Any
) -> None:
    names = start_jobs(unique)
    kinds = ("training", "processing", "transform")
    ends: dict[str, JobStatus] = {}

    def all_over() -> bool:
        for kind, name in zip(kinds, names, strict=True):
            ends[kind] = status_of(services, kind, name)
        return all(status.is_over for status in ends.values())

    until(all_over)
    assert [ends[kind].status for kind in kinds[:2]] == ["Completed", "Completed"]
    assert ends["training"].secondary_status == "Completed"
    # There is no model; what the list says of a transform is its reason, too.
    assert ends["transform"].status == "Failed"
    assert ends["transform"].failure_reason


def test_many_jobs_are_followed_by_lists(
    proxied: Services, proxy: Any, unique: str, start_processing: Any, until: Any
) -> None:
    second = "import time; time.sleep(1)"
    names = [start_processing(f"{unique}-{number}", second) for number in range(8)]

    async def ask() -> list[JobStatus]:
        watcher = proxied.watcher
        return list(await asyncio.gather(*(watcher.status("processing", each) for each in names)))

    def ended() -> bool:
        return all(status.status == "Completed" for status in bridge.run(ask(), timeout=30))

    until(ended)
    assert proxy.seen.count("ListProcessingJobs") > 1


def test_stop_by_another_is_seen(
    services: Services, unique: str, start_processing: Any, boto: Any, until: Any
) -> None:
    name = start_processing(f"{unique}-p", "import time; time.sleep(60)")
    until(lambda: status_of(services, "processing", name).status == "InProgress")
    boto("sagemaker").stop_processing_job(ProcessingJobName=name)
    until(lambda: status_of(services, "processing", name).status == "Stopped")


def test_job_that_is_not_there_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound):
        status_of(services, "training", "no-such-job")


def test_watcher_is_shared_on_a_loop_and_ends_with_its_clients(embedded: Any) -> None:
    clients = AwsClients(embedded_target(embedded.url))

    async def twice() -> tuple[object, object]:
        found = status_watcher(clients), status_watcher(clients, StatusOptions(interval_seconds=1))
        await clients.close()
        return found

    first, second = asyncio.run(twice())
    assert first is second
    assert asyncio.run(twice())[0] is not first


def test_asker_that_gives_up_does_not_end_the_look_of_others(
    services: Services, unique: str, start_processing: Any
) -> None:
    name = start_processing(f"{unique}-p", "import time; time.sleep(60)")

    async def two() -> JobStatus:
        watcher = services.watcher
        hasty = asyncio.ensure_future(watcher.status("processing", name))
        await asyncio.sleep(0)
        patient = asyncio.ensure_future(watcher.status("processing", name))
        await asyncio.sleep(0)
        hasty.cancel()
        return await patient

    assert bridge.run(two(), timeout=30).status == "InProgress"


def test_options_suit_the_target() -> None:
    embedded = StatusOptions.for_target(embedded_target("http://127.0.0.1:9"))
    aws = StatusOptions.for_target(AwsTarget("eu-west-1"))
    assert (embedded.interval_seconds, embedded.longest_interval_seconds) == (0.25, 0.25)
    assert (aws.interval_seconds, aws.longest_interval_seconds) == (5, 20)
    slow = StatusOptions.for_target(AwsTarget("eu-west-1"), interval_seconds=30)
    assert slow.longest_interval_seconds == 120


def test_list_of_changes_has_what_changed_since(
    boto: Any, unique: str, start_processing: Any, until: Any
) -> None:
    """As on AWS: the time of the last change counts, not that of creation."""
    client = boto("sagemaker")
    old = start_processing(f"{unique}-old")
    running = start_processing(f"{unique}-run", "import time; time.sleep(60)")

    def status(name: str) -> Any:
        return client.describe_processing_job(ProcessingJobName=name)

    until(lambda: status(old)["ProcessingJobStatus"] == "Completed")
    until(lambda: "ProcessingStartTime" in status(running))
    # Whole seconds travel.
    changed_last = max(status(name)["LastModifiedTime"].timestamp() for name in (old, running))
    until(lambda: time.time() > changed_last // 1 + 1)
    between = int(time.time())

    def changed() -> list[str]:
        listed = client.list_processing_jobs(
            LastModifiedTimeAfter=between, NameContains=unique, SortBy="CreationTime"
        )
        return [each["ProcessingJobName"] for each in listed["ProcessingJobSummaries"]]

    assert changed() == []
    client.stop_processing_job(ProcessingJobName=running)
    until(lambda: changed() == [running])
