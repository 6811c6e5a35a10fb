"""What every call has in common, with work of all sorts behind real gRPC."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from flyteidl.admin.agent_pb2 import Agent, GetAgentRequest, GetAgentResponse
from prometheus_client import CollectorRegistry

from cdao_sdk.errors import ResourcesUnavailable
from cdao_sdk.flyte.deadline import remaining_seconds
from cdao_sdk.flyte.serving.call_facts import current_facts
from cdao_sdk.flyte.serving.calls import Calls, Limits
from cdao_sdk.flyte.serving.metrics import Metrics
from cdao_sdk.flyte.serving.open_jobs import OpenJobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[[GetAgentRequest], Awaitable[Any]]
    Talk = Callable[[Callable[..., Any]], Awaitable[None]]

METHOD = "/tests.Service/Ask"


class Served:
    """One method, answered by one function."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(OpenJobs(), self.registry)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def run(self, work: Work, talk: Talk, limits: Limits | None = None) -> None:
        async def converse() -> None:
            self.calls = Calls(self.metrics, limits)
            handler = self.calls.unary("Ask", GetAgentRequest, work)
            server = grpc.aio.server()
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler("tests.Service", {"Ask": handler})]
            )
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    ask = channel.unary_unary(
                        METHOD,
                        request_serializer=GetAgentRequest.SerializeToString,
                        response_deserializer=GetAgentResponse.FromString,
                    )
                    await talk(ask)
            finally:
                await server.stop(None)

        asyncio.run(converse())


def answer(**facts: object) -> GetAgentResponse:
    return GetAgentResponse(agent=Agent(name=json.dumps(facts)))


async def status(call: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def test_work_knows_its_deadline_and_its_call() -> None:
    async def work(_: GetAgentRequest) -> GetAgentResponse:
        return answer(seconds=remaining_seconds(), facts=dict(current_facts()))

    async def talk(ask: Callable[..., Any]) -> None:
        told = json.loads((await ask(GetAgentRequest(), timeout=7)).agent.name)
        assert 5 < told["seconds"] <= 7
        assert told["facts"]["rpc"] == "Ask"
        # Who sets none gets one.
        told = json.loads((await ask(GetAgentRequest())).agent.name)
        assert 50 < told["seconds"] <= 60

    Served().run(work, talk)


def test_a_fault_is_told_by_its_incident_and_logged_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(_: GetAgentRequest) -> GetAgentResponse:
        return {}["a user's value"]  # type: ignore[return-value]

    async def talk(ask: Callable[..., Any]) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(GetAgentRequest(), timeout=7)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.incident in (caught.value.details() or "")  # type: ignore[attr-defined]
        assert "a user's value" not in (caught.value.details() or "")
        assert "KeyError" in caplog.text
        assert "in work" in caplog.text

    served = Served()
    served.run(work, talk)
    count = served.value(
        "cdao_connector_requests_total", method="Ask", task_type="other", code="INTERNAL"
    )
    assert count == 1


def test_time_that_is_over_is_told_and_the_work_is_ended() -> None:
    ended: list[str] = []

    async def work(request: GetAgentRequest) -> GetAgentResponse:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(request.name)
            raise
        return answer()

    async def talk(ask: Callable[..., Any]) -> None:
        late = await status(ask(GetAgentRequest(name="late"), timeout=0.2))
        assert late is grpc.StatusCode.DEADLINE_EXCEEDED
        gone = ask(GetAgentRequest(name="gone"), timeout=30)
        await asyncio.sleep(0.3)
        gone.cancel()
        for _ in range(100):
            if len(ended) == 2:
                break
            await asyncio.sleep(0.02)
        assert ended == ["late", "gone"]

    served = Served()
    served.run(work, talk)
    assert served.value("cdao_connector_requests_in_flight") == 0


def test_error_of_a_call_whose_caller_has_gone_is_of_no_interest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = asyncio.Event()

    async def work(_: GetAgentRequest) -> GetAgentResponse:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.set()
            msg = "half done"
            raise ValueError(msg) from None
        return answer()

    async def talk(ask: Callable[..., Any]) -> None:
        gone = ask(GetAgentRequest(), timeout=30)
        await asyncio.sleep(0.3)
        gone.cancel()
        await asyncio.wait_for(ended.wait(), 10)
        await asyncio.sleep(0.1)
        gc.collect()

    Served().run(work, talk)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_more_calls_wait_and_still_more_are_told_to_come_back() -> None:
    go_on = asyncio.Event()
    at_once: list[int] = [0, 0]

    async def work(_: GetAgentRequest) -> GetAgentResponse:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await go_on.wait()
        at_once[0] -= 1
        return answer()

    served = Served()

    async def talk(ask: Callable[..., Any]) -> None:
        calls = [ask(GetAgentRequest(), timeout=20) for _ in range(5)]
        for _ in range(200):
            if served.value("cdao_connector_requests_waiting") == 3:
                break
            await asyncio.sleep(0.02)
        assert await status(ask(GetAgentRequest(), timeout=20)) is grpc.StatusCode.UNAVAILABLE
        idle = asyncio.ensure_future(served.calls.idle())
        await asyncio.sleep(0)
        assert not idle.done()
        go_on.set()
        await asyncio.gather(*calls)
        await asyncio.wait_for(idle, 5)
        assert at_once[1] == 2

    served.run(work, talk, Limits(concurrent=2, waiting=3))


def test_what_cannot_be_sent_is_a_fault_of_ours() -> None:
    async def work(_: GetAgentRequest) -> Any:
        return "no message"

    async def talk(ask: Callable[..., Any]) -> None:
        assert await status(ask(GetAgentRequest(), timeout=7)) is grpc.StatusCode.INTERNAL

    Served().run(work, talk)


def test_what_may_pass_later_is_unavailable() -> None:
    async def work(_: GetAgentRequest) -> GetAgentResponse:
        raise ResourcesUnavailable("S3 is slow", code="SlowDown")

    async def talk(ask: Callable[..., Any]) -> None:
        assert await status(ask(GetAgentRequest(), timeout=7)) is grpc.StatusCode.UNAVAILABLE

    Served().run(work, talk)


def test_a_call_without_a_request_is_refused() -> None:
    async def work(_: GetAgentRequest) -> GetAgentResponse:
        return answer()

    async def converse() -> None:
        calls = Calls(Metrics(OpenJobs(), CollectorRegistry()))
        server = grpc.aio.server()
        handlers = {"Ask": calls.unary("Ask", GetAgentRequest, work)}
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("tests.Service", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_unary(METHOD)(timeout=7)
            await call.done_writing()
            assert await status(call) is grpc.StatusCode.INVALID_ARGUMENT
        await server.stop(None)

    asyncio.run(converse())
