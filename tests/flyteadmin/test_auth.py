"""flytekit's ways to sign in, against a real OAuth2 server."""

from __future__ import annotations

import socket
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flyte_double import Identity
from flytekit.configuration import AuthType
from flytekit.exceptions.user import FlyteAuthenticationException


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Identity(redirect_port=port)


@pytest.fixture
def domains(make_flyte: Callable[..., Any], identity: Identity) -> Callable[..., list[str]]:
    """Asks FlyteAdmin for its domains, signed in in some way."""
    flyte = make_flyte(connector=None, auth=identity)

    def ask(**platform: Any) -> list[str]:
        return [item.id for item in flyte.remote(**platform).get_domains()]

    return ask


class Browser(webbrowser.GenericBrowser):
    """A user who signs in at once: follows the link, and the way back to the client."""

    def __init__(self) -> None:
        super().__init__("test")

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:  # noqa: ARG002
        def visit() -> None:
            with urllib.request.urlopen(url, timeout=10) as page:  # noqa: S310 # our own
                page.read()

        threading.Thread(target=visit, daemon=True).start()
        return True


@pytest.fixture
def browser() -> Iterator[None]:
    webbrowser.register("test", None, Browser(), preferred=True)
    yield
    assert webbrowser._tryorder is not None  # type: ignore[attr-defined]
    webbrowser._tryorder.remove("test")  # type: ignore[attr-defined]


SECRET = {
    "auth_mode": AuthType.CLIENTSECRET,
    "client_id": "flytepropeller",
    "client_credentials_secret": "foobar",
}


def test_client_credentials_are_exchanged_for_a_token(domains: Any, identity: Identity) -> None:
    assert "development" in domains(**SECRET)
    assert identity.grants["client_credentials"] == 1


def test_wrong_secret_is_refused(domains: Any) -> None:
    with pytest.raises(Exception, match="401"):
        domains(**{**SECRET, "client_credentials_secret": "wrong"})


def test_command_prints_the_token(domains: Any, identity: Identity) -> None:
    command = [sys.executable, "-c", f"print({identity.token()!r})"]
    assert domains(auth_mode=AuthType.EXTERNALCOMMAND, command=command)


def test_token_of_nobody_is_unauthenticated(domains: Any) -> None:
    command = [sys.executable, "-c", "print('made-up')"]
    with pytest.raises(FlyteAuthenticationException):
        domains(auth_mode=AuthType.EXTERNALCOMMAND, command=command, rpc_retries=0)


def test_device_flow_waits_for_the_user(domains: Any, identity: Identity) -> None:
    assert domains(auth_mode=AuthType.DEVICEFLOW)
    assert identity.grants["urn:ietf:params:oauth:grant-type:device_code"] == 2


def test_pkce_goes_through_the_browser(domains: Any, identity: Identity, browser: None) -> None:
    assert domains(auth_mode=AuthType.PKCE)
    assert identity.grants["authorization_code"] == 1


def test_expired_token_is_renewed(make_flyte: Callable[..., Any], identity: Identity) -> None:
    remote = make_flyte(connector=None, auth=identity).remote(**SECRET)
    assert remote.get_domains()
    identity.revoke_all()
    assert remote.get_domains()
    assert identity.grants["client_credentials"] == 2
