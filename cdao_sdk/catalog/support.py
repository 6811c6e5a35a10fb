"""Until when AWS mends an image, and the Python in it: dates of AWS's and Python's own tables.

A version that no table dates has no date here. ``support.json`` names sources and day.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cdao_sdk.catalog.tables import table

# AWS's policy gives these a date for every version since 2.0 and 1.13, in their order; what is
# older has been dropped from the list ("versions appear for two years past their support date").
_DATED_IN_ORDER = ("pytorch", "tensorflow")


def end_of_support(name: str, version: str, scope: str = "training") -> dt.date | None:
    """The last day on which a version's image gets security patches.

    Args:
        name: Framework or algorithm.
        version: Full version; patch releases share their minor version's date.
        scope: ``"training"`` or ``"inference"``.

    Returns:
        The date; ``None`` if AWS's support policy names none.

    Example:
        >>> end_of_support("xgboost", "3.2-0")
        datetime.date(2027, 5, 13)
        >>> end_of_support("xgboost", "1.2-1") is None
        True
    """
    dates = _dates(name, scope)
    end = dates.get(version) or dates.get(".".join(version.split(".")[:2]))
    return dt.date.fromisoformat(end) if end else None


def python_end_of_life(python: str) -> dt.date | None:
    """The last day on which a minor version of Python gets security fixes.

    Args:
        python: Such as ``"3.9"``.

    Returns:
        The date; ``None`` while Python's own table names no day.

    Example:
        >>> python_end_of_life("3.9")
        datetime.date(2025, 10, 31)
    """
    end: str | None = table("support")["python_end_of_life"].get(python)
    return dt.date.fromisoformat(end) if end else None


def lapsed(name: str, version: str, scope: str, on: dt.date) -> str:
    """What is said of an image whose support is over.

    Args:
        name: Framework or algorithm.
        version: Full version.
        scope: ``"training"`` or ``"inference"``.
        on: The day to judge for.

    Returns:
        The end of a sentence that begins with the image, or empty: it is supported, or no source
        says.

    Example:
        >>> lapsed("pytorch", "2.5.1", "training", dt.date(2026, 1, 1))
        'has had no security patches since 2025-10-29'
        >>> lapsed("pytorch", "2.5.1", "training", dt.date(2025, 1, 1))
        ''
    """
    end = end_of_support(name, version, scope)
    if end is not None:
        return f"has had no security patches since {end}" if end < on else ""
    if version in table("support")["unsupported"].get(name, ()):
        return "is no longer supported by AWS"
    dates = _dates(name, scope)
    if name not in _DATED_IN_ORDER or not dates:
        return ""
    oldest = min(dates, key=_key)
    if _key(version) < _key(oldest) and dates[oldest] < on.isoformat():
        return f"is older than {oldest}, which has had no security patches since {dates[oldest]}"
    return ""


def _dates(name: str, scope: str) -> dict[str, str]:
    by_scope: dict[str, Any] = table("support")["end_of_patch"].get(name, {})
    dates: dict[str, str] = by_scope.get(scope, {})
    return dates


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
