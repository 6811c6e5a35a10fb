"""What is known of the jobs of one kind: memory and its rules, without any calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from cdao_sdk.aws import job_status
from cdao_sdk.aws.list_window import ListWindow
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.observation import phase_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.aws.job_status import JobStatus, StatusOptions
    from cdao_sdk.errors import CdaoError
    from cdao_sdk.kinds.job import JobKind

__all__ = ["Board", "Seat"]

_NEVER = float("-inf")
_MOST_SEATS = 50_000  # of jobs that nobody here asks for; more are not remembered
_KEEP_ENDED_SECONDS = 600.0
_KEEP_OPEN_SECONDS = 900.0  # nobody asks any more: another connector does, or its task is gone
_CLEAR_EVERY_SECONDS = 60.0
# Lists lag behind: a job that is new need not be in them yet.
_LIST_LAG_SECONDS = 20.0
_SKEW_SECONDS = 60.0  # between this machine's clock and AWS's
_OVERLAP = timedelta(seconds=15)
_GROWTH = 1.5  # of the interval, for each look at which nothing had changed
_WITH_EVENTS_SECONDS = 60.0
_FEW = 3


@dataclass(slots=True)
class Seat:
    """One job.

    Attributes:
        reading: What is known.
        asked_at: When somebody last asked for it.
        noted_at: When it was created here.
        read_at: When SageMaker last told of it.
        described_at: When it was last described.
        swept: The last sweep that it was in.
        is_changed: Whether it has to be described: what is known is out of date.
        is_moved: Whether a list has shown a change since it was described.
    """

    reading: JobStatus
    asked_at: float = _NEVER
    noted_at: float = _NEVER
    read_at: float = _NEVER
    described_at: float = _NEVER
    swept: int = 0
    is_changed: bool = False
    is_moved: bool = False


class Board:
    """The jobs of one kind.

    Attributes:
        high_water: From when on changes have to be listed, by AWS's clock; None: nothing is known.
        sweep: Number of the last sweep that was begun.
        swept_at: When the last sweep ended.
        last_error: Why the last look failed; None when it did not.
        last_pages: How many pages the last list of changes had.
        denied_until: Until when lists are not tried, for they were refused.
        since: From which creation time on jobs are listed; older ones are described.
    """

    def __init__(self, kind: JobKind[Any], options: StatusOptions) -> None:
        self.kind = kind
        self.options = options
        self.seats: dict[str, Seat] = {}
        self.high_water: datetime | None = None
        self.sweep = 0
        self.swept_at = _NEVER
        self.last_error: CdaoError | None = None
        self.last_pages = 1
        self.denied_until = _NEVER
        self.has_events = False
        self.since: datetime | None = None
        self._window = ListWindow()
        self._open: set[str] = set()
        self._looked_at = _NEVER
        self._listed_at = _NEVER
        self._interval = options.interval_seconds
        self._confirmed_at: datetime | None = None
        self._cleared_at = _NEVER
        self._curious_at = _NEVER

    # What is asked and noted

    def ask(self, name: str, now: float) -> Seat:
        """The seat of a job, and that somebody wants to know of it."""
        seat = self.seats.get(name)
        if seat is None:
            seat = self.seats[name] = Seat(job_status.pending(self.kind, name, _utc(now)))
        seat.asked_at = now
        if not seat.reading.is_over:
            self._open.add(name)
        return seat

    def note(self, name: str, arn: str, now: float) -> None:
        """A job was created now; without its ARN: it was there already."""
        seat = self.seats.get(name)
        if seat is not None and seat.reading.is_read:
            return
        reading = (
            job_status.noted(self.kind, name, arn, _utc(now))
            if arn
            else job_status.pending(self.kind, name, _utc(now))
        )
        self.seats[name] = Seat(reading, asked_at=now, noted_at=now if arn else _NEVER)
        self._open.add(name)
        self._interval = self.options.interval_seconds  # it will move soon

    def forget(self, name: str) -> None:
        """A job is of no interest any more, or is gone."""
        self.seats.pop(name, None)
        self._open.discard(name)

    def mark_changed(self, name: str) -> bool:
        """Something has happened to a job; whether it is one of those that are remembered."""
        seat = self.seats.get(name)
        if seat is None or seat.reading.is_over:
            return False
        seat.is_changed = True
        return True

    def answer(self, seat: Seat) -> JobStatus:
        """What is known of a job, and how old that is."""
        reading, confirmed = seat.reading, self._confirmed_at
        # A list of changes that did not have it says that it is still so.
        if (
            confirmed is not None
            and reading.is_read
            and not (reading.is_over or seat.is_changed or self._is_unlisted(reading))
            and confirmed > reading.seen_at
        ):
            return replace(reading, seen_at=confirmed)
        return reading

    def in_progress(self) -> frozenset[str]:
        """The names of all jobs of the account that run, as far as is known."""
        return frozenset(
            name
            for name, seat in self.seats.items()
            if seat.reading.is_read and not seat.reading.is_over
        )

    # When to look

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return max(self._single_interval, self.last_pages * self.options.seconds_a_page)

    @property
    def _single_interval(self) -> float:
        return max(self._interval, _WITH_EVENTS_SECONDS if self.has_events else 0.0)

    def are_few(self, now: float) -> bool:
        """Whether asking for each job costs no more than listing, or lists are refused."""
        if now < self.denied_until:
            return True
        return len(self._open) <= min(_FEW, max(1, self.last_pages))

    def is_due(self, now: float) -> bool:
        """Whether it is time to list what has changed."""
        return not 0 <= now - self._looked_at < self.interval

    def is_sweep_due(self, now: float) -> bool:
        """Whether it is time to look at all jobs in progress."""
        if self.last_error is not None and not self.is_due(now):
            return False
        rest = max(self.options.sweep_seconds, 10 * self.last_pages * self.options.seconds_a_page)
        return not 0 <= now - self.swept_at < rest

    def choose_since(self, now: float) -> datetime:
        """How far a list goes back from now on."""
        created: list[float] = []
        for seat in map(self.seats.__getitem__, self._open):
            if seat.reading.source == "noted":
                created.append(seat.noted_at - _SKEW_SECONDS)
            elif seat.reading.created is not None:
                created.append(seat.reading.created.timestamp())
        first = self._window.start(created, now) if created else now - _SKEW_SECONDS
        self.since = _utc(first - 1)
        return self.since

    def _is_unlisted(self, reading: JobStatus) -> bool:
        """Whether a job is older than what is listed."""
        created = reading.created
        return self.since is not None and created is not None and created < self.since

    @property
    def has_swept(self) -> bool:
        """Whether there was a sweep: a job that is not known is not in lists."""
        return self.swept_at != _NEVER

    def is_stale(self, seat: Seat, now: float) -> bool:
        """Whether a job should be described, where there is no list."""
        last = max(seat.described_at, seat.noted_at)
        return seat.is_changed or not 0 <= now - last < self._single_interval

    def has_to_be_described(self, seat: Seat, now: float) -> bool:
        """Whether a job has to be described, although there are lists."""
        reading = seat.reading
        if seat.is_changed:
            return True
        if reading.is_read and self._is_unlisted(reading):
            return self.is_stale(seat, now)
        if reading.source == "noted":
            return now - seat.noted_at > max(_LIST_LAG_SECONDS, self.interval)
        return reading.source == "pending" or self._is_start_wanted(seat, now)

    def _is_start_wanted(self, seat: Seat, now: float) -> bool:
        """Whether to look if the instances have begun: of some kinds only a description tells.

        Not of many jobs at once, for it is of no weight.
        """
        reading, shortest = seat.reading, self.options.interval_seconds
        if not (
            reading.status == "InProgress"
            and not reading.secondary_status
            and reading.seen.phase is Phase.INITIALIZING
        ):
            return False
        rested = now - max(seat.described_at, seat.noted_at) > 4 * shortest
        if not (seat.is_moved or rested) or 0 <= now - self._curious_at < shortest / 5:
            return False
        self._curious_at = now
        return True

    # What was read

    def listed(self, summary: Mapping[str, object], now: float, sweep: int = 0) -> bool:
        """An entry of a list; whether it says anything new."""
        name = text(summary, self.kind.api.name_field)
        seat = self.seats.get(name)
        if seat is None:
            is_open = not phase_of(text(summary, self.kind.api.status_field)).is_terminal
            if not is_open or len(self.seats) >= _MOST_SEATS:
                return False
            seat = self.seats[name] = Seat(job_status.pending(self.kind, name, _utc(now)))
        seat.swept = sweep or seat.swept
        return self._take(seat, summary, "list", now)

    def described(self, name: str, description: Mapping[str, object], now: float) -> None:
        """A description of a job."""
        seat = self.seats.get(name)
        if seat is None:
            return  # forgotten meanwhile
        seat.described_at, seat.is_changed, seat.is_moved = now, False, False
        self.last_error = None
        self._pace(is_new=self._take(seat, description, "describe", now))

    def _take(
        self, seat: Seat, answer: Mapping[str, object], source: job_status.Source, now: float
    ) -> bool:
        """Remember what an answer says, unless more is known; whether it says anything new."""
        before, seat.read_at = seat.reading, now
        started = before.seen.started
        after = job_status.read(self.kind, answer, source, _utc(now), started=started)
        if before.is_over or _is_older(after, before):
            return False
        seat.reading = after
        if after.is_over:
            self._open.discard(after.name)
        is_new = _words(before) != _words(after)
        if source == "list" and is_new:
            seat.is_moved = after.last_modified != after.created
        return is_new

    def looked(self, began: datetime, now: float, *, changes: int, pages: int) -> None:
        """All that has changed since the high water has been listed.

        Args:
            began: When the list was begun, by AWS's clock.
            now: When it was begun, by ours.
            changes: How many of its entries said something new.
            pages: How many pages it had.
        """
        self.high_water = began
        self.last_pages = pages
        self.last_error = None
        if self.since is not None:
            self._window.measured(pages, (began - self.since).total_seconds())
        self._confirmed_at = _utc(now)
        self._pace(is_new=changes > 0)
        self._looked_at = self._listed_at = now

    def begin_sweep(self, now: float) -> None:
        """All jobs in progress are going to be listed."""
        self.sweep += 1
        if now - self._listed_at > self.options.sweep_seconds:
            self.high_water = None  # whatever has changed since: the sweep tells it

    def reached(self, date: datetime) -> None:
        """A sweep has begun, by AWS's clock: what was before it need not be listed."""
        if self.high_water is None:
            self.high_water = date

    def failed(self, error: CdaoError, now: float, *, is_refused: bool = False) -> None:
        """A look failed: memory answers, and the next look is later."""
        self.last_error = error
        self._looked_at = now
        if is_refused:
            self.denied_until = now + self.options.sweep_seconds
        options = self.options
        most = max(options.longest_interval_seconds, 12 * options.interval_seconds)
        self._interval = min(most, self._interval * 2)

    def _pace(self, *, is_new: bool) -> None:
        options = self.options
        longer = min(options.longest_interval_seconds, self._interval * _GROWTH)
        self._interval = options.interval_seconds if is_new else longer

    @property
    def changes_after(self) -> datetime | None:
        """From when on to list changes; None: too much would have to be listed."""
        return None if self.high_water is None else self.high_water - _OVERLAP

    def swept(self, began: float, now: float, *, pages: int, reach: datetime | None) -> None:
        """All jobs in progress have been listed: whichever is not among them has ended.

        Args:
            began: When the sweep began.
            now: The time.
            pages: How many pages it had.
            reach: The creation time down to which it went; None: it had all jobs.
        """
        self.swept_at = now
        self.last_error = None
        if reach is not None:
            self._window.measured(pages, began - reach.timestamp())
        for name, seat in list(self.seats.items()):
            reading = seat.reading
            if seat.swept == self.sweep or reading.is_over:
                continue
            if max(seat.read_at, seat.noted_at + _LIST_LAG_SECONDS) >= began:
                continue  # known from later, or too new for lists
            if name not in self._open:
                self.forget(name)
            elif reading.source != "pending":
                created = reading.created
                seat.is_changed |= reach is None or created is None or created >= reach

    def clear(self, now: float) -> None:
        """Forget what nobody asks for; does something once a minute."""
        if 0 <= now - self._cleared_at < _CLEAR_EVERY_SECONDS:
            return
        self._cleared_at = now
        for name, seat in list(self.seats.items()):
            if seat.reading.is_over:
                if now - max(seat.asked_at, seat.read_at) > _KEEP_ENDED_SECONDS:
                    self.forget(name)
            elif now - seat.asked_at > _KEEP_OPEN_SECONDS:
                self._open.discard(name)
                if not seat.reading.is_read:
                    self.forget(name)


def _words(status: JobStatus) -> tuple[object, ...]:
    return status.status, status.secondary_status, status.last_modified, status.seen.started


def _is_older(one: JobStatus, other: JobStatus) -> bool:
    # Lists lag behind descriptions.
    if one.last_modified is None or other.last_modified is None:
        return False
    return one.last_modified < other.last_modified


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, timezone.utc)
