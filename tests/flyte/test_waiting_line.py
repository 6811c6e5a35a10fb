"""Who goes first when SageMaker has no room."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from cdao_sdk.errors import ResourcesUnavailable, SubmissionError
from cdao_sdk.flyte.waiting_line import Waiting, WaitingLine, WaitingLines, never_fits, quota_name

LIMIT = (
    "The account-level service limit 'ml.p3.2xlarge for training job usage' is {limit} Instances,"
    " with current utilization of 0 Instances and a request delta of {delta} Instances. Please use"
    " AWS Service Quotas to request an increase for this quota."
)


@dataclass
class Room:
    """A SageMaker that has room for so many jobs, and writes down who asks."""

    free: int = 0
    asked: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    now: float = 1000.0
    refuses: str = ""

    def clock(self) -> float:
        return self.now

    def waiting(self, name: str, since: float, *, delta: int = 1, limit: int = 4) -> Waiting:
        async def send() -> None:
            self.asked.append(name)
            if name == self.refuses:
                raise SubmissionError("never", code="AccessDeniedException")
            if self.free < delta:
                text = LIMIT.format(limit=limit, delta=delta)
                raise ResourcesUnavailable(text, code="ResourceLimitExceeded")
            self.free -= delta
            self.made.append(name)

        return Waiting(name, since, send)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def line(room: Room) -> WaitingLine:
    return WaitingLines(5.0, 60.0, room.clock).line("ml.p3.2xlarge", False)


def join(line: WaitingLine, *entries: Waiting) -> None:
    for entry in entries:
        line.join(entry)


def test_those_who_came_first_go_first(room: Room, line: WaitingLine) -> None:
    join(line, room.waiting("c", 3), room.waiting("a", 1), room.waiting("b", 2))
    assert [line.place(name) for name in "abc"] == [1, 2, 3]
    room.free = 2
    asyncio.run(line.advance())
    assert room.made == ["a", "b"]
    assert line.place("c") == 1
    assert "a" not in line


def test_refusal_gives_everybody_a_pause(room: Room, line: WaitingLine) -> None:
    join(line, *(room.waiting(f"j{number}", number) for number in range(50)))
    for _ in range(100):
        asyncio.run(line.advance())
    assert room.asked == ["j0"]
    room.now += 5
    asyncio.run(line.advance())
    assert room.asked == ["j0", "j0"]


def test_pauses_grow_up_to_the_longest(room: Room, line: WaitingLine) -> None:
    for _ in range(12):
        line.join(room.waiting("a", 1))
        asyncio.run(line.advance())
        room.now += 60
    assert len(room.asked) == 12  # never longer than a minute
    asyncio.run(line.advance())
    room.now += 29  # and by now never shorter than half of it
    asyncio.run(line.advance())
    assert len(room.asked) == 13


def test_all_are_told_why_they_wait(room: Room, line: WaitingLine) -> None:
    join(line, room.waiting("a", 1), room.waiting("b", 2))
    asyncio.run(line.advance())
    reason, code = line.reason("b")
    assert code == "ResourceLimitExceeded"
    assert quota_name(reason) == "ml.p3.2xlarge for training job usage"


def test_request_that_never_fits_holds_up_nobody(room: Room, line: WaitingLine) -> None:
    join(line, room.waiting("huge", 1, delta=8), room.waiting("small", 2))
    room.free = 1
    asyncio.run(line.advance())
    room.now += 5
    asyncio.run(line.advance())
    assert room.made == ["small"]
    assert line.place("huge") == 1
    assert never_fits(line.reason("huge")[0])


def test_refusal_for_good_is_told_to_its_own_asker(room: Room, line: WaitingLine) -> None:
    room.refuses, room.free = "a", 1
    join(line, room.waiting("a", 1), room.waiting("b", 2))
    asyncio.run(line.advance())
    assert room.made == ["b"]
    assert isinstance(line.verdict("a"), SubmissionError)
    assert line.verdict("a") is None
    assert line.verdict("b") is None


def test_request_that_nobody_asks_after_loses_its_place(room: Room, line: WaitingLine) -> None:
    join(line, room.waiting("gone", 1), room.waiting("here", 2))
    room.now += 700
    line.join(room.waiting("here", 2))  # asked after again
    room.free = 1
    asyncio.run(line.advance())
    assert room.made == ["here"]
    assert "gone" not in line


def test_many_askers_send_one_request_at_a_time(room: Room, line: WaitingLine) -> None:
    join(line, *(room.waiting(f"j{number:02}", number) for number in range(20)))
    room.free = 5

    async def all_at_once() -> None:
        await asyncio.gather(*(line.advance() for _ in range(20)))

    asyncio.run(all_at_once())
    assert room.made == [f"j{number:02}" for number in range(5)]
    assert len(room.asked) == 6


def test_lines_are_apart(room: Room) -> None:
    lines = WaitingLines(5.0, 60.0, room.clock)
    first: Any = lines.line("ml.m5.large", False)
    assert lines.line("ml.m5.large", False) is first
    assert lines.line("ml.m5.large", True) is not first
    first.join(room.waiting("a", 1))
    assert lines.waiting() == 1
