"""Tasks whose connector does what the test says: phase after phase, one at each GetTask."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit import LaunchPlan, PythonFunctionTask, conditional, map_task, workflow
from flytekit.core.task import task as flyte_task
from flytekit.extend import TaskPlugins
from flytekit.extend.backend.base_connector import (
    AsyncConnectorBase,
    AsyncConnectorExecutorMixin,
    ConnectorRegistry,
    Resource,
    ResourceMeta,
)

TASK_TYPE = "scripted"


@dataclass
class Script:
    """What happens to each attempt of a task.

    Attributes:
        attempts: For each attempt the phases that its polls tell, the last one for ever.
        message: Of each resource.
    """

    attempts: list[list[str]] = field(default_factory=lambda: [["RUNNING", "SUCCEEDED"]])
    message: str = ""


@dataclass
class Meta(ResourceMeta):
    """The resource: which script, how far, what it computes."""

    key: str
    phases: list[str]
    message: str
    outputs: dict[str, int]

    def encode(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Meta:
        return cls(**json.loads(data))


class ScriptedTask(AsyncConnectorExecutorMixin, PythonFunctionTask[Script]):
    """A task for the scripted connector."""

    def __init__(self, task_config: Script, task_function: Any, **kwargs: Any) -> None:
        super().__init__(task_config, task_function, task_type=TASK_TYPE, **kwargs)

    def get_custom(self, _: Any) -> dict[str, Any]:
        return vars(self.task_config)


class ScriptedConnector(AsyncConnectorBase):
    """Plays scripts. What is computed is the sum of the inputs and one."""

    name = "Scripted Connector"

    def __init__(self, version: int = 0) -> None:
        super().__init__(task_type_name=TASK_TYPE, task_type_version=version, metadata_type=Meta)
        self.polls: Counter[str] = Counter()
        self.deleted: list[str] = []
        self.requests: list[Any] = []

    async def create(
        self, task_template: Any, output_prefix: str, inputs: Any = None, **said: Any
    ) -> Meta:
        metadata = said["task_execution_metadata"]
        self.requests.append(metadata)
        attempt = metadata.task_execution_id.retry_attempt
        attempts = task_template.custom["attempts"]
        phases = list(attempts[min(attempt, len(attempts) - 1)])
        if phases[0] == "REFUSED":
            raise ValueError("the test refuses it")
        values = [item.scalar.primitive.integer for item in inputs.literals.values()]
        outputs = {name: sum(values) + 1 for name in task_template.interface.outputs}
        return Meta(output_prefix, phases, task_template.custom["message"], outputs)

    async def get(self, resource_meta: Meta, **_: Any) -> Resource:
        index = self.polls[resource_meta.key]
        self.polls[resource_meta.key] += 1
        phase = resource_meta.phases[min(index, len(resource_meta.phases) - 1)]
        if phase == "UNREACHABLE":
            raise ConnectionError("the test answers nothing")
        done = phase == "SUCCEEDED"
        return Resource(
            phase=TaskExecution.Phase.Value(phase),
            message=f"{resource_meta.message} {phase}".strip(),
            log_links=[TaskLog(name="log", uri="http://log")],
            outputs=resource_meta.outputs if done else None,
            custom_info={"polls": index},
        )

    async def delete(self, resource_meta: Meta, **_: Any) -> None:
        self.deleted.append(resource_meta.key)


def register() -> ScriptedConnector:
    """Offer a fresh connector in this process."""
    connector = ScriptedConnector()
    ConnectorRegistry.register(connector, override=True)
    # flytekit gives map tasks a version of their own.
    ConnectorRegistry.register(ScriptedConnector(version=1), override=True)
    return connector


TaskPlugins.register_pythontask_plugin(Script, ScriptedTask)


def scripted(*attempts: list[str], **options: Any) -> Any:
    script = Script(list(attempts) or Script().attempts, options.pop("message", ""))
    return flyte_task(task_config=script, **options)


@scripted()
def plus_one(number: int) -> int:
    return number + 1


@scripted(["QUEUED", "INITIALIZING", "RUNNING", "SUCCEEDED"], message="it is")
def slow_start(number: int) -> int:
    return number + 1


@scripted(["RUNNING", "RETRYABLE_FAILED"], ["REFUSED"], ["SUCCEEDED"], retries=2)
def third_time(number: int) -> int:
    return number + 1


@scripted(["REFUSED"])
def refused(number: int) -> int:
    return number + 1


@scripted(["RUNNING", "FAILED"], message="boom")
def failing(number: int) -> int:
    return number + 1


@scripted(["RUNNING"], retries=1, timeout=timedelta(seconds=0.3))
def late(number: int) -> int:
    return number + 1


@scripted(["RUNNING"])
def endless(number: int) -> int:
    return number + 1


@scripted(["UNREACHABLE"])
def unreachable(number: int) -> int:
    return number + 1


@scripted(cache=True, cache_version="1")
def kept(number: int) -> int:
    return number + 1


@workflow
def keeping(number: int = 1) -> int:
    return kept(number=number)


@workflow
def one(number: int = 1) -> int:
    return plus_one(number=number)


@workflow
def starting(number: int = 1) -> int:
    return slow_start(number=number)


@workflow
def retried(number: int = 1) -> int:
    return third_time(number=number)


@workflow
def refusing(number: int = 1) -> int:
    return refused(number=number)


@workflow
def forever(number: int = 1) -> int:
    return endless(number=number)


@workflow
def timing_out(number: int = 1) -> int:
    return late(number=number)


@workflow
def lost(number: int = 1) -> int:
    return unreachable(number=number)


@workflow
def one_fails(number: int = 1) -> tuple[int, int]:
    return failing(number=plus_one(number=number)), endless(number=number)


@workflow
def nested(number: int = 1) -> int:
    return plus_one(number=one(number=plus_one(number=number)))


@workflow
def choosing(number: int = 1) -> int:
    step = plus_one(number=number)
    return (
        conditional("size")
        .if_((step > 1) & (step < 10))
        .then(plus_one(number=step))
        .elif_(step >= 10)
        .then(one(number=step))
        .else_()
        .fail("too small")
    )


@workflow
def mapped(numbers: list[int]) -> list[int]:
    return map_task(plus_one)(number=numbers)


one_from_five = LaunchPlan.get_or_create(
    one, "scripted.one_from_five", default_inputs={"number": 5}
)
one_with_six = LaunchPlan.get_or_create(one, "scripted.one_with_six", fixed_inputs={"number": 6})


@workflow
def launching(number: int = 1) -> int:
    return plus_one(number=one_from_five(number=number))
