"""The embedded server's STS, seen through something that reads who signs each call."""

from __future__ import annotations

import datetime as dt
import http.client
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdao_sdk.local.server import LocalSageMaker

_KEY = re.compile(r"Credential=([^/]+)/")
_EXPIRATION = re.compile(rb"<Expiration>[^<]*</Expiration>")


@dataclass
class Signatures:
    """What came by.

    `signed`: (operation, access key) of each call, in order; `assumed`: the AssumeRole requests;
    `lasting`: seconds that new credentials say they last, None for STS's own word; `denies_role`:
    whether AssumeRole is refused.
    """

    url: str = ""
    signed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    assumed: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    lasting: float | None = None
    denies_role: bool = False

    def note(self, headers: http.client.HTTPMessage, body: bytes) -> str:
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2] or form.get("Action", "S3")
        key = _KEY.search(headers.get("Authorization", ""))
        self.signed.append((operation, key[1] if key else ""))
        if operation == "AssumeRole":
            self.assumed.append(form)
        return operation

    def shortened(self, body: bytes) -> bytes:
        if self.lasting is None:
            return body
        end = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=self.lasting)
        return _EXPIRATION.sub(f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration>".encode(), body)


_DENIED = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not"
    b" authorized to perform: sts:AssumeRole</Message></Error><RequestId>1</RequestId>"
    b"</ErrorResponse>"
)


@pytest.fixture
def signatures(embedded: LocalSageMaker) -> Iterator[Signatures]:
    """Stands before the embedded server and reads the signatures of what it passes on."""
    seen = Signatures()
    target = embedded.url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = seen.note(self.headers, body)
            if operation == "AssumeRole" and seen.denies_role:
                self._send(403, "text/xml", _DENIED)
                return
            connection = http.client.HTTPConnection(target)
            connection.request(self.command, self.path, body, dict(self.headers))
            given = connection.getresponse()
            content = given.read()
            connection.close()
            if operation == "AssumeRole":
                content = seen.shortened(content)
            self._send(given.status, given.getheader("Content-Type") or "", content)

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("x-amzn-RequestId", "1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET = _answer  # noqa: N815 # the base class looks for these

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        seen.url = f"http://127.0.0.1:{server.server_port}"
        yield seen
        server.shutdown()
