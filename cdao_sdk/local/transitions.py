"""The Describe document of a job from its birth to its end: pure functions from one to the next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.jobs import Outcome

    Describe = Mapping[str, Any]

TERMINAL = {"Completed", "Failed", "Stopped"}
# What a managed spot training is billed here, in place of AWS's spot price: a simulation.
SPOT_BILLED_SHARE = 0.3
_LONGEST_REASON = 1024
_BEFORE_START = {"Pending", "Starting"}
_CREATED = "Launching requested ML instances"
_STOPPING = "Stopping the job"
_ENDED = {"Completed": "{noun} completed", "Failed": "{noun} failed", "Stopped": "{noun} stopped"}


def status_of(kind: JobKind, describe: Describe) -> str:
    """The job's status."""
    return str(describe[kind.status_member])


def created(
    kind: JobKind,
    request: Mapping[str, Any],
    *,
    members: Iterable[str],
    region: str,
    now: float,
) -> Describe:
    """The document of a new job: what Describe gives back of the request, and where it stands."""
    told = {**kind.defaults, **request}
    name = request[kind.name_member]
    describe = {member: told[member] for member in members if member in told}
    describe |= {
        kind.arn_member: kind.arn(region, name),
        kind.status_member: "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    return _moved(kind, describe, "Starting", _CREATED, now)


def reported(
    kind: JobKind, describe: Describe, secondary: str, message: str, now: float
) -> Describe:
    """The document in the phase that the executor reports; the second one starts the clock."""
    if status_of(kind, describe) != "InProgress":
        return describe
    started = {} if secondary in _BEFORE_START else {kind.start_member: now}
    describe = {**started, **describe, "LastModifiedTime": now}
    return _moved(kind, describe, secondary, message, now)


def stopping(kind: JobKind, describe: Describe, now: float) -> Describe:
    """The document once the job's end was asked for."""
    if status_of(kind, describe) != "InProgress":
        return describe
    describe = {**describe, kind.status_member: "Stopping", "LastModifiedTime": now}
    return _moved(kind, describe, "Stopping", _STOPPING, now)


def ended(kind: JobKind, describe: Describe, outcome: Outcome, now: float) -> Describe:
    """The document of a finished job."""
    last = {
        **describe,
        kind.status_member: outcome.status,
        kind.end_member: now,
        "LastModifiedTime": now,
    }
    if outcome.failure_reason:
        last["FailureReason"] = outcome.failure_reason[:_LONGEST_REASON]
    if outcome.exit_message and kind.kind == "processing":
        last["ExitMessage"] = outcome.exit_message[:_LONGEST_REASON]
    if not kind.has_secondary_status:
        return last
    last |= _trained(last, outcome, now)
    secondary = outcome.secondary_status or outcome.status
    message = outcome.failure_reason or _ENDED[outcome.status].format(noun=kind.noun.capitalize())
    last = dict(_moved(kind, last, secondary, message, now))
    last["SecondaryStatusTransitions"][-1]["EndTime"] = now
    return last


def _trained(describe: Describe, outcome: Outcome, now: float) -> dict[str, Any]:
    started = describe.get("TrainingStartTime")
    seconds = math.ceil(now - started - _reclaimed_seconds(describe, now)) if started else 0
    spot = describe.get("EnableManagedSpotTraining")
    trained: dict[str, Any] = {
        "TrainingTimeInSeconds": seconds,
        "BillableTimeInSeconds": math.ceil(seconds * SPOT_BILLED_SHARE) if spot else seconds,
    }
    if outcome.model_artifact:
        trained["ModelArtifacts"] = {"S3ModelArtifacts": outcome.model_artifact}
    if outcome.metrics:
        trained["FinalMetricDataList"] = [
            {"MetricName": name, "Value": value, "Timestamp": now}
            for name, value in outcome.metrics.items()
        ]
    return trained


def _reclaimed_seconds(describe: Describe, now: float) -> float:
    """How long a spot training had no instances, after it had begun."""
    steps: list[dict[str, Any]] = list(describe.get("SecondaryStatusTransitions", ()))
    waits = [
        (step["StartTime"], step.get("EndTime", now))
        for step in steps
        if step["Status"] in {"Interrupted", *_BEFORE_START}
    ]
    begun = describe.get("TrainingStartTime", now)
    return sum(end - start for start, end in waits if start >= begun)


def _moved(kind: JobKind, describe: Describe, secondary: str, message: str, now: float) -> Describe:
    """The document in another phase, for the kinds that tell their phases."""
    if not kind.has_secondary_status:
        return describe
    transitions = [dict(one) for one in describe.get("SecondaryStatusTransitions", ())]
    if transitions and transitions[-1]["Status"] == secondary:
        transitions[-1]["StatusMessage"] = message
    else:
        if transitions:
            transitions[-1]["EndTime"] = now
        transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
    return {
        **describe,
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": transitions,
    }
