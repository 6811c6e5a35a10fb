"""Clients for any endpoint, endpoints that answer what a test wants, and jobs of every kind."""

from __future__ import annotations

import io
import secrets
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.session import AwsClients, AwsTarget, embedded_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdao_sdk.flyte.services import Services

ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"

_TRAIN = (
    "import os; folder = os.environ.get('CDAO_OPT_ML', '/opt/ml');"
    " open(folder + '/model/model', 'w').write('x'); print('trained')"
)


@pytest.fixture
def unique() -> str:
    """A name's beginning that no other test uses."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
def clients(services: Services) -> AwsClients:
    """The shared clients of the embedded server, on the bridge's loop."""
    return services.clients


@pytest.fixture
def send(clients: AwsClients) -> Callable[..., dict[str, object]]:
    """Sends a request to the embedded server by our own call, and waits for the answer."""

    def send(service: str, operation: str, **parameters: object) -> dict[str, object]:
        return bridge.run(call(clients, service, operation, parameters), timeout=60)

    return send


@pytest.fixture
def clients_of() -> Iterator[Callable[[str | AwsTarget], AwsClients]]:
    """Makes the clients of a URL or target; they are closed after the test."""
    made: list[AwsClients] = []

    def make(target: str | AwsTarget) -> AwsClients:
        made.append(AwsClients(embedded_target(target) if isinstance(target, str) else target))
        return made[-1]

    yield make
    for clients in made:
        bridge.run(clients.close())


@pytest.fixture
def answering() -> Iterator[Callable[..., str]]:
    """Starts an endpoint that gives every request the same answer; returns its URL.

    `length` is what the answer says of its length; more than there is means a connection that ends
    too early.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(
        status: int, body: bytes = b"", length: int | None = None, *, request_id: str = "1"
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                if request_id:
                    self.send_header("x-amzn-RequestId", request_id)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815 # http.server's names

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def start_jobs(boto: Any, start_processing: Callable[..., str]) -> Callable[[str], list[str]]:
    """Starts a training, a processing and a transform job, in this order; returns their names."""
    client, s3 = boto("sagemaker"), boto("s3")

    def start(prefix: str) -> list[str]:
        names = [f"{prefix}-{kind}" for kind in ("training", "processing", "transform")]
        resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
        client.create_training_job(
            TrainingJobName=names[0],
            RoleArn=ROLE,
            AlgorithmSpecification={
                "TrainingImage": "python:3.11",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "-c", _TRAIN],
            },
            OutputDataConfig={"S3OutputPath": f"s3://cdao-tests/{prefix}"},
            ResourceConfig={**resources, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            HyperParameters={"depth": "6"},
        )
        start_processing(names[1], "print('processed')")
        s3.put_object(Bucket="cdao-tests", Key=f"{prefix}/in/rows.csv", Body=b"1,2\n")
        model = {"Image": "python:3.11", "ModelDataUrl": "s3://cdao-tests/no/model.tar.gz"}
        client.create_model(ModelName=names[2], ExecutionRoleArn=ROLE, PrimaryContainer=model)
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://cdao-tests/{prefix}/in/"}
        client.create_transform_job(
            TransformJobName=names[2],
            ModelName=names[2],
            TransformInput={"DataSource": {"S3DataSource": source}},
            TransformOutput={"S3OutputPath": f"s3://cdao-tests/{prefix}/out"},
            TransformResources=resources,
        )
        return names

    return start


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a function returns something true, and returns it."""

    def wait(look: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)
        return found

    return wait


@pytest.fixture
def archive() -> Callable[[Mapping[str, bytes]], bytes]:
    """Makes a .tar.gz of members in the given order."""

    def make(members: Mapping[str, bytes]) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return target.getvalue()

    return make


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a fresh process that complains of whatever is left open."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["-W", "default", "-W", "ignore::DeprecationWarning"]
        return subprocess.run(
            [sys.executable, *options, "-c", code, *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run
