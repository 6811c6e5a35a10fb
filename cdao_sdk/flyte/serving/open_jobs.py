"""The jobs that Propeller asks about, by phase: for the metrics, and to log what changed."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["OpenJobs"]


class OpenJobs:
    """Which jobs this replica was asked about lately, and in which phase each was.

    Args:
        seconds: A job that nobody asks about for so long is forgotten. Propeller asks every
            30 s; with several replicas each hears of a job now and then.
        limit: Jobs at most; the longest unseen is forgotten first.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        seconds: float = 600,
        limit: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._limit = limit
        self._clock = clock
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def saw(self, job_name: str, phase: str, *, is_over: bool) -> bool:
        """Note a job's phase; whether it is news."""
        known = self._seen.pop(job_name, None)
        if not is_over:
            self._seen[job_name] = (phase, self._clock())
            if len(self._seen) > self._limit:
                self._seen.popitem(last=False)
        return known is None or known[0] != phase

    def forget(self, job_name: str) -> None:
        """The job was stopped."""
        self._seen.pop(job_name, None)

    def by_phase(self) -> Mapping[str, int]:
        """Phase → number of jobs."""
        oldest = self._clock() - self._seconds
        while self._seen:
            name, (_, seen) = next(iter(self._seen.items()))
            if seen >= oldest:
                break
            self._seen.pop(name, None)
        # A copy: the metrics' server asks from a thread of its own.
        return Counter(phase for phase, _ in list(self._seen.values()))
