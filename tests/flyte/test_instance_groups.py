"""A channel for some of a job's hosts, through all layers."""

from __future__ import annotations

import grouped_hosts as flows
import pytest

import cdao_sdk

pytestmark = pytest.mark.usefixtures("on_embedded")


def test_hosts_of_other_groups_get_no_value() -> None:
    execution = cdao_sdk.run(flows.pipeline, {}).wait(timeout=90)
    assert execution.outputs["o0"] == "3 hosts, here readers"
    (train,) = [job for job in execution.jobs() if job.kind == "training"]
    assert train.seen.instance_type == "ml.m5.large + ml.m5.xlarge"
    assert train.seen.instance_count == 3
