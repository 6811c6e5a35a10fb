"""The SageMaker jobs of an execution on a cluster: from AWS, or else from what Flyte was told."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk.aws.watch import Job
from cdao_sdk.flyte.node_tree import walk
from cdao_sdk.kinds.job import Observation, Phase
from cdao_sdk.kinds.observation import classify, phase_of
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cdao_sdk.flyte.node_tree import NodeExecution, TaskAttempt
    from cdao_sdk.kinds.job import FailureClass

__all__ = ["jobs_flyte_knows"]


def jobs_flyte_knows(nodes: Iterable[NodeExecution]) -> list[Job]:
    """Jobs by the custom info of their attempts; what AWS alone knows is missing.

    Args:
        nodes: The nodes of an execution, with their attempts.
    """
    found: dict[str, Job] = {}
    for node in walk(nodes):
        for attempt in _attempts(node):
            job = _job(attempt, node.started)
            if job is not None:
                found[job.name] = job
    return list(found.values())


def _attempts(node: NodeExecution) -> Iterator[TaskAttempt]:
    for attempt in node.attempts:
        yield attempt
        yield from attempt.elements


def _job(attempt: TaskAttempt, started: datetime | None) -> Job | None:
    info = attempt.custom_info
    kind = str(info.get("kind", ""))
    if not attempt.job_name or kind not in KINDS:
        return None
    status = str(info.get("status", "InProgress"))
    reason = str(info.get("failure_reason", ""))
    phase: Phase = phase_of(status)
    failure_class: FailureClass = ""
    if phase is Phase.FAILED:
        failure = classify(reason)
        phase, failure_class = failure.phase, failure.failure_class
    seen = Observation(
        phase=phase,
        status=status,
        secondary_status=str(info.get("secondary_status", "")),
        message=attempt.message or attempt.phase.lower(),
        failure_reason=reason,
        failure_class=failure_class,
        created=started,
        started=started,
        billable_seconds=_number(info, "billable_seconds"),
        instance_type=str(info.get("instance_type", "")),
        instance_count=_number(info, "instance_count") or 0,
    )
    arn = {KINDS[kind].api.arn_field: info["job_arn"]} if "job_arn" in info else {}
    return Job(
        name=attempt.job_name,
        kind=kind,
        seen=seen,
        created=started or datetime.now(timezone.utc),
        description=arn,
    )


def _number(info: Mapping[str, object], name: str) -> int | None:
    value = info.get(name)
    return int(value) if isinstance(value, (int, float)) else None
