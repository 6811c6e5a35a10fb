"""Calls on multipart uploads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from cdao_sdk.local.errors import S3Error
from cdao_sdk.local.incoming import CHUNK_BYTES
from cdao_sdk.local.s3.bodies import composite, receive
from cdao_sdk.local.s3.conditions import byte_range, check_put
from cdao_sdk.local.s3.contents import copy_source
from cdao_sdk.local.s3.documents import (
    answer,
    checksum_elements,
    element,
    moment,
    owner,
    parse,
    text,
)
from cdao_sdk.local.s3.headers import attributes_of, echoed_checksums

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree import ElementTree as ET

    from cdao_sdk.local.s3.call import S3Call
    from cdao_sdk.local.uploads import Part, Upload

_LAST_PART_NUMBER = 10_000
_PAGE = 1000


def create_multipart_upload(call: S3Call) -> Response:
    """CreateMultipartUpload."""
    upload = call.uploads.begin(call.bucket, call.key, attributes_of(call.request, {}))
    names = ("x-amz-checksum-algorithm", "x-amz-checksum-type")
    headers = call.request.headers
    return answer(
        "InitiateMultipartUploadResult",
        text("Bucket", call.bucket),
        text("Key", call.key),
        text("UploadId", upload.id),
        headers={name: headers[name] for name in names if name in headers},
    )


def upload_part(call: S3Call) -> Response:
    """UploadPart, or UploadPartCopy where a source is named."""
    upload = _upload(call)
    number = call.number("partNumber", 0)
    if not 1 <= number <= _LAST_PART_NUMBER:
        raise S3Error(code="InvalidArgument", ArgumentName="partNumber", ArgumentValue=str(number))
    if "x-amz-copy-source" in call.request.headers:
        part = _copied_part(call, upload, number)
        return answer(
            "CopyPartResult",
            text("LastModified", moment(part.last_modified)),
            text("ETag", f'"{part.etag}"'),
        )
    incoming = call.store.incoming(call.bucket)
    try:
        checksums = receive(call.request, incoming)
    except BaseException:
        incoming.discard()
        raise
    part = call.uploads.keep(upload, number, incoming, checksums)
    headers = echoed_checksums(checksums)
    headers.pop("x-amz-checksum-type", None)
    return Response(headers={"ETag": f'"{part.etag}"', **headers})


def complete_multipart_upload(call: S3Call) -> Response:
    """CompleteMultipartUpload."""
    upload = _upload(call)
    nodes = parse(call.request.get_data()).findall("Part")
    wanted = [_wanted(node) for node in nodes]
    parts = call.uploads.chosen(upload, wanted)
    attributes = replace(upload.attributes, checksums=_composites(parts))
    before = call.store.head(call.bucket, call.key)
    info = call.uploads.complete(
        call.bucket,
        upload,
        wanted,
        attributes=attributes,
        only_if_absent=check_put(before, call.request.headers),
    )
    return answer(
        "CompleteMultipartUploadResult",
        text("Location", f"{call.request.host_url}{call.bucket}/{call.key}"),
        text("Bucket", call.bucket),
        text("Key", call.key),
        text("ETag", f'"{info.etag}"'),
        *checksum_elements(info.attributes.checksums),
    )


def abort_multipart_upload(call: S3Call) -> Response:
    """AbortMultipartUpload."""
    call.uploads.abort(_upload(call))
    return Response(status=204)


def list_parts(call: S3Call) -> Response:
    """ListParts."""
    upload = _upload(call)
    after = call.number("part-number-marker", 0)
    size = min(call.number("max-parts", _PAGE), _PAGE)
    left = [part for part in call.uploads.parts(upload) if part.number > after]
    shown = left[:size]
    return answer(
        "ListPartsResult",
        text("Bucket", call.bucket),
        text("Key", call.key),
        text("UploadId", upload.id),
        owner("Initiator"),
        owner(),
        text("StorageClass", "STANDARD"),
        text("PartNumberMarker", after),
        text("NextPartNumberMarker", shown[-1].number if shown else 0),
        text("MaxParts", size),
        text("IsTruncated", "true" if len(left) > len(shown) else "false"),
        *(_part(part) for part in shown),
    )


def list_multipart_uploads(call: S3Call) -> Response:
    """ListMultipartUploads: all that are under way, in one page."""
    prefix = call.request.args.get("prefix", "")
    uploads = [one for one in call.uploads.list(call.bucket) if one.key.startswith(prefix)]
    return answer(
        "ListMultipartUploadsResult",
        text("Bucket", call.bucket),
        text("Prefix", prefix),
        text("MaxUploads", _PAGE),
        text("IsTruncated", "false"),
        *(_under_way(upload) for upload in uploads),
    )


def _upload(call: S3Call) -> Upload:
    return call.uploads.find(call.bucket, call.key, call.request.args["uploadId"])


def _copied_part(call: S3Call, upload: Upload, number: int) -> Part:
    info, file = copy_source(call)
    with file:
        wanted = byte_range(call.request.headers.get("x-amz-copy-source-range"), info.size)
        start, end = wanted or (0, info.size)
        file.seek(start)
        incoming = call.store.incoming(call.bucket)
        try:
            while start < end and (chunk := file.read(min(end - start, CHUNK_BYTES))):
                incoming.write(chunk)
                start += len(chunk)
        except BaseException:
            incoming.discard()
            raise
    return call.uploads.keep(upload, number, incoming, {})


def _wanted(node: ET.Element) -> tuple[int, str]:
    number, etag = node.findtext("PartNumber", ""), node.findtext("ETag", "")
    if not number.strip().isdecimal():
        raise S3Error(code="MalformedXML")
    return int(number), etag.strip().strip('"')


def _composites(parts: Sequence[Part]) -> dict[str, str]:
    names = [name for name in parts[0].checksums if all(name in one.checksums for one in parts)]
    composites = {name: composite(name, [one.checksums[name] for one in parts]) for name in names}
    return {name: value for name, value in composites.items() if value}


def _part(part: Part) -> str:
    return element(
        "Part",
        text("PartNumber", part.number),
        text("LastModified", moment(part.last_modified)),
        text("ETag", f'"{part.etag}"'),
        text("Size", part.size),
        *checksum_elements(part.checksums),
    )


def _under_way(upload: Upload) -> str:
    return element(
        "Upload",
        text("Key", upload.key),
        text("UploadId", upload.id),
        owner("Initiator"),
        owner(),
        text("StorageClass", "STANDARD"),
        text("Initiated", moment(upload.started_at)),
    )
