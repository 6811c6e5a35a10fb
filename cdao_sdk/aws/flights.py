"""Tasks by what they do: who wants what is under way already waits for the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

__all__ = ["Flights"]


class Flights:
    """The tasks under way on one event loop; they go on when those who wait for them give up."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, tuple[asyncio.Task[None], float]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    def start(
        self, key: Hashable, make: Callable[[], Coroutine[object, object, None]]
    ) -> tuple[asyncio.Task[None], float]:
        """The task of this name and the time of its start; it is started if it is not there."""
        if key not in self._tasks:
            task = asyncio.ensure_future(make())
            self._tasks[key] = task, asyncio.get_running_loop().time()
            task.add_done_callback(lambda done: self._landed(key, done))
        return self._tasks[key]

    async def join(
        self,
        key: Hashable,
        make: Callable[[], Coroutine[object, object, None]],
        *,
        patience_seconds: float,
        until: float,
    ) -> None:
        """Wait for the task of this name.

        Args:
            key: Its name.
            make: Begins it, if it is not under way.
            patience_seconds: It is not waited for when it has taken so long.
            until: The loop's time at which the wait ends.

        Raises:
            Exception: What the task raised, if it ended in time.
        """
        task, began = self.start(key, make)
        left = min(began + patience_seconds, until) - asyncio.get_running_loop().time()
        await asyncio.wait({task}, timeout=max(0.0, left))
        if task.done() and not task.cancelled():
            task.result()

    async def close(self) -> None:
        """End them all."""
        tasks = [task for task, _began in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits has it; else nobody wanted to know
