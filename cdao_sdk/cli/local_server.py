"""Start, find and end the background server of a state directory.

The server inherits a lock on ``server.lock`` and holds it for as long as it lives; the kernel lets
go of it however the server ends. So a held lock means that the process in ``server.json`` is the
server, and nothing else does: no process id is ever taken for another.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["LocalServer", "RunningServer"]

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_PAUSE_SECONDS = 0.05
_LOG_LINES = 10


@dataclass(frozen=True)
class RunningServer:
    """A server that answers: its URL and process."""

    url: str
    pid: int


class LocalServer:
    """The background server of one state directory.

    Args:
        state_dir: Where its state is, absolute.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._facts = state_dir / "server.json"
        self._lock = state_dir / "server.lock"
        self._log = state_dir / "server.log"

    def running(self) -> RunningServer | None:
        """The server, if it runs and answers; one that is just starting is waited for.

        Raises:
            CdaoError: It runs, but does not answer.
        """
        deadline = time.monotonic() + _START_SECONDS
        while self._is_held():
            server = self._read()
            if server is not None and _answers(server.url):
                return server
            if time.monotonic() > deadline:
                msg = (
                    f"A server of {self.state_dir} runs, but does not answer; see {self._log},"
                    " or end it with `cdao local stop`."
                )
                raise CdaoError(msg)
            time.sleep(_PAUSE_SECONDS)
        return None

    def start(self, port: int = 0, faults: str | None = None) -> RunningServer:
        """Start it and wait until it answers.

        Args:
            port: 0 takes a free one.
            faults: Faults that its clients meet, as JSON; None: those of the state directory.

        Raises:
            CdaoError: It ended at once, or does not answer.
        """
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = (
                f"The state directory {self.state_dir} cannot be made: {error}. Give another one"
                " by --state-dir or CDAO_STATE_DIR."
            )
            raise CdaoError(msg) from error
        with self._claimed() as lock:
            if lock is not None:
                self._facts.unlink(missing_ok=True)
                self._wait_for(self._spawn(port, lock, faults))
        server = self.running()
        if server is None:
            raise self._failed()
        return server

    def put_faults(self, server: RunningServer, faults: str) -> None:
        """Let the clients of a running server meet other faults, given as valid JSON."""
        url = f"{server.url}/_cdao/faults"
        with urlopen(Request(url, faults.encode(), method="PUT"), timeout=5):  # noqa: S310 # our own http URL
            pass

    def stop(self) -> RunningServer | None:
        """End it and wait for its end; None if it did not run."""
        server = self._read() if self._is_held() else None
        if server is None:
            return None
        for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.kill(server.pid, number)
            deadline = time.monotonic() + seconds
            while self._is_held() and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECONDS)
            if not self._is_held():
                break
        self._facts.unlink(missing_ok=True)
        return server

    def _spawn(self, port: int, lock: int, faults: str | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cdao_sdk.local", "--state-dir", str(self.state_dir)]
        command += ["--port", str(port), "--ready-file", str(self._facts)]
        command += ["--faults", faults] if faults else []
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                cwd=self.state_dir,
            )

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self._read() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise self._failed()
            time.sleep(_PAUSE_SECONDS)
        process.returncode = 0  # it lives on: not a child that was forgotten

    def _failed(self) -> CdaoError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = lines[-_LOG_LINES:]
        return CdaoError(f"The local SageMaker did not start. From {self._log}:", problems=tail)

    def _read(self) -> RunningServer | None:
        try:
            document = json.loads(self._facts.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return RunningServer(str(document["url"]), int(document["pid"]))

    def _is_held(self) -> bool:
        if not self._lock.exists():
            return False
        with self._claimed() as lock:
            return lock is None

    @contextmanager
    def _claimed(self) -> Generator[int | None]:
        """The lock's file descriptor; None while another process holds the lock."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield descriptor
        finally:
            os.close(descriptor)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):  # noqa: S310 # our own http URL
            return True
    except HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False
