"""Calls on objects: put, get, head, copy, delete, tags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from werkzeug.wrappers import Response

from cdao_sdk.local.errors import NoSuchKey, PreconditionFailed, S3Error
from cdao_sdk.local.incoming import CHUNK_BYTES
from cdao_sdk.local.s3.bodies import receive
from cdao_sdk.local.s3.conditions import byte_range, check_put, holds
from cdao_sdk.local.s3.documents import answer, checksum_elements, element, moment, parse, text
from cdao_sdk.local.s3.headers import attributes_of, described, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from cdao_sdk.local.objects import ObjectInfo
    from cdao_sdk.local.s3.call import S3Call

_COPY = "x-amz-copy-source-"


def put_object(call: S3Call) -> Response:
    """PutObject, or CopyObject where a source is named."""
    if "x-amz-copy-source" in call.request.headers:
        return _copy_object(call)
    incoming = call.store.incoming(call.bucket)
    try:
        checksums = receive(call.request, incoming)
        before = call.store.head(call.bucket, call.key)
        only_if_absent = check_put(before, call.request.headers)
        attributes = attributes_of(call.request, checksums)
    except BaseException:
        incoming.discard()
        raise
    info = call.store.commit(
        call.bucket, call.key, incoming, attributes=attributes, only_if_absent=only_if_absent
    )
    return Response(headers=stored(info))


def get_object(call: S3Call) -> Response:
    """GetObject, whole or a range."""
    info, file = call.store.get(call.bucket, call.key)
    try:
        response, start, length = _described(call, info)
    except BaseException:
        file.close()
        raise
    if response.status_code == 304:
        file.close()
        return response
    file.seek(start)
    response.response = _Slice(file, length)
    return response


def head_object(call: S3Call) -> Response:
    """HeadObject."""
    info = call.store.head(call.bucket, call.key)
    if info is None:
        call.store.folder(call.bucket)
        raise NoSuchKey(call.key)
    return _described(call, info)[0]


def delete_object(call: S3Call) -> Response:
    """DeleteObject: a key that is missing counts as deleted."""
    call.store.delete(call.bucket, call.key)
    return Response(status=204)


def get_tagging(call: S3Call) -> Response:
    """GetObjectTagging."""
    info, file = call.store.get(call.bucket, call.key)
    file.close()
    tags = [
        element("Tag", text("Key", name), text("Value", value))
        for name, value in info.attributes.tags.items()
    ]
    return answer("Tagging", element("TagSet", *tags))


def put_tagging(call: S3Call) -> Response:
    """PutObjectTagging."""
    nodes = parse(call.request.get_data()).iter("Tag")
    tags = {node.findtext("Key") or "": node.findtext("Value") or "" for node in nodes}
    call.store.retag(call.bucket, call.key, tags)
    return Response()


def delete_tagging(call: S3Call) -> Response:
    """DeleteObjectTagging."""
    call.store.retag(call.bucket, call.key, {})
    return Response(status=204)


def copy_source(call: S3Call) -> tuple[ObjectInfo, BinaryIO]:
    """The object that `x-amz-copy-source` names, opened, its conditions checked.

    Raises:
        S3Error: NoSuchBucket, NoSuchKey, InvalidArgument or PreconditionFailed.
    """
    source = unquote(call.request.headers["x-amz-copy-source"].partition("?")[0])
    bucket, _, key = source.removeprefix("/").partition("/")
    if not key:
        raise S3Error(code="InvalidArgument", ArgumentName="x-amz-copy-source")
    info, file = call.store.get(bucket, key)
    if not holds(info, call.request.headers, prefix=_COPY):
        file.close()
        raise PreconditionFailed(condition="x-amz-copy-source-If-None-Match")
    return info, file


def _copy_object(call: S3Call) -> Response:
    info, file = copy_source(call)
    with file:
        headers = call.request.headers
        attributes = replace(attributes_of(call.request, {}), checksums=info.attributes.checksums)
        if headers.get("x-amz-metadata-directive", "COPY") != "REPLACE":
            if info.key == call.key and call.store.folder(call.bucket) in info.path.parents:
                raise S3Error(code="InvalidRequest")
            attributes = replace(info.attributes, tags=attributes.tags)
        if headers.get("x-amz-tagging-directive", "COPY") != "REPLACE":
            attributes = replace(attributes, tags=info.attributes.tags)
        incoming = call.store.incoming(call.bucket)
        try:
            incoming.write_from(file)
        except BaseException:
            incoming.discard()
            raise
    copied = call.store.commit(call.bucket, call.key, incoming, attributes=attributes)
    return answer(
        "CopyObjectResult",
        text("LastModified", moment(copied.last_modified)),
        text("ETag", f'"{copied.etag}"'),
        *checksum_elements(copied.attributes.checksums),
    )


def _described(call: S3Call, info: ObjectInfo) -> tuple[Response, int, int]:
    """The response without its body; first byte and length of the body."""
    if "partNumber" in call.request.args:
        raise S3Error(code="NotImplemented", Argument="partNumber")
    headers = described(info, call.request)
    if not holds(info, call.request.headers):
        kept = {name: headers[name] for name in ("ETag", "Last-Modified")}
        return Response(status=304, headers=kept), 0, 0
    part = byte_range(call.request.headers.get("Range"), info.size)
    start, end = part or (0, info.size)
    headers["Content-Length"] = str(end - start)
    if part is None:
        return Response(headers=headers), start, end - start
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size}"
    # A checksum of the whole says nothing of a part; clients would check the part against it.
    headers = {name: value for name, value in headers.items() if "checksum" not in name}
    return Response(status=206, headers=headers), start, end - start


class _Slice:
    """A run of bytes of an open file, in chunks; closed with the response."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (chunk := self._file.read(min(self._left, CHUNK_BYTES))):
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the file."""
        self._file.close()
