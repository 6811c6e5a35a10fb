"""The jobs of one kind, from lists: read once, then what is new and what has changed.

SageMaker pages through all jobs of the account, whatever the filter (see ``list_window``). So a
list may be stopped at any page and goes on there at the next look: however long an account's
history is, a look costs no more calls than it is given.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.aws.calls import answered_at, call
from cdao_sdk.aws.list_window import ListWindow
from cdao_sdk.aws.rates import came_too_late
from cdao_sdk.errors import ResourcesUnavailable
from cdao_sdk.kinds.observation import moment, phase_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.call_budget import CallBudget
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.kinds.job import JobKind

__all__ = ["JobList"]

_PAGE = 100  # the most that SageMaker gives; its own default of 10 costs ten times the calls
# Lists lag behind, and times travel in whole seconds.
_OVERLAP = timedelta(seconds=15)
_CLOCKS_DIFFER = timedelta(minutes=5)  # AWS refuses a request whose clock is off by more
_A_SECOND = timedelta(seconds=1)


@dataclass
class _Walk:
    """One list, read page by page; it may rest between two pages."""

    query: Mapping[str, object]
    token: object = None
    began: datetime | None = None
    pages: int = 0
    is_done: bool = False
    found: int = 0
    oldest: datetime | None = field(default=None)


class JobList:
    """Follows the jobs of one kind whose names contain a text.

    Args:
        clients: Where to look.
        kind: Their kind.
        name_contains: Part of their names; empty for all.
        since: When the first of them can have been created; None: look at the whole history.
        most: How many at the most, the newest.

    Attributes:
        summaries: The newest entry of each job, by name.
    """

    def __init__(
        self,
        clients: AwsClients,
        kind: JobKind[Any],
        name_contains: str = "",
        *,
        since: datetime | None = None,
        most: int = 10_000,
    ) -> None:
        self._clients = clients
        self._kind = kind
        self._most = most
        self._name = name_contains[:63]
        self._since = since
        self._history: _Walk | None = None
        self._changes: _Walk | None = None
        self._high_water: datetime | None = None
        self._window = ListWindow()
        self.summaries: dict[str, Mapping[str, object]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the whole history has been read, and all changes up to the last look."""
        history, changes = self._history, self._changes
        return history is not None and history.is_done and (changes is None or changes.is_done)

    @property
    def has_history(self) -> bool:
        """Whether the whole history has been read once."""
        return self._history is not None and self._history.is_done

    @property
    def reached(self) -> datetime | None:
        """The creation time down to which the history was read; None if no job was found yet."""
        return self._history.oldest if self._history is not None else None

    async def look(
        self,
        budget: CallBudget,
        *,
        keep: float = 0,
        patience_seconds: float = 60.0,
        until: float = math.inf,
    ) -> None:
        """Read what is new, and go on with the history.

        Args:
            budget: How many pages may be read.
            keep: So many calls of it are left for others.
            patience_seconds: How long to wait for a page's turn; then it is left for the next look.
            until: From this time of ``time.monotonic`` on no page is asked for but the first.

        Raises:
            SubmissionError: AWS refused.
        """
        if self._history is None:
            self._history = _Walk(self._first_query())
        elif self._changes is None or self._changes.is_done:
            self._changes = _Walk(self._changes_query())
        for walk in (self._changes, self._history):
            while walk is not None and not walk.is_done and budget.take(keep=keep):
                if not await self._page(walk, patience_seconds) or time.monotonic() > until:
                    return

    def _first_query(self) -> Mapping[str, object]:
        since = self._since
        return {} if since is None else {"CreationTimeAfter": since - _CLOCKS_DIFFER}

    def _changes_query(self) -> Mapping[str, object]:
        """Changes since the last look, of open jobs as far as that costs less than to describe."""
        high_water = self._high_water or datetime.now(timezone.utc) - _CLOCKS_DIFFER
        created = [
            time.timestamp()
            for each in self.summaries.values()
            if not self._is_over(each) and (time := moment(each, "CreationTime")) is not None
        ]
        # New jobs are found in any case: they are younger than what was listed last.
        newest = high_water - _CLOCKS_DIFFER
        start = newest
        if created:
            now = datetime.now(timezone.utc).timestamp()
            # Or no further than new jobs need it: then the open ones are described.
            oldest = self._window.start([*created, newest.timestamp()], now)
            start = min(newest, datetime.fromtimestamp(oldest, timezone.utc) - _A_SECOND)
        return {"CreationTimeAfter": start, "LastModifiedTimeAfter": high_water - _OVERLAP}

    def is_unlisted(self, created: datetime) -> bool:
        """Whether a job is older than what is listed, so that only a description tells of it."""
        since = self._changes.query.get("CreationTimeAfter") if self._changes else None
        return isinstance(since, datetime) and created < since

    async def _page(self, walk: _Walk, patience_seconds: float) -> bool:
        """Read the next page; False if its turn did not come."""
        api = self._kind.api
        request: dict[str, object] = {
            "MaxResults": min(_PAGE, self._most),
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            **walk.query,
        }
        if self._name:
            request["NameContains"] = self._name
        if walk.token:
            request["NextToken"] = walk.token
        try:
            answer = await call(
                self._clients, "sagemaker", api.list, request, at_most_seconds=patience_seconds
            )
        except ResourcesUnavailable as error:
            if came_too_late(error):
                return False
            raise
        self._take(walk, answer)
        return True

    def _take(self, walk: _Walk, answer: Mapping[str, object]) -> None:
        found = cast("Sequence[Mapping[str, object]]", answer[self._kind.api.summaries_field])
        walk.began = walk.began or answered_at(answer) or datetime.now(timezone.utc)
        walk.token = answer.get("NextToken")
        walk.pages += 1
        # What changes while the history is read is listed at the next look.
        self._high_water = self._high_water or walk.began
        for each in found[: self._most - walk.found]:
            self._keep(each)
            walk.oldest = moment(each, "CreationTime")
        walk.found += len(found)
        if walk.token and walk.found < self._most:
            return
        walk.is_done = True
        if walk is self._changes:
            self._high_water = walk.began
        since = walk.query.get("CreationTimeAfter")
        if not isinstance(since, datetime):
            since = walk.oldest
        if since is not None:
            self._window.measured(walk.pages, (walk.began - since).total_seconds())

    def _keep(self, summary: Mapping[str, object]) -> None:
        name = text(summary, self._kind.api.name_field)
        known = self.summaries.get(name)
        before, after = (moment(each or {}, "LastModifiedTime") for each in (known, summary))
        if before is None or after is None or before <= after:
            self.summaries[name] = summary

    def _is_over(self, summary: Mapping[str, object]) -> bool:
        return phase_of(text(summary, self._kind.api.status_field)).is_terminal
