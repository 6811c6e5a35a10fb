"""A tiny identity provider: an OAuth2 server over HTTP, and what FlyteAdmin says of it."""

# ruff: noqa: N802, ARG002 # names and arguments of gRPC and http.server

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from flyteidl.service import auth_pb2
from flyteidl.service.auth_pb2_grpc import AuthMetadataServiceServicer

_Answer = tuple[int, dict[str, object]]


@dataclass
class Identity:
    """Who may call, and the tokens that were given out.

    Attributes:
        client_id: Of client credentials.
        client_secret: Its secret.
        header: Metadata key that carries the token.
        token_seconds: A token is refused after so long.
        pending_polls: So often the device flow is told to wait.
        redirect_port: Port where the PKCE client listens for its code.
        grants: How often each grant type was asked for.
    """

    client_id: str = "flytepropeller"
    client_secret: str = "foobar"
    header: str = "flyte-authorization"
    token_seconds: float = 3600
    pending_polls: int = 1
    redirect_port: int = 53593
    grants: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._tokens: dict[str, float] = {}
        self._codes: dict[str, str] = {}
        self._polls = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self) -> str:
        """A new access token, as an external command would print it."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = time.monotonic() + self.token_seconds
        return token

    def revoke_all(self) -> None:
        self._tokens.clear()

    def admits(self, metadata: Any) -> bool:
        """Whether a call's metadata has a valid token."""
        said = dict(metadata).get(self.header, "")
        kind, _, token = str(said).partition(" ")
        return kind.lower() == "bearer" and self._tokens.get(token, 0) > time.monotonic()

    # --- the HTTP endpoints ---

    def answer(self, path: str, form: dict[str, str], authorization: str) -> _Answer:
        if path == "/oauth2/device":
            code = secrets.token_hex(4)
            device: dict[str, object] = {
                "device_code": code,
                "user_code": code[:6],
                "verification_uri": f"{self.url}/device",
                "expires_in": 60,
                "interval": 0.05,
            }
            return 200, device
        if path != "/oauth2/token":
            return 404, {"error": "not_found"}
        grant = form.get("grant_type", "")
        self.grants[grant] += 1
        refusal = self._refusal(grant, form, authorization)
        if refusal:
            return 401 if refusal == "invalid_client" else 400, {"error": refusal}
        token: dict[str, object] = {
            "access_token": self.token(),
            "token_type": "bearer",
            "expires_in": int(self.token_seconds) or 1,
        }
        if grant != "client_credentials":
            token["refresh_token"] = "refresh-" + secrets.token_hex(8)
        return 200, token

    def _refusal(self, grant: str, form: dict[str, str], authorization: str) -> str:
        if grant == "client_credentials":
            pair = f"{self.client_id}:{urllib.parse.quote_plus(self.client_secret)}"
            wanted = "Basic " + base64.b64encode(pair.encode()).decode()
            return "" if authorization == wanted else "invalid_client"
        if grant == "urn:ietf:params:oauth:grant-type:device_code":
            self._polls += 1
            return "authorization_pending" if self._polls <= self.pending_polls else ""
        if grant == "authorization_code":
            verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
            known = self._codes.pop(form.get("code", ""), None)
            return "" if known == challenge else "invalid_grant"
        known_refresh = form.get("refresh_token", "").startswith("refresh-")
        return "" if grant == "refresh_token" and known_refresh else "unsupported_grant_type"

    def authorize(self, query: dict[str, str]) -> str:
        """Where a browser is sent back to: the user has agreed."""
        code = secrets.token_hex(8)
        self._codes[code] = query["code_challenge"]
        back = urllib.parse.urlencode({"code": code, "state": query["state"]})
        return f"{query['redirect_uri']}?{back}"


class AuthMetadata(AuthMetadataServiceServicer):
    """Tells clients where to get a token; open to all."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def GetOAuth2Metadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        url = self._identity.url
        return auth_pb2.OAuth2MetadataResponse(
            issuer=url,
            authorization_endpoint=f"{url}/oauth2/authorize",
            token_endpoint=f"{url}/oauth2/token",
            device_authorization_endpoint=f"{url}/oauth2/device",
            code_challenge_methods_supported=["S256"],
        )

    def GetPublicClientConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        identity = self._identity
        return auth_pb2.PublicClientAuthConfigResponse(
            client_id="flytectl",
            redirect_uri=f"http://localhost:{identity.redirect_port}/callback",
            scopes=["all", "offline"],
            authorization_metadata_key=identity.header,
        )


def _handler(identity: Identity) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = dict(urllib.parse.parse_qsl(body))
            status, answer = identity.answer(self.path, form, self.headers.get("Authorization", ""))
            self._send(status, answer)

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path != "/oauth2/authorize":
                self._send(404, {"error": "not_found"})
                return
            self.send_response(302)
            target = identity.authorize(dict(urllib.parse.parse_qsl(query)))
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, status: int, answer: dict[str, object]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
