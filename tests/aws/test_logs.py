"""Reading the log lines of jobs."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.call_budget import CallBudget
from cdao_sdk.aws.log_reader import LogReader
from cdao_sdk.aws.logs import LogLine, streams, tail
from cdao_sdk.aws.watch import Job
from cdao_sdk.errors import ResourcesUnavailable
from cdao_sdk.kinds.job import Observation, Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

GROUP = "/aws/sagemaker/TrainingJobs"
BEGAN = 1_795_000_000_000


@pytest.fixture
def write_log(embedded: LocalSageMaker, unique: str) -> Callable[..., str]:
    """Adds lines to the log of a host of the test's job, `at` milliseconds after its beginning."""
    folder = embedded.state_dir / "sagemaker" / "training" / unique / "logs"
    folder.mkdir(parents=True)

    def write(host: str, *lines: tuple[int, str]) -> str:
        with _log(folder, host).open("a") as file:
            file.writelines(f"{BEGAN + at} {text}\n" for at, text in lines)
        return unique

    return write


def _log(folder: Path, host: str) -> Path:
    return folder / f"{host}.log"


def _texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_tail_is_in_time_order_over_all_hosts(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    write_log("algo-1", (0, "one"), (20, "three"), (40, "five"))
    job = write_log("algo-2", (10, "two"), (30, "four"), (50, "six"))
    found = bridge.run(tail(clients, GROUP, job, lines=4))
    assert _texts(found) == ["three", "four", "five", "six"]
    assert [line.host for line in found] == ["algo-1", "algo-2"] * 2
    first = datetime.fromtimestamp(BEGAN / 1000, timezone.utc)
    assert found[0].time == first + timedelta(milliseconds=20)


def test_tail_of_a_long_log_is_its_end(clients: AwsClients, write_log: Callable[..., str]) -> None:
    job = write_log("algo-1", *((at, f"line {at}") for at in range(15_000)))
    found = bridge.run(tail(clients, GROUP, job))
    assert _texts(found) == [f"line {at}" for at in range(14_900, 15_000)]


def test_lines_of_one_moment_keep_their_order(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", *((0, f"{number}") for number in range(50)))
    assert _texts(bridge.run(tail(clients, GROUP, job))) == [f"{n}" for n in range(50)]


def _running(name: str) -> Job:
    seen = Observation(phase=Phase.RUNNING, status="InProgress", instance_count=1)
    return Job(name, "training", seen, datetime.now(timezone.utc))


def _read(reader: LogReader, *names: str, budget: CallBudget | None = None) -> list[str]:
    jobs = [_running(name) for name in names]
    found = bridge.run(reader.read(jobs, budget), timeout=30)
    return [line.text for name in names for line in found.get(name, [])]


@pytest.fixture
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader looks for more streams at each call."""
    monkeypatch.setattr("cdao_sdk.aws.log_reader._LATER_SECONDS", 0.0)
    monkeypatch.setattr("cdao_sdk.aws.log_reader._EMBEDDED_SECONDS", 0.0)


@pytest.mark.usefixtures("look_always")
def test_each_line_is_read_once(clients: AwsClients, write_log: Callable[..., str]) -> None:
    job = write_log("algo-1", (0, "one"), (10, "two"))
    reader = LogReader(clients)
    assert _read(reader, job) == ["one", "two"]
    assert _read(reader, job) == []
    write_log("algo-1", (20, "four"))
    write_log("algo-2", (15, "three"))
    assert _read(reader, job) == ["three", "four"]
    assert _read(reader, job) == []


@pytest.mark.usefixtures("look_always")
def test_reading_may_begin_at_the_end_and_misses_nothing_afterwards(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", (0, "one"), (10, "two"), (20, "three"))
    reader = LogReader(clients, last=2)
    assert _read(reader, job) == ["two", "three"]
    write_log("algo-1", (30, "four"))
    write_log("algo-2", *((at, f"other {at}") for at in (40, 50, 60)))
    assert _read(reader, job) == ["four", "other 40", "other 50", "other 60"]


def test_reading_may_begin_at_a_time(clients: AwsClients, write_log: Callable[..., str]) -> None:
    job = write_log("algo-1", (0, "one"), (10_000, "two"), (20_000, "three"))
    since = datetime.fromtimestamp(BEGAN / 1000 + 5, timezone.utc)
    assert _read(LogReader(clients, since=since), job) == ["two", "three"]


def test_reading_goes_on_over_many_pages(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    # A page ends at 1 MB, or 10,000 lines.
    texts = [f"{number} {'x' * 300}" for number in range(12_000)]
    job = write_log("algo-1", *enumerate(texts))
    reader, found = LogReader(clients), list[str]()
    while page := _read(reader, job):
        found += page
    assert found == texts


def test_a_budget_leaves_the_rest_for_the_next_call(
    proxied: Services, proxy: Any, write_log: Callable[..., str]
) -> None:
    for number in range(4):
        job = write_log(f"algo-{number + 1}", (number, f"host {number}"))
    reader = LogReader(proxied.clients)
    found: list[str] = []
    while len(found) < 4:
        proxy.seen.clear()
        found += _read(reader, job, budget=CallBudget(2))
        assert len(proxy.seen) <= 2
    assert sorted(found) == [f"host {number}" for number in range(4)]


def test_streams_are_not_looked_for_at_each_call(
    proxied: Services, proxy: Any, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", (0, "one"))
    reader = LogReader(proxied.clients)
    for _ in range(5):
        _read(reader, job)
    assert proxy.seen.count("DescribeLogStreams") == 1


def test_what_was_read_before_an_error_is_not_lost(
    proxied: Services, proxy: Any, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", (0, "one"))
    reader = LogReader(proxied.clients)
    proxy.refusals["GetLogEvents"] = "ThrottlingException"
    with pytest.raises(ResourcesUnavailable):
        _read(reader, job)
    proxy.refusals.clear()
    assert _read(reader, job) == ["one"]


def test_every_host_of_a_large_job_is_read(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    # CloudWatch names 50 streams a page.
    for number in range(60):
        job = write_log(f"algo-{number + 1}", (number, f"host {number}"))
    assert len(bridge.run(streams(clients, GROUP, job))) == 60
    assert _read(LogReader(clients), job) == [f"host {number}" for number in range(60)]


@pytest.mark.parametrize("group", [GROUP, "/aws/sagemaker/NoSuchJobs"])
def test_log_that_is_not_there_is_empty(group: str, clients: AwsClients) -> None:
    async def look() -> list[object]:
        return [
            await streams(clients, group, "no-such-job"),
            await tail(clients, group, "no-such-job"),
        ]

    assert bridge.run(look()) == [[], []]
    assert _read(LogReader(clients), "no-such-job") == []


def test_stream_that_vanishes_while_it_is_read_is_empty(
    clients: AwsClients, write_log: Callable[..., str], embedded: LocalSageMaker
) -> None:
    job = write_log("algo-1", (0, "one"))
    reader = LogReader(clients)
    assert _read(reader, job) == ["one"]
    _log(embedded.state_dir / "sagemaker" / "training" / job / "logs", "algo-1").unlink()
    assert _read(reader, job) == []


def test_job_with_a_name_that_begins_alike_is_another(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", (0, "one"))
    assert bridge.run(tail(clients, GROUP, job[:-1])) == []


def test_many_jobs_are_read_at_the_same_time(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    job = write_log("algo-1", (0, "one"))

    async def many() -> list[list[LogLine]]:
        return await asyncio.gather(*(tail(clients, GROUP, job) for _ in range(20)))

    assert [_texts(lines) for lines in bridge.run(many())] == [["one"]] * 20
