"""Reading Describe answers: fields, failure classes and phases that the kinds have in common.

Statuses come from SageMaker and may grow: an unknown one never raises.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from cdao_sdk.kinds.job import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.kinds.job import FailureClass

# Written by runtime/runner.py at the head of what it reports.
_RUNNER_TAG = re.compile(r"\[cdao:(USER|SYSTEM|RECOVERABLE|INTERRUPTED)\]\s*")

_RUNNER_CLASSES: Mapping[str, tuple[Phase, FailureClass]] = {
    "USER": (Phase.FAILED, "user"),
    "SYSTEM": (Phase.RETRYABLE, "system"),
    "RECOVERABLE": (Phase.RETRYABLE, "recoverable"),
    "INTERRUPTED": (Phase.RETRYABLE, "interrupted"),
}

# SageMaker's FailureReason begins with one of these.
_SERVICE_CLASSES: Mapping[str, tuple[Phase, FailureClass]] = {
    "AlgorithmError": (Phase.FAILED, "user"),
    "ClientError": (Phase.FAILED, "user"),
    "InternalServerError": (Phase.RETRYABLE, "system"),
    "CapacityError": (Phase.RETRYABLE, "system"),
}

STATUSES: Mapping[str, Phase] = {
    "InProgress": Phase.RUNNING,
    "Completed": Phase.SUCCEEDED,
    "Failed": Phase.FAILED,
    "Stopping": Phase.RUNNING,
    "Stopped": Phase.STOPPED,
    "Deleting": Phase.STOPPED,
}
"""Phase by status, for training, processing and transform jobs alike."""


_MESSAGES: Mapping[str, str] = {
    "InProgress": "running",
    "Completed": "completed",
    "Failed": "failed",
    "Stopping": "stopping",
    "Stopped": "stopped",
    "Deleting": "being deleted",
}


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        phase: ``FAILED``, or ``RETRYABLE`` when another attempt may succeed.
        failure_class: Who or what is to blame; empty if nobody knows.
        message: The reason's first line, without the tags of machines.
    """

    phase: Phase
    failure_class: FailureClass
    message: str


def hosts(resources: Mapping[str, object]) -> list[tuple[str, int]]:
    """(instance type, number of instances) of each group in a ResourceConfig."""
    groups = entries(resources, "InstanceGroups") or [resources]
    return [(text(group, "InstanceType"), number(group, "InstanceCount") or 0) for group in groups]


def classify(reason: str) -> Failure:
    """Whose fault a FailureReason or ExitMessage says it is, and whether to try again.

    What is wrong, and the mend, is :func:`cdao_sdk.kinds.failures.translate`'s to say. The runner's
    own tag wins over SageMaker's prefix, which only says that the container failed.
    """
    tag = runner_tag(reason)
    if tag:
        phase, failure_class = _RUNNER_CLASSES[tag[1]]
        return Failure(phase, failure_class, _first_line(reason[tag.end() :]))
    prefix = reason.partition(":")[0].strip()
    phase, failure_class = _SERVICE_CLASSES.get(prefix, (Phase.FAILED, ""))
    return Failure(phase, failure_class, _first_line(reason))


def runner_tag(reason: str) -> re.Match[str] | None:
    """Where the runner's tag is; its group 1 says ``USER``, ``SYSTEM`` and so on."""
    return _RUNNER_TAG.search(reason)


def plain_reason(reason: str) -> str:
    """A FailureReason for people: without the runner's tag.

    Example:
        >>> plain_reason("AlgorithmError: [cdao:USER] ValueError: no column")
        'AlgorithmError: ValueError: no column'
    """
    return _RUNNER_TAG.sub("", reason, count=1)


def phase_of(status: str) -> Phase:
    """Phase of a job's status; an unknown status is taken for work in progress."""
    return STATUSES.get(status, Phase.RUNNING)


def plain_message(status: str, phase: Phase) -> str:
    """One line for kinds without secondary statuses."""
    return "starting" if phase is Phase.INITIALIZING else _MESSAGES.get(status, status)


def spot_savings_percent(
    training_seconds: int | None, billable_seconds: int | None
) -> float | None:
    """What spot instances saved, in percent: ``(1 - billable / training) * 100``.

    Args:
        training_seconds: Seconds the job ran.
        billable_seconds: Seconds paid for.

    Returns:
        ``None`` while either is unknown, or nothing ran.

    Example:
        >>> spot_savings_percent(1000, 300)
        70.0
    """
    if not training_seconds or billable_seconds is None:
        return None
    return round((1 - billable_seconds / training_seconds) * 100, 6)


def text(description: Mapping[str, object], name: str) -> str:
    """A field as text; empty if it is absent."""
    value = description.get(name)
    return value if isinstance(value, str) else ""


def number(description: Mapping[str, object], name: str) -> int | None:
    """A field as a whole number; ``None`` if it is absent."""
    value = description.get(name)
    return int(value) if isinstance(value, (int, float)) else None


def section(description: Mapping[str, object], *names: str) -> Mapping[str, object]:
    """A nested structure; empty if any step is absent."""
    here = description
    for name in names:
        value = here.get(name)
        if not isinstance(value, dict):
            return {}
        here = cast("Mapping[str, object]", value)
    return here


def entries(description: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """A list of structures; empty if it is absent."""
    value = description.get(name)
    return cast("list[Mapping[str, object]]", value) if isinstance(value, list) else []


def moment(description: Mapping[str, object], name: str) -> dt.datetime | None:
    """A field as a point in time: boto3's datetime, or the wire's epoch seconds."""
    value = description.get(name)
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, (int, float)):
        return dt.datetime.fromtimestamp(value, tz=dt.timezone.utc)
    return None


def elapsed_seconds(started: dt.datetime | None, ended: dt.datetime | None) -> int | None:
    """Whole seconds between two points in time; ``None`` while either is open."""
    if started is None or ended is None:
        return None
    return max(0, round((ended - started).total_seconds()))


def _first_line(reason: str) -> str:
    return reason.strip().partition("\n")[0].strip()
