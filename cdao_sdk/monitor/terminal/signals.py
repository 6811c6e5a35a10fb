"""Signals as events that a loop takes when it can act on them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType, TracebackType

__all__ = ["Signals"]

# Windows has not all of them.
_EVENTS: Mapping[str, str] = {
    "SIGINT": "interrupt",
    "SIGTERM": "terminate",
    "SIGHUP": "terminate",
    "SIGWINCH": "resize",
    "SIGTSTP": "suspend",
}


class Signals:
    """Inside, signals wake :meth:`wait` and are taken with :meth:`take`.

    A handler that raised could do so in the middle of a painted line. Only the main thread may set
    handlers; in any other one nothing but :meth:`wake` wakes.
    """

    def __init__(self) -> None:
        self._events: deque[str] = deque()
        self._before: dict[signal.Signals, object] = {}
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in _numbers():
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal() has given
        # Whoever still wakes finds no pipe, not another's.
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        os.close(writer)
        os.close(reader)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._events.append(_EVENTS[signal.Signals(number).name])
        self.wake()

    def wake(self) -> None:
        """End the waiting; from any thread."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody waits
            os.write(self._writer, b".")

    def take(self) -> list[str]:
        """Names of what has come since the last call."""
        taken: list[str] = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def wait(self, seconds: float, descriptors: Sequence[int] = ()) -> None:
        """Wait for a signal, a :meth:`wake`, or something to read."""
        ready, _, _ = select.select([self._reader, *descriptors], [], [], seconds)
        if self._reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)

    def stop_here(self) -> None:
        """Be stopped, as Ctrl-Z asks; returns when the process goes on."""
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.kill(os.getpid(), signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, handler)


def _numbers() -> list[signal.Signals]:
    return [number for name in _EVENTS if (number := getattr(signal, name, None)) is not None]
