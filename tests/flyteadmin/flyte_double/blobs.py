"""Flyte's blob store: protobuf files in S3, and signed URLs to them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")


class Blobs:
    """One bucket of an S3 endpoint."""

    def __init__(self, url: str, bucket: str) -> None:
        self.url, self.bucket = url, bucket
        self._s3 = _client(url)

    def uri(self, *parts: str) -> str:
        return "/".join([f"s3://{self.bucket}", *(part for part in parts if part)])

    def write(self, uri: str, message: Message) -> str:
        bucket, key = _split(uri)
        self._s3.put_object(Bucket=bucket, Key=key, Body=message.SerializeToString())
        return uri

    def read(self, uri: str, into: M) -> M:
        """The message at a URI; an empty one where there is no URI.

        Raises:
            FileNotFoundError: nothing is there.
        """
        if uri:
            bucket, key = _split(uri)
            try:
                into.ParseFromString(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except ClientError as error:
                raise FileNotFoundError(uri) from error
        return into

    def copy(self, source: str, target: str) -> None:
        bucket, key = _split(source)
        to_bucket, to_key = _split(target)
        self._s3.copy_object(
            Bucket=to_bucket, Key=to_key, CopySource={"Bucket": bucket, "Key": key}
        )

    def etag(self, uri: str) -> str | None:
        """The object's etag; None: there is no object."""
        bucket, key = _split(uri)
        try:
            return str(self._s3.head_object(Bucket=bucket, Key=key)["ETag"]).strip('"')
        except ClientError:
            return None

    def signed(self, uri: str, operation: str, seconds: float, **parameters: str) -> str:
        bucket, key = _split(uri)
        return str(
            self._s3.generate_presigned_url(
                operation,
                Params={"Bucket": bucket, "Key": key, **parameters},
                ExpiresIn=max(1, int(seconds)),
            )
        )


@functools.cache
def _client(url: str) -> Any:
    """One client an endpoint: it takes half a second to make."""
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    session = boto3.Session("local", "local", region_name="us-east-1")
    return session.client("s3", endpoint_url=url, config=config)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
