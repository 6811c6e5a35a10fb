"""Keys of a terminal, without waiting for a line."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

if sys.platform != "win32":
    import termios
    import tty

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

__all__ = ["Keys", "decode", "key_source"]

_NAMES: dict[bytes, str] = {
    **dict.fromkeys((b"\x1b[A", b"\x1bOA"), "up"),
    **dict.fromkeys((b"\x1b[B", b"\x1bOB"), "down"),
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    **dict.fromkeys((b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x1b[7~"), "home"),
    **dict.fromkeys((b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x1b[8~"), "end"),
    **dict.fromkeys((b"\r", b"\n"), "enter"),
    **dict.fromkeys((b"\x7f", b"\x08"), "backspace"),
    b"\x1b": "escape",
    b"\x03": "interrupt",
}
# A control sequence, a function key's, or one byte.
_KEY = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
_REST_OF_SEQUENCE_SECONDS = 0.03


def decode(data: bytes) -> list[str]:
    """Names of the keys that have been pressed; a key without a name of its own is its character.

    Example:
        >>> decode(b"f\\x1b[B\\x1b[6~")
        ['f', 'down', 'page down']
    """
    return [_NAMES.get(found) or found.decode("ascii", "replace") for found in _KEY.findall(data)]


def key_source(stdin: TextIO | None) -> int | None:
    """The descriptor of a terminal whose keys may be read here; None where that is not safe.

    It is not without a terminal; in the background, where touching the terminal would stop the
    process; and outside the main thread, where no signal could give it back.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return None
    try:
        descriptor = -1 if stdin is None else stdin.fileno()
        if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
            return None
    except (OSError, ValueError):  # closed, replaced by something in memory, not our terminal
        return None
    return descriptor


class Keys:
    """Inside, keys come one by one and are not echoed; Ctrl-C stays a signal.

    The terminal is given back at the end, whatever ends it.

    Args:
        stdin: Where keys may come from; None: nothing is ever pressed.
    """

    def __init__(self, stdin: TextIO | None) -> None:
        self._stdin = stdin
        self._before: list[Any] | None = None
        self.descriptor: int | None = None

    def __enter__(self) -> Keys:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_back()

    def take(self) -> None:
        """Have keys one by one from now on, if that is safe here and now."""
        self.descriptor = key_source(self._stdin)
        if self.descriptor is not None:
            self._before = termios.tcgetattr(self.descriptor)
            tty.setcbreak(self.descriptor, termios.TCSADRAIN)

    def give_back(self) -> None:
        """Leave the terminal as it was."""
        if self.descriptor is not None and self._before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)
        self.descriptor = self._before = None

    def pressed(self) -> list[str]:
        """Names of the keys since the last call; does not wait."""
        if self.descriptor is None or not self._is_ready(0):
            return []
        data = self._read()
        # An escape alone may be the beginning of what a slow line has not brought yet.
        unfinished = data.endswith((b"\x1b", b"\x1b[", b"\x1bO"))
        if unfinished and self._is_ready(_REST_OF_SEQUENCE_SECONDS):
            data += self._read()
        return decode(data)

    def _read(self) -> bytes:
        descriptor = -1 if self.descriptor is None else self.descriptor
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            data = b""
        if not data:  # hung up: nothing will come any more
            self.give_back()
        return data

    def _is_ready(self, seconds: float) -> bool:
        if self.descriptor is None:
            return False
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        return bool(ready)
