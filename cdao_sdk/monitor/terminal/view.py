"""A live table that answers keys: what it draws with. ``render`` says what, ``loop`` says when."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live

from cdao_sdk.monitor.terminal.keys import Keys
from cdao_sdk.monitor.terminal.loop import Controls, Loop
from cdao_sdk.monitor.terminal.refresher import Refresher
from cdao_sdk.monitor.terminal.render import Screen, draw
from cdao_sdk.monitor.terminal.signals import Signals
from cdao_sdk.monitor.terminal.signs import signs_for
from cdao_sdk.monitor.terminal.state import ViewState

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.monitor.snapshot import Snapshot
    from cdao_sdk.monitor.view import Feed

__all__ = ["Controls", "TerminalView"]

_CLEAR_SCREEN = "\x1b[H\x1b[J"
# A terminal that knows it shows what is between the two at once, without flicker; others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class TerminalView:
    """A table that is painted over in place; its last state stays on the screen.

    Args:
        stream: The terminal.
        controls: What keys can do with the jobs; None: nothing.
        keyboard: Where keys come from; None: nowhere.
    """

    shows_logs = True

    def __init__(
        self, stream: TextIO, controls: Controls | None = None, keyboard: TextIO | None = None
    ) -> None:
        self._stream = stream
        self._controls = controls or Controls()
        self._keyboard = keyboard
        self._console = Console(file=cast("TextIO", _AtOnce(stream)), highlight=False)
        self._signs = signs_for(stream.encoding or "utf-8")  # in memory there is none
        self._live = self._new_live()
        self._is_open = True

    def paint(self, snapshot: Snapshot) -> None:
        """Paint over the last state; once closed nothing is painted any more."""
        if self._is_open:
            self.show(snapshot, self.screen(keys=False), ViewState())

    def finish(self, snapshot: Snapshot) -> None:
        """Leave every job and every result on the screen, however long."""
        if self._is_open:
            self._live.transient = True
            self.close()
        # Soft: the terminal breaks what is too long, so that it is copied in one piece.
        for line in draw(snapshot, replace(self.screen(keys=False), height=None)):
            self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._is_open = False
        self._live.stop()

    def drive(self, feed: Feed, until_over: Callable[[], bool] | None) -> Snapshot:
        """Show snapshots and answer keys until all is over, or the person looks away.

        Args:
            feed: Where snapshots come from.
            until_over: Says whether more jobs may come; None asks the feed.

        Raises:
            KeyboardInterrupt: Ctrl-C, and that was to look away; SIGTERM.
        """
        keyboard = self._keyboard if self._console.is_terminal else None
        with Signals() as signals, Keys(keyboard) as keys:
            refresher = Refresher(feed, until_over, signals.wake)
            with refresher:
                loop = Loop(self, signals, keys, refresher, self._controls)
                try:
                    snapshot, is_over = loop.run()
                except KeyboardInterrupt:
                    if (last := refresher.last) is not None:
                        self.paint(last)  # without question and keys
                    raise
        if is_over:
            self.finish(snapshot)
        else:
            self.paint(snapshot)
        return snapshot

    def screen(self, *, keys: bool) -> Screen:
        """What there is to draw on.

        Args:
            keys: Whether keys are answered.
        """
        # What the terminal says now, not what $COLUMNS said once.
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns and size.lines:
                self._console.size = ConsoleDimensions(size.columns, size.lines)
        width, height = self._console.size
        return Screen(width, height, self._signs, keys=keys)

    def show(self, snapshot: Snapshot, screen: Screen, state: ViewState) -> None:
        """Draw one moment over the last one."""
        drawn = draw(snapshot, screen, state)
        self._live.start()
        self._live.update(Group(*drawn), refresh=True)

    def clear(self) -> None:
        """Forget what is on the screen."""
        if self._console.is_terminal:
            self._stream.write(_CLEAR_SCREEN)

    def rest(self) -> None:
        """Give the terminal back for a while; the next painting begins below."""
        self._live.stop()
        self._live = self._new_live()

    def _new_live(self) -> Live:
        # What is printed meanwhile appears above the table, if a terminal is where it would go.
        return Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )


class _AtOnce:
    """A stream that tells a terminal to show each piece as a whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begin, self._end = (_BEGIN, _END) if _is_terminal(stream) else ("", "")

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write one piece."""
        return self._stream.write(f"{self._begin}{text}{self._end}")


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
