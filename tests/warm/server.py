"""Runs commands in forks of one process in which everything is imported already.

Most of the time that a command takes is Python's imports: two seconds of CPU for flytekit alone. A
fork has them for nothing, and is a process of its own all the same: own streams, environment,
signals, exit code, and the interpreter's own way to end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import types
from pathlib import Path
from typing import Any

LOADED = (
    "flytekit",
    "cdao_sdk._run",
    "cdao_sdk._plan",
    "cdao_sdk._doctor",
    "cdao_sdk.cli.app",
    "cdao_sdk.flyte.connector",
    "cdao_sdk.flyte.remote_run",
    "cdao_sdk.flyte.planning",
    "cdao_sdk.local.server",
    "cdao_sdk.monitor.report_source",
    "cdao_sdk.monitor.terminal.view",
    "cdao_sdk.monitor.watching",
)


def main() -> None:
    """Serve until standard input ends, then end with all commands."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    _load()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    wanted = _Server(listener).serve()
    if wanted is not None:
        _become(wanted)


def _load() -> None:
    for name in LOADED:
        importlib.import_module(name)
    import asyncio

    from cdao_sdk.aws.session import AwsClients, embedded_target

    async def read_models() -> None:
        clients = AwsClients(embedded_target("http://127.0.0.1:1"))
        for service in ("sagemaker", "s3", "logs"):
            await clients.client(service)
        await clients.close()

    asyncio.run(read_models())
    assert threading.active_count() == 1, "a fork has only the thread that makes it"
    gc.collect()
    gc.freeze()


class _Server:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ready = selectors.DefaultSelector()
        self._ready.register(listener, selectors.EVENT_READ, self._accept)
        self._ready.register(sys.stdin, selectors.EVENT_READ, None)
        self._running: dict[int, tuple[int, socket.socket]] = {}
        self._wanted: dict[str, Any] | None = None

    def serve(self) -> dict[str, Any] | None:
        """In a fork: what is to be run there. In the server itself: None, at the end."""
        while True:
            for key, _ in self._ready.select():
                if key.data is None:
                    for pid, _ in self._running.values():
                        os.kill(pid, signal.SIGKILL)
                    return None
                key.data(key.fileobj)
                if self._wanted is not None:
                    return self._wanted

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        head, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
        (length,) = struct.unpack("!I", head)
        text = b""
        while len(text) < length:
            text += connection.recv(length - len(text))
        wanted = json.loads(text)
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            for target, descriptor in enumerate(descriptors):
                os.dup2(descriptor, target)
            for descriptor in descriptors:
                os.close(descriptor)
            self._wanted = wanted
            return
        for descriptor in descriptors:
            os.close(descriptor)
        end = os.pidfd_open(pid)
        self._running[end] = (pid, connection)
        self._ready.register(end, selectors.EVENT_READ, self._ended)
        self._ready.register(connection, selectors.EVENT_READ, lambda it: self._told(it, pid))

    def _leave(self, connection: socket.socket) -> None:
        """A fork has nothing of the server's."""
        self._ready.close()
        self._listener.close()
        connection.close()
        for end, (_, other) in self._running.items():
            os.close(end)
            other.close()

    def _told(self, connection: socket.socket, pid: int) -> None:
        """The launcher has got a signal, or was killed."""
        try:
            numbers = connection.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or [signal.SIGKILL]:
            os.kill(pid, number)
        if not numbers:
            self._ready.unregister(connection)

    def _ended(self, end: int) -> None:
        pid, connection = self._running.pop(end)
        _, status = os.waitpid(pid, 0)
        self._ready.unregister(end)
        os.close(end)
        if connection in self._ready.get_map():
            self._ready.unregister(connection)
        with contextlib.suppress(OSError):  # the launcher was killed
            connection.send(struct.pack("!i", os.waitstatus_to_exitcode(status)))
        connection.close()


def _become(wanted: dict[str, Any]) -> None:
    """Be the command: its end is this process's, by the interpreter's own way."""
    if wanted["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(number, mode, closefd=False), "utf-8", errors, line_buffering=lines)  # noqa: SIM115
        for number, mode, errors, lines in (
            (0, "rb", "strict", False),
            (1, "wb", "strict", os.isatty(1)),
            (2, "wb", "backslashreplace", True),
        )
    )
    program, *arguments = wanted["command"]
    sys.argv = [program, *arguments]
    if program == "cdao":
        from cdao_sdk.cli import main as cdao

        sys.exit(cdao())
    _run_script(Path(arguments[0]), arguments)


def _run_script(path: Path, arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path[0] = str(path.resolve().parent)
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102 # as Python does


if __name__ == "__main__":
    main()
