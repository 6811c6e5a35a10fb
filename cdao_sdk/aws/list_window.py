"""From which creation time on to list jobs.

SageMaker pages through all jobs of the account by creation time and applies most filters to each
page afterwards: a list by status, name or change has as many pages, empty ones too, as there are
jobs (API reference of ListTrainingJobs; aws/aws-cli#7596, aws/aws-sdk#486, boto/boto3#2838). Only
``CreationTimeAfter`` makes it shorter. So a list goes back to the oldest job that is waited for, or
less far where it costs fewer calls to describe the few that are older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ListWindow"]


class ListWindow:
    """Learns how many pages a list has, and says how far it should go back."""

    def __init__(self) -> None:
        self._pages_a_second = 0.0

    def measured(self, pages: int, seconds: float) -> None:
        """Take note that a list that went back so many seconds had so many pages."""
        if seconds > 0:
            # The last page may be a full one, or have one entry.
            least, most = (pages - 1) / seconds, pages / seconds
            self._pages_a_second = min(max(self._pages_a_second, least), most)

    def start(self, created: Sequence[float], now: float) -> float:
        """The creation time to list from, so that lists and describes together are fewest.

        Args:
            created: When the jobs that are waited for were created; not none.
            now: The time.

        Example:
            >>> window = ListWindow()
            >>> window.start([1000.0, 9900.0, 9950.0], 10000.0)
            1000.0
            >>> window.measured(pages=90, seconds=9000.0)
            >>> window.start([1000.0, 9900.0, 9950.0], 10000.0)
            9900.0
        """
        times = sorted(created)

        def calls(described: int) -> float:
            return described + max(1.0, self._pages_a_second * (now - times[described]))

        return times[min(range(len(times)), key=calls)]
