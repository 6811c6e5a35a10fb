"""Servers as processes of their own: AWS and Flyte, our connector, Flyte's SageMaker plugin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from benchmarks.measure import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BUCKET = "cdao-bench"
ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
REGION = "us-east-1"
# Without compiled modules (PYTHONDONTWRITEBYTECODE) imports would be most of what is measured.
_FOREIGN = ("AWS_", "CDAO_", "FLYTE", "PYTHONDONTWRITEBYTECODE")
# A folder of its own: a script's folder is searched first, and requests.py is not ours alone.
_PLUGIN = Path(__file__).parent / "scripts" / "flyte_plugin.py"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Server:
    """A process that serves.

    Attributes:
        process: The process; all that it started is in its session.
        address: Where it listens: a URL, or host and port.
        log: What it prints.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def _members(self) -> list[Path]:
        found: list[Path] = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(path.name)) == self.process.pid:
                    found.append(path)
            except OSError:
                continue
        return found

    @property
    def cpu_seconds(self) -> float:
        """What it and its children have used."""
        return sum(
            sum(map(int, _stat(path)[11:13])) / _TICKS for path in self._members if path.exists()
        )

    @property
    def memory_mb(self) -> float:
        """Resident memory of the largest of its processes: uv stands before the plugin's."""
        return max(int(_stat(path)[21]) * _PAGE_BYTES for path in self._members) / 1024**2


def _stat(path: Path) -> list[str]:
    """The fields of ``/proc/…/stat`` behind the command's name."""
    return (path / "stat").read_text().rpartition(")")[2].split()


@contextmanager
def embedded_aws(folder: Path, *, concurrency: int) -> Iterator[Server]:
    """The embedded SageMaker with a bucket."""
    ready = folder / "aws.json"
    command = [PYTHON, "-m", "cdao_sdk.local", "--state-dir", str(folder / "aws")]
    command += ["--concurrency", str(concurrency), "--ready-file", str(ready)]
    with _started(command, folder / "aws.log", {}) as process:
        _wait(ready.exists, process, folder / "aws.log")
        server = Server(process, json.loads(ready.read_bytes())["url"], folder / "aws.log")
        client(server.address, "s3").create_bucket(Bucket=BUCKET)
        yield server


@contextmanager
def aws_account(folder: Path, jobs: int) -> Iterator[Server]:
    """An account with so many running jobs."""
    ready = folder / "account.json"
    command = [PYTHON, "-m", "benchmarks.open_account", str(jobs), str(ready)]
    with _started(command, folder / "account.log", {}) as process:
        _wait(ready.exists, process, folder / "account.log")
        yield Server(process, json.loads(ready.read_bytes())["url"], folder / "account.log")


@contextmanager
def our_connector(folder: Path, aws_url: str, *, is_aws: bool = False) -> Iterator[Server]:
    """`cdao connector serve`.

    Args:
        folder: Where its log goes.
        aws_url: The endpoint.
        is_aws: Whether it takes that for AWS, and not for the embedded one.
    """
    ready = folder / "connector.json"
    settings = {"CDAO_DEFAULT_BUCKET": BUCKET, "CDAO_SAGEMAKER_ROLE": ROLE}
    settings |= aws_environment(aws_url) if is_aws else {"CDAO_ENDPOINT_URL": aws_url}
    cdao = str(Path(sys.executable).with_name("cdao"))
    command = [cdao, "connector", "serve", "--port", "0", "--metrics-port", "0"]
    log = folder / "connector.log"
    with _started([*command, "--ready-file", str(ready)], log, settings) as process:
        _wait(ready.exists, process, log)
        yield Server(process, json.loads(ready.read_bytes())["address"], log)


@contextmanager
def plugin_connector(folder: Path, aws_url: str) -> Iterator[Server]:
    """`pyflyte serve connector` with Flyte's plugin, in an environment of its own."""
    port, metrics_port = _free_port(), _free_port()
    log = folder / "plugin.log"
    command = plugin_command("serve", str(port), str(metrics_port))
    quiet = {"FLYTE_SDK_LOGGING_LEVEL": "40"}
    with _started(command, log, {**aws_environment(aws_url), **quiet}) as process:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        _wait(listens, process, log, seconds=600)  # its packages may have to be fetched
        yield Server(process, f"127.0.0.1:{port}", log)


@contextmanager
def flyte_backend(folder: Path) -> Iterator[tuple[str, str]]:
    """The tests' FlyteAdmin, and the S3 that belongs to it: the addresses of both."""
    ready, log = folder / "flyte.json", folder / "flyte.log"
    command = [PYTHON, "-m", "benchmarks.flyte_backend", str(ready)]
    with _started(command, log, {}) as process:
        _wait(ready.exists, process, log)
        found = json.loads(ready.read_bytes())
        yield found["admin"], found["aws"]


def plugin_command(*arguments: str) -> list[str]:
    """The command that runs the plugin's script."""
    uv = shutil.which("uv")
    if uv is None:
        msg = "Flyte's plugin needs an environment of its own, and uv to make it"
        raise RuntimeError(msg)
    run = [uv, "run", "--quiet", "--no-project", "--python", PYTHON, "--script"]
    return [*run, str(_PLUGIN), *arguments]


def aws_environment(aws_url: str = "") -> dict[str, str]:
    """What tells boto3 where AWS is."""
    return {
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
    }


def plugin_says(*arguments: str) -> Any:
    """What the plugin's script prints, read as JSON."""
    done = subprocess.run(
        plugin_command(*arguments),
        check=True,
        capture_output=True,
        env={**clean_environment(), **aws_environment()},
    )
    return json.loads(done.stdout)


def client(aws_url: str, service: str) -> Any:
    """An unmodified boto3 client of the embedded AWS."""
    session = boto3.Session("local", "local", region_name=REGION)
    return session.client(service, endpoint_url=aws_url)


def clean_environment() -> dict[str, str]:
    """This process's environment without settings for AWS, Flyte and us."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _started(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env={**clean_environment(), **environment},
            cwd=Path(__file__).parent.parent,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(
    is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            msg = f"it does not serve: {log.read_text()[-2000:]}"
            raise RuntimeError(msg)
        time.sleep(0.05)
