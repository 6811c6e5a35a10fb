"""One S3 request: what it is about, before it is answered."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cdao_sdk.local.errors import S3Error

if TYPE_CHECKING:
    from typing import Literal

    from werkzeug.wrappers import Request

    from cdao_sdk.local.objects import ObjectStore
    from cdao_sdk.local.uploads import Uploads

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class S3Call:
    """A request of S3, its path read."""

    request: Request
    bucket: str
    key: str
    region: str
    store: ObjectStore
    uploads: Uploads

    @property
    def level(self) -> Literal["service", "bucket", "object"]:
        """What the path names."""
        if self.key:
            return "object"
        return "bucket" if self.bucket else "service"

    def number(self, name: str, default: int) -> int:
        """A whole number of the query.

        Raises:
            S3Error: InvalidArgument when it is none, or negative.
        """
        value = self.request.args.get(name)
        if value is None:
            return default
        if not value.isdecimal():
            raise S3Error(code="InvalidArgument", ArgumentName=name, ArgumentValue=value)
        return int(value)


def path_of(request: Request) -> tuple[str, str]:
    """Bucket and key of a request's path, exactly as the client wrote them.

    Raises:
        S3Error: InvalidURI when the path is not UTF-8.
    """
    # PATH_INFO is no longer what the client wrote: a server may have joined its slashes.
    raw = str(request.environ["REQUEST_URI"]).partition("?")[0]
    bucket, _, key = raw.lstrip("/").partition("/") if raw[1:2] != "/" else ("", "", "")
    try:
        return unquote(bucket, errors="strict"), unquote(key, errors="strict")
    except UnicodeDecodeError as error:
        raise S3Error(code="InvalidURI", URI=raw) from error


def new_request_id() -> str:
    """A request id, one for each answer."""
    return f"LOCAL{next(_numbers):011X}"
