"""How much CPU and memory a job's processes use: sampled, and kept in a file a host.

A line of a file is ``<milliseconds since 1970> <percent of one CPU> <bytes>``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["UsageLog", "tree_usage"]

# Often while a job is young, then less: a file stays small for a job of days.
_FIRST_SECONDS, _GROWTH, _LONGEST_SECONDS = 1.0, 1.02, 30.0
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def tree_usage(pid: int) -> tuple[float, int] | None:
    """CPU seconds so far and resident bytes of all processes that a process has begun.

    Args:
        pid: The process, which is not counted itself but for those of its children that are gone.

    Returns:
        None where the system does not tell (it is none with /proc), or the process is gone.
    """
    try:
        seconds = _cpu_seconds(pid, own=False)
    except (OSError, ValueError, IndexError):
        return None
    memory = 0
    waiting = _children(pid)
    while waiting:
        child = waiting.pop()
        try:
            seconds += _cpu_seconds(child, own=True)
            memory += int((_PROC / str(child) / "statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, ValueError, IndexError):
            continue  # it has just ended: its parent's count has it now
        waiting += _children(child)
    return seconds, memory


def _cpu_seconds(pid: int, *, own: bool) -> float:
    """What a process and its children that are gone have used."""
    stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return (children_user + children_system + (user + system if own else 0)) / _TICKS


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except (OSError, ValueError):
        return found
    return found


class UsageLog:
    """Samples the processes of one host, again and again.

    Args:
        path: The file that the samples go to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pause = _FIRST_SECONDS
        self._due = time.monotonic() + _FIRST_SECONDS
        self._before: tuple[float, float] | None = None

    def sample(self, pid: int, now: float) -> None:
        """Take a sample if it is time.

        Args:
            pid: The process whose children are the host's.
            now: The time, of the monotonic clock.
        """
        if self._before is not None and now < self._due:
            return
        usage = tree_usage(pid)
        if usage is None:
            return
        seconds, memory = usage
        before, self._before = self._before, (now, seconds)
        if before is None:
            self._due = now + self._pause
            return
        percent = max(0.0, seconds - before[1]) / (now - before[0]) * 100
        self._pause = min(_LONGEST_SECONDS, self._pause * _GROWTH)
        self._due = now + self._pause
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{time.time_ns() // 1_000_000} {percent:.1f} {memory}\n")
