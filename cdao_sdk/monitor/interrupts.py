"""Ctrl-C as Python means it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["keyboard_interrupts"]


@contextmanager
def keyboard_interrupts(*more: signal.Signals) -> Generator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt, and so do the signals in ``more``.

    Importing flytekit makes Ctrl-C a bare ``exit(1)``. Only the main thread may set handlers; in
    any other one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, *more)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
