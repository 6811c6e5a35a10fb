"""Lives of tasks under a connector that is killed all the time: how many go wrong, and how fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.measure import Row

LIVES = int(os.environ.get("LIVES_COUNT", "10000"))
SEED = int(os.environ.get("LIVES_SEED", "5"))

_TESTS = Path(__file__).parents[1] / "tests" / "flyte"


def rows() -> list[Row]:
    """One run; ends the program if a job was lost, made twice, or has wrong outputs."""
    sys.path[:0] = [str(_TESTS / "lives"), str(_TESTS / "flows")]
    from connector_lives.harness import run_lives

    report = run_lives(LIVES, SEED)
    print(report, file=sys.stderr)
    if report.violations:
        sys.exit(f"{len(report.violations)} lives of seed {SEED} went wrong")
    figures = report.figures
    adversities = (
        f"{figures['replicas killed']:,} kills, {figures['answers lost']:,} answers lost,"
        f" {figures['duplicates sent']:,} calls twice, {figures['faults of AWS']:,} faults of AWS"
    )
    return [
        Row(
            f"lives of tasks among {adversities}: {figures['jobs made']:,} jobs",
            f"{LIVES:,} as they should be",
            f"{figures['lives a second']} a second",
            reach="≥ 10,000, none wrong",
        )
    ]
