"""What a feed knows of jobs beside their descriptions: metrics, progress, expected time, causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.kinds.job import Phase
from cdao_sdk.monitor.job_facts import diagnosis_of, expected_seconds, progress_of
from cdao_sdk.monitor.snapshot import Extra

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.monitor.job_tails import JobTails
    from cdao_sdk.monitor.job_usage import JobUsage
    from cdao_sdk.monitor.labels import JobLabel
    from cdao_sdk.monitor.run_times import RunTimes

__all__ = ["JobExtras"]

_SUCCEEDED = Extra(progress=1.0)
# Of a job that is not opened: as many as a line of the table can show.
_POINTS_IN_TABLE = 32
_DIAGNOSES_AT_ONCE = 20  # each takes a millisecond or two


class JobExtras:
    """Puts together what is known of each job.

    Args:
        run_times: How long jobs took before.
        tails: What the jobs print.
        usage: What they use of their instances.
    """

    def __init__(self, run_times: RunTimes, tails: JobTails, usage: JobUsage) -> None:
        self._run_times = run_times
        self._tails = tails
        self._usage = usage
        self._noted: set[str] = set()
        self._diagnoses: dict[str, tuple[Job, Sequence[str], Diagnosis | None]] = {}

    def extras(
        self, jobs: Sequence[Job], labels: Mapping[str, JobLabel], opened: Collection[str]
    ) -> dict[str, Extra]:
        """What is known beside the descriptions, by the job's name; nothing where nothing is."""
        known = dict(labels)
        ended = [job for job in jobs if job.is_over and job.name not in self._noted]
        self._run_times.note(ended, known)
        self._noted.update(job.name for job in ended)
        found: dict[str, Extra] = {}
        for job in jobs:
            # Of most jobs that are over there is nothing to be said beside their descriptions.
            if job.is_over and job.name not in opened and not self._tails.metrics(job.name):
                if job.seen.phase is Phase.SUCCEEDED:
                    found[job.name] = _SUCCEEDED
                if not self._usage.percents(job.name):
                    continue
            found[job.name] = self._extra(job, known, is_opened=job.name in opened)
        return found

    def _extra(self, job: Job, labels: dict[str, JobLabel], *, is_opened: bool) -> Extra:
        printed = self._tails.metrics(job.name)
        told = self._usage.series(job.name)
        series: Mapping[str, Sequence[tuple[datetime, float]]] = dict(told)
        if printed is not None:  # to the line, where CloudWatch has one point a minute
            series = {**told, **printed.series}
        metrics = {name: points[-1][1] for name, points in series.items()}
        progress, at = _told_progress(job, series)
        return Extra(
            metrics=metrics,
            metric_series={
                name: tuple(points) if is_opened else _thinned(points)
                for name, points in series.items()
            },
            progress=progress,
            expected_seconds=expected_seconds(job, progress, at, self._run_times.of(job, labels)),
            utilization=self._usage.percents(job.name),
            hint=self._usage.hint(job.name),
        )

    def diagnoses(self, jobs: Sequence[Job], opened: Collection[str]) -> dict[str, Diagnosis]:
        """Why jobs failed, by the job's name; some at a time, those that are looked at first."""
        failed = [job for job in jobs if job.seen.phase in (Phase.FAILED, Phase.RETRYABLE)]
        failed.sort(key=lambda job: job.name not in opened)
        left = _DIAGNOSES_AT_ONCE
        for job in failed:
            lines = self._tails.lines_for_diagnosis(job)
            known = self._diagnoses.get(job.name)
            if known is not None and known[0] is job and len(known[1]) == len(lines):
                continue
            if left <= 0:
                break
            left -= 1
            self._diagnoses[job.name] = (job, lines, diagnosis_of(job, lines))
        return {name: diagnosis for name, (_, _, diagnosis) in self._diagnoses.items() if diagnosis}

    def finish(self, jobs: Sequence[Job], labels: Mapping[str, JobLabel]) -> None:
        """The watching ends: diagnose all, and keep what later executions can use."""
        known = dict(labels)
        while len(self.diagnoses(jobs, ())) < sum(_may_be_diagnosed(job) for job in jobs):
            continue
        self._run_times.note(jobs, known)
        self._run_times.keep(jobs, known)


def _thinned(points: Sequence[tuple[datetime, float]]) -> tuple[tuple[datetime, float], ...]:
    """Some of the points, at equal distances; the first and the last are among them."""
    if len(points) <= _POINTS_IN_TABLE:
        return tuple(points)
    step = (len(points) - 1) / (_POINTS_IN_TABLE - 1)
    return tuple(points[round(index * step)] for index in range(_POINTS_IN_TABLE))


def _may_be_diagnosed(job: Job) -> bool:
    has_failed = job.seen.phase in (Phase.FAILED, Phase.RETRYABLE)
    return has_failed and bool(job.seen.failure_reason or job.is_described)


def _told_progress(
    job: Job, series: Mapping[str, Sequence[tuple[datetime, float]]]
) -> tuple[float | None, datetime | None]:
    """How far a job is by its own metrics, and when it said so."""
    for name, points in series.items():
        highest = max(value for _, value in points)
        progress = progress_of(job, {name: points[-1][1]}, highest)
        if progress is not None:
            return progress, points[-1][0]
    return progress_of(job, job.seen.metrics), None
