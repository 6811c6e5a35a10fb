"""ListObjectsV2 and its forerunner: pages of keys and of common prefixes."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from cdao_sdk.local.errors import S3Error
from cdao_sdk.local.s3.documents import answer, element, moment, owner, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from werkzeug.wrappers import Response

    from cdao_sdk.local.objects import ObjectInfo
    from cdao_sdk.local.s3.call import S3Call

MAX_KEYS = 1000


@dataclass
class Page:
    """One page of a listing; `last` is where the next one goes on, None at the end."""

    keys: list[str] = field(default_factory=list[str])
    prefixes: list[str] = field(default_factory=list[str])
    last: str | None = None


def page(keys: Sequence[str], *, prefix: str, delimiter: str, after: str, size: int) -> Page:
    """The page of sorted `keys` that follows `after`, which is a key or a common prefix."""
    found = Page()
    last = after
    position = _past(keys, after) if _is_rolled_up(after, prefix, delimiter) else 0
    position = max(position, bisect_right(keys, after) if after else 0)
    while position < len(keys):
        if len(found.keys) + len(found.prefixes) >= size:
            found.last = last if size else None
            return found
        last = keys[position]
        end = last.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            found.keys.append(last)
            position += 1
        else:
            last = last[: end + len(delimiter)]
            found.prefixes.append(last)
            position = _past(keys, last)
    return found


def list_objects_v2(call: S3Call) -> Response:
    """ListObjectsV2."""
    arguments = call.request.args
    token = arguments.get("continuation-token")
    start = arguments.get("start-after", "")
    found, size = _page(call, after=_key_of(token) if token is not None else start)
    code = _coder(call)
    owned = arguments.get("fetch-owner", "").lower() == "true"
    extra = [text("KeyCount", len(found.keys) + len(found.prefixes))]
    if token is not None:
        extra.append(text("ContinuationToken", token))
    if found.last is not None:
        extra.append(text("NextContinuationToken", _token_of(found.last)))
    if start:
        extra.append(text("StartAfter", code(start)))
    return _answer(call, found, size, extra=extra, owned=owned)


def list_objects(call: S3Call) -> Response:
    """ListObjects, version 1."""
    marker = call.request.args.get("marker", "")
    found, size = _page(call, after=marker)
    code = _coder(call)
    extra = [text("Marker", code(marker))]
    if found.last is not None and call.request.args.get("delimiter"):
        extra.append(text("NextMarker", code(found.last)))
    return _answer(call, found, size, extra=extra, owned=True)


def _page(call: S3Call, *, after: str) -> tuple[Page, int]:
    prefix = call.request.args.get("prefix", "")
    size = min(call.number("max-keys", MAX_KEYS), MAX_KEYS)
    keys = call.store.keys(call.bucket, prefix)
    delimiter = call.request.args.get("delimiter", "")
    return page(keys, prefix=prefix, delimiter=delimiter, after=after, size=size), size


def _answer(call: S3Call, found: Page, size: int, *, extra: list[str], owned: bool) -> Response:
    arguments = call.request.args
    code = _coder(call)
    head = [text("Name", call.bucket), text("Prefix", code(arguments.get("prefix", "")))]
    if arguments.get("delimiter"):
        head.append(text("Delimiter", code(arguments["delimiter"])))
    if arguments.get("encoding-type"):
        head.append(text("EncodingType", "url"))
    head += [
        text("MaxKeys", size),
        text("IsTruncated", "true" if found.last is not None else "false"),
    ]
    infos = call.store.infos(call.bucket, found.keys)
    contents = [_content(info, code, owned=owned) for info in infos]
    prefixes = [element("CommonPrefixes", text("Prefix", code(one))) for one in found.prefixes]
    return answer("ListBucketResult", *head, *extra, *contents, *prefixes)


def _content(info: ObjectInfo, code: Callable[[str], str], *, owned: bool) -> str:
    children = [
        text("Key", code(info.key)),
        text("LastModified", moment(info.last_modified)),
        text("ETag", f'"{info.etag}"'),
        *(text("ChecksumAlgorithm", name.upper()) for name in info.attributes.checksums),
        text("Size", info.size),
        text("StorageClass", info.attributes.headers.get("x-amz-storage-class", "STANDARD")),
    ]
    if owned:
        children.append(owner())
    return element("Contents", *children)


def _coder(call: S3Call) -> Callable[[str], str]:
    encoding = call.request.args.get("encoding-type")
    if encoding not in {None, "url"}:
        raise S3Error(code="InvalidArgument", ArgumentName="encoding-type")
    return quote if encoding else str


def _past(keys: Sequence[str], prefix: str) -> int:
    """The position of the first key beyond those that start with `prefix`."""
    low = bisect_left(keys, prefix)
    return bisect_right(keys, prefix, low, key=lambda key: key[: len(prefix)])


def _is_rolled_up(after: str, prefix: str, delimiter: str) -> bool:
    """Whether a page ended with a common prefix: its first delimiter is its end."""
    if not delimiter or not after.startswith(prefix):
        return False
    at = after.find(delimiter, len(prefix))
    return at >= 0 and at + len(delimiter) == len(after)


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        msg = "continuation-token"
        raise S3Error(code="InvalidArgument", ArgumentName=msg) from error
