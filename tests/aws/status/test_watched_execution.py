"""A monitor in an account with a long history."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.watch import JobWatch

LIST, DESCRIBE = "ListTrainingJobs", "DescribeTrainingJob"


def test_history_is_paged_through_once(account: Any, clients_of: Any) -> None:
    account.now = time.time() - 451 * 60
    for number in range(450):
        account.now += 60
        account.change(account.add(f"past-{number}"), "Completed")
    account.now += 60
    account.add("mine-1")
    watch = JobWatch(clients_of(account.url), "mine")
    assert [job.name for job in bridge.run(watch.refresh(), timeout=30)] == ["mine-1"]
    assert account.calls[LIST] == 5
    account.calls.clear()
    account.now += 60
    account.add("mine-2")
    account.change("mine-1")
    found = bridge.run(watch.refresh(), timeout=30)
    assert [job.name for job in found] == ["mine-1", "mine-2"]
    assert found[0].seen.secondary_status == "Training"
    assert account.calls[LIST] == 1


def test_other_peoples_younger_jobs_are_not_paged_through_at_each_look(
    account: Any, clients_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdao_sdk.aws.watch._REST_SECONDS", 0.0)
    account.now = time.time() - 2_000 * 60
    account.add("mine-1")
    for number in range(2_000):
        account.now += 60
        account.add(f"theirs-{number}")
    watch = JobWatch(clients_of(account.url), "mine")
    bridge.run(watch.refresh(), timeout=60)
    account.calls.clear()
    account.change("mine-1", "Completed")
    [job] = bridge.run(watch.refresh(), timeout=30)
    assert job.status == "Completed"
    assert account.calls["ListTrainingJobs"] == 1
    assert account.calls["DescribeTrainingJob"] == 1
