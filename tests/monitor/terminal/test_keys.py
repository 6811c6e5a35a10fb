from __future__ import annotations

import io
import os
import pty
import termios
import threading
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.terminal.keys import Keys, decode, key_source
from cdao_sdk.monitor.terminal.signs import ASCII, UNICODE, bar, signs_for
from cdao_sdk.monitor.wording import sparkline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b[5~\x1b[6~", ["page up", "page down"]),
        (b"\x1b[H\x1b[F", ["home", "end"]),
        (b"q\r\x03", ["q", "enter", "interrupt"]),
        (b"/k \x7f\x08", ["/", "k", " ", "backspace", "backspace"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5A", ["\x1b[1;5A"]),
        ("é".encode(), ["�", "�"]),
    ],
)
def test_keys_have_names(data: bytes, names: list[str]) -> None:
    assert decode(data) == names


def test_what_is_no_terminal_of_ours_gives_no_keys(tmp_path: Path) -> None:
    assert key_source(None) is None
    assert key_source(io.StringIO()) is None
    with (tmp_path / "file").open("w") as file:
        assert key_source(file) is None
    assert key_source(file) is None  # closed
    # A terminal, but not the one that controls this process: setting it up could stop us.
    master, slave = pty.openpty()
    with os.fdopen(slave) as stream, os.fdopen(master):
        assert key_source(stream) is None


def test_outside_the_main_thread_there_are_no_keys() -> None:
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(key_source(None)))
    thread.start()
    thread.join()
    assert found == [None]


def test_a_terminal_that_is_not_ours_stays_as_it_was() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with os.fdopen(slave) as stream, os.fdopen(master), Keys(stream) as keys:
        assert keys.pressed() == []
        assert termios.tcgetattr(slave) == before


@pytest.mark.parametrize(
    ("encoding", "signs"),
    [("utf-8", UNICODE), ("UTF-16", UNICODE), ("cp1252", ASCII), ("ascii", ASCII), ("?", ASCII)],
)
def test_signs_are_those_that_the_encoding_has(encoding: str, signs: object) -> None:
    assert signs_for(encoding) is signs


def test_ascii_signs_are_ascii() -> None:
    assert ASCII.characters.isascii()


@pytest.mark.parametrize("fraction", [-1, 0, 0.001, 0.5, 0.999, 1, 7])
def test_a_bar_is_full_at_the_end_only(fraction: float) -> None:
    cells = bar(fraction, 10, UNICODE)
    assert len(cells) == 10
    assert (cells == "█" * 10) == (fraction >= 1)
    assert (cells == "░" * 10) == (fraction <= 0)


def test_a_sparkline_copes_with_any_numbers() -> None:
    assert sparkline([], 8, UNICODE.sparks) == ""
    assert sparkline([1.0], 8, UNICODE.sparks) == ""
    assert sparkline([2.0, 2.0], 8, UNICODE.sparks) == "▄▄"
    assert sparkline([float("nan"), 1.0, float("inf"), 3.0], 8, UNICODE.sparks) == "▁█"
    assert sparkline([-1e308, 1e308], 8, UNICODE.sparks) == "▄▄"
    assert sparkline([0.0, 1.0], 8, ASCII.sparks) == "_^"
