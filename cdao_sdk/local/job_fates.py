"""What faults have in store for one job: pure functions from its request and the rules that struck.

Texts are SageMaker's own, as its users quote them (November 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdao_sdk.local.faults import Rule
    from cdao_sdk.local.job_kinds import JobKind

_NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
_CAPACITY_WAIT = "Insufficient capacity error from EC2 while launching instances, retrying!"
_SLOW_START = "Preparing the instances for training"


@dataclass(frozen=True)
class Wait:
    """A time before a job begins, and what Describe says meanwhile."""

    seconds: float
    secondary_status: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What happens to a job.

    Attributes:
        waits: Before it begins, one after the other.
        outcome: How it ends after them, without having begun; None: it runs.
        interruptions: For each interruption the seconds of Training before it.
    """

    waits: tuple[Wait, ...] = ()
    outcome: Outcome | None = None
    interruptions: tuple[float, ...] = ()


def fate_of(request: Mapping[str, Any], rules: Iterable[Rule]) -> Fate:
    """The fate of the job that a Create… request makes."""
    waits: list[Wait] = []
    outcome: Outcome | None = None
    interruptions: tuple[float, ...] = ()
    is_spot = bool(request.get("EnableManagedSpotTraining"))
    for rule in rules:
        if rule.fault == "slow_start":
            waits.append(Wait(rule.seconds, "Starting", _SLOW_START))
        elif rule.fault == "capacity" and rule.outcome == "fail":
            waits.append(Wait(rule.seconds, "Starting", _CAPACITY_WAIT))
            outcome = Outcome(status="Failed", failure_reason=_NO_CAPACITY)
        elif rule.fault == "capacity":
            patience = _patience(request)
            waits.append(Wait(min(rule.seconds, patience), "Pending", _CAPACITY_WAIT))
            if rule.seconds > patience:
                outcome = Outcome(status="Stopped", secondary_status="MaxWaitTimeExceeded")
        elif rule.fault == "interruption" and is_spot:
            interruptions += (rule.seconds,) * rule.times
    return Fate(waits=tuple(waits), outcome=outcome, interruptions=interruptions)


def check_quota(
    kind: JobKind,
    request: Mapping[str, Any],
    rules: Sequence[Rule],
    live: Callable[[], Iterable[Mapping[str, Any]]],
) -> None:
    """Refuse a job that is over the account's limit of instances in use.

    Args:
        kind: The job's kind.
        request: Its Create… request.
        rules: Those that struck it.
        live: Gives the Create… requests of the jobs of this kind that have not ended.

    Raises:
        AwsError: ResourceLimitExceeded.
    """
    quotas = [rule for rule in rules if rule.fault == "quota"]
    if not quotas:
        return
    usage = _usage(kind, request)
    in_use = [_instances(kind, one) for one in live() if _usage(kind, one) == usage]
    for instance_type, count in _instances(kind, request).items():
        used = sum(one.get(instance_type, 0) for one in in_use)
        for rule in quotas:
            if fnmatchcase(instance_type, rule.instance_type) and used + count > rule.limit:
                quota = f"{instance_type} for {usage} usage"
                raise _over_limit(quota, rule.limit, used, count)


def _over_limit(quota: str, limit: int, used: int, count: int) -> AwsError:
    msg = (
        f"The account-level service limit '{quota}' is {limit} Instances, with current utilization "
        f"of {used} Instances and a request delta of {count} Instances. Please use AWS Service "
        "Quotas to request an increase for this quota. If AWS Service Quotas is not available, "
        "contact AWS support to request an increase for this quota."
    )
    return AwsError(code="ResourceLimitExceeded", message=msg)


def _usage(kind: JobKind, request: Mapping[str, Any]) -> str:
    return f"spot {kind.noun}" if request.get("EnableManagedSpotTraining") else kind.noun


def _instances(kind: JobKind, request: Mapping[str, Any]) -> dict[str, int]:
    """How many instances of each type a job has."""
    resources: Mapping[str, Any] = request
    for member in kind.resources:
        resources = cast("Mapping[str, Any]", resources.get(member, {}))
    groups = cast("list[Mapping[str, Any]]", resources.get("InstanceGroups") or [resources])
    counts: dict[str, int] = {}
    for group in groups:
        if "InstanceType" in group:
            name = str(group["InstanceType"])
            counts[name] = counts.get(name, 0) + int(group.get("InstanceCount", 1))
    return counts


def _patience(request: Mapping[str, Any]) -> float:
    """The seconds that a job waits for capacity before SageMaker gives it up."""
    condition = request.get("StoppingCondition", {})
    limits = [
        float(condition[name])
        for name in ("MaxWaitTimeInSeconds", "MaxPendingTimeInSeconds")
        if name in condition
    ]
    return min(limits, default=float("inf"))
