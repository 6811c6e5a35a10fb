"""Calls on buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from cdao_sdk.local.errors import AwsError, NoSuchBucket, S3Error
from cdao_sdk.local.s3.documents import answer, element, moment, owner, parse, text

if TYPE_CHECKING:
    from cdao_sdk.local.objects import Bucket
    from cdao_sdk.local.s3.call import S3Call

_MOST_DELETIONS = 1000


def list_buckets(call: S3Call) -> Response:
    """ListBuckets."""
    buckets = [
        element("Bucket", text("Name", bucket.name), text("CreationDate", moment(bucket.created)))
        for bucket in call.store.buckets()
    ]
    return answer("ListAllMyBucketsResult", owner(), element("Buckets", *buckets))


def create_bucket(call: S3Call) -> Response:
    """CreateBucket, in the region of the LocationConstraint, else of the signature."""
    body = call.request.get_data()
    region = (parse(body).findtext("LocationConstraint") if body else None) or call.region
    call.store.create_bucket(call.bucket, region=region)
    return Response(headers={"Location": f"/{call.bucket}"})


def head_bucket(call: S3Call) -> Response:
    """HeadBucket."""
    return Response(headers={"x-amz-bucket-region": _bucket(call).region})


def delete_bucket(call: S3Call) -> Response:
    """DeleteBucket."""
    call.store.delete_bucket(call.bucket)
    return Response(status=204)


def get_location(call: S3Call) -> Response:
    """GetBucketLocation: empty for us-east-1, as S3 has it."""
    region = _bucket(call).region
    return answer("LocationConstraint", region if region != "us-east-1" else "")


def get_versioning(call: S3Call) -> Response:
    """GetBucketVersioning: never enabled."""
    call.store.folder(call.bucket)
    return answer("VersioningConfiguration")


def delete_objects(call: S3Call) -> Response:
    """DeleteObjects: a key that is missing counts as deleted."""
    root = parse(call.request.get_data())
    quiet = (root.findtext("Quiet") or "").lower() == "true"
    keys = [node.findtext("Key") or "" for node in root.findall("Object")]
    if not 0 < len(keys) <= _MOST_DELETIONS:
        raise S3Error(code="MalformedXML")
    call.store.folder(call.bucket)
    results = [_deleted(call, key, quiet=quiet) for key in keys]
    return answer("DeleteResult", *results)


def _deleted(call: S3Call, key: str, *, quiet: bool) -> str:
    try:
        call.store.delete(call.bucket, key)
    except AwsError as error:
        children = (text("Key", key), text("Code", error.code), text("Message", error.message))
        return element("Error", *children)
    return "" if quiet else element("Deleted", text("Key", key))


def _bucket(call: S3Call) -> Bucket:
    bucket = call.store.bucket(call.bucket)
    if bucket is None:
        raise NoSuchBucket(call.bucket)
    return bucket
