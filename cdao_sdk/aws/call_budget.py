"""How many calls one look may cost, whatever there is to look at."""

from __future__ import annotations

import math

__all__ = ["CallBudget"]


class CallBudget:
    """Counts calls down.

    Args:
        calls: How many there may be.
    """

    def __init__(self, calls: float = math.inf) -> None:
        self._left = calls

    @property
    def left(self) -> float:
        """How many more there may be."""
        return self._left

    def take(self, *, keep: float = 0) -> bool:
        """Whether one more call may be made; it counts then.

        Args:
            keep: So many are to be left for others afterwards.

        Example:
            >>> budget = CallBudget(2)
            >>> [budget.take(keep=1), budget.take(keep=1), budget.take(), budget.take()]
            [True, False, True, False]
        """
        if self._left < 1 + keep:
            return False
        self._left -= 1
        return True

    def part(self, keep: float) -> CallBudget:
        """All but so many of these calls, as a budget of its own; see ``regain``."""
        taken = max(0.0, self._left - keep)
        self._left = min(self._left, keep)
        return CallBudget(taken)

    def regain(self, part: CallBudget) -> None:
        """Take back what a part of it has left."""
        self._left += part.left
