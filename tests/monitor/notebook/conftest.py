"""Snapshots at their end, and of a thousand jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cdao_sdk.monitor.snapshot import Snapshot

EXECUTION = "a0f3a9d1c0b7e5f60718"


@pytest.fixture
def done(snapshot: Snapshot) -> Snapshot:
    """The same pipeline at its end."""
    rows = tuple(
        replace(row, state="succeeded", status="Completed", secondary_status="", error="")
        for row in snapshot.jobs
    )
    return replace(snapshot, jobs=rows, status="SUCCEEDED")


@pytest.fixture
def many_jobs(snapshot: Snapshot) -> Snapshot:
    """A map task of a thousand jobs between two steps, half way."""
    step, *_ = snapshot.jobs
    states = [("succeeded", "Completed")] * 418 + [("failed", "Failed")] * 2
    states += [("running", "InProgress")] * 100 + [("waiting", "InProgress")] * 480
    mapped = [
        replace(
            step,
            name=f"{EXECUTION}-n1-{index:08d}-0",
            label=f"score {index}",
            node=f"n1-n{index}",
            state=state,
            status=status,
            group="n1",
            metrics={},
            artifact="",
        )
        for index, (state, status) in enumerate(states)
    ]
    first, last = replace(step, label="split"), replace(step, label="merge", name="last")
    return replace(snapshot, jobs=(first, *mapped, last))
