"""How a notebook writes progress, time, spot and cost of a job: pure functions."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor import wording

if TYPE_CHECKING:
    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.monitor.snapshot import JobRow

__all__ = [
    "bar",
    "cost",
    "progress",
    "progress_words",
    "retry_words",
    "short",
    "spot_words",
    "time_words",
    "usage_name",
]


def cost(amount: float | None) -> str:
    """An amount in US dollars; a dash if it is unknown.

    Example:
        >>> cost(3.456), cost(None)
        ('$3.46', '–')
    """
    return "–" if amount is None or not math.isfinite(amount) else dollars(amount)


def progress(row: JobRow) -> tuple[float | None, bool]:
    """How far a job is, from 0 to 1, and whether that is only reckoned from its time."""
    if row.state == "succeeded":
        return 1.0, False
    if row.progress is not None and math.isfinite(row.progress):
        return min(max(row.progress, 0.0), 1.0), False
    if row.state == "running" and row.expected_seconds:
        return min(row.elapsed_seconds / row.expected_seconds, 0.99), True
    return None, False


def progress_words(row: JobRow) -> str:
    """How far it is, in percent; empty if nothing tells."""
    share, is_reckoned = progress(row)
    return "" if share is None else f"{'~' if is_reckoned else ''}{share:.0%}"


def time_words(row: JobRow) -> str:
    """Elapsed, and while it goes on, expected time."""
    elapsed = short(row.elapsed_seconds)
    if row.is_over or not row.expected_seconds:
        return elapsed
    return f"{elapsed} of ~{short(row.expected_seconds)}"


def short(seconds: float) -> str:
    """A duration that no line break parts."""
    return wording.duration(seconds).replace(" ", "\N{NO-BREAK SPACE}")


def spot_words(row: JobRow) -> str:
    """What spot saved, or that it is used; empty for a job at full price."""
    if not row.spot:
        return ""
    return "spot" if row.savings_percent is None else f"-{row.savings_percent:.0f}%"


def retry_words(diagnosis: Diagnosis) -> str:
    """Whether the same again may succeed."""
    return f"Trying again {'may' if diagnosis.retryable else 'will not'} help."


def usage_name(metric: str) -> str:
    """CloudWatch's name of what is used, as people read it.

    Example:
        >>> usage_name("GPUMemoryUtilization"), usage_name("DiskUtilization")
        ('GPU memory', 'disk')
    """
    spaced = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", " ", metric.removesuffix("Utilization"))
    return " ".join(part if part.isupper() else part.lower() for part in spaced.split())


def bar(share: float, cells: int = 10) -> str:
    """A bar of characters, which survives wherever a notebook is shown.

    Example:
        >>> bar(0.42), bar(0.0), bar(1.0)
        ('████░░░░░░', '░░░░░░░░░░', '██████████')
    """
    full = min(round(share * cells), cells)
    return "█" * full + "░" * (cells - full)
