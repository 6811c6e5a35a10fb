"""What faults have in store for a job, and the quota that refuses one: pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.faults import Rule
from cdao_sdk.local.job_fates import Wait, check_quota, fate_of
from cdao_sdk.local.job_kinds import JOB_KINDS

TRAINING, PROCESSING, TRANSFORM = JOB_KINDS
SPOT = {"EnableManagedSpotTraining": True}


def machine(instance_type: str, count: int) -> dict[str, Any]:
    return {"InstanceType": instance_type, "InstanceCount": count}


def test_waits_follow_each_other_in_the_order_of_the_rules() -> None:
    rules = [
        Rule(fault="capacity", outcome="wait", seconds=5),
        Rule(fault="slow_start", seconds=2),
        Rule(fault="latency", seconds=9),
    ]
    fate = fate_of({}, rules)
    assert [(wait.seconds, wait.secondary_status) for wait in fate.waits] == [
        (5, "Pending"),
        (2, "Starting"),
    ]
    assert fate.outcome is None


@pytest.mark.parametrize("limit", ["MaxWaitTimeInSeconds", "MaxPendingTimeInSeconds"])
def test_a_wait_beyond_the_limit_of_the_request_stops_the_job(limit: str) -> None:
    rule = Rule(fault="capacity", outcome="wait", seconds=100)
    fate = fate_of({"StoppingCondition": {limit: 60}}, [rule])
    assert [wait.seconds for wait in fate.waits] == [60]
    assert fate.outcome is not None
    assert fate.outcome.status == "Stopped"
    assert fate_of({"StoppingCondition": {limit: 100}}, [rule]).outcome is None


def test_interruptions_are_of_spot_instances_alone() -> None:
    rules = [Rule(fault="interruption", seconds=3, times=2)]
    assert fate_of(SPOT, rules).interruptions == (3, 3)
    assert fate_of({}, rules).interruptions == ()


def test_capacity_that_is_missing_for_long_fails_late() -> None:
    fate = fate_of(SPOT, [Rule(fault="capacity", seconds=4)])
    assert [wait.seconds for wait in fate.waits] == [4]
    assert isinstance(fate.waits[0], Wait)
    assert fate.outcome is not None
    assert str(fate.outcome.failure_reason).startswith("CapacityError")


@pytest.mark.parametrize(
    ("kind", "request_", "quota"),
    [
        (
            TRAINING,
            {"ResourceConfig": machine("ml.m5.large", 2)},
            "'ml.m5.large for training job usage' is 3",
        ),
        (
            TRAINING,
            {"ResourceConfig": machine("ml.m5.large", 2), **SPOT},
            "'ml.m5.large for spot training job usage' is 3",
        ),
        (
            TRAINING,
            {"ResourceConfig": {"InstanceGroups": [machine("ml.c5.large", 1)] * 2}},
            "'ml.c5.large for training job usage' is 3",
        ),
        (
            PROCESSING,
            {"ProcessingResources": {"ClusterConfig": machine("ml.m5.large", 2)}},
            "'ml.m5.large for processing job usage' is 3",
        ),
        (
            TRANSFORM,
            {"TransformResources": machine("ml.m5.large", 2)},
            "'ml.m5.large for transform job usage' is 3",
        ),
    ],
    ids=["training", "spot", "groups", "processing", "transform"],
)
def test_a_quota_is_of_a_type_and_a_usage(kind: Any, request_: dict[str, Any], quota: str) -> None:
    rules = [Rule(fault="quota", limit=3)]
    check_quota(kind, request_, rules, list)
    with pytest.raises(AwsError, match=quota) as error:
        check_quota(kind, request_, rules, lambda: [request_])
    assert "current utilization of 2 Instances and a request delta of 2" in str(error.value)
    check_quota(kind, request_, [Rule(fault="quota", instance_type="ml.p*")], lambda: [request_])
