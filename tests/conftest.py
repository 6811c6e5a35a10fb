"""No test sees this machine's AWS or CDAO settings, and one embedded server serves a whole worker."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
BUCKET = "cdao-tests"
_FOREIGN = ("AWS_", "CDAO_", "FLYTE", "FLYTECTL_")


def pytest_configure(config: pytest.Config) -> None:
    for ignored in (
        # flytekit 1.16.31 asks for an event loop where there is none.
        "ignore:There is no current event loop:DeprecationWarning",
        # flytekit says so of Dict[str, Any], which the tests of pickles use on purpose.
        "ignore:Unsupported Type .* Flyte will default to use PickleFile:UserWarning",
    ):
        config.addinivalue_line("filterwarnings", ignored)


@pytest.fixture(autouse=True)
def _own_surroundings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Settings come from the test alone; what it writes goes to a folder of its own."""
    from cdao_sdk.settings import holder

    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("surroundings")
    monkeypatch.setenv("CDAO_STATE_DIR", str(folder / "state"))
    monkeypatch.chdir(folder)
    holder.reset()
    yield
    holder.reset()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    """The embedded SageMaker that the tests of a worker share."""
    from cdao_sdk.local.server import LocalSageMaker

    logging.getLogger("cheroot").setLevel(logging.ERROR)
    with LocalSageMaker(tmp_path_factory.mktemp("embedded"), concurrency=6) as server:
        server.objects.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def services(embedded: LocalSageMaker) -> Services:
    """What a connector needs, pointed at the embedded server."""
    from cdao_sdk.aws.session import AwsClients, embedded_target
    from cdao_sdk.flyte.services import Services

    return Services(
        clients=AwsClients(embedded_target(embedded.url)), role_arn=ROLE, bucket=BUCKET
    )


@pytest.fixture(scope="session")
def boto(embedded: LocalSageMaker) -> Any:
    """Makes an unmodified boto3 client of a service for the embedded server."""
    import boto3

    session = boto3.Session("local", "local", region_name="us-east-1")

    def make(service: str) -> Any:
        return session.client(service, endpoint_url=embedded.url)

    return make


@pytest.fixture
def on_embedded(embedded: LocalSageMaker, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lets `cdao_sdk.run` use the shared server; returns the state folder of the test."""
    import cdao_sdk

    settings = cdao_sdk.configure(endpoint_url=embedded.url, default_bucket=BUCKET)
    return settings.state_path
