"""The lines of many jobs as they come: each stream is read on from where it was left."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cdao_sdk.aws import logs
from cdao_sdk.aws.call_budget import CallBudget
from cdao_sdk.aws.rates import came_too_late
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job

__all__ = ["LogReader"]

_AT_ONCE = 10
_EMBEDDED_SECONDS, _AWS_SECONDS = 0.2, 5.0  # between two looks for streams that must come
_NEVER = float("-inf")
_INGESTION = timedelta(seconds=30)  # until a line that was printed is there to be read
_LATER_SECONDS = 60.0  # between two looks for more streams than there are hosts


@dataclass
class _Stream:
    """One host's log, and how far it is read."""

    name: str
    last: int | None = None
    token: str | None = None
    read_at: float = _NEVER
    is_behind: bool = True


@dataclass
class _JobLog:
    """One job's streams."""

    name: str
    hosts: int = 1
    streams: dict[str, _Stream] = field(default_factory=dict[str, _Stream])
    looked_at: float = _NEVER
    was_over: bool = False
    is_done: bool = False


class LogReader:
    """Reads the logs of jobs, the new lines only; each call reads on where the last one ended.

    Args:
        clients: Where to read.
        last: Begin with so many of the last lines of each stream; None: with the first.
        since: Only lines from this time on.
        together: Look for the streams of all jobs at once, by what their names have in common:
            for an execution's; otherwise for each job's.
    """

    def __init__(
        self,
        clients: AwsClients,
        *,
        last: int | None = None,
        since: datetime | None = None,
        together: bool = False,
    ) -> None:
        self._clients = clients
        self._last, self._since = last, since
        self._together = together
        self._logs: dict[str, _JobLog] = {}
        self._pause = _EMBEDDED_SECONDS if clients.target.is_embedded else _AWS_SECONDS
        self._unread: dict[str, list[LogLine]] = {}

    async def read(
        self,
        jobs: Sequence[Job],
        budget: CallBudget | None = None,
        *,
        patience_seconds: float = 60.0,
    ) -> dict[str, list[LogLine]]:
        """What the jobs have printed since the last call, by the job's name, each by time.

        Args:
            jobs: The jobs as they are now; one that is over is read to its end.
            budget: How many calls it may cost; what they do not reach comes with the next call.
            patience_seconds: How long a call may wait for its turn.

        Raises:
            SubmissionError: A call was refused; the lines that others brought come with the next.
        """
        budget = budget or CallBudget()
        open_jobs = [job for job in jobs if not self._log(job).is_done]
        await self._find_streams(open_jobs, budget)
        behind = sorted(
            (
                (job, stream)
                for job in open_jobs
                for stream in self._log(job).streams.values()
                if stream.is_behind or not self._log(job).was_over
            ),
            key=lambda each: each[1].read_at,
        )
        places = asyncio.Semaphore(_AT_ONCE)

        async def page(job: Job, stream: _Stream) -> list[LogLine]:
            async with places:
                return await self._page(job, stream, patience_seconds)

        chosen = [each for each in behind if budget.take()]
        pages = await asyncio.gather(*(page(*each) for each in chosen), return_exceptions=True)
        errors: list[BaseException] = []
        for (job, _), lines in zip(chosen, pages, strict=True):
            if isinstance(lines, BaseException):
                errors.append(lines)
            elif lines:
                self._unread.setdefault(job.name, []).extend(lines)
        for error in errors:
            if not came_too_late(error):
                raise error
        for job in open_jobs:
            self._mark(job)
        found, self._unread = self._unread, {}
        return {name: sorted(lines, key=lambda line: line.time) for name, lines in found.items()}

    @property
    def is_behind(self) -> bool:
        """Whether lines that are there already were left for the next call."""
        streams = (stream for log in self._logs.values() for stream in log.streams.values())
        return any(stream.is_behind for stream in streams)

    def is_done(self, job: Job) -> bool:
        """Whether all lines of a job that is over have been read."""
        return self._log(job).is_done

    def _log(self, job: Job) -> _JobLog:
        return self._logs.setdefault(job.name, _JobLog(job.name))

    async def _page(self, job: Job, stream: _Stream, patience_seconds: float) -> list[LogLine]:
        before = stream.token
        lines, token = await logs.read_page(
            self._clients,
            KINDS[job.kind].api.log_group,
            stream.name,
            before,
            last=stream.last,
            since=self._since,
            patience_seconds=patience_seconds,
        )
        stream.token = token or before
        stream.read_at = time.monotonic()
        # An empty page may be followed by others; the end has the same token again.
        is_whole_tail = before is None and stream.last is not None and self._is_settled(job)
        stream.is_behind = token is not None and token != before and not is_whole_tail
        return lines

    def _mark(self, job: Job) -> None:
        """Whether a job's log is read: everything that was there once it was known to be over."""
        log = self._log(job)
        if not job.is_over or log.looked_at == _NEVER:
            return
        if self._is_settled(job):
            log.was_over = True
        if not log.was_over:
            # Read once more from now on: lines may have come since the last page.
            log.was_over = True
            for stream in log.streams.values():
                stream.is_behind = True
            log.looked_at = -_LATER_SECONDS
        elif not any(stream.is_behind for stream in log.streams.values()):
            log.is_done = True

    def _is_settled(self, job: Job) -> bool:
        """Whether all that a job has printed is there to be read."""
        if not job.is_over or self._clients.target.is_embedded:
            return job.is_over
        ended = job.seen.ended
        return ended is not None and datetime.now(timezone.utc) - ended > _INGESTION

    async def _find_streams(self, jobs: Sequence[Job], budget: CallBudget) -> None:
        due = [job for job in jobs if self._wants_streams(job)]
        if not due:
            return
        if self._together and len(due) > 1:
            for kind in {job.kind for job in due}:
                of_kind = [job for job in due if job.kind == kind]
                prefix = _beginning([f"{job.name}/" for job in of_kind])
                if budget.take():
                    await self._list(of_kind, prefix)
            return
        chosen = [job for job in due if budget.take()]
        await asyncio.gather(*(self._list([job], f"{job.name}/") for job in chosen))

    async def _list(self, jobs: Sequence[Job], prefix: str) -> None:
        group = KINDS[jobs[0].kind].api.log_group
        found = await logs.streams_named(self._clients, group, prefix)
        by_job: dict[str, list[str]] = {}
        for name in found:
            by_job.setdefault(name.partition("/")[0], []).append(name)
        for job in jobs:
            log = self._log(job)
            # A stream that comes later is new from its first line on.
            last = self._last if log.looked_at == _NEVER else None
            log.looked_at = time.monotonic()
            for name in by_job.get(job.name, ()):
                log.streams.setdefault(name, _Stream(name, last))

    def _wants_streams(self, job: Job) -> bool:
        log = self._log(job)
        log.hosts = max(log.hosts, job.seen.instance_count)
        is_missing = len(log.streams) < log.hosts
        rest = self._pause if is_missing else _LATER_SECONDS
        return time.monotonic() - log.looked_at >= rest


def _beginning(names: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(names), max(names)
    same = (number for number, letter in enumerate(first) if not last.startswith(letter, number))
    return first[: next(same, len(first))]
