"""One event loop in a thread of its own, for callers that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import threading
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads; started at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closers: list[Callable[[], Coroutine[object, object, None]]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None or not self._is_running:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="cdao-aws", daemon=True
                )
                self._thread.start()
            return self._loop

    @property
    def _is_running(self) -> bool:
        # A forked process has its parent's loop, but not the thread that runs it.
        return self._thread is not None and self._thread.is_alive()

    def run(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for what it returns.

        Args:
            coroutine: What to run.
            timeout: Seconds to wait at most; the coroutine is cancelled then.

        Returns:
            The coroutine's result.

        Raises:
            TimeoutError: The time ran out.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except BaseException:  # a signal, before it was handed over
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
            raise
        try:
            return future.result(timeout)
        except FutureTimeoutError as error:
            if future.done():
                raise
            future.cancel()
            msg = f"no answer within {timeout} s"
            raise TimeoutError(msg) from error
        except (KeyboardInterrupt, CancelledError):
            future.cancel()
            raise

    def at_exit(self, closer: Callable[[], Coroutine[object, object, None]]) -> None:
        """Have a coroutine run on the loop when the process ends."""
        if not self._closers:
            atexit.register(self._close)
        self._closers.append(closer)

    def _close(self) -> None:
        if not self._is_running:
            return  # nothing was opened; a process that ends can start no thread (Python >= 3.12)
        for closer in self._closers:
            with contextlib.suppress(TimeoutError):  # the process ends all the same
                self.run(closer(), timeout=2)


bridge = LoopThread()
