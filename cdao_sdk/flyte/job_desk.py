"""Makes, looks after and stops the jobs of one kind, so that each is made once and none is lost.

What may happen at any instant: the process is killed, a call comes twice or at once in two
replicas, an answer is lost. What makes that harmless:

- ``store`` makes nothing in SageMaker. The request lies in S3 before Flyte hears of it.
- A job's name is a function of the attempt; SageMaker takes one job of a name. So ``ensure`` may
  be called by anybody, any number of times.
- ``stop`` leaves a mark in S3 before it takes for granted that there is no job. Whoever makes the
  job later looks for the mark afterwards, and stops it again; ``reaper`` looks for marks of those
  that were killed in between.
- Before an attempt's job is made, the jobs of all attempts before are stopped in the same way:
  Propeller calls an attempt failed when the answer to its creation is lost, and goes on.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import functools
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cdao_sdk.aws import logs as job_logs
from cdao_sdk.aws.calls import call
from cdao_sdk.errors import CdaoError, JobStopped, NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.flyte.deadline import remaining_seconds
from cdao_sdk.flyte.request_store import RequestStore
from cdao_sdk.flyte.submitter import Submitter, earlier_names
from cdao_sdk.flyte.waiting_line import Waiting, WaitingLines, never_fits
from cdao_sdk.kinds.failures import translate
from cdao_sdk.kinds.job import Phase

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cdao_sdk.aws.job_status import JobStatus
    from cdao_sdk.flyte.allow_list import AllowList
    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.task_request import TaskRequest
    from cdao_sdk.flyte.waiting_line import WaitingLine
    from cdao_sdk.kinds.job import JobKind

__all__ = ["JobDesk"]

logger = logging.getLogger(__name__)

_KICK_SECONDS = 2.0
"""When a stored request is sent though nobody has asked after it. Propeller asks at once, but its
questions queue up behind its own rate limit when thousands of jobs begin."""
_STOP_SECONDS = 5.0
"""How long a stop is tried; Flyte gives the call 10 s."""
_FLIGHT_SECONDS = 2.0
_STOP_PAUSE_SECONDS = 0.5
_FRESH_AT_MOST = 2_000
_REMEMBERED_BYTES = 32 * 1024
_REMEMBERED_AT_MOST = 50_000


@dataclass
class _Fresh:
    """A request that this process has stored; until it is kicked, it came just now."""

    request: TaskRequest | None
    kick: asyncio.TimerHandle
    is_kicked: bool = False


class JobDesk:
    """The jobs of one kind in one account.

    Args:
        kind: The kind.
        services: Where they run.
        allowed: What its jobs may name.
    """

    def __init__(
        self, kind: JobKind[Any], services: Services, allowed: AllowList | None = None
    ) -> None:
        self.kind = kind
        self.services = services
        self.submitter = Submitter(kind, services, allowed)
        self.requests = RequestStore(kind, services)
        embedded = services.clients.target.is_embedded
        self.lines = WaitingLines(0.1, 0.5) if embedded else WaitingLines()
        self.decked: set[str] = set()
        self.began = time.monotonic()
        self.asked: dict[str, float] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        self._fresh: dict[str, _Fresh] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}
        # In order, to forget the oldest: stopped jobs, and those whose earlier attempts are.
        self._aborted: dict[str, None] = {}
        self._alone: dict[str, None] = {}

    # --- storing ---

    async def store(self, request: TaskRequest) -> JobMeta:
        """Keep a request; nothing is made of it yet, unless nobody asks after it.

        Raises:
            CdaoError: It cannot be kept; see ``RequestStore.keep``.
        """
        meta, size = await self.requests.keep(request)
        if meta.job_names and meta.job_name not in self._fresh:
            loop = asyncio.get_running_loop()
            kick = loop.call_later(_KICK_SECONDS, self._kicked, meta)
            is_small = size <= _REMEMBERED_BYTES  # others are read again when they are sent
            self._fresh[meta.job_name] = _Fresh(request if is_small else None, kick)
            while len(self._fresh) > _FRESH_AT_MOST:
                self._forget(next(iter(self._fresh)))
        return meta

    async def close(self) -> None:
        """Send nothing any more by itself, and wait for what is under way."""
        for name in list(self._fresh):
            self._forget(name)
        if self._flights:
            await asyncio.wait(list(self._flights.values()))

    def _kicked(self, meta: JobMeta) -> None:
        if (fresh := self._fresh.get(meta.job_name)) is not None:
            fresh.is_kicked = True
            self._flight(meta, 0)

    def _forget(self, name: str) -> None:
        if (fresh := self._fresh.pop(name, None)) is not None:
            fresh.kick.cancel()

    # --- making ---

    async def ensure(self, meta: JobMeta, step: int = 0) -> None:
        """See to it that there is a job, if SageMaker takes it now.

        Raises:
            ResourcesUnavailable: It does not; the request waits in line.
            JobStopped: It has been stopped before it was made.
            CdaoError: It is refused for good.
        """
        if meta.refusal is not None:
            raise meta.refusal.raised()
        # A call that is broken off (Flyte's deadline) does not break off what others wait for.
        await asyncio.shield(self._flight(meta, step))

    def _flight(self, meta: JobMeta, step: int) -> asyncio.Task[None]:
        name = meta.job_names[step]
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.ensure_future(self._ensure(meta, step))
            self._flights[name] = flight
            flight.add_done_callback(functools.partial(self._landed, name))
        return flight

    def _landed(self, name: str, flight: asyncio.Task[None]) -> None:
        self._flights.pop(name, None)
        if not flight.cancelled() and (error := flight.exception()) is not None:
            logger.debug("%s was not made: %s", name, error)  # whoever asked has it too

    async def _ensure(self, meta: JobMeta, step: int) -> None:
        name = meta.job_names[step]
        line = self._line(meta, step)
        if (verdict := line.verdict(name)) is not None:
            raise verdict
        if name not in self._fresh and name not in line:
            await self._check_not_deleted(name)
        send = functools.partial(self._send, meta, step)
        if not len(line):
            try:
                await send()
            except ResourcesUnavailable as error:
                line.join(Waiting(name, meta.created, send))
                line.refused(name, error)
                raise
            return
        line.join(Waiting(name, meta.created, send))
        await line.advance()
        if (verdict := line.verdict(name)) is not None:
            raise verdict
        if name in line:
            reason, code = line.reason(name)
            msg = f"{reason} (place {line.place(name)} of {len(line)} in line)"
            raise ResourcesUnavailable(msg, code=code)

    async def _send(self, meta: JobMeta, step: int) -> None:
        """Make the job of a step; a stop that came meanwhile wins."""
        name = meta.job_names[step]
        self._refuse_stopped(name)
        fresh = self._fresh.get(name)
        # Of a request that came just now this can wait until the job is made.
        if fresh is None or fresh.is_kicked:
            self._refuse_stopped(name, marked=await self._is_marked(meta, name))
        request = fresh.request if fresh is not None else None
        if request is None:
            request = await self.requests.load(meta)
        if step == 0 and meta.attempt and name not in self._alone:
            await self._stop_all(meta, earlier_names(request))
            self._remember(self._alone, [name])
        arn = await self._submit(meta, step, request)
        self._forget(name)
        self._waiting.pop(name, None)
        self.services.watcher.noted(self.kind.name, name, arn)
        await self._stop_again(meta, name)

    async def _stop_again(self, meta: JobMeta, name: str) -> None:
        """Stop a job that was just made, if it was stopped before that, by whichever process."""
        try:
            if await self._is_marked(meta, name):
                await self._stop_job(name)
                self._refuse_stopped(name, marked=True)
        except ResourcesUnavailable as error:
            logger.warning("the reaper will see whether %s was stopped: %s", name, error)

    async def _submit(self, meta: JobMeta, step: int, request: TaskRequest) -> str:
        last = len(meta.job_names) - 1
        for choice in range(step, last + 1):
            try:
                return (await self.submitter.send(request, step, choice)).arn
            except ResourcesUnavailable as error:
                if choice == last or not _is_hopeless(error):
                    _refuse_lasting(error)
                    raise
                logger.info("%s: %s; trying the next instance type", meta.job_names[step], error)
        raise AssertionError  # unreachable: the last choice has returned or raised

    def _line(self, meta: JobMeta, step: int) -> WaitingLine:
        return self.lines.line(meta.instance_types[step : step + 1], meta.spot)

    async def _check_not_deleted(self, name: str) -> None:
        """Refuse to make a job that has been before.

        Raises:
            NotFound: It has run, and was deleted since.
        """
        # A job's record can be deleted; its log outlives it.
        api, clients = self.kind.api, self.services.clients
        if not await job_logs.streams(clients, api.log_group, name):
            return
        try:
            await self.describe(name)  # another replica may have made it since it was looked for
        except NotFound as error:
            msg = f"{self.kind.title} job {name} is not there any more."
            raise NotFound(msg) from error

    # --- looking ---

    @property
    def last_error(self) -> CdaoError | None:
        """Why jobs could not be looked at just now; None when they could."""
        return self.services.watcher.last_error(self.kind.name)

    def in_progress(self) -> Collection[str]:
        """Names of all jobs of this kind that were in progress when the watcher saw them last."""
        return self.services.watcher.in_progress(self.kind.name)

    def has_seen(self, name: str) -> bool:
        """Whether this process knows that there is such a job."""
        return self.services.watcher.known(self.kind.name, name) is not None

    def is_waiting(self, meta: JobMeta, step: int) -> bool:
        """Whether this process knows that the job of a step is yet to be made."""
        name = meta.job_names[step]
        return name in self._fresh or name in self._flights or name in self._line(meta, step)

    def waits(self, name: str, error: ResourcesUnavailable) -> None:
        """Remember why a job cannot be made now."""
        self._waiting[name] = (str(error), error.code)
        while len(self._waiting) > _FRESH_AT_MOST:
            del self._waiting[next(iter(self._waiting))]

    def why_waiting(self, name: str) -> tuple[str, str]:
        """Why a job could not be made when it was tried last, and the error's code."""
        return self._waiting.get(name, ("waiting for SageMaker", ""))

    async def status(self, name: str) -> JobStatus:
        """Where a job stands, as a shared watcher knows it.

        Raises:
            NotFound: There is no such job.
        """
        self.asked[name] = time.monotonic()
        status = await self.services.watcher.status(self.kind.name, name)
        if status.source == "list" and not status.secondary_status and not status.is_over:
            # Lists do not tell when an instance began; by the time they are read it mostly has.
            seen = replace(status.seen, phase=Phase.RUNNING, message="running")
            return replace(status, seen=seen)
        return status

    async def describe(self, name: str) -> dict[str, object]:
        """SageMaker's own description of a job."""
        api = self.kind.api
        return await call(self.services.clients, "sagemaker", api.describe, {api.name_field: name})

    # --- stopping ---

    async def stop(self, meta: JobMeta) -> None:
        """Stop the job, whether it is there or not, and let none be made later.

        Where SageMaker does not answer, a mark says that the job is to be stopped, and the reaper
        sees to it: Propeller gives up on an abort that fails a dozen times.

        Raises:
            CdaoError: Neither SageMaker nor S3 takes it; Flyte asks again.
        """
        names = meta.job_names
        await self._drop(meta, names)
        for name in names:
            if await self._stopped(name):
                continue
            await self.requests.mark(meta, name)
            # It may have been made before the mark was there.
            await self._stopped(name)

    async def _stop_all(self, meta: JobMeta, names: Sequence[str]) -> None:
        """Stop jobs that must not run beside another.

        Raises:
            ResourcesUnavailable: It is not certain that they are stopped.
        """
        await self._drop(meta, names)
        for name in names:
            if not await self._stop_job(name):
                await self.requests.mark(meta, name)
                await self._stop_job(name)

    async def _drop(self, meta: JobMeta, names: Sequence[str]) -> None:
        """Let this process make none of these jobs any more."""
        self._remember(self._aborted, names)
        for name in names:
            self._forget(name)
            for step in range(len(meta.job_names)):
                self._line(meta, step).leave(name)
        flights = [self._flights[name] for name in names if name in self._flights]
        if flights:  # one that takes longer sees the mark, and stops what it has made
            await asyncio.wait(flights, timeout=_FLIGHT_SECONDS)

    async def _stopped(self, name: str) -> bool:
        """Whether a job is there, and is stopped now."""
        until = time.monotonic() + min(_STOP_SECONDS, (remaining_seconds() or _STOP_SECONDS) - 1)
        while True:
            try:
                return await self._stop_job(name)
            except ResourcesUnavailable as error:
                if time.monotonic() > until:
                    logger.warning("%s cannot be stopped now, but will be: %s", name, error)
                    return False
                await asyncio.sleep(_STOP_PAUSE_SECONDS)

    async def stop_by_name(self, name: str) -> None:
        """Stop a job, if there is one of that name; a finished one is left alone."""
        await self._stop_job(name)

    async def _stop_job(self, name: str) -> bool:
        """Whether there is such a job; it is stopped, and what was made beside it removed."""
        api = self.kind.api
        try:
            await call(self.services.clients, "sagemaker", api.stop, {api.name_field: name})
        except NotFound:
            found = False
        except SubmissionError as error:
            if isinstance(error, ResourcesUnavailable):
                raise
            try:
                description = await self.describe(name)
            except NotFound:
                found = False
            else:
                found = True
                seen = self.kind.observe(description)
                if not seen.phase.is_terminal and seen.status != "Stopping":
                    raise
        else:
            found = True
        await self.submitter.clean_up(name)
        return found

    @staticmethod
    def _remember(memory: dict[str, None], names: Sequence[str]) -> None:
        memory.update(dict.fromkeys(names))
        while len(memory) > _REMEMBERED_AT_MOST:
            del memory[next(iter(memory))]

    def _refuse_stopped(self, name: str, *, marked: bool = False) -> None:
        if marked or name in self._aborted:
            msg = f"{self.kind.title} job {name} was stopped before it was made."
            raise JobStopped(msg)

    async def _is_marked(self, meta: JobMeta, name: str) -> bool:
        return name in self._aborted or await self.requests.is_marked(meta, name)


def _is_hopeless(error: ResourcesUnavailable) -> bool:
    """Whether waiting would not help: no capacity, or more than the quota will ever give."""
    return error.code == "CapacityError" or (
        error.code == "ResourceLimitExceeded" and never_fits(str(error))
    )


def _refuse_lasting(error: ResourcesUnavailable) -> None:
    """Raise a refusal that no waiting would end, such as a type that the region does not have.

    Raises:
        SubmissionError: It is one.
    """
    quota = error.code == "ResourceLimitExceeded"
    if quota and not translate(str(error), code=error.code).retryable:
        raise SubmissionError(str(error), code=error.code) from error
