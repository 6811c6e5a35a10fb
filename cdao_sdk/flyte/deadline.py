"""How much time the caller of the current call has left.

The connector's service knows each call's deadline; what runs below it asks here instead of being
handed a number through every function. Where nobody set a deadline (a run in this process,
``pyflyte serve connector``) there is none.
"""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["deadline_in", "remaining_seconds"]

_DEADLINE: ContextVar[float | None] = ContextVar("cdao_deadline", default=None)


def remaining_seconds() -> float | None:
    """Seconds until the caller stops listening, never below 0; None: it waits for ever.

    Example:
        >>> with deadline_in(10):
        ...     remaining_seconds() <= 10
        True
        >>> remaining_seconds() is None
        True
    """
    deadline = _DEADLINE.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


@contextlib.contextmanager
def deadline_in(seconds: float | None) -> Generator[None]:
    """Set the deadline for what runs inside; an earlier one of an outer call stays in force.

    Args:
        seconds: From now on; None leaves what is set.
    """
    outer = _DEADLINE.get()
    deadline = outer
    if seconds is not None:
        deadline = time.monotonic() + seconds
        deadline = deadline if outer is None else min(deadline, outer)
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)
