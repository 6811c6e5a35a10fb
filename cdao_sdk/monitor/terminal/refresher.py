"""Asks for snapshots in a thread of its own, so that keys are answered while AWS is not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from cdao_sdk.monitor.snapshot import Snapshot
    from cdao_sdk.monitor.view import Feed

__all__ = ["Refresher"]

# What a call that is under way gets to end by itself.
_PARTING_SECONDS = 2.0


class Refresher:
    """The newest snapshot, and what is asked for beside it.

    Args:
        feed: Where snapshots come from; asked by this thread alone.
        until_over: Says whether more jobs may come; None asks the feed.
        wake: Called when there is something new.
    """

    def __init__(
        self,
        feed: Feed,
        until_over: Callable[[], bool] | None,
        wake: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._until_over = until_over
        self._wake = wake
        self._asked: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self._newest: Snapshot | None = None
        self._names: set[str] = set()
        self._ends = threading.Event()
        self._hurries = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cdao-refresher", daemon=True)
        self.is_end = False

    def __enter__(self) -> Refresher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._hurries.set()
        self._thread.join(_PARTING_SECONDS)

    def newest(self) -> Snapshot | None:
        """The newest snapshot; None before the first.

        Raises:
            CdaoError: What ended the asking.
        """
        if self._error is not None:
            raise self._error
        return self._newest

    @property
    def last(self) -> Snapshot | None:
        """The newest snapshot, whatever has happened since."""
        return self._newest

    def do(self, work: Callable[[], None]) -> None:
        """Have something done in the thread that may ask AWS, soon."""
        self._asked.append(work)
        self._hurries.set()

    def look_at(self, names: set[str]) -> None:
        """Say which jobs are looked at more closely; all others are not."""
        if names - self._names:
            self._hurries.set()
        self._names = names

    def _run(self) -> None:
        try:
            while not self._ends.is_set() and not self.is_end:
                self._step()
                self._wake()
                self._hurries.wait(self._feed.seconds_to_wait)
                self._hurries.clear()
        except BaseException as error:  # noqa: BLE001 # raised where it is waited for
            self._error = error
            self._wake()

    def _step(self) -> None:
        while self._asked:
            self._asked.pop(0)()
        self._feed.look_at(self._names)
        # Asked before the jobs are: whatever it knew of is in the snapshot then.
        over = self._until_over() if self._until_over else self._feed.is_over
        snapshot = self._feed.snapshot(fresh=over)
        self._newest = snapshot
        self.is_end = over and snapshot.jobs_are_over
