"""Jobs as processes: the server's side of `supervisor.py`.

`Processes` is thread-safe; each call of `Processes.run` looks after the hosts of one job: it reads
what they print, stops them on request, and returns when the last descendant is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_START_SECONDS = 20.0
_POLL_SECONDS = 0.05
_CHUNK_BYTES = 1 << 16
_LINGER_SECONDS = 1.0  # for output that is still in the pipe when the last process has ended


class SupervisorError(RuntimeError):
    """The helper process that starts the jobs does not come up."""


@dataclass(frozen=True)
class Command:
    """What one host of a job executes.

    Args:
        arguments: program and arguments; the program is looked up on the environment's PATH.
        environment: the whole environment, nothing is added to it.
        directory: working directory, as the job sees it.
        opt_ml: folder to show at ``/opt/ml``, or None where that is not possible.
        inherited: file descriptors that the program finds at 3, 4, …
        hosts_file: file to show at ``/etc/hosts``, where `opt_ml` can be shown.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    opt_ml: Path | None = None
    inherited: Sequence[int] = ()
    hosts_file: Path | None = None


class StopFlag(Protocol):
    """Says that a job is to end; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether the job is to end now."""
        ...


class Usage(Protocol):
    """Looks at the processes of a host now and then."""

    def sample(self, pid: int, now: float) -> None:
        """Look at the children of a process, if it is time."""
        ...


@dataclass(frozen=True)
class ExitStatus:
    """How one host's process ended.

    Args:
        code: exit code; 128 + number for a signal, as a shell has it.
        signal: the signal that ended it, or None.
        error: why it could not be started or was lost; None when it ran.
        cpu_seconds: user and system time of all its processes.
        max_rss_bytes: the most memory that one of its processes held.
    """

    code: int
    signal: int | None = None
    error: str | None = None
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


@dataclass(frozen=True)
class GroupExit:
    """How the hosts of a job ended, and whether by themselves.

    Args:
        statuses: one for each host.
        cause: what ended them.
        ended: the hosts' numbers in the order in which they ended.
    """

    statuses: Sequence[ExitStatus]
    cause: Literal["exit", "stop", "timeout"]
    ended: Sequence[int]

    @property
    def failed(self) -> int | None:
        """The host that failed first: the others are asked to end then, and may fail at that."""
        return next((number for number in self.ended if self.statuses[number].code != 0), None)


class Processes:
    """Starts and ends jobs through one supervisor process, begun at the first use.

    Args:
        grace_seconds: between SIGTERM and SIGKILL of a job that is stopped. SageMaker's is 120.
    """

    def __init__(self, *, grace_seconds: float = 120.0) -> None:
        self.grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._supervisor: _Supervisor | None = None
        self._closed = False

    def sandbox_refusal(self) -> str | None:
        """Why ``/opt/ml`` cannot be mounted for jobs here, or None if it can."""
        with self._lock:
            return self._running().sandbox_refusal

    def run(
        self,
        commands: Sequence[Command],
        outputs: Sequence[Callable[[bytes], object]],
        *,
        stop: StopFlag,
        timeout_seconds: float | None = None,
        usages: Sequence[Usage] = (),
    ) -> GroupExit:
        """Run the hosts of one job and return when all their processes are gone.

        When one host fails the others are ended too.

        Args:
            commands: one for each host.
            outputs: for each host, what takes its standard output and error as it comes.
            stop: set by anyone to end the job: SIGTERM, and SIGKILL after the grace.
            timeout_seconds: after this time the same happens; None for never.
            usages: for each host, what looks at its processes now and then; none: nothing does.

        Raises:
            SupervisorError: the helper process does not start.
        """
        group = _Group(self.grace_seconds, timeout_seconds)
        watched = usages or [None] * len(commands)
        with contextlib.closing(group):
            for command, output, usage in zip(commands, outputs, watched, strict=True):
                group.add(*self._start(command), output, usage)
            return group.wait(stop)

    def close(self) -> None:
        """Kill every job with all its descendants, and end the supervisor."""
        with self._lock:
            self._closed = True
            if self._supervisor is not None:
                self._supervisor.close()
                self._supervisor = None

    def _start(self, command: Command) -> tuple[socket.socket, int]:
        """The control socket and the reading end of the output of a new process."""
        control, keeper_end = socket.socketpair()
        reader, writer = os.pipe()
        fds = [keeper_end.fileno(), writer, *command.inherited]
        request = {
            "command": list(command.arguments),
            "env": dict(command.environment),
            "cwd": str(command.directory),
            "opt_ml": None if command.opt_ml is None else str(command.opt_ml),
            "hosts_file": None if command.hosts_file is None else str(command.hosts_file),
        }
        try:
            with self._lock:
                try:
                    self._running().spawn(request, fds)
                except (BrokenPipeError, ConnectionResetError):  # killed since we looked
                    self._running(anew=True).spawn(request, fds)
        except BaseException:
            control.close()
            os.close(reader)
            raise
        finally:
            keeper_end.close()
            os.close(writer)
        return control, reader

    def _running(self, *, anew: bool = False) -> _Supervisor:
        if self._closed:
            msg = "the server is closing: no more jobs can be started"
            raise SupervisorError(msg)
        if self._supervisor is not None and (anew or not self._supervisor.alive()):
            self._supervisor.close()
            self._supervisor = None
        if self._supervisor is None:
            self._supervisor = _Supervisor()
        return self._supervisor


class _Supervisor:
    """One supervisor process and the channel to it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the server alone
                cwd="/",
            )
        self._channel.settimeout(_START_SECONDS)
        try:
            hello = _read_line(self._channel)
        except TimeoutError:
            hello = b""
        if not hello:
            self.close()
            msg = f"{_SUPERVISOR.name}, which runs the jobs, did not start; see standard error"
            raise SupervisorError(msg)
        self._channel.settimeout(None)
        self.sandbox_refusal: str | None = json.loads(hello)["sandbox"]

    def alive(self) -> bool:
        return self._process.poll() is None

    def spawn(self, request: Mapping[str, object], fds: Sequence[int]) -> None:
        body = json.dumps(request).encode()
        socket.send_fds(self._channel, [len(body).to_bytes(4, "big")], list(fds))
        self._channel.sendall(body)

    def close(self) -> None:
        self._channel.close()
        try:
            self._process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Host:
    """One running process of a group: its control socket, and its output to pass on."""

    def __init__(
        self,
        control: socket.socket,
        reader: int,
        output: Callable[[bytes], object],
        usage: Usage | None,
    ) -> None:
        self.control = control
        self.reader = reader
        self.output = output
        self.usage = usage
        self.told = b""
        self.keeper: int | None = None
        self.status: ExitStatus | None = None
        self.reading = True

    def order(self, command: bytes) -> None:
        if self.status is None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # just ended
                self.control.sendall(command)


class _Group:
    """The hosts of one job, watched by the thread that called `Processes.run`."""

    def __init__(self, grace_seconds: float, timeout_seconds: float | None) -> None:
        self._hosts: list[_Host] = []
        self._ended: list[_Host] = []
        self._selector = selectors.DefaultSelector()
        self._grace_seconds = grace_seconds
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._kill_at: float | None = None
        self._cause: Literal["exit", "stop", "timeout"] = "exit"

    def add(
        self,
        control: socket.socket,
        reader: int,
        output: Callable[[bytes], object],
        usage: Usage | None,
    ) -> None:
        host = _Host(control, reader, output, usage)
        self._hosts.append(host)
        self._selector.register(control, selectors.EVENT_READ, lambda: self._take_status(host))
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._take_output(host))

    def wait(self, stop: StopFlag) -> GroupExit:
        linger_until: float | None = None
        while True:
            for key, _ in self._selector.select(_POLL_SECONDS):
                key.data()
            now = time.monotonic()
            statuses = [host.status for host in self._hosts if host.status is not None]
            if len(statuses) < len(self._hosts):
                self._look_after(statuses, stop, now)
                self._look_at_usage(now)
                continue
            linger_until = linger_until or now + _LINGER_SECONDS
            if now > linger_until or not any(host.reading for host in self._hosts):
                order = [self._hosts.index(host) for host in self._ended]
                return GroupExit(statuses, self._cause, order)

    def _look_after(self, ended: list[ExitStatus], stop: StopFlag, now: float) -> None:
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._order(b"K")
        elif stop.is_set():
            self._end(now, "stop")
        elif self._deadline is not None and now >= self._deadline:
            self._end(now, "timeout")
        elif any(status.code != 0 for status in ended):
            self._end(now, "exit")

    def _look_at_usage(self, now: float) -> None:
        for host in self._hosts:
            if host.usage is not None and host.keeper is not None and host.status is None:
                with contextlib.suppress(OSError):  # a full disk: the job itself will say so
                    host.usage.sample(host.keeper, now)

    def _end(self, now: float, cause: Literal["exit", "stop", "timeout"]) -> None:
        self._cause = cause
        self._kill_at = now + self._grace_seconds
        self._order(b"T")

    def _order(self, command: bytes) -> None:
        for host in self._hosts:
            host.order(command)

    def _take_output(self, host: _Host) -> None:
        data = os.read(host.reader, _CHUNK_BYTES)
        if data:
            host.output(data)
        else:
            self._selector.unregister(host.reader)
            host.reading = False

    def _take_status(self, host: _Host) -> None:
        """What the keeper says: who it is, and at last how the job ended."""
        try:
            told = host.control.recv(4096)
        except ConnectionResetError:
            told = b""
        *lines, host.told = (host.told + told).split(b"\n")
        answers = [json.loads(line) for line in lines]
        for answer in answers:
            host.keeper = answer.get("keeper", host.keeper)
        last = answers[-1] if answers and "keeper" not in answers[-1] else None
        if last is None and told:
            return
        self._selector.unregister(host.control)
        self._ended.append(host)
        if last is None:
            host.status = ExitStatus(137, error="the process that ran the job was killed")
            return
        self._take_end(host, last)

    @staticmethod
    def _take_end(host: _Host, answer: Mapping[str, Any]) -> None:
        if "error" in answer:
            host.status = ExitStatus(127, error=answer["error"])
            return
        host.status = ExitStatus(
            code=answer["code"],
            signal=answer["signal"],
            cpu_seconds=answer["user_seconds"] + answer["system_seconds"],
            max_rss_bytes=answer["max_rss_bytes"],
        )

    def close(self) -> None:
        """Give up what is still open; a process that still runs is killed by that."""
        self._selector.close()
        for host in self._hosts:
            host.control.close()
            os.close(host.reader)


def _read_line(sock: socket.socket) -> bytes:
    """Up to and without the newline; empty when the other side ended before one came."""
    data = b""
    while not data.endswith(b"\n"):
        try:
            chunk = sock.recv(4096)
        except ConnectionResetError:
            return b""
        if not chunk:
            return b""
        data += chunk
    return data[:-1]
