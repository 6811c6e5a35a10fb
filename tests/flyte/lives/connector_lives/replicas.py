"""Replicas of the connector: real processes, killed at random moments and started again at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

__all__ = ["Replicas", "running_replicas"]

REAPER_PAUSE_SECONDS = 6.0
"""Longer than two jobs of a node may overlap: what only the reaper stops is told."""
UNASKED_SECONDS = 2.0
MARK_SECONDS = 3.0
_PATIENCE_SECONDS = 30.0


@dataclass
class Replicas:
    """The processes.

    Attributes:
        ports: Where each of them listens, in all its lives.
        kills: How often one was killed.
        deaths: Those that ended by themselves, which none should.
    """

    ports: list[int]
    rng: random.Random
    kills: int = 0
    deaths: list[str] = field(default_factory=list)
    _zygote: asyncio.subprocess.Process | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, environment: Mapping[str, str], options: Mapping[str, object]) -> None:
        """Start them all."""
        text = json.dumps({**options, "ports": self.ports})
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "connector_lives.zygote", text),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._event()
        for index in range(len(self.ports)):
            await self._command(f"start {index}")

    async def kill_for_ever(self, answers: Mapping[int, int]) -> None:
        """Kill each of them now and then, until this is cancelled.

        Args:
            answers: Number of a replica → how many calls it has answered until now.
        """
        async with contextlib.AsyncExitStack() as stack:
            tasks = [
                asyncio.ensure_future(self._haunt(index, answers))
                for index in range(len(self.ports))
            ]
            stack.callback(lambda: [task.cancel() for task in tasks])
            await asyncio.gather(*tasks)

    async def _haunt(self, index: int, answers: Mapping[int, int]) -> None:
        while True:
            # Some live long enough for what they do two seconds after a call.
            span = (0.3, 1.5) if self.rng.random() < 0.7 else (1.5, 4.5)
            until = time.monotonic() + self.rng.uniform(*span)
            # On a slow machine nothing would be done at all; some are killed while they begin.
            enough = answers.get(index, 0) + self.rng.choice((0, 5, 10, 20, 40))
            at_last = until + _PATIENCE_SECONDS
            while time.monotonic() < until or (  # noqa: ASYNC110 # nothing tells
                answers.get(index, 0) < enough and time.monotonic() < at_last
            ):
                await asyncio.sleep(0.01)
            await asyncio.shield(self._again(index))

    async def _again(self, index: int) -> None:
        async with self._turn:
            event = await self._command(f"kill {index}")
            self.kills += 1
            if event != f"killed {index} {-signal.SIGKILL}":
                self.deaths.append(event)
            await self._command(f"start {index}")

    async def close(self) -> None:
        """End them and the process they come from."""
        if self._zygote is None:
            return
        async with self._turn:
            assert self._zygote.stdin is not None
            self._zygote.stdin.close()
        await asyncio.wait_for(self._zygote.wait(), 20)

    async def _command(self, line: str) -> str:
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(f"{line}\n".encode())
        return await self._event()

    async def _event(self) -> str:
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        line = await self._zygote.stdout.readline()
        assert line, "the replicas' zygote has ended"
        return line.decode().strip()


@contextlib.asynccontextmanager
async def running_replicas(
    count: int, seed: int, folder: Path, environment: Mapping[str, str], *, log_level: str
) -> AsyncIterator[Replicas]:
    """Replicas that live while this is entered.

    Args:
        count: How many.
        seed: Says when they are killed.
        folder: Where their logs go; the folder ``over`` in it has a file for each execution that
            FlyteAdmin would say is over.
        environment: The processes' environment.
        log_level: Of their logs.
    """
    replicas = Replicas(_free_ports(count), random.Random(f"{seed}/replicas"))
    options = {
        "folder": str(folder),
        "over": str(folder / "over"),
        "pause_seconds": REAPER_PAUSE_SECONDS,
        "unasked_seconds": UNASKED_SECONDS,
        "mark_seconds": MARK_SECONDS,
        "log_level": log_level,
    }
    try:
        await replicas.start(environment, options)
        yield replicas
    finally:
        await replicas.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
