"""What every call has in common: a place to run in, a deadline, metrics, log lines, a status."""

# grpc ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError

from cdao_sdk.flyte.deadline import deadline_in
from cdao_sdk.flyte.serving.call_facts import call_scope
from cdao_sdk.flyte.serving.redaction import one_line
from cdao_sdk.flyte.serving.statuses import BadRequest, Busy, Status, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from cdao_sdk.flyte.serving.metrics import Metrics

__all__ = ["Calls", "Limits"]

logger = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound="Message")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
# Reading a larger message takes long enough to hold up other calls; a thread lets them through.
_READ_IN_THREAD_BYTES = 256 * 1024
# For callers that set no deadline; Propeller always does.
_LONGEST_CALL_SECONDS = 60.0
_LONGEST_SENDING_SECONDS = 15.0


@dataclass(frozen=True)
class Limits:
    """How much is taken at once.

    Attributes:
        concurrent: Calls that are worked on at once; more wait, their requests unread.
        waiting: Calls that may wait; still more are refused as UNAVAILABLE.
    """

    concurrent: int = 128
    waiting: int = 2_048


class Context(Protocol):
    """The little that is used of gRPC's context of a call."""

    async def read(self) -> object: ...

    def time_remaining(self) -> float | None: ...

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str]]) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str) -> None: ...


class Calls:
    """Answers calls with functions from a request to answers.

    A function that raises never reaches gRPC: its error becomes a status with one line of detail.

    Args:
        metrics: What is counted.
        limits: How much is taken at once.
    """

    def __init__(self, metrics: Metrics, limits: Limits | None = None) -> None:
        self._metrics = metrics
        self._limits = limits or Limits()
        self._places = asyncio.Semaphore(self._limits.concurrent)
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._open = 0

    async def idle(self) -> None:
        """Wait until no call is worked on or waits."""
        await self._is_idle.wait()

    def unary(
        self, method: str, kind: type[RequestT], work: Callable[[RequestT], Awaitable[Message]]
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler for one answer.

        On the wire a stream of one request is a request. As a stream it is read when there is a
        place for it, and not before: gRPC would hold the requests of all calls in memory. It is
        read as bytes, for a message that cannot be parsed has to become a status, too.
        """

        async def listed(request: RequestT) -> list[Message]:
            return [await work(request)]

        async def answer(_: AsyncIterator[bytes], context: Context) -> bytes:
            answers = await self._answer(method, kind, listed, context)
            return answers[0] if answers else b""

        return grpc.stream_unary_rpc_method_handler(answer)

    def stream(
        self,
        method: str,
        kind: type[RequestT],
        work: Callable[[RequestT], Awaitable[list[Message]]],
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler for several answers."""

        async def answer(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            for each in await self._answer(method, kind, work, context):
                yield each

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _answer(
        self,
        method: str,
        kind: type[RequestT],
        work: Callable[[RequestT], Awaitable[list[Message]]],
        context: Context,
    ) -> list[bytes]:
        request_id = _request_id(context)
        context.set_trailing_metadata((("x-request-id", request_id),))
        remaining = context.time_remaining()
        seconds = min(_LONGEST_CALL_SECONDS, remaining if remaining is not None else 1e9)
        started = time.perf_counter()
        with call_scope(rpc=method, request_id=request_id) as facts, deadline_in(seconds):
            outcome: list[bytes] | Status | None = None
            try:
                # This task shares the facts: what it learns is logged here.
                worked = asyncio.ensure_future(self._worked(kind, work, context))
                worked.add_done_callback(_heeded)
                outcome = await asyncio.wait_for(worked, seconds)
            except asyncio.TimeoutError as error:
                detail = (
                    f"The call was not done within the {seconds:.1f} s that its caller gave it."
                )
                outcome = Status(grpc.StatusCode.DEADLINE_EXCEEDED, detail)
                _log_failure(error, outcome, time.perf_counter() - started)
            except Exception as error:  # noqa: BLE001 # the last place that can make a status of it
                outcome = status_of(error)
                _log_failure(error, outcome, time.perf_counter() - started)
                _forget_frames(error)
            finally:
                elapsed = time.perf_counter() - started
                code = _code_name(outcome)
                task_type = str(facts.get("task_type", "other"))
                self._metrics.answered(method, task_type, code, elapsed)
                if not isinstance(outcome, Status):
                    _log_answer(method, code, elapsed, is_news=bool(facts.pop("news", False)))
        if isinstance(outcome, Status):
            await context.abort(outcome.code, outcome.detail)
        return outcome if isinstance(outcome, list) else []

    async def _worked(
        self,
        kind: type[RequestT],
        work: Callable[[RequestT], Awaitable[list[Message]]],
        context: Context,
    ) -> list[bytes]:
        async with self._place():
            request = await _read(kind, context)
            return [answer.SerializeToString() for answer in await work(request)]

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        waiting, in_flight = self._metrics.waiting, self._metrics.in_flight
        if self._open >= self._limits.concurrent + self._limits.waiting:
            msg = (
                f"The connector is busy: {self._open} calls are open; try again, or run more"
                " replicas."
            )
            raise Busy(msg)
        self._open += 1
        self._is_idle.clear()
        try:
            with waiting.track_inprogress():
                await self._places.acquire()
            try:
                with in_flight.track_inprogress():
                    yield
            finally:
                self._places.release()
        finally:
            self._open -= 1
            if not self._open:
                self._is_idle.set()


async def _read(kind: type[RequestT], context: Context) -> RequestT:
    # A caller that sends nothing keeps a place no longer than this.
    data = await asyncio.wait_for(context.read(), _LONGEST_SENDING_SECONDS)
    if not isinstance(data, bytes):
        msg = "The call has no request."
        raise BadRequest(msg)
    try:
        if len(data) > _READ_IN_THREAD_BYTES:
            return await asyncio.to_thread(kind.FromString, data)
        return kind.FromString(data)
    except DecodeError as error:
        msg = f"The message is no {kind.__name__}: {error}"
        raise BadRequest(msg) from error


def _request_id(context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return secrets.token_hex(8)


def _heeded(worked: asyncio.Future[list[bytes]]) -> None:
    """Whatever came of a call whose caller has gone, asyncio need not complain of it."""
    if not worked.cancelled():
        worked.exception()


def _code_name(outcome: list[bytes] | Status | None) -> str:
    if isinstance(outcome, Status):
        return outcome.code.name
    return "CANCELLED" if outcome is None else "OK"  # None: the caller has gone


def _log_failure(error: Exception, status: Status, elapsed: float) -> None:
    extra = {"code": status.code.name, "seconds": round(elapsed, 4)}
    if status.incident:
        extra["incident"] = status.incident
        logger.error("%s", one_line(str(error), 2_000), exc_info=error, extra=extra)
    else:
        logger.warning("%s", status.detail, extra=extra)


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what the error's frames hold: request and error would keep each other alive until
    the collector comes, and requests may be large."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _log_answer(method: str, code: str, elapsed: float, *, is_news: bool) -> None:
    # 10,000 jobs are asked about 333 times a second: a line for each answer would bury the rest.
    level = logging.INFO if is_news or code != "OK" else logging.DEBUG
    logger.log(level, "%s", method, extra={"code": code, "seconds": round(elapsed, 4)})
