"""A monitor in an account with a long history."""

from __future__ import annotations

import time
from typing import Any

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
