"""What is known of the call at hand; every log line below it carries these facts."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["add_facts", "call_scope", "current_facts"]

# A name longer than this is not one of Flyte's; the log keeps its beginning.
_LONGEST = 200

_FACTS: ContextVar[dict[str, object] | None] = ContextVar("cdao_call_facts", default=None)


@contextlib.contextmanager
def call_scope(**facts: object) -> Generator[dict[str, object]]:
    """Begin a call with these facts; ``add_facts`` adds to them, also from tasks below it."""
    mine = dict(facts)
    token = _FACTS.set(mine)
    try:
        yield mine
    finally:
        _FACTS.reset(token)


def add_facts(**facts: object) -> None:
    """Add what has become known of the call; outside of a call nothing happens."""
    mine = _FACTS.get()
    if mine is None:
        return
    for name, value in facts.items():
        if value not in (None, ""):
            mine[name] = value[:_LONGEST] if isinstance(value, str) else value


def current_facts() -> Mapping[str, object]:
    """The facts of the call at hand; empty outside of one."""
    return _FACTS.get() or {}
