"""What jobs print, as far as a view shows it: the end of the log, and the metrics in it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdao_sdk.aws.log_reader import LogReader
from cdao_sdk.errors import ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.job import Phase
from cdao_sdk.monitor.metric_lines import MetricLines, is_logged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from cdao_sdk.aws.call_budget import CallBudget
    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job

__all__ = ["FEW_JOBS", "JobTails"]

# Lines that a view gets: of an opened job, of one that failed, of one that runs.
_OPENED, _FAILED, _RUNNING = 500, 20, 1
_WORDS_AMONG = 20
_FOR_DIAGNOSIS = 100
_READ_OPENED = 5_000  # one call all the same; the metrics are in them
_MOST_RUNNING = 6
FEW_JOBS = 12
"""So many jobs of an execution are few: the log of each is read at its end, too."""
_EMBEDDED_PAUSE, _AWS_PAUSE = 0.5, 2.0


@dataclass
class _Printed:
    """What one job has printed, as far as it was read."""

    metrics: MetricLines
    is_wide: bool
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_OPENED))


class JobTails:
    """Reads the logs that matter: of opened jobs, of failed ones, and of some that run.

    Args:
        clients: Where to read.
        of_running: Whether those that run matter without being opened.
    """

    def __init__(self, clients: AwsClients, *, of_running: bool) -> None:
        self._of_running = of_running
        self._brief = LogReader(clients, last=_FOR_DIAGNOSIS)
        self._whole = LogReader(clients, last=_READ_OPENED)
        self._printed: dict[str, _Printed] = {}
        self._refused: dict[str, str] = {}
        self._wide: set[str] = set()  # once opened, a job's log is read by the same reader
        self._pause = _EMBEDDED_PAUSE if clients.target.is_embedded else _AWS_PAUSE
        self._due = 0.0

    def metrics(self, name: str) -> MetricLines | None:
        """The metrics that a job's log has told so far; None: none was read."""
        printed = self._printed.get(name)
        return printed.metrics if printed is not None else None

    def lines_for_diagnosis(self, job: Job) -> Sequence[str]:
        """The last lines of a job."""
        printed = self._printed.get(job.name)
        return [line.text for line in list(printed.lines)[-_FOR_DIAGNOSIS:]] if printed else []

    def tails(self, jobs: Sequence[Job], opened: Collection[str]) -> dict[str, list[str]]:
        """The last lines of those jobs whose log was read, by the job's name."""
        by_name = {job.name: job for job in jobs} if self._printed or self._refused else {}
        tails = {
            name: list(_shown(by_name[name], printed.lines, length))
            for name, printed in self._printed.items()
            if name in by_name and (length := _length(by_name[name], opened))
        }
        return {**tails, **{name: [text] for name, text in self._refused.items()}}

    def wants(self, jobs: Sequence[Job], opened: Collection[str]) -> int:
        """How many calls it could use now."""
        return 2 * len(self._chosen(jobs, opened))

    async def read(
        self,
        jobs: Sequence[Job],
        opened: Collection[str],
        budget: CallBudget,
        *,
        patience_seconds: float = 60.0,
    ) -> None:
        """Read on.

        Args:
            jobs: All jobs.
            opened: Names of those that are looked at.
            budget: How many calls it may cost.
            patience_seconds: How long a call may wait for its turn.

        Raises:
            ResourcesUnavailable: It was throttled, or nobody answers.
        """
        chosen = self._chosen(jobs, opened)
        if not chosen:
            return
        self._due = time.monotonic() + self._pause
        self._wide.update(name for name in opened if name not in self._refused)
        for reader in (self._whole, self._brief):
            some = [job for job in chosen if self._reader(job) is reader]
            if not some:
                continue
            try:
                found = await reader.read(some, budget, patience_seconds=patience_seconds)
            except ResourcesUnavailable:
                raise
            except SubmissionError as error:  # the jobs can be watched without their logs
                text = f"(its log cannot be read: {error})"
                self._refused.update(dict.fromkeys((job.name for job in some), text))
                continue
            for job in some:
                if lines := found.get(job.name):
                    self._keep(job, lines, is_wide=reader is self._whole)

    def _reader(self, job: Job) -> LogReader:
        return self._whole if job.name in self._wide else self._brief

    def _keep(self, job: Job, lines: Sequence[LogLine], *, is_wide: bool) -> None:
        printed = self._printed.get(job.name)
        # What was read in short before is read anew when the job is opened.
        if printed is None or printed.is_wide != is_wide:
            printed = self._printed[job.name] = _Printed(MetricLines(job.description), is_wide)
        printed.metrics.add(lines)
        printed.lines.extend(lines)

    def _chosen(self, jobs: Sequence[Job], opened: Collection[str]) -> list[Job]:
        """Whose log is read now, the most wanted first."""
        is_due = time.monotonic() >= self._due
        looked_at = [
            job
            for job in jobs
            if job.name in opened
            and job.name not in self._refused
            and not self._whole.is_done(job)
            and (is_due or job.is_over or job.name not in self._wide)
        ]
        failed = [
            job
            for job in jobs
            if job.seen.phase in (Phase.FAILED, Phase.RETRYABLE)
            and job.name not in opened
            and job.name not in self._refused
            and not self._reader(job).is_done(job)
        ]
        running = [
            job
            for job in jobs
            if self._of_running and is_due and not job.is_over and job.name not in opened
        ]
        return [*looked_at, *failed, *running[:_MOST_RUNNING], *self._few_ended(jobs, opened)]

    def _few_ended(self, jobs: Sequence[Job], opened: Collection[str]) -> list[Job]:
        """Those that succeeded, for the metrics in their logs; where there are few jobs."""
        if len(jobs) > FEW_JOBS:
            return []
        return [
            job
            for job in jobs
            if job.seen.phase is Phase.SUCCEEDED
            and job.name not in opened
            and job.name not in self._refused
            and not self._reader(job).is_done(job)
        ]


def _length(job: Job, opened: Collection[str]) -> int:
    if job.name in opened:
        return _OPENED
    if job.seen.phase is Phase.SUCCEEDED:
        return 0
    return _FAILED if job.is_over else _RUNNING


def _shown(job: Job, lines: Collection[LogLine], most: int) -> Iterator[str]:
    has_hosts = job.seen.instance_count > 1
    for line in _last(lines, most):
        yield f"{line.host}| {line.text}" if has_hosts else line.text


def _last(lines: Collection[LogLine], most: int) -> Sequence[LogLine]:
    """The last lines; a single one is one with words, where there is any: metrics have columns."""
    some = list(lines)[-max(most, _WORDS_AMONG) :]
    if most == _RUNNING:
        some = [line for line in some if line.text.strip() and not is_logged(line.text)] or some
    return some[-most:]
