"""Objects over HTTP, by boto3."""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdao_sdk.local.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.local import LocalSageMaker

BUCKET = "test-bucket"
ODD_KEYS = [
    "a",
    "a/b",
    "a//b",
    "../../escape",
    "..",
    ".",
    "/leading",
    "trailing/",
    "space and+plus%20percent",
    "ünïcode/ключ/鍵/🔑",
    "UPPER",
    "upper",
    "quote'\"<&>",
    "tilde~and,comma=equals",
    "k" * 1024,
    "deep/" * 200,
    "?query#fragment",
    "new\nline",
]


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_any_key_is_kept_apart_and_listed(s3: Any) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())

    for key in ODD_KEYS:
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [one["Key"] for one in listed] == sorted(ODD_KEYS, key=str.encode)


def test_no_key_leaves_the_bucket_s_folder(s3: Any, state_dir: Path, tmp_path: Path) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

    folder = state_dir / "s3" / BUCKET
    assert {path.name for path in tmp_path.iterdir()} == {state_dir.name}
    assert {path.name for path in (state_dir / "s3").iterdir()} == {BUCKET}
    assert len([*(folder / "data").iterdir()]) == len(ODD_KEYS)
    assert [*(folder / "incoming").iterdir()] == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    key=st.text(min_size=1, max_size=300).filter(
        lambda key: (
            len(key.encode("utf-8", "ignore")) <= 1024
            and key == key.encode("utf-8", "ignore").decode()
        )
    )
)
def test_the_store_gives_every_key_back(tmp_path: Path, key: str) -> None:
    store = ObjectStore(tmp_path)
    if store.bucket("some-bucket") is None:
        store.create_bucket("some-bucket")

    store.put_bytes("some-bucket", key, key.encode())

    found = store.head("some-bucket", key)
    assert found
    assert found.key == key
    assert found.path.read_bytes() == key.encode()
    assert key in store.keys("some-bucket", key[:3])


def test_a_key_beyond_1024_bytes_is_refused(s3: Any) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="k" * 1025, Body=b"")
    assert _code(error) == "KeyTooLongError"


def test_an_overwritten_object_leaves_no_bytes_behind(s3: Any, state_dir: Path) -> None:
    for body in (b"one", b"two", b"three"):
        s3.put_object(Bucket=BUCKET, Key="k", Body=body)

    files = [*(state_dir / "s3" / BUCKET / "data").iterdir()]
    assert [file.read_bytes() for file in files] == [b"three"]


def test_what_a_put_says_comes_back(s3: Any) -> None:
    put = s3.put_object(
        Bucket=BUCKET,
        Key="k",
        Body=b"body",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Metadata={"owner": "me", "purpose": "test"},
        Tagging="team=ml&stage=dev",
        ServerSideEncryption="AES256",
    )
    got = s3.get_object(Bucket=BUCKET, Key="k")

    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(b"body").hexdigest()}"'  # noqa: S324
    assert got["ContentType"] == "text/plain"
    assert got["CacheControl"] == "no-cache"
    assert got["ContentEncoding"] == "gzip"
    assert got["Metadata"] == {"owner": "me", "purpose": "test"}
    assert got["ServerSideEncryption"] == "AES256"
    assert got["TagCount"] == 2
    tags = s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"]
    assert tags == [{"Key": "team", "Value": "ml"}, {"Key": "stage", "Value": "dev"}]


def test_tags_are_replaced_without_touching_the_object(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"body", Tagging="a=1")
    s3.put_object_tagging(Bucket=BUCKET, Key="k", Tagging={"TagSet": [{"Key": "b", "Value": "2"}]})

    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == [{"Key": "b", "Value": "2"}]
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"body"
    s3.delete_object_tagging(Bucket=BUCKET, Key="k")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=4-", b"456789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")],
)
def test_a_range_gives_its_bytes(s3: Any, wanted: str, expected: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")

    got = s3.get_object(Bucket=BUCKET, Key="k", Range=wanted)

    assert got["Body"].read() == expected
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"].endswith("/10")


def test_a_range_beyond_the_end_is_refused(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=10-")
    assert _code(error) == "InvalidRange"


def test_conditions_of_a_get(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["ETag"]

    assert s3.get_object(Bucket=BUCKET, Key="k", IfMatch=etag)["ContentLength"] == 1
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="k", IfMatch='"other"')
    assert _code(error) == "PreconditionFailed"
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="k", IfNoneMatch=etag)
    assert _code(error) == "304"


def test_of_many_conditional_puts_one_wins(s3: Any) -> None:
    outcomes: list[str] = []

    def put(number: int) -> None:
        try:
            s3.put_object(Bucket=BUCKET, Key="claim", Body=str(number).encode(), IfNoneMatch="*")
            outcomes.append("won")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["won"]


def test_a_put_that_expects_another_version_is_refused(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfMatch=etag)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"3", IfMatch=etag)
    assert _code(error) == "PreconditionFailed"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_checked_at_both_ends(s3: Any, algorithm: str) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"body" * 1000, ChecksumAlgorithm=algorithm)

    got = s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")

    assert got[f"Checksum{algorithm}"]
    assert got["Body"].read() == b"body" * 1000


def test_a_wrong_checksum_is_refused_and_leaves_nothing(s3: Any, state_dir: Path) -> None:
    wrong = base64.b64encode(b"\0" * 4).decode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"body", ChecksumCRC32=wrong)
    assert _code(error) == "BadDigest"
    assert [*(state_dir / "s3" / BUCKET / "incoming").iterdir()] == []
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize(
    ("algorithm", "library", "checksum"),
    [  # the algorithms' check values
        ("crc32c", "google_crc32c", 0xE3069283.to_bytes(4, "big")),
        ("crc64nvme", "awscrt", 0xAE8B14860A799888.to_bytes(8, "big")),
    ],
)
def test_checksums_of_other_libraries_are_checked_where_they_are_installed(
    server: LocalSageMaker, s3: Any, algorithm: str, library: str, checksum: bytes
) -> None:
    pytest.importorskip(library)
    headers = {f"x-amz-checksum-{algorithm}": base64.b64encode(checksum).decode()}
    answers: list[int] = []
    for body in (b"123456789", b"123456780"):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("PUT", f"/{BUCKET}/k", body=body, headers=headers)
        answers.append(connection.getresponse().status)
        connection.close()
    assert answers == [200, 400]


@pytest.mark.parametrize("trailer", [b"", b"x-amz-checksum-crc32:2WNHiQ==\r\n"])
def test_chunked_bodies_lose_their_frames(server: LocalSageMaker, s3: Any, trailer: bytes) -> None:
    """As SDKs for other languages send them, and boto3 over TLS."""
    body = b"5;chunk-signature=ab\r\nhello\r\n6\r\n world\r\n0\r\n" + trailer + b"\r\n"
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    headers = {
        "Content-Encoding": "aws-chunked,gzip",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "11",
        **({"x-amz-trailer": "x-amz-checksum-crc32"} if trailer else {}),
    }
    connection.request("PUT", f"/{BUCKET}/chunked", body=body, headers=headers)
    status = connection.getresponse().status
    connection.close()

    # 2WNHiQ== is no CRC32 of the body: a trailer is checked like a header.
    assert status == (400 if trailer else 200)
    if not trailer:
        got = s3.get_object(Bucket=BUCKET, Key="chunked")
        assert got["Body"].read() == b"hello world"
        assert got["ContentEncoding"] == "gzip"


def test_a_body_cut_short_makes_no_object(server: LocalSageMaker, s3: Any) -> None:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.putrequest("PUT", f"/{BUCKET}/cut")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"only this")
    connection.close()

    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=BUCKET, Key="cut")
    assert _code(error) == "404"


def test_a_refused_upload_does_not_break_the_connection(server: LocalSageMaker) -> None:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.request("PUT", "/no-such-bucket/k", body=b"x" * 3_000_000)
    refused = connection.getresponse()
    assert (refused.status, b"NoSuchBucket" in refused.read()) == (404, True)

    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()


def test_presigned_urls_work_without_a_client(s3: Any) -> None:
    put = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "p q"})
    with urllib.request.urlopen(  # noqa: S310
        urllib.request.Request(put, data=b"signed", method="PUT")  # noqa: S310
    ) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": BUCKET, "Key": "p q", "ResponseContentType": "text/x-own"},
    )
    with urllib.request.urlopen(get) as answer:  # noqa: S310
        assert answer.read() == b"signed"
        assert answer.headers["Content-Type"] == "text/x-own"


def test_copies_keep_or_replace_metadata(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="ä b", Body=b"body", Metadata={"a": "1"}, Tagging="t=1")
    source = {"Bucket": BUCKET, "Key": "ä b"}

    s3.copy_object(Bucket=BUCKET, Key="kept", CopySource=source)
    s3.copy_object(
        Bucket=BUCKET,
        Key="replaced",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
    )

    assert s3.head_object(Bucket=BUCKET, Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket=BUCKET, Key="replaced")["Metadata"] == {"b": "2"}
    assert s3.get_object(Bucket=BUCKET, Key="replaced")["Body"].read() == b"body"
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=BUCKET, Key="ä b", CopySource=source)
    assert _code(error) == "InvalidRequest"


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        ("get_object", {"Bucket": BUCKET, "Key": "no"}, "NoSuchKey"),
        ("get_object", {"Bucket": "no-such-bucket", "Key": "no"}, "NoSuchBucket"),
        ("put_object", {"Bucket": "no-such-bucket", "Key": "no"}, "NoSuchBucket"),
        ("list_objects_v2", {"Bucket": "no-such-bucket"}, "NoSuchBucket"),
        ("head_bucket", {"Bucket": "no-such-bucket"}, "404"),
        ("create_bucket", {"Bucket": BUCKET}, "BucketAlreadyOwnedByYou"),
        ("create_bucket", {"Bucket": "Not_valid"}, "InvalidBucketName"),
        ("get_bucket_policy", {"Bucket": BUCKET}, "NotImplemented"),
        ("get_object_acl", {"Bucket": BUCKET, "Key": "no"}, "NotImplemented"),
        ("abort_multipart_upload", {"Bucket": BUCKET, "Key": "k", "UploadId": "x"}, "NoSuchUpload"),
    ],
)
def test_errors_have_s3_s_codes(s3: Any, call: str, arguments: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as error:
        getattr(s3, call)(**arguments)
    assert _code(error) == code


def test_buckets_are_created_where_asked_and_deleted_when_empty(
    server: LocalSageMaker, client: Callable[..., Any]
) -> None:
    s3 = client("s3", server.url, region="eu-west-1")
    s3.create_bucket(
        Bucket="in-europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert s3.get_bucket_location(Bucket="in-europe")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["in-europe", BUCKET]

    s3.put_object(Bucket="in-europe", Key="k", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket="in-europe")
    assert _code(error) == "BucketNotEmpty"
    deleted = s3.delete_objects(
        Bucket="in-europe", Delete={"Objects": [{"Key": "k"}, {"Key": "missing"}]}
    )["Deleted"]
    assert deleted == [{"Key": "k"}, {"Key": "missing"}]
    quiet = {"Objects": [{"Key": "k"}], "Quiet": True}
    assert "Deleted" not in s3.delete_objects(Bucket="in-europe", Delete=quiet)
    s3.delete_bucket(Bucket="in-europe")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]


def test_readers_never_see_half_of_an_overwrite(s3: Any) -> None:
    bodies = [bytes([65 + number]) * 200_000 for number in range(4)]
    s3.put_object(Bucket=BUCKET, Key="k", Body=bodies[0])
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            s3.put_object(Bucket=BUCKET, Key="k", Body=bodies[number % 4])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() in bodies
    writer.join()
