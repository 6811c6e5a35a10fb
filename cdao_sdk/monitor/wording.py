"""How durations, metrics and savings read: pure functions."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

SPARKS = "▁▂▃▄▅▆▇█"
"""Blocks of a sparkline, from the lowest value to the highest."""

# What a job prints may move the cursor and set colours; a view shows only the words.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]+[0-~]|.)"
)
# They turn the direction of what follows, also of what is not the job's.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def duration(seconds: float) -> str:
    """A duration in at most two units.

    Example:
        >>> [duration(seconds) for seconds in (0.42, 61, 7384, 200000)]
        ['0.4s', '1m 01s', '2h 03m', '2d 07h']
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f}s"
    whole = round(seconds)
    for unit, size, part, part_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part_size:02}{part}"
    return f"{whole // 60}m {whole % 60:02}s" if whole >= 60 else f"{whole}s"


def savings(percent: float | None) -> str:
    """What spot saved, or that it is used.

    Example:
        >>> savings(69.7), savings(None)
        ('spot, saved 70%', 'spot')
    """
    return "spot" if percent is None else f"spot, saved {percent:.0f}%"


def metric_list(metrics: Mapping[str, float]) -> str:
    """Metrics in one line, four significant digits each.

    Example:
        >>> metric_list({"auc": 0.78125, "rows": 1000})
        'auc=0.7812  rows=1000'
    """
    return "  ".join(f"{name}={number(value)}" for name, value in metrics.items())


def number(value: float) -> str:
    """A metric's value with four significant digits; whole numbers whole."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def sparkline(values: Sequence[float], width: int, sparks: str = SPARKS) -> str:
    """The course of a metric in so many cells at the most; empty for less than two values.

    Example:
        >>> sparkline([1, 2, 4, 8, 9], 8), sparkline(range(100), 5), sparkline([5, 5], 8)
        ('▁▂▄▇█', '▁▃▅▆█', '▄▄')
    """
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2 or width < 2:
        return ""
    if len(known) > width:
        last = len(known) - 1
        known = [known[round(cell * last / (width - 1))] for cell in range(width)]
    low, high = min(known), max(known)
    top = len(sparks) - 1
    if not math.isfinite(high - low) or high == low:
        return sparks[top // 2] * len(known)
    return "".join(sparks[round((value - low) / (high - low) * top)] for value in known)


def instances(instance_type: str, count: int) -> str:
    """An instance type, with its count where there are several.

    Example:
        >>> instances("ml.m5.xlarge", 1), instances("ml.g5.2xlarge", 4)
        ('ml.m5.xlarge', 'ml.g5.2xlarge x4')
    """
    return f"{instance_type} x{count}" if count > 1 else instance_type


def iso_time(moment: datetime) -> str:
    """A moment in UTC, to the second.

    Example:
        >>> from datetime import datetime, timezone
        >>> iso_time(datetime(2026, 11, 23, 22, 1, 7, 400, tzinfo=timezone.utc))
        '2026-11-23T22:01:07Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """Text without escape sequences and control characters; line ends stay.

    Of what was printed over with carriage returns the last is kept, as a terminal would show it.
    """
    plain = _TURNS.sub("", _ESCAPES.sub("", text))
    if "\r" in plain:
        plain = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    kept = (
        character
        for character in plain
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
    )
    return "".join(kept).expandtabs(4)
