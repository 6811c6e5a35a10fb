"""`python -m benchmarks [NAME…]`: measure, print, and write RESULTS.md when all were measured."""

from __future__ import annotations

import importlib
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import machine

if TYPE_CHECKING:
    from benchmarks.measure import Row

NAMES = (
    "imports",
    "requests",
    "runtime",
    "local_jobs",
    "listing",
    "monitor",
    "parallel",
    "cluster_run",
    "connector",
    "open_jobs",
    "lives",
)


def main() -> None:
    """Run what was asked for."""
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in wanted:
        print(f"measuring {name} …", file=sys.stderr)
        rows += importlib.import_module(f"benchmarks.{name}").rows()
    table = _table(rows)
    print(table)
    if set(wanted) == set(NAMES):
        Path(__file__).with_name("RESULTS.md").write_text(_page(table))


def _table(rows: list[Row]) -> str:
    head = "| what | figure | beside | ratio | to reach |\n|---|---|---|---|---|"
    lines = [
        f"| {row.what} | {row.value} | {row.beside} | {row.ratio} | {row.reach} |" for row in rows
    ]
    return "\n".join([head, *lines])


def _page(table: str) -> str:
    day = datetime.now(timezone.utc).date().isoformat()
    return (
        f"# Results\n\nMade by `uv run python -m benchmarks` on {day}, on {machine()};"
        f" flytekit {version('flytekit')}. Medians.\n\n{table}\n"
    )


if __name__ == "__main__":
    main()
