"""What jobs have cost so far, and what spot saved: pure arithmetic over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor.job_facts import total_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.monitor.snapshot import JobRow

__all__ = ["Bill", "bill_of"]


@dataclass(frozen=True)
class Bill:
    """The cost of some jobs at the list price, storage excluded.

    Attributes:
        cost_usd: What those cost whose price is known; None if none is.
        saved_usd: What spot saved of it; None if nothing tells.
        unpriced: How many jobs have begun without a known cost.
    """

    cost_usd: float | None
    saved_usd: float | None
    unpriced: int = 0

    @property
    def saved_percent(self) -> float | None:
        """What spot saved, of what all jobs would have cost without it."""
        if self.saved_usd is None or not self.cost_usd:
            return None
        return 100 * self.saved_usd / (self.saved_usd + self.cost_usd)

    @property
    def unpriced_words(self) -> str:
        """How many jobs are not on the bill."""
        return f"{self.unpriced} job{'' if self.unpriced == 1 else 's'} without a known cost"

    @property
    def words(self) -> str:
        """The bill in one line; empty if no price is known.

        Example:
            >>> Bill(1.25, 0.75, unpriced=1).words
            '$1.25 at list price (1 job without a known cost), spot saved $0.75 (38%)'
        """
        if self.cost_usd is None:
            return ""
        text = f"{dollars(self.cost_usd)} at list price"
        if self.unpriced:
            text += f" ({self.unpriced_words})"
        if self.saved_usd is not None and self.saved_percent is not None:
            text += f", spot saved {dollars(self.saved_usd)} ({self.saved_percent:.0f}%)"
        return text


def bill_of(rows: Sequence[JobRow]) -> Bill:
    """Add up what jobs have cost."""
    return Bill(
        cost_usd=total_usd(row.cost_usd for row in rows),
        saved_usd=total_usd(map(_saved, rows)),
        unpriced=sum(row.cost_usd is None and row.started is not None for row in rows),
    )


def _saved(row: JobRow) -> float | None:
    """The cost is that of the billable seconds, which spot has made fewer."""
    percent = row.savings_percent
    if row.cost_usd is None or percent is None or not 0 < percent < 100:
        return None
    return row.cost_usd * percent / (100 - percent)
