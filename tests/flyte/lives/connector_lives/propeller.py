"""Plays a life as Propeller 1.16.8 does, over gRPC, and notes what it was told.

As read in its source (flyteplugins ``webapi``, flytepropeller ``controller/nodes``): a CreateTask
that fails is the attempt's failure, and no DeleteTask follows; a RETRYABLE_FAILED attempt and one
that timed out are aborted before the next one is made; an abort is repeated until it is answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import grpc
import grpc.aio
from flyteidl.admin.agent_pb2 import (
    CreateTaskRequest,
    DeleteTaskRequest,
    GetTaskRequest,
    TaskCategory,
)
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import AsyncAgentServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from connector_lives.script import Life, Turn

__all__ = ["Calls", "Course", "Player"]

End = Literal["succeeded", "failed", "exhausted", "aborted", "given up", "hanging"]

CALL_SECONDS = 10.0
LIFE_SECONDS = 240.0
_POLL_SECONDS = 0.3
_TRIES = 5
_TRY_PAUSE_SECONDS = 0.4
_GONE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_OVER = (TaskExecution.SUCCEEDED, TaskExecution.FAILED, TaskExecution.RETRYABLE_FAILED)


@dataclass
class Course:
    """How a life went.

    Attributes:
        life: The life.
        execution: Its execution's name.
        end: How it ended.
        attempt: The last attempt's number.
        message: What was said at the end.
        outputs: What Propeller had to write itself; None: the connector has written it.
        answered: Attempts whose CreateTask was answered.
        problems: What should not have been.
    """

    life: Life
    execution: str
    end: End = "hanging"
    attempt: int = 0
    message: str = ""
    outputs: bytes | None = None
    answered: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Calls:
    """The connector's replicas.

    Attributes:
        counts: What was sent, what was lost, and how calls were answered.
        answers: How many calls each replica has answered.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.counts: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        patience = [
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 2000),  # so long a connection may take, too
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        self._channels = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", patience) for port in ports
        ]
        self._stubs = [AsyncAgentServiceStub(channel) for channel in self._channels]

    @property
    def replicas(self) -> range:
        """Their numbers."""
        return range(len(self._stubs))

    async def send(self, method: str, request: object, rng: random.Random) -> Any:
        """Call a method as Propeller does with the configuration that we write for it.

        Whichever replica is there is asked, and another one when that was killed meanwhile; up to
        five times.

        Returns:
            The answer; None if there was none.
        """
        until = time.monotonic() + CALL_SECONDS
        for _ in range(_TRIES):
            while not (ready := self._ready()) and time.monotonic() < until:  # noqa: ASYNC110 # they have none
                await asyncio.sleep(0.05)
            if not ready:
                return None
            answer = await self.send_to(rng.choice(ready), method, request)
            if answer is not None:
                return answer
            await asyncio.sleep(rng.uniform(0, _TRY_PAUSE_SECONDS))
        return None

    def _ready(self) -> list[int]:
        states = [channel.get_state(try_to_connect=True) for channel in self._channels]
        ready = grpc.ChannelConnectivity.READY
        return [number for number, state in enumerate(states) if state is ready]

    async def send_to(
        self, replica: int, method: str, request: object, *, lose_after: float | None = None
    ) -> Any:
        """Call a method of one replica.

        Args:
            replica: Which.
            method: Its name.
            request: What it gets.
            lose_after: Seconds until the caller has gone; None: it stays.

        Returns:
            The answer; None if it was lost.
        """
        call = getattr(self._stubs[replica], method)(request, timeout=CALL_SECONDS)
        self.counts[f"{method} sent"] += 1
        try:
            if lose_after is None:
                answer = await call
                self.answers[replica] += 1
                return answer
            await asyncio.sleep(lose_after)
            call.cancel()
        except grpc.aio.AioRpcError as error:
            self.counts[f"{method} {error.code().name}"] += 1
            if error.code() not in _GONE:
                raise
        else:
            self.counts[f"{method} answer lost"] += 1
        return None

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close()


@dataclass
class Player:
    """Propeller.

    Attributes:
        calls: The connector.
        request: Makes a life's CreateTask request for an attempt.
        task_types: Task → its type.
        over: Where FlyteAdmin's word on executions that are over lies, one file each.
    """

    calls: Calls
    request: Callable[[Life, int], CreateTaskRequest]
    task_types: Mapping[str, str]
    over: Path

    async def play(self, life: Life, execution: str) -> Course:
        """Live a life to its end."""
        course = Course(life, execution)
        stage = _Stage(self, course, random.Random(life.seed), time.monotonic())
        try:
            await asyncio.wait_for(stage.play(), LIFE_SECONDS)
        except asyncio.TimeoutError:
            course.problems.append("it did not come to an end")
        except grpc.aio.AioRpcError as error:
            course.problems.append(f"a call was refused: {error.code().name}: {error.details()}")
        return course


@dataclass
class _Stage:
    player: Player
    course: Course
    rng: random.Random
    began: float

    async def play(self) -> None:
        life, course = self.course.life, self.course
        for attempt in range(life.attempts):
            course.attempt = attempt
            turn = life.turn(attempt)
            meta = await self._create(turn, attempt)
            if meta is not None:
                course.answered.add(attempt)
                course.end = await self._watch(meta, turn)
                if course.end != "exhausted":
                    return
                await self._delete(meta)
            elif self._is_aborted:
                break  # nothing is known that could be deleted
            await asyncio.sleep(turn.pause)
        if course.attempt not in course.answered:
            course.end = "given up"
            # All that is known of the execution is that it is over.
            (self.player.over / course.execution).touch()

    @property
    def _is_aborted(self) -> bool:
        abort = self.course.life.abort
        return abort is not None and time.monotonic() > self.began + abort

    async def _create(self, turn: Turn, attempt: int) -> bytes | None:
        """The resource's meta; None: the attempt has failed, as far as Propeller knows."""
        request = self.player.request(self.course.life, attempt)
        counts = self.player.calls.counts
        if turn.create == "lost":
            await self._lose("CreateTask", request)
            return None
        if turn.create == "at once":
            found = await self._ask_all("CreateTask", request)
            answer = next(filter(None, found), None) or await self._ask("CreateTask", request)
        elif turn.create == "repeated":
            counts["duplicates sent"] += 1
            await self._lose("CreateTask", request)
            answer = await self._ask("CreateTask", request)
        else:
            answer = await self._ask("CreateTask", request)
            if turn.create == "twice":
                counts["duplicates sent"] += 1
                answer = await self._ask("CreateTask", request) or answer
        return None if answer is None else answer.resource_meta

    async def _watch(self, meta: bytes, turn: Turn) -> Any:
        """How an attempt ended; ``exhausted``: it may be tried again."""
        began = time.monotonic()
        while True:
            if self._is_aborted:
                await self._delete(meta)
                return "aborted"
            if turn.timeout is not None and time.monotonic() > began + turn.timeout:
                return "exhausted"
            resource = await self._get(meta)
            if resource is not None and resource.phase in _OVER:
                return await self._ended(meta, resource)
            pause = self.rng.expovariate(1 / _POLL_SECONDS)
            ends = [self.began + self.course.life.abort] if self.course.life.abort else []
            ends += [began + turn.timeout] if turn.timeout is not None else []
            left = min([*ends, time.monotonic() + 1]) - time.monotonic()
            await asyncio.sleep(max(0.0, min(pause, left + 0.001)))

    async def _get(self, meta: bytes) -> Any:
        request = self._about(GetTaskRequest, meta)
        draw = self.rng.random()
        if draw < 0.08:  # a second Propeller that has not noticed yet that it is not the leader
            answer = self.rng.choice(await self._ask_all("GetTask", request))
        elif draw < 0.13:
            answer = await self._lose("GetTask", request)
        else:
            answer = await self._ask("GetTask", request)
        return None if answer is None else answer.resource

    async def _ended(self, meta: bytes, resource: Any) -> End:
        course = self.course
        course.message = resource.message
        if resource.phase == TaskExecution.RETRYABLE_FAILED:
            return "exhausted"
        if resource.HasField("outputs") and resource.outputs.literals:
            course.outputs = resource.outputs.SerializeToString()
        if self.rng.random() < 0.05:  # whoever asks once more is told the same
            answer = await self._ask("GetTask", self._about(GetTaskRequest, meta))
            # A replica that begins anew, and whose look fails, says that it does not know yet.
            if answer is not None and answer.resource.phase in {*_OVER} - {resource.phase}:
                course.problems.append(f"it ended twice: {resource}, {answer.resource}")
        return "succeeded" if resource.phase == TaskExecution.SUCCEEDED else "failed"

    async def _delete(self, meta: bytes) -> None:
        request = self._about(DeleteTaskRequest, meta)
        if self.rng.random() < 0.2:
            await self._lose("DeleteTask", request)
        if self.rng.random() < 0.1:
            await self._ask_all("DeleteTask", request)
        while await self._ask("DeleteTask", request) is None:  # noqa: ASYNC110 # it is no event
            await asyncio.sleep(0.2)
        if self.rng.random() < 0.25:  # its cache has not been told yet
            await self._ask("GetTask", self._about(GetTaskRequest, meta))

    async def _ask(self, method: str, request: object) -> Any:
        return await self.player.calls.send(method, request, self.rng)

    async def _ask_all(self, method: str, request: object) -> Sequence[Any]:
        """Ask every replica at once."""
        calls = self.player.calls
        calls.counts["duplicates sent"] += len(calls.replicas) - 1
        return await asyncio.gather(
            *(calls.send_to(replica, method, request) for replica in calls.replicas)
        )

    async def _lose(self, method: str, request: object) -> None:
        """Ask, and be gone before, while or after the call takes effect."""
        calls, replica = self.player.calls, self.rng.choice(self.player.calls.replicas)
        moment = self.rng.choice((0.0, self.rng.uniform(0, 0.02), self.rng.uniform(0, 0.2)))
        if self.rng.random() < 0.5:
            await calls.send_to(replica, method, request, lose_after=moment)
        elif await calls.send_to(replica, method, request) is not None:
            calls.counts[f"{method} answer lost"] += 1

    def _about(self, kind: Any, meta: bytes) -> Any:
        task_type = self.player.task_types[self.course.life.task]
        category = TaskCategory(name=task_type, version=0)
        return kind(task_category=category, resource_meta=meta)
