"""What ten thousand jobs cost, in calls and in memory."""

from __future__ import annotations

import gc
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.status import StatusWatcher

MINUTES = 5
ASK_SECONDS = 30


# What an account may list, a page a half second, takes 50 s for ten thousand: half of it is used.
@pytest.mark.parametrize(
    ("jobs", "share", "seconds"), [(10_000, 1 / 200, 101), (1_000, 1 / 25, 12)]
)
def test_many_jobs_cost_a_fraction_of_a_describe_each(
    jobs: int, share: float, seconds: float, account: Any, watch: Callable[..., StatusWatcher]
) -> None:
    """Each job is asked for every 30 s; it moves seven times an hour."""
    names = [f"execution-{number}-n0-train-1a2b3c4d-0" for number in range(jobs)]
    account.now -= 3600
    for name in names:
        account.now += 3600 / jobs
        account.add(name)
    watcher, chance = watch(), random.Random(7)
    moves_a_second = jobs * 7 / 3600
    asked, latest = 0, 0.0

    async def ask(second: int) -> float:
        # They do not ask all at the same time.
        due = names[second % ASK_SECONDS :: ASK_SECONDS]
        found = [await watcher.status("training", name) for name in due]
        rows = account.jobs["training"]
        missed = [rows[one.name] for one in found if rows[one.name].status != one.status]
        return max((account.now - row.modified for row in missed), default=0)

    for second in range(MINUTES * 60):
        account.now += 1
        for _ in range(int(moves_a_second) + (chance.random() < moves_a_second % 1)):
            name, ends = chance.choice(names), chance.random() < 1 / 7
            if account.jobs["training"][name].status == "InProgress":
                account.change(name, "Completed" if ends else "InProgress")
        latest = max(latest, bridge.run(ask(second), timeout=60))
        asked += jobs // ASK_SECONDS
    calls = sum(account.calls.values())
    assert calls <= asked * share
    assert latest <= seconds


def test_a_job_takes_less_than_two_kilobytes(
    account: Any, watch: Callable[..., StatusWatcher], ask: Any
) -> None:
    few = [account.add(f"first-{number}") for number in range(10)]
    watcher = watch()
    ask(watcher, *few)  # loads what is loaded once
    names = [account.add(f"execution-{number}-n0-train-1a2b3c4d-0") for number in range(2_000)]
    tracemalloc.start()
    account.now += 30
    ask(watcher, *names)
    gc.collect()
    kept, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept / len(names) < 2_000
