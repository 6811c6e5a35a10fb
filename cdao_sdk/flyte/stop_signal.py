"""Says that work is to stop, down a tree of works."""

from __future__ import annotations

import threading
import weakref

__all__ = ["StopSignal"]


class StopSignal:
    """Says that work is to stop; whoever stops, all that was begun below stops with it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: weakref.WeakSet[StopSignal] = weakref.WeakSet()

    def child(self) -> StopSignal:
        """A signal that can be set alone, and is set with this one."""
        child = StopSignal()
        with self._lock:
            self._children.add(child)
            if self._event.is_set():
                child.set()
        return child

    def set(self) -> None:
        """Stop this and everything below."""
        with self._lock:
            self._event.set()
            children = list(self._children)
        for child in children:
            child.set()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Pause for so long, or until it is set."""
        self._event.wait(seconds)
