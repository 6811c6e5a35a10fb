"""A Flyte backend on this machine: the double, with flytekit's connector service beside it."""

from __future__ import annotations

import linecache
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flyte_double import ConnectorServer, FlyteDouble
from flyteidl.core.execution_pb2 import WorkflowExecution

import cdao_sdk

if TYPE_CHECKING:
    from cdao_sdk.local.server import LocalSageMaker

BUCKET = "flyte-double"
ENDS = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)
FLOWS = Path(__file__).parent / "flows"

if str(FLOWS) not in sys.path:
    sys.path.insert(0, str(FLOWS))


@pytest.fixture
def connector(embedded: LocalSageMaker) -> Iterator[str]:
    """The address of flytekit's connector service with our connectors, on the embedded server."""
    import flytekit  # noqa: F401 # it loads our plugin, which needs the connector whole
    from flytekit.extend.backend.base_connector import ConnectorRegistry

    from cdao_sdk.flyte.connector import register_connectors
    from cdao_sdk.flyte.services import services_from_settings
    from cdao_sdk.kinds.registry import KINDS

    async def close() -> None:
        for kind in KINDS.values():
            await ConnectorRegistry.get_connector(kind.task_type).close()
        await clients.close()

    cdao_sdk.configure(
        endpoint_url=embedded.url,
        default_bucket="cdao-tests",
        sagemaker_role="arn:aws:iam::123456789012:role/FlyteRole",
    )
    register_connectors()  # fresh ones: they keep the services of their first call
    clients = services_from_settings().clients
    with ConnectorServer(close) as server:
        yield server.address
    register_connectors()


@pytest.fixture
def make_flyte(embedded: LocalSageMaker, connector: str) -> Iterator[Callable[..., FlyteDouble]]:
    """Starts Flyte backends that end with the test."""
    if embedded.objects.bucket(BUCKET) is None:
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


class Client:
    """The real FlyteRemote, with the registrations and waits that the tests share."""

    def __init__(self, flyte: FlyteDouble) -> None:
        self.flyte, self.remote = flyte, flyte.remote()

    def settings(self, version: str = "v1", source: str | None = None) -> Any:
        from flytekit.configuration import (
            FastSerializationSettings,
            ImageConfig,
            SerializationSettings,
        )

        fast = None
        if source is not None:
            _, uri = self.remote.upload_file(Path(source))
            fast = FastSerializationSettings(
                enabled=True, destination_dir=".", distribution_location=uri
            )
        return SerializationSettings(
            image_config=ImageConfig.auto(img_name="python:3.11"),
            project="flytesnacks",
            domain="development",
            version=version,
            fast_serialization_settings=fast,
        )

    def execute(self, workflow: Any, source: str | None = None, **inputs: object) -> Any:
        settings = self.settings(source=source)
        registered = self.remote.register_workflow(workflow, settings, version="v1")
        return self.remote.execute(registered, inputs=inputs)

    def wait(self, execution: Any, until: Callable[[], bool] | None = None) -> Any:
        """The execution with its nodes, once it has ended, or what is asked for holds."""
        client = self.remote.client

        def has_ended() -> bool:
            return client.get_execution(execution.id).closure.phase in ENDS

        deadline = time.monotonic() + 40
        while not (until or has_ended)():
            assert time.monotonic() < deadline, self.flyte.errors
            time.sleep(0.01)
        fresh = self.remote.fetch_execution(name=execution.id.name)
        return self.remote.sync(fresh, sync_nodes=True)

    def task(self, execution: Any, node: str = "n0", attempt: int = 0) -> Any:
        """The closure of a task execution, as FlyteAdmin has it."""
        for row in list(self.flyte.database.task_executions.values()):
            found = row.proto.id
            place = found.node_execution_id
            if (place.execution_id.name, place.node_id) == (execution.id.name, node) and (
                found.retry_attempt == attempt
            ):
                return row.proto.closure
        return None


@pytest.fixture
def client(flyte: FlyteDouble) -> Client:
    return Client(flyte)


@pytest.fixture
def scripts() -> Any:
    """A connector that plays scripts, and remembers what it was asked."""
    import scripted

    logging.getLogger("flytekit").setLevel(logging.CRITICAL)  # it logs each refusal
    yield scripted.register()
    logging.getLogger("flytekit").setLevel(logging.WARNING)


@pytest.fixture
def bare(make_flyte: Callable[..., FlyteDouble], scripts: Any) -> Callable[..., Client]:
    """Clients of backends whose connector plays scripts; no SageMaker is behind it."""

    def make(**options: Any) -> Client:
        return Client(make_flyte(**{"resync_seconds": 0.01, "reeval_seconds": 0.05, **options}))

    return make


@pytest.fixture
def cluster(flyte: FlyteDouble) -> Iterator[FlyteDouble]:
    """The backend as the one that the settings name."""
    yield use(flyte)
    _forget()


@pytest.fixture
def use_cluster() -> Iterator[Callable[..., FlyteDouble]]:
    """Lets the settings name a backend; forgets what was registered when the test ends."""
    yield use
    _forget()


def use(flyte: FlyteDouble, **settings: Any) -> FlyteDouble:
    cdao_sdk.configure(
        admin_endpoint=f"http://{flyte.endpoint}",
        poll_interval_seconds=0.05,
        image="python:3.11",
        **settings,
    )
    return flyte


def _forget() -> None:
    from cdao_sdk.flyte.registered import RegisteredMemory

    RegisteredMemory._known.clear()


@pytest.fixture
def calls_of(cluster: FlyteDouble) -> Callable[[Callable[[], object]], dict[str, int]]:
    """Which RPCs an action makes."""

    def count(action: Callable[[], object]) -> dict[str, int]:
        before = dict(cluster.calls)
        action()
        return {
            name: number - before.get(name, 0)
            for name, number in cluster.calls.items()
            if number > before.get(name, 0)
        }

    return count


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs cells as a kernel does: in `__main__`, each kept in `In`."""

    def run(*cells: str) -> dict[str, Any]:
        main = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", main)
        values = vars(main)
        values["In"] = [""]
        for number, cell in enumerate(cells):
            values["In"].append(cell)
            name = f"/tmp/ipykernel/{number}.py"  # as ipykernel names its cells
            lines = cell.splitlines(keepends=True)
            monkeypatch.setitem(linecache.cache, name, (len(cell), None, lines, name))
            try:
                exec(compile(cell, name, "exec"), values)  # noqa: S102 # as a kernel does
            except SyntaxError:
                continue
        return values

    return run
