"""The model server of a transform job, seen from outside: connections to ask it on.

`serving.py` is the other side, and says what goes over a connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ModelSilent(Exception):
    """The model has not answered a request in time, nor the retries of it."""


class _Connection:
    """One connection; what is sent on it is answered before the next is."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._stream = end.makefile("rwb")

    def wait_until_ready(self) -> None:
        if not self._stream.readline():
            raise ConnectionError

    def send(self, body: bytes, content_type: str, accept: str) -> None:
        header = {"content_type": content_type, "accept": accept, "length": len(body)}
        self._stream.write(json.dumps(header).encode() + b"\n")
        self._stream.write(body)
        self._stream.flush()

    def answers_until(self, deadline: float) -> bool:
        """Whether an answer, or the end of the server, has come by then (of time.monotonic)."""
        return bool(wait([self.socket], max(deadline - time.monotonic(), 0)))

    def read(self) -> tuple[int, bytes]:
        line = self._stream.readline()
        if not line:
            raise ConnectionError
        answer = json.loads(line)
        return answer["status"], self._stream.read(answer["length"])

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):  # the other side is gone already
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hang_up()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._stream.close()


class ModelServer:
    """The process that holds the model, and connections to ask it on.

    A request that is not answered in time is sent again, on another connection; the first one is
    used again once its late answer has come.

    Args:
        connections: To the process; twice as many as are asked on at once, for retries.
        timeout_seconds: What the model has to answer one request.
        retries: How often a request is sent again.
    """

    def __init__(
        self, connections: Sequence[socket.socket], *, timeout_seconds: float, retries: int
    ) -> None:
        self._all = [_Connection(each) for each in connections]
        self._free = list(self._all)
        self._late: list[_Connection] = []
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(len(self._all) // 2)
        self._timeout_seconds = timeout_seconds
        self._retries = retries

    def wait_until_ready(self) -> None:
        """Return when the model is loaded.

        Raises:
            ConnectionError: the process ended instead.
        """
        for connection in self._all:
            connection.wait_until_ready()

    def ask(self, body: bytes, content_type: str, accept: str) -> tuple[int, bytes]:
        """HTTP's status and the body of the model's answer; callable from several threads.

        Raises:
            ConnectionError: the process ended.
            ModelSilent: no answer came in time.
        """
        with self._turns:
            for _ in range(1 + self._retries):
                deadline = time.monotonic() + self._timeout_seconds
                connection = self._taken(deadline)
                if connection is None:
                    continue
                connection.send(body, content_type, accept)
                if connection.answers_until(deadline):
                    answer = connection.read()
                    with self._lock:
                        self._free.append(connection)
                    return answer
                with self._lock:
                    self._late.append(connection)
        raise ModelSilent

    def hang_up(self) -> None:
        """End the process, and every question under way with a ConnectionError."""
        for connection in self._all:
            connection.hang_up()

    def close(self) -> None:
        """Hang up, and give the connections back."""
        for connection in self._all:
            connection.close()

    def _taken(self, deadline: float) -> _Connection | None:
        """A connection that nothing is asked on; None where none gets free until then."""
        while True:
            with self._lock:
                if self._free:
                    return self._free.pop()
                late = list(self._late)
            ready = wait([one.socket for one in late], max(deadline - time.monotonic(), 0))
            if not ready:
                return None
            for one in late:
                if one.socket in ready:
                    self._catch_up(one)

    def _catch_up(self, connection: _Connection) -> None:
        """Throw a late answer away."""
        with self._lock:
            if connection in self._late:
                self._late.remove(connection)
                connection.read()
                self._free.append(connection)
