"""What a job's description tells beside its status: cost, links, how far it is. Pure."""

from __future__ import annotations

import functools
import math
import re
import statistics
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import list_cost
from cdao_sdk.kinds.failures import translate
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.links import console_links
from cdao_sdk.kinds.observation import entries, hosts, section
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.kinds.failures import Diagnosis

__all__ = ["cost_usd", "diagnosis_of", "expected_seconds", "links_of", "progress_of", "total_usd"]

# Metrics by which a job says how far it is; the body logs them.
_PROGRESS = re.compile(r"progress(_percent|_ratio)?", re.IGNORECASE)
_LEAST_PROGRESS = 0.01  # before that, what is left is a guess


def cost_usd(job: Job, region: str, now: datetime) -> float | None:
    """What a job has cost so far at the list price, storage excluded.

    Args:
        job: The job.
        region: AWS region.
        now: Until when a job that goes on has run.

    Returns:
        US dollars; None where the price or the time is unknown, never 0 for that.
    """
    seen = job.seen
    seconds: float | None = seen.billable_seconds
    if seconds is None and seen.started is not None and not job.is_over:
        seconds = max(0.0, (now - seen.started).total_seconds())
    if seconds is None or not region or job.kind not in KINDS:
        return None
    component = KINDS[job.kind].spec.component
    costs = [
        list_cost(name, component, region, instances=count, seconds=seconds)
        for name, count in _hosts(job)
    ]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if known and len(known) == len(costs) else None


def _hosts(job: Job) -> Sequence[tuple[str, int]]:
    groups = section(job.description, "ResourceConfig")
    if entries(groups, "InstanceGroups"):
        return hosts(groups)
    seen = job.seen
    return [(seen.instance_type, seen.instance_count)] if seen.instance_type else []


@functools.lru_cache(maxsize=4096)
def links_of(kind: str, job_name: str, region: str) -> tuple[tuple[str, str], ...]:
    """(title, URL) of the job's pages in AWS's console."""
    return console_links(kind, job_name, region).titled


def diagnosis_of(job: Job, log_tail: Sequence[str]) -> Diagnosis | None:
    """Why a job failed; None if it did not.

    Args:
        job: The job.
        log_tail: Its last log lines, as far as they are known.
    """
    seen = job.seen
    if seen.phase not in (Phase.FAILED, Phase.RETRYABLE):
        return None
    if not (seen.failure_reason or job.is_described):
        return None  # the entry of a list does not say why
    status = (seen.status, seen.secondary_status)
    return _translated(seen.failure_reason, tuple(log_tail), status, job.kind, seen.instance_type)


@functools.lru_cache(maxsize=2048)
def _translated(
    reason: str,
    log_tail: tuple[str, ...],
    status: tuple[str, str],
    kind: str,
    instance_type: str,
) -> Diagnosis:
    return translate(
        reason,
        log_tail=log_tail,
        status=status[0],
        secondary_status=status[1],
        kind=kind,
        instance_type=instance_type,
    )


def progress_of(job: Job, metrics: Mapping[str, float], highest: float = 0.0) -> float | None:
    """How far a job is, from 0 to 1, by a metric of its own; None where nothing tells.

    Args:
        job: The job.
        metrics: Last value of each; ``progress`` (0 to 1, or percent), ``progress_ratio`` or
            ``progress_percent`` says it.
        highest: The highest value so far, which tells percents from shares.
    """
    if job.seen.phase is Phase.SUCCEEDED:
        return 1.0
    for name, value in metrics.items():
        match = _PROGRESS.fullmatch(name)
        if match is None or not math.isfinite(value):
            continue
        is_percent = match[1] == "_percent" or (not match[1] and max(value, highest) > 1)
        return min(1.0, max(0.0, value / 100 if is_percent else value))
    return None


def expected_seconds(
    job: Job,
    progress: float | None,
    progress_at: datetime | None,
    earlier: Sequence[float] = (),
) -> float | None:
    """How long a job should take from its creation on; None where nothing tells.

    Args:
        job: The job.
        progress: How far it was, from 0 to 1.
        progress_at: When.
        earlier: How long the same took before: earlier runs of the node, or elements of the same
            map that are done.
    """
    if job.is_over:
        return None
    started = job.seen.started
    if progress is not None and progress >= _LEAST_PROGRESS and started and progress_at:
        waited = (started - job.created).total_seconds()
        return max(0.0, waited) + max(0.0, (progress_at - started).total_seconds()) / progress
    return statistics.median(earlier) if earlier else None


def total_usd(costs: Iterable[float | None]) -> float | None:
    """The sum of the costs that are known; None if none is.

    Example:
        >>> total_usd([0.5, None, 1.0]), total_usd([None])
        (1.5, None)
    """
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None
