"""What a feed asks AWS for, and what its rows tell."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import NotFound
from cdao_sdk.kinds.naming import job_name
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.lookup import CALLS
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

    WriteJobs = Callable[..., list[str]]

MANY = 1_000


@pytest.fixture
def feed_of(proxied: Services) -> Callable[..., JobFeed]:
    """Makes a feed whose calls the proxy sees."""

    def make(identifier: str, **options: Any) -> JobFeed:
        return JobFeed(identifier, proxied.clients, holder.gather().settings, **options)

    return make


@pytest.fixture
def calls(proxy: Any) -> Callable[[], Counter[str]]:
    """The calls since the last time that it was asked."""

    def count() -> Counter[str]:
        seen = Counter(proxy.seen)
        proxy.seen.clear()
        return seen

    return count


def until(feed: JobFeed, fits: Callable[[Snapshot], object], seconds: float = 20) -> Snapshot:
    """Snapshots until one fits."""
    deadline = time.monotonic() + seconds
    while not fits(snapshot := feed.snapshot()):
        assert time.monotonic() < deadline, snapshot
        time.sleep(feed.seconds_to_wait)
    return snapshot


def row_of(snapshot: Snapshot, name: str) -> JobRow:
    return next(row for row in snapshot.jobs if row.name == name)


def many(ends: Iterable[str | None]) -> dict[str, str | None]:
    return {f"n1-n{number}": end for number, end in enumerate(ends)}


def test_no_look_at_a_thousand_jobs_costs_more_than_a_dozen_calls(
    write_jobs: WriteJobs,
    feed_of: Callable[..., JobFeed],
    calls: Callable[[], Counter[str]],
    write_record: Callable[..., None],
    unique: str,
) -> None:
    write_record(unique, status="RUNNING", nodes=["n0", "n1"], created="2020-01-01T00:00:00Z")
    ends = [None] * 300 + ["Failed"] * 20 + ["Completed"] * (MANY - 320)
    names = write_jobs(unique, many(ends))
    feed = feed_of(unique, shows_logs=True)
    first = feed.open()
    assert len(first.jobs) >= 100  # what lists tell in a moment is painted at once
    assert calls().total() <= CALLS
    feed.look_at([names[700]])
    for _ in range(8):
        snapshot = feed.snapshot(hurried=True)
        seen = calls()
        assert seen.total() <= CALLS, seen
        assert "ListTags" not in seen
    assert len(snapshot.jobs) == MANY
    # What is looked at comes first, then what failed.
    assert row_of(snapshot, names[700]).hyperparameters == {"depth": "700"}
    assert sum(row.diagnosis is not None for row in snapshot.jobs) == 20
    assert {row.group for row in snapshot.jobs} == {"fit_model n1"}


def test_an_id_alone_costs_no_more_and_may_be_a_jobs_name(
    write_jobs: WriteJobs,
    feed_of: Callable[..., JobFeed],
    calls: Callable[[], Counter[str]],
    start_processing: Callable[..., str],
    unique: str,
) -> None:
    execution = f"{unique}0"
    write_jobs(execution, many(["Completed"] * 30))
    assert len(feed_of(execution).open().jobs) == 30
    seen = calls()
    assert seen.total() <= CALLS
    assert "DescribeTransformJob" not in seen  # whether there is a job of that name
    name = start_processing(f"{unique}1")
    assert feed_of(name).open().title == f"job {name}"


def test_looking_again_lists_only_what_has_changed(
    write_jobs: WriteJobs,
    feed_of: Callable[..., JobFeed],
    calls: Callable[[], Counter[str]],
    unique: str,
) -> None:
    write_jobs(unique, many(["Completed"] * 250))
    feed = feed_of(unique)
    feed.open()
    feed.snapshot(hurried=True)
    assert calls()["ListTrainingJobs"] <= 4  # three pages, and what has changed meanwhile
    feed.snapshot(hurried=True)
    assert calls()["ListTrainingJobs"] == 1


def test_the_end_of_a_watching_waits_for_the_details(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], unique: str
) -> None:
    write_jobs(unique, many(["Completed"] * 40 + ["Failed"] * 3))
    feed = feed_of(unique)
    feed.open()
    snapshot = feed.snapshot(fresh=True)
    assert all(row.cost_usd is not None for row in snapshot.jobs)
    assert sum(row.diagnosis is not None for row in snapshot.jobs) == 3
    assert feed.is_settled


def test_the_end_of_a_watching_waits_for_the_logs_that_are_looked_at(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], unique: str
) -> None:
    names = write_jobs(unique, many(["Completed"] * 20))
    feed = feed_of(unique)
    feed.open()
    feed.look_at(names)
    assert not feed.is_settled
    feed.snapshot(fresh=True)  # more logs than one look's calls can read
    assert feed.is_settled


def test_a_row_tells_cost_attempt_and_cause(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], unique: str
) -> None:
    done, failed, _ = write_jobs(unique, {"n0": "Completed", "n1": "Failed", "n2": None}, 1800.0)
    feed = feed_of(unique)
    feed.open()
    snapshot = feed.snapshot(fresh=True)
    row = row_of(snapshot, done)
    assert (row.label, row.node, row.attempt) == ("fit_model n0", "n0", 0)
    # ml.m5.xlarge, training, us-east-1: 0.23 USD an hour.
    assert row.cost_usd == pytest.approx(0.115, rel=0.01)
    assert row.arn.endswith(f"training-job/{done}")
    assert row.links == ()  # there is no console of the embedded SageMaker
    assert row.progress == 1.0
    diagnosis = row_of(snapshot, failed).diagnosis
    assert diagnosis is not None
    assert diagnosis.cause
    assert snapshot.cost_usd == pytest.approx(0.23, rel=0.01)
    waiting = snapshot.jobs[2]
    assert (waiting.cost_usd, waiting.started, waiting.progress) == (None, None, None)


def test_how_long_a_step_takes_is_expected_from_runs_before(
    write_jobs: WriteJobs,
    feed_of: Callable[..., JobFeed],
    write_record: Callable[..., None],
    unique: str,
) -> None:
    first, second = f"{unique}a", f"{unique}b"
    for execution, end in ((first, "Completed"), (second, None)):
        write_record(execution, status="RUNNING", nodes=["n0"], created="2020-01-01T00:00:00Z")
        write_jobs(execution, {"n0": end}, 120.0)
    before = feed_of(first)
    before.open()
    assert before.snapshot(fresh=True).jobs[0].expected_seconds is None  # it is over
    now = feed_of(second)
    now.open()
    assert now.snapshot(fresh=True).jobs[0].expected_seconds == pytest.approx(120.0)
    assert now.snapshot().jobs[0].progress is None  # the job itself has not said how far it is


def test_elements_of_a_map_are_expected_to_take_what_others_took(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], unique: str
) -> None:
    write_jobs(unique, many(["Completed"] * 6 + [None]), 90.0)
    feed = feed_of(unique)
    feed.open()
    snapshot = feed.snapshot(fresh=True)
    assert snapshot.jobs[-1].expected_seconds == pytest.approx(90.0)


def test_a_job_that_logs_its_progress_shows_it(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    line = "[cdao:metric] {}={} step={}\\n"
    code = (
        f"import sys, time; line = '{line}'; "
        "[(sys.stdout.write(line.format('progress', n / 4, n) + line.format('loss', 1 / n, n)),"
        " time.sleep(0.5)) for n in range(1, 4)]; time.sleep(30)"
    )
    name = start_processing(job_name(unique, "n0-fit", 0), code)
    feed = JobFeed(name, services.clients, holder.gather().settings)
    feed.open()
    feed.look_at([name])
    row = until(feed, lambda snapshot: snapshot.jobs[0].progress == 0.75).jobs[0]
    assert [value for _, value in row.metric_series["loss"]] == [1.0, 0.5, 1 / 3]
    assert row.metrics["loss"] == pytest.approx(1 / 3)
    assert row.expected_seconds is not None
    assert row.expected_seconds > row.elapsed_seconds / 4
    assert row.log_tail[0] == "[cdao:metric] progress=0.25 step=1"


def test_metrics_in_the_logs_of_few_jobs_are_known_at_the_end(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    code = "[print(f'[cdao:metric] loss={1 / n} step={n}') for n in range(1, 101)]"
    name = start_processing(job_name(unique, "n0-fit", 0), code)
    feed = JobFeed(unique, services.clients, holder.gather().settings)
    feed.open()
    until(feed, lambda snapshot: snapshot.jobs_are_over)
    row = row_of(feed.snapshot(fresh=True), name)
    assert row.metrics["loss"] == pytest.approx(0.01)
    course = [value for _, value in row.metric_series["loss"]]
    assert (course[0], course[-1], len(course)) == (1.0, 0.01, 32)
    assert row.log_tail == ()
    assert row.execution == unique


def test_throttling_is_a_note_and_the_last_state_stays(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], proxy: Any, unique: str
) -> None:
    write_jobs(unique, many(["Completed"] * 2 + ["Failed"]))
    feed = feed_of(unique)
    feed.open()
    proxy.refusals["ListTrainingJobs"] = "ThrottlingException"
    snapshot = feed.snapshot(hurried=True)
    assert "asked to wait" in snapshot.note
    assert len(snapshot.jobs) == 3
    assert not feed.is_settled
    assert feed.seconds_to_wait > 0.1  # what is left to be read does not hurry it
    proxy.refusals.clear()
    assert feed.snapshot(hurried=True).note == ""


def test_a_job_that_is_throttled_at_the_first_look_is_found_later(
    start_processing: Callable[..., str], feed_of: Callable[..., JobFeed], proxy: Any, unique: str
) -> None:
    feed = feed_of(start_processing(job_name(unique, "n0-fit", 0)))
    proxy.refusals["DescribeProcessingJob"] = "ThrottlingException"
    timer = threading.Timer(1.0, proxy.refusals.clear)
    timer.start()
    try:
        feed.open()
        snapshot = until(feed, lambda snapshot: bool(snapshot.jobs))
        assert [row.label for row in snapshot.jobs] == ["fit"]
    finally:
        timer.cancel()


def test_tags_are_read_once_a_node_and_only_where_the_name_tells_no_task(
    start_processing: Callable[..., str],
    feed_of: Callable[..., JobFeed],
    calls: Callable[[], Counter[str]],
    unique: str,
) -> None:
    for number in range(3):
        tags = {"cdao:task": "flow.score", "cdao:node": f"n1-n{number}"}
        start_processing(job_name(unique, f"n1-n{number}", 0), tags=tags)
    start_processing(job_name(unique, "n2-fit", 0), tags={"cdao:task": "flow.other"})
    feed = feed_of(unique)
    feed.open()
    snapshot = until(feed, lambda snapshot: snapshot.jobs_are_over)
    assert [row.label for row in snapshot.jobs] == [
        "score n1-n0",
        "score n1-n1",
        "score n1-n2",
        "fit",
    ]
    assert calls()["ListTags"] == 1


def test_what_is_nothing_is_said_to_be_nothing(
    feed_of: Callable[..., JobFeed], unique: str
) -> None:
    with pytest.raises(NotFound, match="neither an execution nor"):
        feed_of(unique).open()


def test_a_job_that_is_looked_at_shows_what_it_uses(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    code = "import time; end = time.time() + 60; exec('while time.time() < end: pass')"
    name = start_processing(job_name(unique, "n0-spin", 0), code)
    feed = JobFeed(name, services.clients, holder.gather().settings)
    feed.open()
    feed.look_at([name])
    row = until(feed, lambda snapshot: snapshot.jobs[0].utilization.get("CPUUtilization")).jobs[0]
    assert row.utilization.keys() >= {"CPUUtilization", "MemoryUtilization"}
    assert 0 < row.utilization["CPUUtilization"] <= 100
    assert row.hint == ""  # this machine is not the instance that the job names


def test_who_is_throttled_from_the_beginning_on_is_shown_that_and_waits(
    write_jobs: WriteJobs, feed_of: Callable[..., JobFeed], proxy: Any, unique: str
) -> None:
    write_jobs(unique, {"n0": "Completed"})
    proxy.refusals["ListTrainingJobs"] = "ThrottlingException"
    feed = feed_of(unique)
    assert "asked to wait" in feed.open().note
    assert proxy.seen.count("ListTrainingJobs") <= 5  # botocore's own tries
    proxy.refusals.clear()
    assert len(feed.snapshot(hurried=True).jobs) == 1
