"""Following jobs by few calls, finding one, and stopping it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.watch import Job, JobWatch, find_job, log_tail, stop_job, stop_jobs
from cdao_sdk.errors import NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.job import Observation, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.services import Services

    Refresh = Callable[[JobWatch], tuple[list[Job], Counter[str]]]
    Finished = Callable[[str], list[Job]]

LISTS = ("ListProcessingJobs", "ListTrainingJobs", "ListTransformJobs")
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def refreshed(proxy: Any) -> Refresh:
    """Refreshes a watch of the proxied clients; returns the jobs and how often each call came."""

    def refresh(watch: JobWatch) -> tuple[list[Job], Counter[str]]:
        proxy.seen.clear()
        return bridge.run(watch.refresh()), Counter(proxy.seen)

    return refresh


@pytest.fixture
def watch(proxied: Services, unique: str) -> JobWatch:
    """Follows the test's jobs through the proxy."""
    return JobWatch(proxied.clients, unique)


@pytest.fixture
def finished(clients: AwsClients, until: Callable[..., Any]) -> Finished:
    """Waits until all jobs of a prefix are over, and returns them."""

    def wait(prefix: str) -> list[Job]:
        watch = JobWatch(clients, prefix)

        def over() -> list[Job]:
            jobs = bridge.run(watch.refresh())
            return jobs if all(job.is_over for job in jobs) else []

        return until(over)

    return wait


def test_jobs_of_all_kinds_come_in_the_order_of_their_creation(
    unique: str, start_jobs: Callable[[str], list[str]], finished: Finished
) -> None:
    names = start_jobs(unique)
    jobs = finished(unique)
    assert [job.name for job in jobs] == names
    assert [job.kind for job in jobs] == ["training", "processing", "transform"]
    assert [job.status for job in jobs] == ["Completed", "Completed", "Failed"]
    assert jobs[0].hyperparameters == {"depth": "6"}
    assert jobs[0].artifact.startswith(f"s3://cdao-tests/{unique}/{names[0]}/")
    assert jobs[2].artifact == ""
    assert jobs[2].seen.failure_reason


def test_only_jobs_whose_names_contain_the_text_are_seen(
    unique: str, clients: AwsClients, start_processing: Callable[..., str]
) -> None:
    mine = [start_processing(f"{unique}-mine-{number}", SLEEP) for number in range(2)]
    start_processing(f"{unique}-other", SLEEP)
    found = bridge.run(JobWatch(clients, f"{unique}-mine").refresh())
    assert [job.name for job in found] == mine
    newest = bridge.run(JobWatch(clients, unique, most=1).refresh())
    assert [job.name for job in newest] == [f"{unique}-other"]
    assert bridge.run(JobWatch(clients, f"{unique}-none").refresh()) == []


def test_calls_do_not_grow_with_the_number_of_jobs(
    unique: str,
    watch: JobWatch,
    start_processing: Callable[..., str],
    finished: Finished,
    refreshed: Refresh,
) -> None:
    for number in range(12):
        start_processing(f"{unique}-{number:02}")
    finished(unique)
    jobs, calls = refreshed(watch)
    assert len(jobs) == 12
    assert calls == {"DescribeProcessingJob": 12, **dict.fromkeys(LISTS, 1)}
    for _ in range(3):
        again, calls = refreshed(watch)
        assert again == jobs
        assert calls == dict.fromkeys(LISTS, 1)


def test_only_what_changed_is_described_again(
    unique: str,
    *,
    watch: JobWatch,
    start_processing: Callable[..., str],
    refreshed: Refresh,
    until: Callable[..., Any],
    boto: Any,
) -> None:
    running, stopped = (start_processing(f"{unique}-{what}", SLEEP) for what in ("a", "b"))
    described = 0

    def statuses() -> dict[str, str]:
        nonlocal described
        jobs, calls = refreshed(watch)
        described += calls["DescribeProcessingJob"]
        return {job.name: job.status for job in jobs}

    until(lambda: all(job.seen.started for job in refreshed(watch)[0]))
    statuses()
    described = 0
    assert statuses() == {running: "InProgress", stopped: "InProgress"}
    assert described == 0
    boto("sagemaker").stop_processing_job(ProcessingJobName=stopped)
    until(lambda: statuses()[stopped] == "Stopped")
    assert described in (1, 2)  # Stopping may have been over before it was looked at
    described = 0
    assert statuses() == {running: "InProgress", stopped: "Stopped"}
    assert described == 0


def test_many_jobs_are_listed_by_pages(
    unique: str,
    *,
    watch: JobWatch,
    start_processing: Callable[..., str],
    refreshed: Refresh,
    finished: Finished,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [start_processing(f"{unique}-{number}") for number in range(5)]
    finished(unique)
    monkeypatch.setattr("cdao_sdk.aws.job_list._PAGE", 2)
    jobs, calls = refreshed(watch)
    assert [job.name for job in jobs] == names
    assert calls["ListProcessingJobs"] == 3


def test_refused_list_is_an_error_and_the_next_refresh_goes_on(
    unique: str, watch: JobWatch, proxy: Any, start_processing: Callable[..., str]
) -> None:
    name = start_processing(f"{unique}-a", SLEEP)
    proxy.refusals["ListTrainingJobs"] = "AccessDeniedException"
    with pytest.raises(SubmissionError, match="ListTrainingJobs was refused"):
        bridge.run(watch.refresh())
    proxy.refusals.clear()
    assert [job.name for job in bridge.run(watch.refresh())] == [name]


def test_job_of_each_kind_is_found_by_its_name(
    unique: str,
    clients: AwsClients,
    start_jobs: Callable[[str], list[str]],
    finished: Finished,
) -> None:
    names = start_jobs(unique)
    finished(unique)
    found = [bridge.run(find_job(clients, name)) for name in names]
    assert [job.name for job in found] == names
    assert [job.kind for job in found] == ["training", "processing", "transform"]
    tails = [bridge.run(log_tail(clients, job)) for job in found[:2]]
    assert [[line.text for line in tail] for tail in tails] == [["trained"], ["processed"]]


@pytest.mark.parametrize("name", ["no-such-job", "under_score", "", "-", "x" * 64, "a/b", "ü"])
def test_job_that_is_not_there_is_not_found(name: str, clients: AwsClients) -> None:
    with pytest.raises(NotFound, match="There is no SageMaker job named") as caught:
        bridge.run(find_job(clients, name))
    assert repr(name) in str(caught.value)
    assert "cdao jobs" in str(caught.value)


def test_running_job_is_stopped_twice_without_harm(
    unique: str, clients: AwsClients, start_processing: Callable[..., str], finished: Finished
) -> None:
    job = bridge.run(find_job(clients, start_processing(f"{unique}-a", SLEEP)))
    bridge.run(stop_job(clients, job))
    bridge.run(stop_job(clients, job))
    (stopped,) = finished(unique)
    assert stopped.status == "Stopped"


def test_finished_job_is_not_asked_to_stop(
    unique: str,
    proxied: Services,
    proxy: Any,
    start_processing: Callable[..., str],
    finished: Finished,
) -> None:
    start_processing(f"{unique}-a")
    (job,) = finished(unique)
    bridge.run(stop_job(proxied.clients, job))
    assert proxy.seen == []


def test_job_that_ended_in_between_is_no_error(
    unique: str,
    proxied: Services,
    proxy: Any,
    start_processing: Callable[..., str],
    finished: Finished,
) -> None:
    start_processing(f"{unique}-a")
    (job,) = finished(unique)
    seen = replace(job.seen, phase=Phase.RUNNING, status="InProgress")
    bridge.run(stop_job(proxied.clients, replace(job, seen=seen)))
    assert proxy.seen == ["StopProcessingJob", "DescribeProcessingJob"]


def test_job_that_is_stopping_already_is_no_error(
    unique: str,
    proxied: Services,
    proxy: Any,
    start_processing: Callable[..., str],
    until: Callable[..., Any],
) -> None:
    slow_to_stop = (
        "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(1), sys.exit(1)));"
        " print('ready'); time.sleep(60)"
    )
    name = start_processing(f"{unique}-a", slow_to_stop)
    job = bridge.run(find_job(proxied.clients, name))
    until(lambda: bridge.run(log_tail(proxied.clients, job)))
    bridge.run(stop_job(proxied.clients, job))
    proxy.refusals["StopProcessingJob"] = "ValidationException"
    bridge.run(stop_job(proxied.clients, job))
    assert bridge.run(find_job(proxied.clients, name)).status == "Stopping"


def test_stop_that_is_refused_for_another_reason_is_an_error(
    unique: str, proxied: Services, proxy: Any, start_processing: Callable[..., str]
) -> None:
    job = bridge.run(find_job(proxied.clients, start_processing(f"{unique}-a", SLEEP)))
    proxy.refusals["StopProcessingJob"] = "ResourceLimitExceeded"
    with pytest.raises(ResourcesUnavailable, match="StopProcessingJob was refused"):
        bridge.run(stop_job(proxied.clients, job))


def _job(**seen: object) -> Job:
    observed = Observation(**{"phase": Phase.RUNNING, "status": "InProgress", **seen})  # type: ignore[arg-type] # by name
    created = datetime.now(timezone.utc) - timedelta(seconds=100)
    return Job(name="j", kind="training", seen=observed, created=created)


def test_a_job_that_cannot_be_stopped_keeps_no_other_going(
    clients: AwsClients, start_processing: Callable[..., str], unique: str
) -> None:
    job = bridge.run(find_job(clients, start_processing(unique, SLEEP)))
    gone = replace(job, name=f"{unique}-gone")
    answers = bridge.run(stop_jobs(clients, [gone, job]))
    assert list(answers) == [gone.name, job.name]
    assert isinstance(answers[gone.name], NotFound)
    assert answers[job.name] is None
    assert bridge.run(find_job(clients, job.name)).status in ("Stopping", "Stopped")


def test_job_counts_its_seconds_to_its_end_or_to_now() -> None:
    assert _job().elapsed_seconds == pytest.approx(100, abs=5)
    ended = datetime.now(timezone.utc) - timedelta(seconds=60)
    assert _job(ended=ended).elapsed_seconds == pytest.approx(40, abs=5)


def test_job_says_what_spot_saved() -> None:
    times = {"training_seconds": 1000, "billable_seconds": 300}
    assert _job(spot=True, **times).spot_savings_percent == 70
    assert _job(spot=False, **times).spot_savings_percent is None
    assert _job(spot=True).spot_savings_percent is None


def test_job_is_shown_in_a_line() -> None:
    assert repr(_job()) == "<Job j: training, InProgress>"
