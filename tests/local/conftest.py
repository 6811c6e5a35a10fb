"""A running server, AWS clients that talk to it over HTTP, and requests for small jobs."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from cdao_sdk.local import LocalSageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
BUCKET = "test-bucket"


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def server(state_dir: Path) -> Iterator[LocalSageMaker]:
    with LocalSageMaker(state_dir, concurrency=2) as running:
        running.objects.create_bucket(BUCKET)
        yield running


@pytest.fixture
def client() -> Callable[..., Any]:
    """Makes an unmodified boto3 client of any service for an endpoint."""

    def make(service: str, url: str, *, region: str = "us-east-1") -> Any:
        session = boto3.Session("local", "local", region_name=region)
        config = Config(retries={"total_max_attempts": 1})
        return session.client(service, endpoint_url=url, config=config)

    return make


@pytest.fixture
def sagemaker(server: LocalSageMaker, client: Callable[..., Any]) -> Any:
    return client("sagemaker", server.url)


@pytest.fixture
def refusal(server: LocalSageMaker) -> Callable[..., str]:
    """Sends a call as it is, checked by no client, and returns why it was refused."""

    def send(operation: str, request: object) -> str:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        headers = {"X-Amz-Target": f"SageMaker.{operation}"}
        connection.request("POST", "/", body=json.dumps(request), headers=headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        assert answer.status == 400
        assert document["__type"] == "ValidationException"
        return str(document["message"])

    return send


@pytest.fixture
def s3(server: LocalSageMaker, client: Callable[..., Any]) -> Any:
    return client("s3", server.url)


@pytest.fixture
def logs(server: LocalSageMaker, client: Callable[..., Any]) -> Any:
    return client("logs", server.url)


@pytest.fixture
def training() -> Callable[..., dict[str, Any]]:
    """Makes a CreateTrainingJob request whose job runs `code` by Python."""

    def make(name: str, code: str = "print('hello')", **changes: Any) -> dict[str, Any]:
        return {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": "local",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "-c", code],
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    return make


@pytest.fixture
def processing() -> Callable[..., dict[str, Any]]:
    """Makes a CreateProcessingJob request whose job runs `code` by Python."""

    def make(name: str, code: str = "print('hello')", **changes: Any) -> dict[str, Any]:
        return {
            "ProcessingJobName": name,
            "RoleArn": ROLE,
            "AppSpecification": {
                "ImageUri": "local",
                "ContainerEntrypoint": ["python3", "-c", code],
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                }
            },
            **changes,
        }

    return make


@pytest.fixture
def transform() -> Callable[..., dict[str, Any]]:
    """Makes a CreateTransformJob request."""

    def make(name: str, model: str, **changes: Any) -> dict[str, Any]:
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in/"}}
        return {
            "TransformJobName": name,
            "ModelName": model,
            "TransformInput": {"DataSource": source},
            "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **changes,
        }

    return make


@pytest.fixture
def ended() -> Callable[..., dict[str, Any]]:
    """Waits for a training or processing job and returns its description."""

    def wait(
        client: Any,
        name: str,
        *,
        kind: str = "training",
        until: tuple[str, ...] = ("Completed", "Failed", "Stopped"),
    ) -> dict[str, Any]:
        describe = getattr(client, f"describe_{kind}_job")
        title = kind.capitalize()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            described = describe(**{f"{title}JobName": name})
            if described[f"{title}JobStatus"] in until:
                return described
            if described.get("SecondaryStatus") in until:
                return described
            time.sleep(0.01)
        pytest.fail(f"{name} is still {described[f'{title}JobStatus']}")

    return wait
