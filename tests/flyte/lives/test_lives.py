"""Many tasks under two replicas that are killed all the time, on an AWS full of faults."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# A thousand of them take two cores two minutes: .ci/run has so many.
LIVES = int(os.environ.get("LIVES_COUNT", "200"))
# CDAO_* is removed from the environment of tests. A failure names its seed.
SEED = int(os.environ.get("LIVES_SEED", "4"))


@pytest.mark.timeout(900)
def test_each_life_has_its_job_once_and_nothing_is_left(tmp_path: Path) -> None:
    from connector_lives.harness import run_lives

    report = run_lives(LIVES, SEED, tmp_path / "lives")
    assert report.violations == [], f"LIVES_SEED={SEED}: {report}"
    ends = {course.end for course in report.courses}
    assert ends >= {"succeeded", "failed", "aborted", "given up"}
    assert report.figures["replicas killed"], report


def test_lives_of_a_seed_are_always_the_same() -> None:
    from connector_lives.script import write_life

    seed = secrets.randbits(16)
    assert [write_life(seed, number) for number in range(50)] == [
        write_life(seed, number) for number in range(50)
    ]
