"""The connector as a process of its own, and clients that speak to it as Propeller does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from flyteidl.admin.agent_pb2 import CreateTaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.local.server import LocalSageMaker

ROLE = "arn:aws:iam::123456789012:role/FlyteRole"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    """A running service: its process, addresses and log."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path
    metrics_port: int
    port: int = 0

    def wait_until_ready(self, timeout: float = 60) -> Served:
        deadline = time.monotonic() + timeout
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        self.port = int(json.loads(self.ready_file.read_text())["port"])
        return self

    def channel(self, *options: tuple[str, object]) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)

    def lines(self) -> list[dict[str, Any]]:
        """The log, each line of which has to be one JSON object."""
        text = self.log.read_text()
        return [json.loads(line) for line in text.splitlines() if not line.startswith("Only this")]

    def metrics(self) -> dict[str, float]:
        """Series → value, as Prometheus scrapes them."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def memory_mb(self) -> float:
        return self.metrics()["process_resident_memory_bytes"] / 1024**2

    def end(self, number: int = signal.SIGTERM, timeout: float = 40) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout)


@pytest.fixture(scope="session")
def start_service(
    embedded: LocalSageMaker,
    tmp_path_factory: pytest.TempPathFactory,
    warm_start: Callable[..., list[str]],
) -> Iterator[Callable[..., Served]]:
    """Starts ``cdao connector serve`` at the shared server; it is killed at the end."""
    started: list[Served] = []

    def start(*arguments: str, wait: bool = True, **environment: str) -> Served:
        folder = tmp_path_factory.mktemp("service")
        metrics_port = free_port()
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CDAO_", "FLYTE"))
        }
        settings = {
            "CDAO_ENDPOINT_URL": embedded.url,
            "CDAO_DEFAULT_BUCKET": "cdao-tests",
            "CDAO_SAGEMAKER_ROLE": ROLE,
        }
        command = warm_start("cdao", "connector", "serve", "--port", "0")
        command += [
            "--metrics-port",
            str(metrics_port),
            "--ready-file",
            str(folder / "ready.json"),
            "--log-level",
            "debug",
        ]
        log = folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, *arguments],
                env={**clean, **settings, **environment},
                cwd=folder,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        served = Served(process, folder / "ready.json", log, metrics_port)
        started.append(served)
        return served.wait_until_ready() if wait else served

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Served]) -> Served:
    """The service that the tests of a worker share."""
    return start_service()


@pytest.fixture
def create_request(driven: Callable[..., Any]) -> Callable[..., CreateTaskRequest]:
    """A CreateTask request as Propeller sends it, of an execution of its own."""
    import odd_jobs

    def make(task: Any = odd_jobs.quick, **inputs: object) -> CreateTaskRequest:
        job = driven(task)
        return CreateTaskRequest(
            template=job.template.to_flyte_idl(),
            inputs=job.literals(inputs or {"number": 3}).to_flyte_idl(),
            output_prefix=f"s3://cdao-tests/grpc/{job.execution}",
            task_execution_metadata=job.metadata().to_flyte_idl(),
        )

    return make


@pytest.fixture
def free_ports() -> list[int]:
    """Two ports that nobody listens on."""
    return [free_port(), free_port()]


@pytest.fixture
def slow_aws(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an endpoint that answers after a while."""
    answer = proxy.answer

    def slowly(request: Any) -> None:
        time.sleep(1.0)
        answer(request)

    monkeypatch.setattr(proxy, "answer", slowly)
    return str(proxy.url)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def outputs_of(boto: Any) -> Callable[..., Any]:
    """Reads the outputs of a request where Propeller would."""
    from flyteidl.core.literals_pb2 import LiteralMap

    def read(request: Any) -> Any:
        bucket, _, key = request.output_prefix.removeprefix("s3://").partition("/")
        found = boto("s3").get_object(Bucket=bucket, Key=f"{key}/outputs.pb")
        return LiteralMap.FromString(found["Body"].read()).literals

    return read
