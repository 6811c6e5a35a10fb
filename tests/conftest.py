"""No test sees this machine's AWS or CDAO settings; one embedded server serves a whole worker."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker


@dataclass
class Proxy:
    """Passes everything on to the embedded server, but what it is told to refuse.

    `refusals`: operation → error code that it gets; `words`: what is said with it; `seen`: the
    operations that came, in order.
    """

    target: str
    url: str = ""
    refusals: dict[str, str] = field(default_factory=dict[str, str])
    words: str = ""
    seen: list[str] = field(default_factory=list[str])

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.seen.append(operation)
        code = self.refusals.get(operation)
        if code:
            words = self.words or f"the test refuses {operation}"
            text = json.dumps({"__type": code, "message": words})
            answer: tuple[int, list[tuple[str, str]], bytes] = (400, [], text.encode())
        else:
            connection = http.client.HTTPConnection(self.target)
            connection.request(request.command, request.path, body, dict(request.headers))
            given = connection.getresponse()
            answer = (given.status, given.getheaders(), given.read())
            connection.close()
        request.send_response(answer[0])
        for name, value in answer[1]:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer[2])))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer[2])


# The in-process Flyte backend is a package of its own, for all tests.
sys.path.insert(0, str(Path(__file__).parent / "flyteadmin"))

ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
BUCKET = "cdao-tests"
_WARM = Path(__file__).parent / "warm"
_PROGRAMS = {"cdao": str(Path(sys.executable).with_name("cdao")), "python": sys.executable}
_FOREIGN = ("AWS_", "CDAO_", "FLYTE", "FLYTECTL_")


# A slow machine is no fault of the code's.
hypothesis.settings.register_profile(
    "cdao", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("cdao")


def pytest_configure(config: pytest.Config) -> None:
    for ignored in (
        # flytekit 1.16.31 asks for an event loop where there is none.
        "ignore:There is no current event loop:DeprecationWarning",
        # flytekit says so of Dict[str, Any], which the tests of pickles use on purpose.
        "ignore:Unsupported Type .* Flyte will default to use PickleFile:UserWarning",
        # flytekit's checkpointer leaves its folder to the garbage collector.
        "ignore:Implicitly cleaning up <TemporaryDirectory:ResourceWarning",
    ):
        config.addinivalue_line("filterwarnings", ignored)


@pytest.fixture(autouse=True)
def _own_surroundings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Settings come from the test alone; what it writes goes to a folder of its own."""
    from cdao_sdk.settings import holder

    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("surroundings")
    monkeypatch.setenv("CDAO_STATE_DIR", str(folder / "state"))
    monkeypatch.chdir(folder)
    holder.reset()
    yield
    holder.reset()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    """The embedded SageMaker that the tests of a worker share."""
    from cdao_sdk.local.server import LocalSageMaker

    logging.getLogger("cheroot").setLevel(logging.ERROR)
    with LocalSageMaker(tmp_path_factory.mktemp("embedded"), concurrency=6) as server:
        server.objects.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def services(embedded: LocalSageMaker) -> Iterator[Services]:
    """What a connector needs, pointed at the embedded server."""
    from cdao_sdk.aws.bridge import bridge
    from cdao_sdk.aws.session import AwsClients, embedded_target
    from cdao_sdk.flyte.services import Services

    clients = AwsClients(embedded_target(embedded.url))
    yield Services(clients=clients, role_arn=ROLE, bucket=BUCKET)
    bridge.run(clients.close())


@pytest.fixture(scope="session")
def warm_start() -> Iterator[Callable[..., list[str]]]:
    """The command line that runs ``cdao`` or a script in a fork which has all imported already.

    Commands that are measured, or that are no fork's to run, are started as they are.
    """
    if not hasattr(os, "pidfd_open") or "COVERAGE_PROCESS_START" in os.environ:
        yield lambda *command: [_PROGRAMS[command[0]], *command[1:]]
        return
    # A socket's path is short, pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="cdao-") as folder:
        path = f"{folder}/warm"
        server = subprocess.Popen(
            [sys.executable, str(_WARM / "server.py"), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
            },
        )
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        launcher = [sys.executable, "-I", "-S", str(_WARM / "launcher.py"), path]
        yield lambda *command: [*launcher, *command]
        server.communicate()  # closes its standard input, and so ends it


@pytest.fixture(scope="session")
def boto(embedded: LocalSageMaker) -> Any:
    """Makes an unmodified boto3 client of a service for the embedded server."""
    import boto3

    session = boto3.Session("local", "local", region_name="us-east-1")

    def make(service: str) -> Any:
        return session.client(service, endpoint_url=embedded.url)

    return make


@pytest.fixture
def proxy(embedded: LocalSageMaker) -> Iterator[Proxy]:
    """Something in front of the embedded server that can refuse requests, and counts them."""
    proxy = Proxy(embedded.url.removeprefix("http://"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            proxy.answer(self)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 # the base class looks for these

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        yield proxy
        server.shutdown()


@pytest.fixture
def proxied(proxy: Proxy) -> Iterator[Services]:
    """Services that reach the embedded server through the proxy."""
    from cdao_sdk.aws.bridge import bridge
    from cdao_sdk.aws.session import AwsClients, embedded_target
    from cdao_sdk.flyte.services import Services

    clients = AwsClients(embedded_target(proxy.url))
    yield Services(clients=clients, role_arn=ROLE, bucket=BUCKET)
    bridge.run(clients.close())


@pytest.fixture
def start_processing(boto: Any) -> Iterator[Callable[..., str]]:
    """Starts a processing job that runs a line of Python; what still runs is stopped afterwards."""
    client = boto("sagemaker")
    names: list[str] = []

    def start(name: str, code: str = "pass", tags: Mapping[str, str] | None = None) -> str:
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        client.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            ProcessingResources={"ClusterConfig": cluster},
            AppSpecification={
                "ImageUri": "python:3.11",
                "ContainerEntrypoint": ["python3", "-u", "-c", code],
            },
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )
        names.append(name)
        return name

    yield start
    for name in names:
        with contextlib.suppress(client.exceptions.ClientError):  # it has ended by itself
            client.stop_processing_job(ProcessingJobName=name)


@pytest.fixture
def on_embedded(embedded: LocalSageMaker) -> Path:
    """Lets `cdao_sdk.run` use the shared server; returns the state folder of the test."""
    import cdao_sdk

    settings = cdao_sdk.configure(endpoint_url=embedded.url, default_bucket=BUCKET)
    return settings.state_path
