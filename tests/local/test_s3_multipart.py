"""Multipart uploads."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from pathlib import Path

BUCKET = "test-bucket"
PART = 5 << 20


def _begin(s3: Any, key: str = "big") -> dict[str, str]:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata={"a": "1"})
    return {"Bucket": BUCKET, "Key": key, "UploadId": upload["UploadId"]}


def test_parts_become_one_object(s3: Any, state_dir: Path) -> None:
    upload = _begin(s3)
    bodies = [os.urandom(PART), os.urandom(PART), b"tail"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(bodies, start=1)
    ]
    listed = s3.list_parts(**upload)["Parts"]
    assert [part["Size"] for part in listed] == [PART, PART, 4]
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == ["big"]

    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    got = s3.get_object(Bucket=BUCKET, Key="big")
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies))  # noqa: S324
    assert got["Body"].read() == b"".join(bodies)
    assert got["ETag"] == done["ETag"] == f'"{digest.hexdigest()}-3"'
    assert got["Metadata"] == {"a": "1"}
    assert [*(state_dir / "s3" / BUCKET / "uploads").iterdir()] == []
    assert [*(state_dir / "s3" / BUCKET / "incoming").iterdir()] == []


def test_boto3_s_transfers_round_trip(s3: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(20 << 20))
    s3.upload_file(str(source), BUCKET, "transfer")
    s3.copy({"Bucket": BUCKET, "Key": "transfer"}, BUCKET, "copied")
    s3.download_file(BUCKET, "copied", str(target))
    assert target.read_bytes() == source.read_bytes()


def test_a_part_may_be_copied(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="source", Body=b"0123456789")
    upload = _begin(s3)
    copied = s3.upload_part_copy(
        **upload,
        PartNumber=1,
        CopySource={"Bucket": BUCKET, "Key": "source"},
        CopySourceRange="bytes=2-5",
    )
    etag = copied["CopyPartResult"]["ETag"]
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    assert s3.get_object(Bucket=BUCKET, Key="big")["Body"].read() == b"2345"


def test_an_aborted_upload_is_gone(s3: Any, state_dir: Path) -> None:
    upload = _begin(s3)
    s3.upload_part(**upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**upload)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**upload, PartNumber=2, Body=b"x")
    assert [*(state_dir / "s3" / BUCKET / "uploads").iterdir()] == []


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([2, 1], "InvalidPartOrder"), ([1, 3], "InvalidPart"), ([1, 2], "EntityTooSmall")],
)
def test_wrong_lists_of_parts_are_refused(s3: Any, numbers: list[int], code: str) -> None:
    upload = _begin(s3)
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    s3.upload_part(**upload, PartNumber=2, Body=b"x")
    parts = [{"PartNumber": number, "ETag": etag} for number in numbers]
    with pytest.raises(ClientError, match=code):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
