"""Foreign clients, unmodified, against the embedded SageMaker: each in an environment of its own.

Their packages exclude each other (the SDK's versions 2 and 3) or hold boto3 back (Flyte's plugin),
so each is a script that names what it needs, and uv makes the environment:

    CDAO_TEST_CLIENTS=1 uv run pytest tests/clients

The first time takes minutes and needs a package index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cdao_sdk.local import LocalSageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPTS = Path(__file__).with_name("scripts")
BUCKET = "foreign"
ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
# Read when the module is: the tests' own surroundings hide CDAO_* variables.
UV = shutil.which("uv") if os.environ.get("CDAO_TEST_CLIENTS") else None

pytestmark = [
    pytest.mark.skipif(UV is None, reason="CDAO_TEST_CLIENTS=1 runs them, where uv is installed"),
    pytest.mark.timeout(1200),
]


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalSageMaker]:
    """A server with a role that SageMaker may assume, and three rows in a bucket."""
    with LocalSageMaker(tmp_path / "aws", concurrency=2) as server:
        server.objects.create_bucket(BUCKET)
        server.objects.put_bytes(BUCKET, "data/rows.csv", b"1\n2\n3\n")
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        iam = boto3.client(
            "iam",
            region_name="us-east-1",
            endpoint_url=server.url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = ROLE.rpartition("/")[2]
        if not any(role["RoleName"] == name for role in iam.list_roles()["Roles"]):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        yield server


@pytest.fixture
def run(aws: LocalSageMaker, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Runs a client's script, which knows the server by its environment; returns what it found."""

    # The SDK's telemetry would go to a public bucket.
    opted_out = {"SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"SchemaVersion": "1.0", **opted_out}))
    surroundings = {**aws.environment(), "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config)}

    def run(script: str) -> dict[str, Any]:
        result = tmp_path / "result.json"
        assert UV is not None
        command = [UV, "run", "--no-project", "--python", sys.executable, "--script"]
        done = subprocess.run(
            [*command, str(SCRIPTS / script), ROLE, BUCKET, str(result)],
            check=False,
            env={**os.environ, **surroundings},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=1100,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return json.loads(result.read_text())

    return run


def content(aws: LocalSageMaker, key: str) -> str:
    _, file = aws.objects.get(BUCKET, key)
    with file:
        return file.read().decode()


@pytest.mark.parametrize(("script", "metrics"), [("sdk_v2.py", {"score": 0.5}), ("sdk_v3.py", {})])
def test_sagemaker_sdk_trains_processes_and_transforms(
    run: Any, aws: LocalSageMaker, script: str, metrics: dict[str, float]
) -> None:
    found = run(script)
    assert found["metrics"] == metrics
    assert aws.objects.head(BUCKET, found["model"].removeprefix(f"s3://{BUCKET}/")) is not None
    assert content(aws, "processed/rows.csv") == "1\n2\n3\n"
    assert content(aws, "processed/arguments") == "--rows all"
    assert json.loads(content(aws, "transformed/rows.csv.out")) == [4.0, 5.0, 6.0]


def test_flyte_s_plugin_trains_processes_transforms_and_stops(
    run: Any, aws: LocalSageMaker
) -> None:
    for path in (SCRIPTS / "project").iterdir():
        aws.objects.put_file(BUCKET, f"code/{path.name}", path)
    found = run("flyte_plugin.py")
    assert found["metrics"] == {"score": 0.5}
    assert found["deleted"] == "Stopped"
    assert content(aws, "processed/rows.csv") == "1\n2\n3\n"
    assert json.loads(content(aws, "transformed/rows.csv.out")) == [4.0, 5.0, 6.0]
