"""Conditions of requests (`If-Match`, …) and byte ranges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from werkzeug.http import parse_date

from cdao_sdk.local.errors import PreconditionFailed, S3Error

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

    from cdao_sdk.local.objects import ObjectInfo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def holds(info: ObjectInfo, headers: Headers, *, prefix: str = "") -> bool:
    """Whether a reader wants the object; False where it has it already (304).

    Args:
        info: The object.
        headers: The request's headers.
        prefix: Of the conditions' names: `x-amz-copy-source-` for copies.

    Raises:
        PreconditionFailed: the object is not the one that the reader wants.
    """
    match = headers.get(f"{prefix}If-Match")
    unmodified = parse_date(headers.get(f"{prefix}If-Unmodified-Since"))
    if match and not _names(match, info):
        raise PreconditionFailed(condition="If-Match")
    if unmodified and not match and info.last_modified > unmodified:
        raise PreconditionFailed(condition="If-Unmodified-Since")
    none_match = headers.get(f"{prefix}If-None-Match")
    if none_match:
        return not _names(none_match, info)
    modified = parse_date(headers.get(f"{prefix}If-Modified-Since"))
    return not modified or info.last_modified > modified


def check_put(before: ObjectInfo | None, headers: Headers) -> bool:
    """Check the conditions of a put against what is there.

    Returns:
        Whether the put holds only while there is no object (`If-None-Match: *`).

    Raises:
        S3Error: PreconditionFailed; NoSuchKey for `If-Match` without an object; NotImplemented.
    """
    none_match = headers.get("If-None-Match")
    match = headers.get("If-Match")
    if none_match not in {None, "*"}:
        raise S3Error(code="NotImplemented", Header="If-None-Match")
    if none_match and before:
        raise PreconditionFailed(condition="If-None-Match")
    if match and before is None:
        raise S3Error(code="NoSuchKey")
    if match and before and not _names(match, before):
        raise PreconditionFailed(condition="If-Match")
    return none_match is not None


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) of one range; None for the whole object.

    Raises:
        S3Error: InvalidRange where no byte of the object is in it.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise S3Error(code="InvalidRange", RangeRequested=header or "", ActualObjectSize=str(size))
    return start, end


def _names(condition: str, info: ObjectInfo) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in condition.split(",")]
    return "*" in tags or info.etag in tags
