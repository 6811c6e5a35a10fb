"""Endpoints, and ways to log in, as flytekit's own configuration has them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from flyte_double import FlyteDouble, Identity
from flyteidl.admin import project_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin

from cdao_sdk import ConfigurationError, SubmissionError
from cdao_sdk.flyte.cluster_target import target_of
from cdao_sdk.flyte.remote import cluster_for
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("endpoint", "insecure", "host", "without_tls"),
    [
        ("https://flyte.example.com", True, "flyte.example.com", False),
        ("https://flyte.example.com:8443/", False, "flyte.example.com:8443", False),
        ("http://flyte.example.com", False, "flyte.example.com:80", True),
        ("http://127.0.0.1:30080", False, "127.0.0.1:30080", True),
        ("dns:///flyte.example.com", False, "flyte.example.com", False),
        ("dns:///localhost:8089", True, "localhost:8089", True),
        ("flyte.example.com:443", False, "flyte.example.com:443", False),
        ("localhost", True, "localhost", True),
    ],
)
def test_every_form_of_an_endpoint(
    endpoint: str, insecure: bool, host: str, without_tls: bool
) -> None:
    given = {"admin_endpoint": endpoint, "insecure": insecure}
    target = target_of(holder.gather(given).settings)
    assert (target.endpoint, target.insecure) == (host, without_tls)


def test_no_endpoint_is_said() -> None:
    with pytest.raises(ConfigurationError, match="CDAO_ADMIN_ENDPOINT"):
        target_of(holder.gather().settings)


# --- logging in ---


@pytest.fixture
def identity() -> Iterator[Identity]:
    identity = Identity()
    yield identity
    identity.close()


@pytest.fixture
def guarded(make_flyte: Any, identity: Identity) -> FlyteDouble:
    return make_flyte(auth=identity)


def projects(flyte: FlyteDouble, file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("FLYTECTL_CONFIG", str(file))
    settings = holder.gather().settings
    assert settings.admin_endpoint == f"dns:///{flyte.endpoint}"
    answer = cluster_for(settings).call(Admin.list_projects, project_pb2.ProjectListRequest())
    return [project.id for project in answer.projects]


def test_client_credentials(
    guarded: FlyteDouble, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("foobar\n")
    file = guarded.config_file(
        tmp_path, authType="ClientSecret", clientId="flytepropeller", clientSecretLocation=secret
    )
    assert projects(guarded, file, monkeypatch) == ["flytesnacks"]
    cluster = cluster_for(holder.gather().settings)
    assert "foobar" not in repr(cluster)
    assert cluster_for(holder.gather().settings) is cluster
    assert identity.grants["client_credentials"] == 1


def test_external_command(
    guarded: FlyteDouble, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", f"print({identity.token()!r})"]
    file = guarded.config_file(tmp_path, authType="ExternalCommand", command=command)
    assert projects(guarded, file, monkeypatch) == ["flytesnacks"]


def test_device_flow(guarded: FlyteDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytekit.clients.auth.keyring.KeyringStore.retrieve", lambda _: None)
    monkeypatch.setattr("flytekit.clients.auth.keyring.KeyringStore.store", lambda token: token)
    file = guarded.config_file(tmp_path, authType="DeviceFlow")
    assert projects(guarded, file, monkeypatch) == ["flytesnacks"]


def test_wrong_secret_is_told_apart_and_not_shown(
    guarded: FlyteDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_CREDENTIALS_CLIENT_SECRET", "s3cr3t")
    file = guarded.config_file(tmp_path, authType="ClientSecret", clientId="flytepropeller")
    with pytest.raises((ConfigurationError, SubmissionError)) as caught:
        projects(guarded, file, monkeypatch)
    assert guarded.endpoint in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_unknown_way_to_log_in_is_named(
    guarded: FlyteDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = guarded.config_file(tmp_path, authType="Handshake")
    with pytest.raises(ConfigurationError, match=r"Handshake.*authType"):
        projects(guarded, file, monkeypatch)


def test_doctor_logs_in_and_looks_for_the_project(flyte: FlyteDouble) -> None:
    from cdao_sdk._doctor.cluster import flyte_project
    from cdao_sdk.aws.bridge import bridge

    def finding(**settings: object) -> tuple[str, str]:
        given = {"admin_endpoint": f"http://{flyte.endpoint}", **settings}
        found = bridge.run(flyte_project(holder.gather(given).settings))
        return found.status, found.text

    assert finding() == ("ok", "flytesnacks/development is there, and we may look")
    assert finding(project="nowhere") == ("fail", "no project 'nowhere'; there are: flytesnacks")
