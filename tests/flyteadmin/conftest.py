"""A Flyte backend on this machine: the double, with flytekit's connector service beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flyte_double import ConnectorServer, FlyteDouble

import cdao_sdk

if TYPE_CHECKING:
    from cdao_sdk.local.server import LocalSageMaker

BUCKET = "flyte-double"
FLOWS = Path(__file__).parent / "flows"

if str(FLOWS) not in sys.path:
    sys.path.insert(0, str(FLOWS))


@pytest.fixture
def connector(embedded: LocalSageMaker) -> Iterator[str]:
    """The address of flytekit's connector service with our connectors, on the embedded server."""
    from cdao_sdk.flyte.connector import register_connectors
    from cdao_sdk.flyte.services import services_from_settings

    cdao_sdk.configure(
        endpoint_url=embedded.url,
        default_bucket="cdao-tests",
        sagemaker_role="arn:aws:iam::123456789012:role/FlyteRole",
    )
    register_connectors()  # fresh ones: they keep the services of their first call
    clients = services_from_settings().clients
    with ConnectorServer(clients.close) as server:
        yield server.address
    register_connectors()


@pytest.fixture
def make_flyte(embedded: LocalSageMaker, connector: str) -> Iterator[Callable[..., FlyteDouble]]:
    """Starts Flyte backends that end with the test."""
    embedded.objects.create_bucket(BUCKET)
    with ExitStack() as stack:

        def make(**options: Any) -> FlyteDouble:
            double = FlyteDouble(embedded.url, BUCKET, **{"connector": connector, **options})
            return stack.enter_context(double)

        yield make


@pytest.fixture
def flyte(make_flyte: Callable[..., FlyteDouble]) -> FlyteDouble:
    """A Flyte backend with a connector."""
    return make_flyte()
