"""The server as a whole: its address, its environment, its beginning and its end."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cdao_sdk.local import LocalSageMaker, other_services
from cdao_sdk.local.incoming import Incoming
from cdao_sdk.local.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", "::", ""])  # noqa: S104
def test_only_loopback_addresses_are_taken(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        LocalSageMaker(tmp_path, host)


def test_localhost_is_an_address(tmp_path: Path) -> None:
    """With a name in the endpoint, S3 clients would put the bucket into the host name."""
    with LocalSageMaker(tmp_path, "localhost") as server:
        assert server.url.startswith("http://127.0.0.1:")


def test_no_concurrency_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LocalSageMaker(tmp_path, concurrency=0)


def test_a_job_that_ignores_its_stop_is_killed_after_the_grace(
    tmp_path: Path, client: Callable[..., Any], training: Any, ended: Any
) -> None:
    with pytest.raises(ValueError, match="stop_grace_seconds must not be negative"):
        LocalSageMaker(tmp_path, stop_grace_seconds=-1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with LocalSageMaker(tmp_path, stop_grace_seconds=0.2) as server:
        server.objects.create_bucket("test-bucket")
        sagemaker = client("sagemaker", server.url)
        sagemaker.create_training_job(**training("deaf", deaf))
        ended(sagemaker, "deaf", until=("Training",))
        time.sleep(0.3)  # until its process is deaf
        sagemaker.stop_training_job(TrainingJobName="deaf")
        assert ended(sagemaker, "deaf")["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(ValueError, match="port must be from 0"):
        LocalSageMaker(tmp_path, port=port)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_grace_that_is_no_time_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        LocalSageMaker(tmp_path, stop_grace_seconds=seconds)


def test_a_failure_of_our_own_is_told_in_the_service_s_own_form(
    server: LocalSageMaker,
    client: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Incoming, "write", full)
    with pytest.raises(ClientError, match=r"InternalFailure.*No space left on device"):
        client("s3", server.url).put_object(Bucket="test-bucket", Key="a", Body=b"x")
    monkeypatch.setattr(Records, "get", full)
    with pytest.raises(ClientError, match=r"InternalFailure.*No space left on device"):
        client("sagemaker", server.url).describe_training_job(TrainingJobName="a")


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    with LocalSageMaker(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalSageMaker(tmp_path, port=port).start()


def test_a_closed_server_answers_no_more_and_starts_anew(tmp_path: Path) -> None:
    server = LocalSageMaker(tmp_path).start()
    assert server.start() is server
    port = int(server.url.rpartition(":")[2])
    server.close()
    server.close()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with server:
        assert server.url


def test_the_environment_is_enough_for_a_client(server: LocalSageMaker) -> None:
    code = (
        "import boto3; boto3.client('s3').put_object(Bucket='test-bucket', Key='k', Body=b'x'); "
        "print(boto3.client('sts').get_caller_identity()['Account'], "
        "boto3.client('sagemaker').list_training_jobs()['TrainingJobSummaries'])"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **server.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "123456789012 []\n"


def test_a_program_that_forgets_to_close_ends_and_stops_its_jobs(
    tmp_path: Path, training: Callable[..., dict[str, Any]]
) -> None:
    code = f"""
import boto3, time
from cdao_sdk.local import LocalSageMaker
server = LocalSageMaker({str(tmp_path)!r}).start()
client = boto3.client("sagemaker", "us-east-1", endpoint_url=server.url,
                      aws_access_key_id="x", aws_secret_access_key="x")
client.create_training_job(**{training("left", "import time; time.sleep(600)")!r})
while client.describe_training_job(TrainingJobName="left")["SecondaryStatus"] != "Training":
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    record = json.loads((tmp_path / "sagemaker/training/left/record.json").read_text())
    assert record["describe"]["TrainingJobStatus"] == "Stopped"


def test_a_server_process_answers_soon_and_ends_on_a_signal(
    tmp_path: Path, client: Callable[..., Any]
) -> None:
    ready = tmp_path / "ready.json"
    begin = time.monotonic()
    command = [sys.executable, "-m", "cdao_sdk.local", "--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL
    ) as process:
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < begin + 30
            time.sleep(0.01)
        told = json.loads(ready.read_text())
        assert told["pid"] == process.pid
        assert client("s3", told["url"]).list_buckets()["Buckets"] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_other_services_are_moto_s(server: LocalSageMaker, client: Callable[..., Any]) -> None:
    iam = client("iam", server.url)
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]
    assert role["Arn"] == "arn:aws:iam::123456789012:role/r"
    sts = client("sts", server.url)
    session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")
    assert session["Credentials"]["SessionToken"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName="none")


def test_without_moto_the_error_names_the_extra(
    server: LocalSageMaker, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_services._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "moto.core.botocore_stubber", None)
    with pytest.raises(ClientError, match=r"pip install 'cdao-sdk\[local\]'"):
        client("iam", server.url).list_roles()
    with pytest.raises(ClientError, match=r"pip install 'cdao-sdk\[local\]'"):
        client("secretsmanager", server.url).list_secrets()


def test_endpoints_are_not_invoked_yet(server: LocalSageMaker, client: Callable[..., Any]) -> None:
    runtime = client("sagemaker-runtime", server.url)
    with pytest.raises(ClientError, match="does not offer POST"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"1")
