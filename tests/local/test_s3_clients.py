"""Other clients than boto3, unmodified; and the same script against moto's S3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.local import LocalSageMaker

BUCKET = "test-bucket"
AWS = shutil.which("aws", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(AWS is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_copies_syncs_and_lists(server: LocalSageMaker, tmp_path: Path) -> None:
    environment = {**os.environ, **server.environment()}

    def aws(*arguments: str) -> str:
        done = subprocess.run(
            [str(AWS), *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "small.txt").write_text("small")
    (source / "deep" / "big.bin").write_bytes(os.urandom(12 << 20))
    # S3 tells times in whole seconds: what changed in this one would be taken for newer.
    for path in source.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))

    aws("s3", "sync", str(source), f"s3://{BUCKET}/synced")
    assert "small.txt" in aws("s3", "ls", f"s3://{BUCKET}/synced/")
    aws("s3", "cp", "--recursive", f"s3://{BUCKET}/synced", str(tmp_path / "target"))

    assert (tmp_path / "target" / "deep" / "big.bin").read_bytes() == (
        source / "deep" / "big.bin"
    ).read_bytes()
    assert aws("s3", "sync", str(source), f"s3://{BUCKET}/synced") == ""


def test_s3fs_reads_and_writes(server: LocalSageMaker) -> None:
    s3fs = pytest.importorskip("s3fs")
    files = s3fs.S3FileSystem(
        key="local",
        secret="local",
        endpoint_url=server.url,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    body = os.urandom(12 << 20)
    with files.open(f"{BUCKET}/dir/big.bin", "wb", block_size=5 << 20) as file:
        file.write(body)
    with files.open(f"{BUCKET}/dir/big.bin", "rb") as file:
        file.seek(6 << 20)
        assert file.read(1000) == body[6 << 20 :][:1000]
    assert files.ls(f"{BUCKET}/dir") == [f"{BUCKET}/dir/big.bin"]
    files.rm(f"{BUCKET}/dir", recursive=True)
    assert not files.exists(f"{BUCKET}/dir/big.bin")


def test_the_same_script_gets_moto_s_answers(
    server: LocalSageMaker, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    with mock_aws():
        theirs = [*_script(boto3.client("s3", region_name="us-east-1"))]
    ours = [*_script(client("s3", server.url))]
    for step, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert mine == other, f"step {step}"


def _script(s3: Any) -> Iterator[object]:
    """What boto3 returns for a run of calls, without what must differ."""

    def told(call: str, **arguments: Any) -> object:
        try:
            answer = getattr(s3, call)(Bucket="script-bucket", **arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return call, error.response["Error"]["Code"], status
        body = answer.pop("Body", None)
        kept = {name: _plain(value) for name, value in answer.items() if name not in _OWN}
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        return call, status, kept, body.read() if body else None

    yield told("create_bucket")
    yield told("head_bucket")
    for key in ("a", "a/b", "b/ü +%", "z"):
        yield told("put_object", Key=key, Body=key.encode(), Metadata={"k": "v"})
    yield told("get_object", Key="a/b")
    yield told("get_object", Key="a/b", Range="bytes=0-1")
    yield told("get_object", Key="missing")
    yield told("head_object", Key="b/ü +%")
    yield told("head_object", Key="missing")
    yield told("list_objects_v2")
    yield told("list_objects_v2", Delimiter="/")
    yield told("list_objects_v2", Prefix="a", MaxKeys=1)
    yield told("list_objects_v2", StartAfter="a/b")
    yield told("list_objects", Delimiter="/", Prefix="b/")
    yield told("copy_object", Key="copied", CopySource={"Bucket": "script-bucket", "Key": "a"})
    yield told("get_object", Key="copied")
    yield told("put_object", Key="a", Body=b"", IfNoneMatch="*")
    yield told("get_object_tagging", Key="a")
    yield told("delete_object", Key="missing")
    yield told("delete_bucket")
    yield told("delete_objects", Delete={"Objects": [{"Key": key} for key in ("a", "a/b")]})
    for key in ("b/ü +%", "z", "copied"):
        yield told("delete_object", Key=key)
    yield told("list_objects_v2")
    yield told("delete_bucket")
    yield told("list_objects_v2")


# Ids and times; what S3 sends and moto leaves out, or the other way round.
_OWN = {
    *("ResponseMetadata", "LastModified", "NextContinuationToken", "BucketRegion"),
    *("AccessPointAlias", "ChecksumType", "ServerSideEncryption", "BucketArn", "Marker"),
}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name not in _LISTED_OWN}
    return value


_LISTED_OWN = {"LastModified", "ChecksumType", "ChecksumAlgorithm", "Owner"}
