"""Paints what is new, answers keys and signals, and waits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.terminal.render import Screen, table_height
from cdao_sdk.monitor.terminal.state import ViewState, lines_of, press

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.monitor.snapshot import Snapshot
    from cdao_sdk.monitor.terminal.keys import Keys
    from cdao_sdk.monitor.terminal.refresher import Refresher
    from cdao_sdk.monitor.terminal.signals import Signals

__all__ = ["Controls", "Loop"]

_LONGEST_WAIT_SECONDS = 1.0  # the clocks on the screen go on


@dataclass(frozen=True)
class Controls:
    """What the keys of a view can do with the jobs.

    Attributes:
        stop: Stops them, and says what it did; None where Ctrl-C ends the whole run at once.
    """

    stop: Callable[[], str] | None = None


class _Display(Protocol):
    def screen(self, *, keys: bool) -> Screen: ...
    def show(self, snapshot: Snapshot, screen: Screen, state: ViewState) -> None: ...
    def clear(self) -> None: ...
    def rest(self) -> None: ...


class Loop:
    """One watching of jobs by a person.

    Args:
        display: What draws.
        signals: Ctrl-C and its like.
        keys: What is pressed.
        refresher: What brings snapshots.
        controls: What keys can do with the jobs.
    """

    def __init__(
        self,
        display: _Display,
        signals: Signals,
        keys: Keys,
        refresher: Refresher,
        controls: Controls,
    ) -> None:
        self._display, self._signals, self._keys = display, signals, keys
        self._refresher, self._controls = refresher, controls
        self._state = ViewState()
        self._width = 0

    def run(self) -> tuple[Snapshot, bool]:
        """Until all is over, or the person looks away with a key.

        Returns:
            The last state, and whether all is over.

        Raises:
            KeyboardInterrupt: Ctrl-C, and that was to look away; SIGTERM.
        """
        while True:
            snapshot = self._refresher.newest()
            if snapshot is not None:
                if self._refresher.is_end:
                    return snapshot, True
                if self._answer_keys(snapshot):
                    return snapshot, False
                self._paint(snapshot)
            self._answer_signals(snapshot)
            wakers = [] if self._keys.descriptor is None else [self._keys.descriptor]
            self._signals.wait(_LONGEST_WAIT_SECONDS, wakers)

    def _paint(self, snapshot: Snapshot) -> None:
        self._refresher.look_at({self._state.log_of, self._state.selected} - {""})
        screen = self._screen()
        if screen.width < self._width:
            # The terminal may have broken the lines anew: nobody knows where they begin now.
            self._display.clear()
        self._width = screen.width
        self._display.show(snapshot, screen, self._state)

    def _screen(self) -> Screen:
        screen = self._display.screen(keys=self._keys.descriptor is not None)
        return replace(screen, may_stop=self._controls.stop is not None)

    def _answer_keys(self, snapshot: Snapshot) -> bool:
        """Whether a key says to look away."""
        return any(self._press(key, snapshot) == "look away" for key in self._keys.pressed())

    def _answer_signals(self, snapshot: Snapshot | None) -> None:
        for event in self._signals.take():
            if event == "terminate":
                raise KeyboardInterrupt
            if event == "suspend":
                self._suspend()
            if event == "interrupt":
                can_answer = snapshot is not None and self._keys.descriptor is not None
                if not can_answer or self._press("interrupt", snapshot) == "look away":
                    raise KeyboardInterrupt
                self._signals.wake()  # paint the question at once

    def _press(self, key: str, snapshot: Snapshot | None) -> str:
        if snapshot is None:
            return ""
        screen = self._screen()
        self._state, answer = press(
            self._state,
            key,
            lines_of(snapshot, self._state),
            page=table_height(screen),
            may_stop=screen.may_stop,
        )
        if answer == "stop" and self._controls.stop is not None:
            self._state = replace(self._state, said="stopping the jobs …")
            self._refresher.do(self._stop)
        return answer

    def _stop(self) -> None:
        """In the refresher's thread, which may wait for AWS."""
        if self._controls.stop is None:
            return
        try:
            said = self._controls.stop()
        except CdaoError as error:
            said = f"not stopped: {error}"
        self._state = replace(self._state, said=said)

    def _suspend(self) -> None:
        """Be stopped as Ctrl-Z asks, with the terminal as it was; then go on."""
        self._display.rest()
        self._keys.give_back()
        self._signals.stop_here()
        self._keys.take()
