"""Who goes first when SageMaker has no room: requests of like jobs wait in the order they came in.

A line belongs to one quota (kind of job, instance type, spot or not). Whoever asks after a waiting
job moves the whole line on: the first in it is sent, then the next, until one is refused again.
So what has waited longest is made first, and a quota that is used up costs one refused call a
pause, however many wait. Each process has lines of its own; a request's place follows from when it
came, which its meta says, so those of several replicas agree but for who asks first.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdao_sdk.errors import CdaoError, ResourcesUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Waiting", "WaitingLine", "WaitingLines", "quota_name"]

# SageMaker's text of ResourceLimitExceeded, as its users quote it (deepracer-on-aws#88, zenml#847).
_QUOTA = re.compile(r"service limit '([^']+)'")
_AMOUNTS = re.compile(r"is (\d+) .*?request delta of (\d+) ", re.S)
_QUOTA_CODES = frozenset({"LimitExceededException", "ResourceLimitExceeded", "CapacityError"})

_FORGOTTEN_SECONDS = 600.0
"""A request that nobody has asked after for so long is out of the line: Propeller looks each 30 s,
or each few minutes when it has thousands of jobs."""


def quota_name(message: str) -> str:
    """The quota that a refusal names; empty if it names none.

    Example:
        >>> quota_name("The account-level service limit 'ml.p3.2xlarge for training job usage' …")
        'ml.p3.2xlarge for training job usage'
    """
    found = _QUOTA.search(message)
    return found[1] if found else ""


def never_fits(message: str) -> bool:
    """Whether the request is larger than the whole quota: it must not hold up smaller ones."""
    found = _AMOUNTS.search(message)
    return bool(found) and int(found[2]) > int(found[1])


@dataclass
class Waiting:
    """A request in a line.

    Attributes:
        name: The job's name.
        since: When it came, in seconds since 1970.
        send: Sends it.
        reason: What SageMaker said last.
        code: The code of it.
        oversized: Whether it asks for more than the quota will ever give.
        asked: When somebody asked after it, by the line's clock.
    """

    name: str
    since: float
    send: Callable[[], Awaitable[None]]
    reason: str = ""
    code: str = ""
    oversized: bool = False
    asked: float = 0.0

    @property
    def rank(self) -> tuple[bool, float, str]:
        """The place in the line."""
        return (self.oversized, self.since, self.name)


@dataclass
class WaitingLine:
    """The line for one quota.

    Attributes:
        pause_seconds: Shortest time between two refusals; it grows to ``longest_seconds``.
        longest_seconds: Longest such time.
    """

    pause_seconds: float
    longest_seconds: float
    clock: Callable[[], float] = time.monotonic
    _entries: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    _verdicts: dict[str, CdaoError] = field(default_factory=dict[str, CdaoError])
    _not_before: float = 0.0
    _refusals: int = 0
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def join(self, entry: Waiting) -> None:
        """Wait here; a request that does so already is only asked after."""
        known = self._entries.setdefault(entry.name, entry)
        known.asked = self.clock()

    def leave(self, name: str) -> None:
        """Wait no longer."""
        self._entries.pop(name, None)

    def refused(self, name: str, error: ResourcesUnavailable) -> None:
        """SageMaker had no room for a request: nobody is sent for a while."""
        self._refusals += 1
        pause = min(self.pause_seconds * 2 ** min(self._refusals - 1, 10), self.longest_seconds)
        # Spread over half of it, or all replicas would ask in step.
        self._not_before = self.clock() + pause * random.uniform(0.5, 1)  # noqa: S311 # no secret
        if entry := self._entries.get(name):
            entry.reason, entry.code = str(error), error.code
            entry.oversized = error.code == "ResourceLimitExceeded" and never_fits(entry.reason)

    def place(self, name: str) -> int:
        """The place of a request, from 1."""
        rank = self._entries[name].rank
        return 1 + sum(other.rank < rank for other in self._entries.values())

    def reason(self, name: str) -> tuple[str, str]:
        """Why a request waits: what SageMaker said to it, or to another in this line; the code."""
        own = self._entries[name]
        if own.reason:
            return own.reason, own.code
        others = (entry for entry in self._entries.values() if entry.reason)
        said = max(others, key=lambda entry: entry.asked, default=own)
        return said.reason, said.code

    async def advance(self) -> None:
        """Send those whose turn it is, the first ones first, until one is refused."""
        if self._busy.locked():
            return  # another does it
        async with self._busy:
            self._forget()
            tried: set[str] = set()
            while self.clock() >= self._not_before:
                left = [entry for entry in self._entries.values() if entry.name not in tried]
                if not left:
                    return
                first = min(left, key=lambda entry: entry.rank)
                tried.add(first.name)
                await self._send(first)

    async def _send(self, entry: Waiting) -> None:
        try:
            await entry.send()
        except ResourcesUnavailable as error:
            self.refused(entry.name, error)
        except CdaoError as error:  # it will not get better by waiting; its own asker is told
            self.leave(entry.name)
            self._verdicts[entry.name] = error
        else:
            self._refusals = 0
            self.leave(entry.name)

    def verdict(self, name: str) -> CdaoError | None:
        """What became of a request that another's asking has sent, if it was refused for good."""
        return self._verdicts.pop(name, None)

    def _forget(self) -> None:
        longest = self.clock() - _FORGOTTEN_SECONDS
        for name in [entry.name for entry in self._entries.values() if entry.asked < longest]:
            del self._entries[name]


class WaitingLines:
    """The lines of a process.

    Args:
        pause_seconds: Shortest time between two refused calls of one quota.
        longest_seconds: Longest such time.
        clock: Seconds, from anywhere.
    """

    def __init__(
        self,
        pause_seconds: float = 5.0,
        longest_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause_seconds
        self._longest = longest_seconds
        self._clock = clock
        self._lines: dict[tuple[object, ...], WaitingLine] = {}

    def line(self, *quota: object) -> WaitingLine:
        """The line for a quota, whatever identifies it."""
        if quota not in self._lines:
            self._lines[quota] = WaitingLine(self._pause, self._longest, self._clock)
        return self._lines[quota]

    def waiting(self) -> int:
        """How many requests wait, in all lines."""
        return sum(map(len, self._lines.values()))

    @staticmethod
    def is_quota(code: str) -> bool:
        """Whether a refusal is for want of quota or capacity, and not for asking too often."""
        return code in _QUOTA_CODES
