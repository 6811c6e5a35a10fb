"""What SageMaker and S3 have at the end, and whether it is as it should be.

The connector is not asked: names are computed anew, jobs come from SageMaker's lists, outputs from
the objects below Flyte's prefix.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from flyteidl.core.literals_pb2 import LiteralMap

from cdao_sdk.kinds.naming import job_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from connector_lives.propeller import Course

__all__ = ["Evidence", "Job", "gather_evidence", "judge"]

OVERLAP_SECONDS = 4.0
"""A job that is stopped goes on until its process has ended, on a slow machine for seconds."""
_QUIET_SECONDS = 3.0
"""Until a request that was kept in the last moment would have been sent."""
_STEPS = 3  # instance types of the task that names several
_ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Job:
    """A job of SageMaker's list."""

    name: str
    status: str
    created: datetime
    ended: datetime | None
    reason: str


@dataclass(frozen=True)
class Evidence:
    """All that there is.

    Attributes:
        jobs: Name → job.
        models: Names of models.
        outputs: Key of each ``outputs.pb`` → its content.
    """

    jobs: Mapping[str, Job]
    models: Sequence[str]
    outputs: Mapping[str, bytes]


def gather_evidence(boto: Any, bucket: str, prefix: str, *, settle_seconds: float) -> Evidence:
    """Wait until no job is in progress, but no longer than that, and read everything.

    Args:
        boto: Makes boto3's client of a service.
        bucket: Flyte's bucket.
        prefix: Flyte's prefix in it.
        settle_seconds: Time for the connector to stop what is left.
    """
    sagemaker = boto("sagemaker")
    time.sleep(_QUIET_SECONDS)
    until = time.monotonic() + settle_seconds
    while True:
        in_progress = [
            *_jobs(sagemaker, "processing", StatusEquals="InProgress"),
            *_jobs(sagemaker, "processing", StatusEquals="Stopping"),
            *_jobs(sagemaker, "transform", StatusEquals="InProgress"),
            *_jobs(sagemaker, "transform", StatusEquals="Stopping"),
        ]
        models = [
            model["ModelName"]
            for page in sagemaker.get_paginator("list_models").paginate()
            for model in page["Models"]
        ]
        if not (in_progress or models) or time.monotonic() > until:
            break
        time.sleep(0.2)
    jobs = [*_jobs(sagemaker, "processing"), *_jobs(sagemaker, "transform")]
    s3 = boto("s3")
    keys = [
        found["Key"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for found in page.get("Contents", [])
        if found["Key"].endswith("/outputs.pb")
    ]

    def read(key: str) -> bytes:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    with ThreadPoolExecutor(4) as pool:
        outputs = dict(zip(keys, pool.map(read, keys), strict=True))
    return Evidence({job.name: job for job in jobs}, models, outputs)


def _jobs(sagemaker: Any, kind: str, **query: str) -> list[Job]:
    title = kind.title()
    pages = sagemaker.get_paginator(f"list_{kind}_jobs").paginate(**query)
    return [
        Job(
            found[f"{title}JobName"],
            found[f"{title}JobStatus"],
            found["CreationTime"],
            found.get(f"{title}EndTime"),
            found.get("FailureReason", ""),
        )
        for page in pages
        for found in page[f"{title}JobSummaries"]
    ]


def judge(courses: Sequence[Course], evidence: Evidence, prefixes: Mapping[str, str]) -> list[str]:
    """What is not as it should be; empty: all is.

    Args:
        courses: How the lives went.
        evidence: What there is.
        prefixes: Execution → prefix of the keys of its outputs, without the attempt.
    """
    found: list[str] = []
    known: set[str] = set()
    for course in courses:
        judged = _Judged(course, evidence, prefixes[course.execution])
        known.update(job.name for jobs in judged.jobs.values() for job in jobs)
        told = [*course.problems, *judged.problems()]
        found += [f"{course.execution} ({course.life.story}, {course.end}): {it}" for it in told]
    found += [f"job {name} belongs to no life" for name in evidence.jobs.keys() - known]
    found += [f"model {name} is left" for name in evidence.models]
    return found


class _Judged:
    def __init__(self, course: Course, evidence: Evidence, prefix: str) -> None:
        self._course = course
        self._life = course.life
        self._evidence = evidence
        self._prefix = prefix
        self.jobs: dict[int, list[Job]] = defaultdict(list)
        for attempt in range(course.life.attempts):
            for step in range(_STEPS):
                label = f"n0-{course.life.task}" + (f"-type{step}" if step else "")
                job = evidence.jobs.get(job_name(course.execution, label, attempt))
                if job is not None:
                    self.jobs[attempt].append(job)

    def problems(self) -> Iterable[str]:
        yield from self._one_job_each()
        yield from self._one_at_a_time()
        yield from self._no_orphan()
        yield from self._right_end()
        yield from self._right_outputs()

    def _one_job_each(self) -> Iterable[str]:
        for attempt, jobs in self.jobs.items():
            # Of several instance types the later ones are for want of the earlier ones.
            whole = [job for job in jobs if not job.reason.startswith("CapacityError")]
            if len(whole) > 1:
                yield f"attempt {attempt} has more than one job: {whole}"

    def _one_at_a_time(self) -> Iterable[str]:
        jobs = sorted(
            (job for jobs in self.jobs.values() for job in jobs), key=attrgetter("created")
        )
        for first, second in itertools.combinations(jobs, 2):
            if first.ended is None:
                continue  # told as an orphan
            both = (first.ended - second.created).total_seconds()
            if both > OVERLAP_SECONDS:
                yield f"two jobs at once for {both:.1f} s: {first}, {second}"

    def _no_orphan(self) -> Iterable[str]:
        for jobs in self.jobs.values():
            for job in jobs:
                if job.status not in _ENDED:
                    yield f"an orphan: {job}"

    def _right_end(self) -> Iterable[str]:
        course, life = self._course, self._life
        jobs = self.jobs.get(course.attempt, [])
        last = jobs[-1].status if jobs else ""
        is_right = {
            "succeeded": last == "Completed" and not life.may_fail,
            "failed": last == "Failed" and life.may_fail,
            "exhausted": last == "Failed",
            "aborted": life.abort is not None,
            # The creation of its last attempt was never answered.
            "given up": course.attempt not in course.answered,
        }
        if not is_right.get(course.end):
            yield f"its last jobs are {jobs}: {course.message}"

    def _right_outputs(self) -> Iterable[str]:
        course = self._course
        for attempt in range(self._life.attempts):
            content = self._evidence.outputs.get(f"{self._prefix}/{attempt}/outputs.pb")
            is_end = course.end == "succeeded" and attempt == course.attempt
            if is_end and course.outputs is not None:
                content = course.outputs
            if content is None:
                if is_end:
                    yield f"attempt {attempt} has no outputs"
                continue
            done = [job for job in self.jobs.get(attempt, []) if job.status == "Completed"]
            if not done:
                yield f"attempt {attempt} has outputs of no job: {self.jobs.get(attempt)}"
                continue
            value = LiteralMap.FromString(content).literals["o0"].scalar.primitive.string_value
            if value != f"{self._life.word} by {done[0].name}":
                yield f"attempt {attempt} has outputs of another: {value!r}"
