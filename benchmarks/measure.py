"""Timing of whole processes, and rows of the table."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        value: Its figure with the unit.
        beside: What it is compared with, and that figure.
        ratio: The two set against each other.
        reach: What it is meant to reach; empty if nothing was set.
    """

    what: str
    value: str
    beside: str = ""
    ratio: str = ""
    reach: str = ""


def seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Wall-clock seconds of one process, which has to end well."""
    begin = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    return time.perf_counter() - begin


def in_turns(
    commands: Mapping[str, Sequence[str]],
    rounds: int = 7,
    environment: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Median seconds of each command, all of them run in turns after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(rounds + 1):
        for name, command in commands.items():
            taken = seconds(command, environment)
            if index:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def milliseconds(value: float) -> str:
    """Seconds as text in milliseconds."""
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor() or platform.machine()
    return (
        f"{os.cpu_count()} cores of {processor}, {memory:.0f} GiB, {platform.system()}"
        f" {platform.release().split('-')[0]}, CPython {platform.python_version()}"
    )


def in_memory() -> str | None:
    """A folder that is on no disk; None where there is none: then it is where others are."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


PYTHON = sys.executable
