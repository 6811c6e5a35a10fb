"""What a client says about an object in headers, and how it is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from werkzeug.http import http_date

from cdao_sdk.local.errors import S3Error
from cdao_sdk.local.objects import DEFAULT_CONTENT_TYPE, Attributes
from cdao_sdk.local.s3.bodies import CHECKSUM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Request

    from cdao_sdk.local.objects import ObjectInfo

_METADATA = "x-amz-meta-"
_MOST_METADATA_BYTES = 2048
_KEPT = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Expires",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
_ECHOED_AT_PUT = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
)


def attributes_of(request: Request, checksums: Mapping[str, str]) -> Attributes:
    """The attributes that a put, a copy or an upload carries.

    Raises:
        S3Error: the metadata are larger than 2 KB.
    """
    metadata = {
        name.lower().removeprefix(_METADATA): value
        for name, value in request.headers.items()
        if name.lower().startswith(_METADATA)
    }
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MOST_METADATA_BYTES:
        raise S3Error(code="MetadataTooLarge", MaxSizeAllowed=str(_MOST_METADATA_BYTES))
    headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
    encodings = [one.strip() for one in headers.pop("Content-Encoding", "").split(",")]
    encodings = [one for one in encodings if one not in {"", "aws-chunked"}]
    if encodings:
        headers["Content-Encoding"] = ",".join(encodings)
    return Attributes(
        content_type=request.headers.get("Content-Type") or DEFAULT_CONTENT_TYPE,
        metadata=metadata,
        headers=headers,
        checksums=checksums,
        tags=dict(parse_qsl(request.headers.get("x-amz-tagging", ""), keep_blank_values=True)),
    )


def described(info: ObjectInfo, request: Request) -> dict[str, str]:
    """The headers that describe an object to a Get or Head."""
    attributes = info.attributes
    headers = {
        "Content-Type": attributes.content_type,
        "ETag": f'"{info.etag}"',
        "Last-Modified": http_date(info.last_modified),
        "Accept-Ranges": "bytes",
        **attributes.headers,
        **{f"{_METADATA}{name}": value for name, value in attributes.metadata.items()},
    }
    if attributes.tags:
        headers["x-amz-tagging-count"] = str(len(attributes.tags))
    if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= echoed_checksums(attributes.checksums)
    for name, value in request.args.items():
        if name.startswith("response-"):
            headers[name.removeprefix("response-").title()] = value
    return headers


def stored(info: ObjectInfo) -> dict[str, str]:
    """The headers that answer a put."""
    kept = info.attributes.headers
    encryption = {name: kept[name] for name in _ECHOED_AT_PUT if name in kept}
    return {
        "ETag": f'"{info.etag}"',
        **encryption,
        **echoed_checksums(info.attributes.checksums),
    }


def echoed_checksums(checksums: Mapping[str, str]) -> dict[str, str]:
    """Checksums as headers, with their type."""
    if not checksums:
        return {}
    parts = any("-" in value for value in checksums.values())
    return {
        **{CHECKSUM + name: value for name, value in checksums.items()},
        "x-amz-checksum-type": "COMPOSITE" if parts else "FULL_OBJECT",
    }
