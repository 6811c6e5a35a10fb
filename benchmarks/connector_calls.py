"""A client of a connector, as a process of its own: `python -m benchmarks.connector_calls < plan`.

It stands for Propeller: one channel, so many calls in flight, each under a deadline. Requests are
made before the clock runs and answers are read after it, so that the client is no bottleneck.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import grpc
from flyteidl.admin.agent_pb2 import (
    CreateTaskRequest,
    CreateTaskResponse,
    GetTaskRequest,
    GetTaskResponse,
    TaskCategory,
)
from flyteidl.core.execution_pb2 import TaskExecution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_SERVICE = "/flyteidl.service.AsyncAgentService"
_DEADLINE_SECONDS = 120.0  # the plugin's calls wait for each other


@dataclass
class Plan:
    """What to send.

    Attributes:
        address: The connector's.
        mode: ``"create"``: CreateTask; ``"make"``: CreateTask and the first GetTask, which makes
            the job; ``"get"``: GetTask.
        requests: CreateTask requests, or, to get, resource metas; in base64.
        task_type: Whose they are.
        in_flight: Calls at once.
        calls: How many; the requests are sent over and over. 0: each once.
        seconds: Spread the calls over so long, each at its time; 0: as fast as it goes.
    """

    address: str
    mode: str
    requests: list[str]
    task_type: str
    in_flight: int = 32
    calls: int = 0
    seconds: float = 0.0


@dataclass
class Report:
    """What came of it.

    Attributes:
        calls: How many calls, or pairs of calls.
        seconds: From the first one sent to the last one answered.
        phases: Flyte's phases in the answers to GetTask → how many of them.
        metas: Resource metas that CreateTask answered, in base64.
        median_ms: Of a call.
        slowest_ms: Of a call.
    """

    calls: int
    seconds: float
    phases: dict[str, int]
    metas: list[str]
    median_ms: float
    slowest_ms: float

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.calls / self.seconds


class _Client:
    def __init__(self, channel: grpc.aio.Channel, task_type: str) -> None:
        self._create = channel.unary_unary(f"{_SERVICE}/CreateTask")
        self._get = channel.unary_unary(f"{_SERVICE}/GetTask")
        self._category = TaskCategory(name=task_type)
        self._task_type = task_type

    async def create(self, request: bytes) -> bytes:
        return await self._create(request, timeout=_DEADLINE_SECONDS)

    async def get(self, request: bytes) -> bytes:
        return await self._get(request, timeout=_DEADLINE_SECONDS)

    async def make(self, request: bytes) -> bytes:
        answer = CreateTaskResponse.FromString(await self.create(request))
        return await self.get(self.get_request(answer.resource_meta))

    def get_request(self, meta: bytes) -> bytes:
        return GetTaskRequest(
            task_type=self._task_type, task_category=self._category, resource_meta=meta
        ).SerializeToString()


async def _send(plan: Plan) -> Report:
    contents = [base64.b64decode(each) for each in plan.requests]
    async with grpc.aio.insecure_channel(plan.address) as channel:
        client = _Client(channel, plan.task_type)
        work = {"create": client.create, "make": client.make, "get": client.get}[plan.mode]
        if plan.mode == "get":
            contents = [client.get_request(meta) for meta in contents]
        await asyncio.wait_for(channel.channel_ready(), 60)
        number = plan.calls or len(contents)
        chosen = [contents[index % len(contents)] for index in range(number)]
        answers, times, seconds = await _run(chosen, work, plan)
    return _report(plan, answers, times, seconds)


async def _run(
    requests: Sequence[bytes], work: Callable[[bytes], Awaitable[bytes]], plan: Plan
) -> tuple[list[bytes], list[float], float]:
    answers, times = [b""] * len(requests), [0.0] * len(requests)
    waiting = iter(range(len(requests)))
    begin = time.perf_counter()

    async def worker() -> None:
        for index in waiting:
            if plan.seconds:
                due = begin + plan.seconds * index / len(requests)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            answers[index] = await work(requests[index])
            times[index] = time.perf_counter() - sent

    await asyncio.gather(*(worker() for _ in range(plan.in_flight)))
    return answers, times, time.perf_counter() - begin


def _report(plan: Plan, answers: Sequence[bytes], times: Sequence[float], seconds: float) -> Report:
    phases: Counter[str] = Counter()
    metas: list[str] = []
    for answer in answers:
        if plan.mode == "create":
            meta = CreateTaskResponse.FromString(answer).resource_meta
            metas.append(base64.b64encode(meta).decode())
        else:
            phase = GetTaskResponse.FromString(answer).resource.phase
            phases[TaskExecution.Phase.Name(phase)] += 1
    return Report(
        calls=len(answers),
        seconds=seconds,
        phases=dict(phases),
        metas=metas,
        median_ms=statistics.median(times) * 1000,
        slowest_ms=max(times) * 1000,
    )


def renamed(request: bytes, number: int, prefix: str) -> str:
    """A CreateTask request of ours, as of an execution of its own; in base64."""
    message: Any = CreateTaskRequest.FromString(request)
    execution = f"{prefix}{number:06}"
    node = message.task_execution_metadata.task_execution_id.node_execution_id
    node.execution_id.name = execution
    message.output_prefix = f"s3://cdao-bench/metadata/bench-development-{execution}/n0/data/0"
    return base64.b64encode(message.SerializeToString()).decode()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_send(Plan(**json.load(sys.stdin)))))))
