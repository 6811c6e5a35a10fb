"""Reading the log lines of jobs."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.logs import LogLine, read_on, streams, tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.aws.session import AwsClients
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


def test_each_line_is_read_once(clients: AwsClients, write_log: Callable[..., str]) -> None:
    job = write_log("algo-1", (0, "one"), (10, "two"))
    lines, tokens = bridge.run(read_on(clients, GROUP, job, {}))
    assert _texts(lines) == ["one", "two"]
    lines, tokens = bridge.run(read_on(clients, GROUP, job, tokens))
    assert lines == []
    write_log("algo-1", (20, "four"))
    write_log("algo-2", (15, "three"))
    lines, tokens = bridge.run(read_on(clients, GROUP, job, tokens))
    assert _texts(lines) == ["three", "four"]
    assert bridge.run(read_on(clients, GROUP, job, tokens)) == ([], tokens)


def test_reading_goes_on_over_many_pages(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    # A page ends at 1 MB, or 10,000 lines.
    texts = [f"{number} {'x' * 300}" for number in range(12_000)]
    job = write_log("algo-1", *enumerate(texts))
    lines, tokens = bridge.run(read_on(clients, GROUP, job, {}), timeout=30)
    assert _texts(lines) == texts
    assert bridge.run(read_on(clients, GROUP, job, tokens))[0] == []


def test_every_host_of_a_large_job_is_read(
    clients: AwsClients, write_log: Callable[..., str]
) -> None:
    # CloudWatch names 50 streams a page.
    for number in range(60):
        job = write_log(f"algo-{number + 1}", (number, f"host {number}"))
    assert len(bridge.run(streams(clients, GROUP, job))) == 60
    lines, tokens = bridge.run(read_on(clients, GROUP, job, {}))
    assert _texts(lines) == [f"host {number}" for number in range(60)]
    assert len(tokens) == 60


@pytest.mark.parametrize("group", [GROUP, "/aws/sagemaker/NoSuchJobs"])
def test_log_that_is_not_there_is_empty(group: str, clients: AwsClients) -> None:
    async def look() -> list[object]:
        return [
            await streams(clients, group, "no-such-job"),
            await tail(clients, group, "no-such-job"),
            await read_on(clients, group, "no-such-job", {}),
        ]

    assert bridge.run(look()) == [[], [], ([], {})]


def test_stream_that_vanishes_while_it_is_read_is_empty(
    clients: AwsClients, write_log: Callable[..., str], embedded: LocalSageMaker
) -> None:
    job = write_log("algo-1", (0, "one"))
    _, tokens = bridge.run(read_on(clients, GROUP, job, {}))
    _log(embedded.state_dir / "sagemaker" / "training" / job / "logs", "algo-1").unlink()
    assert bridge.run(read_on(clients, GROUP, job, tokens)) == ([], tokens)


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
