"""Sample flows as a user's own modules, and a connector that is driven as Propeller drives it."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from cdao_sdk.aws.bridge import bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

FLOWS = Path(__file__).parent / "flows"

# Jobs import the flows' modules: they hold nothing but what a user's file would.
if str(FLOWS) not in sys.path:
    sys.path.insert(0, str(FLOWS))


@dataclass
class Driven:
    """One task under one connector: what Propeller would send, and what it would hear."""

    task: Any
    services: Services
    execution: str
    node: str = "n0"
    attempt: int = 0
    output_prefix: str = ""
    made: list[Driven] = field(default_factory=list)  # this one, and those replaced from it

    def __post_init__(self) -> None:
        from cdao_sdk.flyte.connector import SageMakerConnector
        from cdao_sdk.flyte.local_run import LocalRun

        self.connector = SageMakerConnector(self.task.job_kind, self.services)
        self.made.append(self)
        self._code = LocalRun(self.execution, self.services).code_uri(self.task)

    @property
    def template(self) -> Any:
        from flytekit.models.task import TaskTemplate

        from cdao_sdk.flyte.create_request import task_template

        template = task_template(self.task, self._code)
        return TaskTemplate.from_flyte_idl(template.to_flyte_idl())  # as it comes over the wire

    def literals(self, inputs: dict[str, object]) -> Any:
        from flytekit import FlyteContextManager
        from flytekit.core.type_engine import TypeEngine

        types = self.task.python_interface.inputs
        context = FlyteContextManager.current_context()
        return TypeEngine.dict_to_literal_map(context, inputs, types)

    def metadata(self) -> Any:
        from cdao_sdk.flyte.create_request import execution_metadata
        from cdao_sdk.flyte.local_run import LocalRun

        run = LocalRun(self.execution, self.services, "project", "development")
        return execution_metadata(run, self.task.name, node=self.node, attempt=self.attempt)

    async def store_async(self, **inputs: object) -> JobMeta:
        return await self.connector.create(
            task_template=self.template,
            output_prefix=self.output_prefix,
            inputs=self.literals(inputs),
            task_execution_metadata=self.metadata(),
        )

    async def create_async(self, **inputs: object) -> JobMeta:
        from cdao_sdk.errors import ResourcesUnavailable

        meta = await self.store_async(**inputs)
        with contextlib.suppress(ResourcesUnavailable):  # it waits in line
            await self.connector.submit(meta)
        return meta

    def store(self, **inputs: object) -> JobMeta:
        """What Flyte's CreateTask does: the request is kept."""
        return bridge.run(self.store_async(**inputs))

    def create(self, **inputs: object) -> JobMeta:
        """The request is kept, and sent as the first GetTask would; what is wrong is raised."""
        return bridge.run(self.create_async(**inputs))

    def get(self, meta: JobMeta) -> Any:
        # Propeller hands on what create returned, each time anew.
        return bridge.run(self.connector.get(type(meta).decode(meta.encode())))

    def delete(self, meta: JobMeta) -> None:
        bridge.run(self.connector.delete(type(meta).decode(meta.encode())))

    def described(self, meta: JobMeta) -> dict[str, object]:
        """SageMaker's own description of the job."""
        desk = self.connector.desk(meta.project, meta.domain)
        return bridge.run(desk.describe(meta.job_name))

    def finish(self, meta: JobMeta, timeout: float = 40) -> Any:
        from flytekit.extend.backend.utils import is_terminal_phase

        deadline = time.monotonic() + timeout
        while not is_terminal_phase((resource := self.get(meta)).phase):
            assert time.monotonic() < deadline, resource
            time.sleep(0.02)
        return resource

    def value(self, resource: Any) -> object:
        from flytekit import FlyteContextManager
        from flytekit.core.type_engine import TypeEngine

        from cdao_sdk.flyte.flytekit_runtime import read_outputs

        types = self.task.python_interface.outputs
        context = FlyteContextManager.current_context()
        outputs = resource.outputs
        if outputs is None:  # they lie where Propeller reads them
            outputs = bridge.run(read_outputs(self.services.clients, self.output_prefix))
        return TypeEngine.literal_map_to_kwargs(context, outputs, types)["o0"]


@pytest.fixture
def driven(services: Services) -> Iterator[Callable[..., Driven]]:
    """Drives a task on the embedded server, each time in an execution of its own."""
    made: list[Driven] = []

    def make(task: Any, **changes: Any) -> Driven:
        execution = "t" + secrets.token_hex(8)
        given = {"services": services, "execution": execution, "made": made}
        return Driven(task, **{**given, **changes})

    yield make
    for driven in made:
        bridge.run(driven.connector.close())
        if driven.services.clients is not services.clients:
            bridge.run(driven.services.clients.close())  # what was under way has opened it again


@pytest.fixture
def faults(embedded: LocalSageMaker) -> Iterator[Callable[..., Callable[[], list[int]]]]:
    """Puts rules in force until the test's end; returns what tells how often each struck."""
    url = f"{embedded.url}/_cdao/faults"

    def send(method: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(url, data, method=method), timeout=5) as answer:  # noqa: S310 # our own http URL
            return json.loads(answer.read())

    def put(*rules: dict[str, object]) -> Callable[[], list[int]]:
        send("PUT", {"rules": rules})
        return lambda: send("GET")["struck"]

    yield put
    send("DELETE")
