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
    from cdao_sdk.monitor.labels import JobLabel
    from cdao_sdk.monitor.run_times import RunTimes

__all__ = ["JobExtras"]

_DIAGNOSES_AT_ONCE = 20  # each takes a millisecond or two


class JobExtras:
    """Puts together what is known of each job.

    Args:
        run_times: How long jobs took before.
        tails: What the jobs print.
    """

    def __init__(self, run_times: RunTimes, tails: JobTails) -> None:
        self._run_times = run_times
        self._tails = tails
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
            extra = self._extra(job, known, is_opened=job.name in opened)
            if extra is not None:
                found[job.name] = extra
        return found

    def _extra(self, job: Job, labels: dict[str, JobLabel], *, is_opened: bool) -> Extra | None:
        printed = self._tails.metrics(job.name)
        if job.is_over and printed is None and job.seen.phase is not Phase.SUCCEEDED:
            return None
        metrics = printed.last if printed else {}
        progress, at = progress_of(job, {**metrics, **job.seen.metrics}), None
        if printed is not None and not job.is_over:
            progress, at = _printed_progress(job, printed.series)
        return Extra(
            metrics=metrics,
            metric_series={name: tuple(points) for name, points in printed.series.items()}
            if printed and is_opened
            else {},
            progress=progress,
            expected_seconds=expected_seconds(job, progress, at, self._run_times.of(job, labels)),
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


def _may_be_diagnosed(job: Job) -> bool:
    has_failed = job.seen.phase in (Phase.FAILED, Phase.RETRYABLE)
    return has_failed and bool(job.seen.failure_reason or job.is_described)


def _printed_progress(
    job: Job, series: Mapping[str, Sequence[tuple[datetime, float]]]
) -> tuple[float | None, datetime | None]:
    for name, points in series.items():
        highest = max(value for _, value in points)
        progress = progress_of(job, {name: points[-1][1]}, highest)
        if progress is not None:
            return progress, points[-1][0]
    return None, None
