"""What a user should know of an image before a job is started in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.catalog.images import versions
from cdao_sdk.catalog.support import end_of_support, lapsed, python_end_of_life

if TYPE_CHECKING:
    import datetime as dt

    from cdao_sdk.catalog.images import Image


def advice(image: Image, on: dt.date) -> str:
    """That an image, or the Python in it, gets no more security fixes; and what to take instead.

    Args:
        image: The image of one version.
        on: The day to judge for.

    Returns:
        One sentence; empty if there is nothing to say, or no source that says it.

    Example:
        >>> import datetime as dt
        >>> from cdao_sdk.catalog.images import find
        >>> advice(find("xgboost", "3.0-5"), dt.date(2026, 12, 1))
        'the image has had no security patches since 2026-11-17; AWS supports 3.2-0'
        >>> advice(find("xgboost", "3.2-0"), dt.date(2026, 12, 1))
        ''
    """
    reasons = [lapsed(image.name, image.version, image.scope, on), _old_python(image.python, on)]
    reasons = [reason for reason in reasons if reason]
    if not reasons:
        return ""
    supported = [
        version
        for version in versions(image.name, image.scope)
        if (end := end_of_support(image.name, version, image.scope)) is not None and end >= on
    ]
    instead = f"; AWS supports {', '.join(supported)}" if supported else ""
    return f"the image {' and '.join(reasons)}{instead}"


def _old_python(python: str | None, on: dt.date) -> str:
    end = python_end_of_life(python) if python else None
    if end is None or end >= on:
        return ""
    return f"has Python {python}, which has had no security fixes since {end}"
