"""Objects in S3, and the results that jobs leave there."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.aws import storage
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import UNREACHABLE
from cdao_sdk.aws.storage import copy, ensure_bucket, exists, put, read_result, split_s3_uri
from cdao_sdk.errors import JobFailed, NotFound, ResourcesUnavailable, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdao_sdk.aws.session import AwsClients

    Archive = Callable[[Mapping[str, bytes]], bytes]

RESULT = {"version": 1, "job": "j", "outputs": {"o0": {"value": 0.78}}, "metrics": {}}
DOCUMENT = json.dumps(RESULT).encode()


@pytest.fixture
def uri(unique: str) -> str:
    """A prefix in the tests' bucket that no other test uses."""
    return f"s3://cdao-tests/{unique}"


@pytest.fixture
def read(
    clients: AwsClients, uri: str, archive: Archive
) -> Callable[..., dict[str, object] | None]:
    """Puts bytes, or an archive of members, where a job would, and reads the result."""

    def read(body: bytes | Mapping[str, bytes], *, packed: bool) -> dict[str, object] | None:
        if not isinstance(body, bytes):
            body = archive(body)
        target = f"{uri}/output.tar.gz" if packed else f"{uri}/outputs.json"
        bridge.run(put(clients, target, body))
        return bridge.run(read_result(clients, target), timeout=30)

    return read


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://bucket/a/b.csv", ("bucket", "a/b.csv")),
        ("s3://bucket//a b?c#ü", ("bucket", "/a b?c#ü")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket", ("bucket", "")),
    ],
)
def test_uri_is_bucket_and_key(uri: str, parts: tuple[str, str]) -> None:
    assert split_s3_uri(uri) == parts


@pytest.mark.parametrize("uri", ["", "s3://", "bucket/key", "s3:///key", "https://b/k", "s3:/b/k"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not of the form s3://bucket/key"):
        split_s3_uri(uri)


def test_object_is_put_found_and_copied(clients: AwsClients, uri: str) -> None:
    odd = f"{uri}/a b+ü%2F.json"
    assert not bridge.run(exists(clients, odd))
    bridge.run(put(clients, odd, DOCUMENT))
    assert bridge.run(exists(clients, odd))
    bridge.run(copy(clients, odd, f"{uri}/copy/outputs.json"))
    assert bridge.run(read_result(clients, f"{uri}/copy/outputs.json")) == RESULT


def test_copy_of_nothing_is_not_found(clients: AwsClients, uri: str) -> None:
    with pytest.raises(NotFound):
        bridge.run(copy(clients, f"{uri}/none", f"{uri}/target"))


def test_bucket_is_made_once_however_often_and_concurrently(
    clients: AwsClients, unique: str
) -> None:
    async def many() -> None:
        await asyncio.gather(*(ensure_bucket(clients, f"{unique}-new") for _ in range(8)))

    bridge.run(many())
    bridge.run(ensure_bucket(clients, f"{unique}-new"))
    bridge.run(put(clients, f"s3://{unique}-new/key", b"x"))


def test_bucket_with_a_name_that_s3_refuses_is_an_error(clients: AwsClients) -> None:
    with pytest.raises(SubmissionError):
        bridge.run(ensure_bucket(clients, "No_Bucket"))


def test_job_that_left_no_result_has_none(
    clients: AwsClients, uri: str, read: Callable[..., object]
) -> None:
    assert bridge.run(read_result(clients, f"{uri}/outputs.json")) is None
    assert bridge.run(read_result(clients, "s3://no-such-bucket/outputs.json")) is None
    assert read({}, packed=True) is None
    assert read({"report.html": b"x", "a/outputs.json": b"{}"}, packed=True) is None


@pytest.mark.parametrize("name", ["outputs.json", "./outputs.json"])
def test_result_is_found_behind_big_members(name: str, read: Callable[..., object]) -> None:
    big = os.urandom(4 * 1024**2)
    assert read({"a": big, "b": big, name: DOCUMENT}, packed=True) == RESULT


@pytest.mark.parametrize("packed", [False, True], ids=["object", "archive"])
def test_result_of_several_megabytes_is_read_whole(
    packed: bool, read: Callable[..., object]
) -> None:
    result = {"outputs": {"o0": {"value": os.urandom(1024**2).hex()}}}
    body = json.dumps(result).encode()
    assert read({"outputs.json": body} if packed else body, packed=packed) == result


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not JSON"),
        (b'{"version": 1, "outp', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b"[1, 2]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b" " * (storage.RESULT_LIMIT_BYTES + 1), "return large values as files"),
    ],
    ids=["empty", "cut off", "no UTF-8", "nested", "list", "null", "too large"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["object", "archive"])
def test_result_that_is_none_fails_the_job(
    packed: bool, body: bytes, problem: str, uri: str, read: Callable[..., object]
) -> None:
    with pytest.raises(JobFailed, match=problem) as caught:
        read({"outputs.json": body} if packed else body, packed=packed)
    assert uri in str(caught.value)


@pytest.mark.parametrize("damage", ["no gzip", "no tar", "cut off", "overwritten", "empty"])
def test_damaged_archive_fails_the_job(
    damage: str, archive: Archive, read: Callable[..., object]
) -> None:
    whole = archive({"a": os.urandom(200_000), "outputs.json": DOCUMENT})
    body = {
        "no gzip": b"<html>no archive</html>" * 100,
        "no tar": gzip.compress(b"no tar" * 1000),
        "cut off": whole[: len(whole) // 2],
        "overwritten": whole[:20] + bytes(200) + whole[220:],
        "empty": b"",
    }[damage]
    with pytest.raises(JobFailed, match=r"output\.tar\.gz cannot be read"):
        read(body, packed=True)


def test_archive_is_read_to_a_limit(
    read: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ARCHIVE_READ_LIMIT_BYTES", 100_000)
    with pytest.raises(JobFailed, match="within its first 100000 bytes"):
        read({"a": os.urandom(300_000), "outputs.json": DOCUMENT}, packed=True)


@pytest.mark.parametrize("name", ["outputs.json", "output.tar.gz"])
def test_connection_that_breaks_is_no_verdict_on_the_job(
    name: str,
    answering: Callable[..., str],
    clients_of: Callable[[str], AwsClients],
    archive: Archive,
) -> None:
    body = archive({"a": os.urandom(200_000)})[:100_000] if name.endswith("gz") else DOCUMENT[:9]
    clients = clients_of(answering(200, body, length=400_000))
    with pytest.raises(ResourcesUnavailable, match="did not answer") as caught:
        bridge.run(read_result(clients, f"s3://cdao-tests/{name}"), timeout=30)
    assert caught.value.code == UNREACHABLE
