"""A terminal in memory that a real process is attached to."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyte
import pytest
from rich.console import Console
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Where pictures of the last screens go, as those of the browser's tests; tests see no CDAO_*.
SHOTS = os.environ.get("CDAO_SCREENSHOTS")
_HEX = re.compile(r"[0-9a-f]{6}")
CDAO = str(Path(sys.executable).with_name("cdao"))
# Makes the terminal the process's own, as a shell does: Ctrl-C reaches it then.
_LAUNCH = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A process and the screen that it draws on."""

    def __init__(self, arguments: list[str], columns: int, lines: int, **environment: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        dropped = ("CI", "GITHUB_ACTIONS", "NO_COLOR", "COLUMNS", "LINES")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        surroundings = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, **surroundings, **environment},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._ends = threading.Event()
        self._reader.start()

    def _read(self) -> None:
        while not self._ends.is_set():
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                data = os.read(self.master, 65536)
                with self._lock:
                    self._stream.feed(data)

    @property
    def text(self) -> str:
        """The screen's lines, without the blanks at their ends."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, *words: str, gone: str = "", twice: str = "", seconds: float = 30) -> str:
        """The screen, once it shows these words, not those that are gone, and some twice."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text
            is_there = all(word in text for word in words) and text.count(twice) > 1
            if is_there and not (gone and gone in text):
                return text
            assert time.monotonic() < deadline, f"{words} (gone: {gone!r}) not shown:\n{text}"
            time.sleep(0.02)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Be another size, as a dragged window is."""
        with self._lock:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            self.screen.resize(lines, columns)

    def end(self, seconds: float = 30) -> int:
        """The process's exit code; all that it wrote is on the screen then."""
        code = self.process.wait(seconds)
        time.sleep(0.2)
        return code

    @property
    def is_as_before(self) -> bool:
        """Whether echo and line mode are what they were, and the cursor is shown."""
        return termios.tcgetattr(self.slave) == self.before and not self.screen.cursor.hidden

    def picture(self, path: Path) -> None:
        """Keep what the screen shows as a picture."""
        console = Console(file=io.StringIO(), record=True, width=self.screen.columns)
        with self._lock:
            for number in range(self.screen.lines):
                line = self.screen.buffer[number]
                cells = [line[column] for column in range(self.screen.columns)]
                console.print(Text.assemble(*((cell.data, _style(cell)) for cell in cells)))
        console.save_svg(str(path), title=path.stem)

    def close(self) -> None:
        """Kill what still runs."""
        self.process.kill()
        self.process.wait()
        self._ends.set()
        self._reader.join()
        os.close(self.master)
        os.close(self.slave)


def _style(cell: pyte.screens.Char) -> Style:
    names = {"default": None, "brown": "yellow"}
    colour = f"#{cell.fg}" if _HEX.fullmatch(cell.fg) else names.get(cell.fg, cell.fg)
    return Style(color=colour, bold=cell.bold, reverse=cell.reverse)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Callable[..., Terminal]]:
    """Starts a command in a terminal of some size."""
    opened: list[Terminal] = []

    def start(*arguments: str, columns: int = 100, lines: int = 30, **environment: str) -> Terminal:
        opened.append(Terminal([*arguments], columns, lines, **environment))
        return opened[-1]

    yield start
    for number, each in enumerate(opened):
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            each.picture(Path(SHOTS) / f"terminal-{request.node.name}-{number}.svg")
        each.close()


@pytest.fixture
def cdao(terminal: Callable[..., Terminal], embedded: object) -> Callable[..., Terminal]:
    """Starts ``cdao`` in a terminal, at the server that the tests share."""

    def start(*arguments: str, **options: object) -> Terminal:
        url = embedded.url  # type: ignore[attr-defined]
        return terminal(CDAO, *arguments, CDAO_ENDPOINT_URL=url, **options)

    return start
