"""S3's XML: answers, errors and what clients send."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from cdao_sdk.local.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.local.errors import AwsError

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
OWNER_ID = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"


def text(name: str, value: object) -> str:
    """An element with text in it."""
    return f"<{name}>{escape(str(value))}</{name}>"


def element(name: str, *children: str) -> str:
    """An element with elements in it."""
    return f"<{name}>{''.join(children)}</{name}>"


def moment(at: datetime) -> str:
    """A time as S3 writes it in documents."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def owner(name: str = "Owner") -> str:
    """Whom buckets and objects belong to: the one account there is."""
    return element(name, text("ID", OWNER_ID), text("DisplayName", "local"))


def checksum_elements(checksums: Mapping[str, str]) -> list[str]:
    """Checksums, by algorithm, as elements."""
    return [text(f"Checksum{name.upper()}", value) for name, value in checksums.items()]


def answer(name: str, *children: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is one document."""
    body = f'{_DECLARATION}<{name} xmlns="{_NAMESPACE}">{"".join(children)}</{name}>'
    return Response(body, content_type="application/xml", headers=dict(headers or {}))


def refusal(error: AwsError, *, resource: str, request_id: str) -> Response:
    """The response that says why a call was refused."""
    children = [text("Code", error.code), text("Message", error.message)]
    children += [text(name, value) for name, value in error.details.items()]
    children += [text("Resource", resource), text("RequestId", request_id)]
    body = _DECLARATION + element("Error", *children)
    return Response(body, status=error.status, content_type="application/xml")


def parse(body: bytes) -> ET.Element:
    """What a client sent, without namespaces.

    Raises:
        S3Error: MalformedXML.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314  the documents come from this machine
    except ET.ParseError as error:
        raise S3Error(code="MalformedXML") from error
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    return root
