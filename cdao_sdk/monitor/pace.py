"""When to ask again: soon after a change, more seldom while nothing moves."""

from __future__ import annotations

import time

__all__ = ["Pace"]

_GROWTH = 1.5
_LONGEST_WHEN_THROTTLED = 60.0
_BETWEEN_GLANCES = 1.0  # however quickly rows are opened one after the other


class Pace:
    """The pauses between two looks.

    Args:
        shortest: Seconds, after a change.
        longest: Seconds, while nothing moves.
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._pause = shortest
        self._due = 0.0
        self._earliest = 0.0
        self._gives_way = False
        self._silent_since: float | None = None

    @property
    def seconds_left(self) -> float:
        """Until it is time to look; negative once it is."""
        return self._due - time.monotonic()

    def slow_down(self) -> None:
        """A look is over: the next one is later, and the one after that later still."""
        self._gives_way = False
        now = time.monotonic()
        self._due = now + self._pause
        self._earliest = now + min(self._shortest, _BETWEEN_GLANCES)
        self._pause = min(self._pause * _GROWTH, self._longest)

    def hurry(self) -> None:
        """Something has changed, or is left to be read: the next look is soon, unless throttled."""
        if self._gives_way:
            return
        self._pause = self._shortest
        self._due = min(self._due, time.monotonic() + self._shortest)

    def glance(self) -> None:
        """Somebody has opened a row and waits: now, unless the last look was just now."""
        self._due = min(self._due, max(time.monotonic(), self._earliest))

    def give_way(self) -> None:
        """A look was throttled: twice the pause, and whatever is left waits for it."""
        self._gives_way = True
        self._pause = min(max(self._pause, self._shortest) * 2, _LONGEST_WHEN_THROTTLED)
        self._due = self._earliest = time.monotonic() + self._pause

    def heard(self) -> None:
        """Somebody has answered."""
        self._silent_since = None

    def count_silence(self) -> float:
        """Nobody has answered; for how many seconds now."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        return now - self._silent_since
