"""Where jobs stand, answered from memory: one look at what has changed serves all who ask.

Thousands of askers cost a list of changes each few seconds instead of a describe each. Nothing
runs while nobody asks. A status that could not be refreshed is answered with its age: who asks is
never failed by a request rate or a network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import answered_at, call
from cdao_sdk.aws.flights import Flights
from cdao_sdk.aws.job_events import JobEvents
from cdao_sdk.aws.job_status import JobStatus, StatusOptions
from cdao_sdk.aws.metrics import aws_metrics
from cdao_sdk.aws.status_board import Board
from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.observation import moment
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.status_board import Seat

__all__ = ["JobStatus", "StatusOptions", "StatusWatcher", "status_watcher"]

_logger = logging.getLogger(__name__)

_PAGE = 100  # the most that SageMaker gives
_MOST_PAGES = 1_000
_POOR_PAGES = 10  # with less than a job a page are worth no more
_LIST_WAIT_SECONDS = 30.0  # for the rate of lists; nobody waits so long for it
_DESCRIBES_AT_ONCE = 10
_DESCRIBES_WAITING = 50  # those beyond are answered from memory


class StatusWatcher:
    """The status of jobs of one account and region, on one event loop.

    Args:
        clients: Where to look.
        options: How often.
        patience_seconds: How long one who asks waits for AWS at most; then memory answers.
        clock: Seconds since 1970, for tests.
    """

    def __init__(
        self,
        clients: AwsClients,
        options: StatusOptions | None = None,
        *,
        patience_seconds: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clients = clients
        self._options = options or StatusOptions()
        self._patience = patience_seconds
        self._clock = clock
        self._boards = {name: Board(kind, self._options) for name, kind in KINDS.items()}
        self._flights = Flights()
        self._describing = 0
        self._places = asyncio.Semaphore(_DESCRIBES_AT_ONCE)
        self._events: JobEvents | None = None

    def set_options(self, options: StatusOptions) -> None:
        """Look as often as this from now on; a queue that is already read stays."""
        self._options = options
        for board in self._boards.values():
            board.options = options

    async def status(self, kind: str, name: str) -> JobStatus:
        """Where a job stands.

        Args:
            kind: ``"training"``, ``"processing"`` or ``"transform"``.
            name: The job's name.

        Returns:
            What is known, from memory whenever that is fresh enough; its source is ``pending``
            when the job could not be read yet.

        Raises:
            NotFound: There is no such job.
            SubmissionError: It may not be read, and nothing is known of it.
        """
        board, now = self._boards[kind], self._clock()
        seat = board.ask(name, now)
        if seat.reading.is_over:
            return seat.reading
        until = asyncio.get_running_loop().time() + self._patience
        self._listen()
        board.has_events = self._events is not None and self._events.is_live
        board.clear(now)
        if board.are_few(now):
            wants = board.is_stale(seat, now)
        else:
            await self._look(board, now, until)
            seat = board.ask(name, now)
            wants = self._is_in_no_list(board, seat) and board.has_to_be_described(seat, now)
        if wants:
            seat = await self._describe(board, seat, now, until)
        return board.answer(seat)

    def noted(self, kind: str, name: str, arn: str = "") -> None:
        """Take note that a job was created just now.

        Args:
            kind: The job's kind.
            name: Its name.
            arn: As the create call answered; empty when the job was there already.
        """
        self._boards[kind].note(name, arn, self._clock())

    def forget(self, kind: str, name: str) -> None:
        """Remember a job no more."""
        self._boards[kind].forget(name)

    def changed(self, kind: str, name: str) -> bool:
        """Take note that something has happened to a job; whether it is remembered at all."""
        return self._boards[kind].mark_changed(name)

    def known(self, kind: str, name: str) -> JobStatus | None:
        """What is known of a job without any look; None: nothing."""
        board = self._boards[kind]
        seat = board.seats.get(name)
        return None if seat is None or seat.reading.source == "pending" else board.answer(seat)

    def in_progress(self, kind: str) -> frozenset[str]:
        """All jobs of the account that run, as the last sweep saw them and lists since."""
        return self._boards[kind].in_progress()

    def last_error(self, kind: str) -> CdaoError | None:
        """Why the last look at a kind failed; None when it did not."""
        return self._boards[kind].last_error

    async def sweep(self, kind: str, since: datetime | None = None) -> frozenset[str]:
        """Look at all jobs of the account that run.

        Args:
            kind: The jobs' kind.
            since: How far back, by their creation; None: until hardly any job is found that runs.

        Returns:
            Their names.

        Raises:
            SubmissionError: AWS refused.
        """
        board, before = self._boards[kind], self._boards[kind].swept_at
        key = ("sweep", kind)
        while key in self._flights:  # it may not go as far back
            await asyncio.wait({self._flights.start(key, lambda: self._sweep(board))[0]})
        task, _began = self._flights.start(key, lambda: self._sweep(board, since, is_whole=True))
        await asyncio.shield(task)
        if board.swept_at == before and board.last_error is not None:
            raise board.last_error
        return board.in_progress()

    async def close(self) -> None:
        """End what is under way."""
        if self._events is not None:
            await self._events.close()
        await self._flights.close()

    # Looks

    async def _look(self, board: Board, now: float, until: float) -> None:
        """List what has changed, when it is time to."""
        sweep, changes = ("sweep", board.kind.name), ("changes", board.kind.name)
        if board.is_sweep_due(now):
            self._flights.start(sweep, lambda: self._sweep(board))
        if sweep in self._flights and not board.has_swept:
            # The first one tells more than any list of changes.
            await self._join(sweep, lambda: self._sweep(board), until)
        elif board.high_water is not None and (changes in self._flights or board.is_due(now)):
            await self._join(changes, lambda: self._list_changes(board), until)

    async def _join(
        self,
        key: tuple[str, ...],
        make: Callable[[], Coroutine[object, object, None]],
        until: float,
    ) -> None:
        await self._flights.join(key, make, patience_seconds=self._patience, until=until)

    async def _list_changes(self, board: Board) -> None:
        after = board.changes_after
        if after is None:
            return
        began: datetime | None = None
        now, changes, pages = self._clock(), 0, 0
        query = {"LastModifiedTimeAfter": after, "CreationTimeAfter": board.choose_since(now)}
        try:
            async for date, summaries in self._pages(board, query):
                began, pages = began or date, pages + 1
                changes += sum([board.listed(each, now) for each in summaries])
        except CdaoError as error:
            self._failed(board, error, "changes")
            return
        board.looked(began or after, now, changes=changes, pages=pages)
        self._succeeded(board, "changes")

    async def _sweep(
        self, board: Board, since: datetime | None = None, *, is_whole: bool = False
    ) -> None:
        began, pages, oldest = self._clock(), 0, datetime.now(timezone.utc)
        board.begin_sweep(began)
        if board.high_water is not None and not is_whole:
            since = board.choose_since(began)
        query: dict[str, object] = {"StatusEquals": "InProgress"}
        if since is not None:
            query["CreationTimeAfter"] = since
        found: deque[int] = deque(maxlen=_POOR_PAGES)
        try:
            async for date, summaries in self._pages(board, query):
                board.reached(date)
                pages += 1
                found.append(len(summaries))
                for summary in summaries:
                    board.listed(summary, self._clock(), board.sweep)
                    oldest = moment(summary, "CreationTime") or oldest
                if since is None and len(found) == _POOR_PAGES > sum(found):
                    since = oldest  # the few that are older are found by describing them
                    break
        except CdaoError as error:
            self._failed(board, error, "sweep")
            return
        board.swept(began, self._clock(), pages=pages, reach=since)
        self._succeeded(board, "sweep")

    async def _pages(
        self, board: Board, query: Mapping[str, object]
    ) -> AsyncIterator[tuple[datetime, Sequence[Mapping[str, object]]]]:
        """The date of each page by AWS's clock, and its entries."""
        api = board.kind.api
        order = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        request = {"MaxResults": _PAGE, **order, **query}
        for _number in range(_MOST_PAGES):
            answer = await call(
                self._clients, "sagemaker", api.list, request, at_most_seconds=_LIST_WAIT_SECONDS
            )
            summaries = cast("Sequence[Mapping[str, object]]", answer.get(api.summaries_field, ()))
            yield self._date(answer), summaries
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def _date(self, answer: Mapping[str, object]) -> datetime:
        return answered_at(answer) or datetime.fromtimestamp(self._clock(), timezone.utc)

    def _failed(self, board: Board, error: CdaoError, how: str) -> None:
        kind, now = board.kind.name, self._clock()
        if board.last_error is None:
            _logger.warning("%s jobs could not be listed, memory answers: %s", kind, error)
        is_refused = not isinstance(error, ResourcesUnavailable)
        board.failed(error, now, is_refused=is_refused)
        aws_metrics().refreshes.labels(kind, how, "refused" if is_refused else "later").inc()

    def _succeeded(self, board: Board, how: str) -> None:
        metrics, kind = aws_metrics(), board.kind.name
        metrics.refreshes.labels(kind, how, "OK").inc()
        metrics.watched.labels(self._clients.target.region, kind).set(len(board.seats))

    # Single jobs

    def _is_in_no_list(self, board: Board, seat: Seat) -> bool:
        """Whether no list that is under way will tell of a job."""
        is_filling = ("sweep", board.kind.name) in self._flights and not board.has_swept
        return not (is_filling and seat.reading.source == "pending")

    async def _describe(self, board: Board, seat: Seat, now: float, until: float) -> Seat:
        """Describe a job, unless too many wait for that already."""
        name = seat.reading.name
        key = ("describe", board.kind.name, name)
        if key not in self._flights and self._describing >= _DESCRIBES_WAITING:
            return seat
        try:
            await self._join(key, lambda: self._describe_now(board, name), until)
        except ResourcesUnavailable as error:
            board.last_error = error
        except SubmissionError as error:
            board.last_error = error
            if not seat.reading.is_read:
                raise
        return board.ask(name, now)

    async def _describe_now(self, board: Board, name: str) -> None:
        api = board.kind.api
        self._describing += 1
        try:
            async with self._places:
                description = await call(
                    self._clients,
                    "sagemaker",
                    api.describe,
                    {api.name_field: name},
                    at_most_seconds=self._patience,
                )
        except NotFound:
            board.forget(name)
            raise
        finally:
            self._describing -= 1
        board.described(name, description, self._clock())

    def _listen(self) -> None:
        url = self._options.events_queue_url
        if url is None:
            return
        if self._events is None:
            self._events = JobEvents(self._clients, url, self.changed, clock=self._clock)
        self._events.start()


def status_watcher(clients: AwsClients, options: StatusOptions | None = None) -> StatusWatcher:
    """The watcher of these clients on the running loop; it ends when they are closed.

    Args:
        clients: Where to look.
        options: How often, from now on; None: as before.
    """
    watcher = clients.attached(StatusWatcher, lambda: StatusWatcher(clients, options))
    if options is not None:
        watcher.set_options(options)
    return watcher
