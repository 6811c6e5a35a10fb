"""Four independent jobs through `run()`, beside one, and beside flytekit's own local order."""

from __future__ import annotations

import statistics
import tempfile
import time

import cdao_sdk
from benchmarks.measure import Row

ROUNDS = 3


def rows() -> list[Row]:
    """Each job sleeps; what is measured is how they overlap."""
    from benchmarks import sleeping

    with tempfile.TemporaryDirectory() as state:
        cdao_sdk.configure(state_dir=state)
        cdao_sdk.run(sleeping.one, {"seconds": 0.0}).wait(60)  # clients, code upload
        ones, fours = [], []
        for _ in range(ROUNDS):
            ones.append(_seconds(lambda: cdao_sdk.run(sleeping.one).wait(60)))
            fours.append(_seconds(lambda: cdao_sdk.run(sleeping.four).wait(60)))
        in_order = _seconds(sleeping.four)
    one, four = statistics.median(ones), statistics.median(fours)
    return [
        Row(
            f"four independent jobs that sleep {sleeping.SECONDS:.0f} s, through `run()`",
            f"{four:.2f} s",
            f"one such job: {one:.2f} s",
            f"{four / one:.2f} times",
            "≤ 1.3 times",
        ),
        Row(
            "the same four jobs",
            f"{four:.2f} s",
            f"called as flytekit's local run does: {in_order:.2f} s",
            f"1/{in_order / four:.1f}",
        ),
    ]


def _seconds(call: object) -> float:
    begin = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - begin
