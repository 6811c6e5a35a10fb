"""The process that forks the jobs: a script of the standard library only, one a server.

A server has many threads, and a process forked from a thread dies with that thread under
PR_SET_PDEATHSIG; so the server hands its jobs to this single-threaded helper (see `processes.py`,
which starts it as ``python -I -S supervisor.py`` with a Unix socket as standard input).

    server ──spawn requests──► supervisor ──fork──► keeper (one a job) ──fork──► job
       └───────────────one control socket a job───────────┘

The *keeper* is the job's init: it mounts ``/opt/ml``, starts the job in a session of its own,
adopts whatever the job leaves behind (PR_SET_CHILD_SUBREAPER), and when the job's first process
ends it kills the rest, as the end of a container does. It kills everything as well when the control
socket closes, the server ends, or the supervisor ends: no process outlives a ``kill -9`` of any.

Wire format. A spawn request is 4 bytes of length (carrying the file descriptors: control, stdout,
then those the job inherits from 3 on) and that much JSON. On the control socket the server sends
``T`` (SIGTERM to the job's group) or ``K`` (SIGKILL to all of it); the keeper answers by lines of
JSON: ``{"keeper"}``, its process id, once the job runs, and at the end ``{"code", "signal",
"user_seconds", "system_seconds", "max_rss_bytes"}``, or ``{"error"}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import TypedDict

    from cdao_sdk.local import sandbox

    class Request(TypedDict):
        command: list[str]
        env: dict[str, str]
        cwd: str
        opt_ml: str | None
        hosts_file: str | None
else:
    # By path: this interpreter has no site-packages, and importing the package would need them.
    _spec = importlib.util.spec_from_file_location(
        "sandbox", Path(__file__).with_name("sandbox.py")
    )
    sandbox = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sandbox)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MAX_FDS = 253  # the kernel's SCM_MAX_FD
_LINUX = sys.platform.startswith("linux")
_FAREWELL_SECONDS = 5.0
_HOSTS_FILE = Path("/etc/hosts")

_libc = ctypes.CDLL(None, use_errno=True)


class Wakeup:
    """Turns SIGCHLD into a readable file descriptor."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(writer, False)
        signal.signal(signal.SIGCHLD, _on_child)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass


class Supervisor:
    """Forks a keeper for each request until its server is gone."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.keepers: set[int] = set()
        # Keepers hold the read end: it closes with this process, however that ends.
        self.lifeline, self._lifeline_writer = os.pipe()
        self.server = _open_pidfd(os.getppid())
        self.wakeup = Wakeup()

    def serve(self) -> None:
        poller = _poller(self.channel.fileno(), self.wakeup.reader, self.server)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self.wakeup.reader in ready:
                self.wakeup.drain()
                self._reap()
            if self.server in ready:
                break
            if self.channel.fileno() in ready and not self._spawn():
                break
        self._end()

    def _spawn(self) -> bool:
        """Take one request off the channel; False when the server has closed it."""
        try:
            header, fds, _, _ = socket.recv_fds(self.channel, 4, _MAX_FDS)
        except ConnectionResetError:
            return False
        body = _receive(self.channel, int.from_bytes(header, "big"))
        if not body:
            return False
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            keeper = os.fork()
        except OSError as error:
            _answer(socket.socket(fileno=os.dup(fds[0])), {"error": str(error)})
        else:
            if keeper == 0:
                self.channel.close()
                os.close(self._lifeline_writer)
                _run_keeper(self, json.loads(body), fds)
            self.keepers.add(keeper)
        for fd in fds:
            os.close(fd)
        return True

    def _reap(self) -> None:
        """Collect dead keepers, and kill what a keeper that was killed could not take along."""
        orphans = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            orphans = orphans or pid not in self.keepers or os.WIFSIGNALED(status)
            self.keepers.discard(pid)
        if orphans:
            _kill([pid for pid in _children() if pid not in self.keepers])

    def _end(self) -> None:
        os.close(self._lifeline_writer)
        deadline = time.monotonic() + _FAREWELL_SECONDS
        poller = _poller(self.wakeup.reader)
        while self.keepers and time.monotonic() < deadline:
            poller.poll(100)
            self.wakeup.drain()
            self._reap()
        _kill(list(self.keepers))
        self.keepers.clear()
        _kill_children()


class Keeper:
    """Init of one job."""

    def __init__(self, control: socket.socket, job: int) -> None:
        self.control = control
        self.job = job
        self.result: dict[str, object] | None = None

    def keep(self, wakeup: Wakeup, *lifelines: int) -> None:
        """Return when the job and all its descendants are gone."""
        poller = _poller(self.control.fileno(), wakeup.reader, *lifelines)
        doomed = False
        while self.result is None:
            ready = {fd for fd, _ in poller.poll()}
            if wakeup.reader in ready:
                wakeup.drain()
                self._reap()
            if self.control.fileno() in ready:
                command = _receive(self.control, 1)
                if command == b"T":
                    self._signal(signal.SIGTERM)
                else:
                    doomed = True
            if doomed or ready.intersection(lifelines):
                break
        if not _LINUX:  # no subreaper there: those left behind are known by their group only
            self._signal(signal.SIGKILL)
        while self._reap():
            self._signal(signal.SIGKILL)
            _kill(_children())
            select.select([wakeup.reader], [], [], 0.05)
            wakeup.drain()

    def _reap(self) -> bool:
        """Collect dead children; False when none is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.job:
                killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
                self.result = {
                    "code": os.WEXITSTATUS(status) if killed_by is None else 128 + killed_by,
                    "signal": killed_by,
                    "user_seconds": usage.ru_utime,
                    "system_seconds": usage.ru_stime,
                    "max_rss_bytes": usage.ru_maxrss * (1024 if _LINUX else 1),
                }

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in this very moment
            os.killpg(self.job, number)


def _run_keeper(supervisor: Supervisor, request: Request, fds: list[int]) -> None:
    """The keeper's whole life; does not return."""
    control = socket.socket(fileno=fds[0])
    try:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wakeup = Wakeup()
        if request["opt_ml"]:
            sandbox.bind(Path(request["opt_ml"]))
            if request["hosts_file"] and _HOSTS_FILE.is_file():
                sandbox.show_file(Path(request["hosts_file"]), _HOSTS_FILE)
        keeper = Keeper(control, _start(request, fds[1], fds[2:]))
        _answer(control, {"keeper": os.getpid()})
        for fd in fds[1:]:
            os.close(fd)
        lifelines = [fd for fd in (supervisor.lifeline, supervisor.server) if fd >= 0]
        keeper.keep(wakeup, *lifelines)
        _answer(control, keeper.result or {"error": "the job's first process was lost"})
    except OSError as error:
        _answer(control, {"error": str(error)})
    except Exception as error:  # noqa: BLE001 - a fault of ours, of which nobody else would hear
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(0)


def _answer(control: socket.socket, answer: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server may be gone
        control.sendall(json.dumps(answer).encode() + b"\n")


def _start(request: Request, stdout: int, inherited: list[int]) -> int:
    """Fork the job itself.

    Raises:
        OSError: the command cannot be executed.
    """
    report, failure = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            failure = _lift(failure, len(inherited))
            _become_job(request, keeper, stdout, inherited)
        except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
            os.write(failure, f"{request['command'][0]}: {error}".encode(errors="replace"))
        finally:
            os._exit(127)
    os.close(failure)
    with os.fdopen(report, "rb") as pipe:
        problem = pipe.read()
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem.decode())
    return pid


def _become_job(request: Request, keeper: int, stdout: int, inherited: list[int]) -> None:
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    sources = [_lift(fd, len(inherited)) for fd in inherited]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    for target, source in enumerate(sources, start=3):
        os.dup2(source, target)
    os.chdir(request["cwd"])
    command = request["command"]
    os.execvpe(command[0], command, request["env"])  # noqa: S606 - no shell is the point


def _lift(fd: int, count: int) -> int:
    """Duplicate `fd` above the range 3…3+count that the job's inherited ones will take."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + count)


def _receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or fewer when the other side is gone."""
    data = b""
    while len(data) < size:
        try:
            chunk = sock.recv(size - len(data))
        except ConnectionResetError:
            break
        if not chunk:
            break
        data += chunk
    return data


def _poller(*fds: int) -> select.poll:
    poller = select.poll()
    for fd in fds:
        if fd >= 0:
            poller.register(fd, select.POLLIN)
    return poller


def _children() -> list[int]:
    """This process's children, adopted ones too; from /proc, so none elsewhere than on Linux."""
    own = str(os.getpid())
    found: list[int] = []
    if not _LINUX:
        return found
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone since the listing
            stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
            if stat.rpartition(")")[2].split()[1] == own:
                found.append(int(process.name))
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_children() -> None:
    """Kill until none is left: the children of a killed one become ours."""
    while True:
        _kill(_children())
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _open_pidfd(pid: int) -> int:
    """Readable once `pid` has ended; -1 where the system has none (the sockets' end must do)."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _prctl(option: int, value: int) -> None:
    if _LINUX and _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _on_child(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD needs a handler of Python's for the wake-up descriptor to be written."""


def main() -> None:
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    supervisor = Supervisor(channel)
    hello = {"sandbox": sandbox.enter()}
    channel.sendall(json.dumps(hello).encode() + b"\n")
    supervisor.serve()


if __name__ == "__main__":
    main()
