"""The connector is killed between any two of its calls to AWS: one job, no orphan, whole outputs.

What a process has done is what AWS has of it. So a kill at any instruction is a kill before or
after one of its calls took effect; here each of them is tried.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import odd_jobs
import pytest
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.types.file import FlyteFile

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.session import AwsClients
from cdao_sdk.flyte.reaper import Reaper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUCCEEDED, FAILED = TaskExecution.SUCCEEDED, TaskExecution.FAILED
LAST_CALL = 10
"""No scenario here makes more calls; a kill that never comes ends a scenario's cases."""


class Killed(BaseException):
    """The process is gone."""


class MortalClients(AwsClients):
    """Clients of a process that is killed at one of its calls, before or after it took effect."""

    def __init__(self, real: AwsClients, *, at: int, after: bool) -> None:
        super().__init__(real.target)
        self._real, self._left, self._after = real, at, after
        self.is_armed = self.is_dead = False

    async def client(self, service: str) -> Any:
        real = await self._real.client(service)
        clients = self

        class Mortal:
            def __getattr__(self, name: str) -> Any:
                async def call(**parameters: object) -> object:
                    return await clients.call(getattr(real, name), parameters)

                return call

        return Mortal()

    async def call(self, send: Any, parameters: dict[str, object]) -> object:
        if not self.is_armed:
            return await send(**parameters)
        if self.is_dead or (self._left == 0 and not self._after):
            self.is_dead = True
            raise Killed
        answer = await send(**parameters)
        if self._left == 0:
            self.is_dead = True
            raise Killed
        self._left -= 1
        return answer


@dataclass
class Scene:
    """A task, replicas of the connector that serve it, and one that will be killed."""

    driven: Callable[..., Any]
    boto: Any
    at: int
    after: bool
    clients: list[MortalClients] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)

    def task(self, task: Any) -> tuple[Any, Any]:
        """A replica that lives, and one that is killed at its call."""
        healthy = self.driven(task)
        self.executions.append(healthy.execution)
        clients = MortalClients(healthy.services.clients, at=self.at, after=self.after)
        self.clients.append(clients)
        mortal = replace(healthy, services=replace(healthy.services, clients=clients))
        clients.is_armed = True
        return healthy, mortal

    @property
    def was_killed(self) -> bool:
        return any(clients.is_dead for clients in self.clients)

    def jobs(self, execution: str) -> dict[str, str]:
        """Status of each job of an execution."""
        client = self.boto("sagemaker")
        found = client.list_processing_jobs(NameContains=execution)["ProcessingJobSummaries"]
        more = client.list_transform_jobs(NameContains=execution)["TransformJobSummaries"]
        return {
            job.get("ProcessingJobName") or job["TransformJobName"]: (
                job.get("ProcessingJobStatus") or job["TransformJobStatus"]
            )
            for job in (*found, *more)
        }

    def settled(self, execution: str) -> dict[str, str]:
        """The same, once none is stopping any more."""
        deadline = time.monotonic() + 20
        while "Stopping" in (jobs := self.jobs(execution)).values():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return jobs


CASES = [(at, after) for at in range(LAST_CALL) for after in (False, True)]


@pytest.fixture(params=CASES, ids=lambda case: f"{'after' if case[1] else 'before'}-{case[0]}")
def scene(request: pytest.FixtureRequest, driven: Any, boto: Any) -> Iterator[Scene]:
    at, after = request.param
    scene = Scene(driven, boto, at, after)
    yield scene
    client = boto("sagemaker")
    for execution in scene.executions:
        for name, status in scene.jobs(execution).items():
            if status == "InProgress":
                with contextlib.suppress(client.exceptions.ClientError):  # it is a transform
                    client.stop_processing_job(ProcessingJobName=name)


def until_killed(act: Callable[[], object]) -> Any:
    """What it gives; None if the process was killed."""
    try:
        return act()
    except Killed:
        return None


def needs_a_kill(scene: Scene) -> None:
    if not scene.was_killed:
        pytest.skip("it makes fewer calls than that")


def test_propeller_comes_back_with_the_same_attempt(scene: Scene) -> None:
    healthy, mortal = scene.task(odd_jobs.quick)
    meta = until_killed(lambda: mortal.store(number=3))
    if meta is not None:
        until_killed(lambda: mortal.finish(meta))
    needs_a_kill(scene)
    again = meta or healthy.store(number=3)
    assert healthy.value(healthy.finish(again)) == 4
    assert scene.jobs(healthy.execution) == {again.job_name: "Completed"}


def test_propeller_goes_on_to_the_next_attempt(scene: Scene) -> None:
    """It takes a creation without an answer for a failure, and never asks after it."""
    healthy, mortal = scene.task(odd_jobs.slow)
    meta = until_killed(lambda: mortal.store(seconds=60.0))
    if meta is not None:
        until_killed(lambda: mortal.get(meta))
    needs_a_kill(scene)
    second = replace(healthy, attempt=1)
    assert second.finish(second.store(seconds=0.0)).phase == SUCCEEDED
    statuses = list(scene.settled(healthy.execution).values())
    assert sorted(statuses) in (["Completed"], ["Completed", "Stopped"])


def test_propeller_gives_up_on_an_attempt_whose_creation_was_lost(scene: Scene) -> None:
    healthy, mortal = scene.task(odd_jobs.slow)
    meta = until_killed(lambda: mortal.store(seconds=60.0))
    if meta is not None:
        pytest.skip("it has the answer")
    assert scene.jobs(healthy.execution) == {}


def test_execution_is_aborted(scene: Scene) -> None:
    healthy, mortal = scene.task(odd_jobs.slow)
    meta = healthy.store(seconds=60.0)
    until_killed(lambda: mortal.get(meta))
    needs_a_kill(scene)
    healthy.delete(meta)
    bridge.run(Reaper(lambda: healthy.connector.desks).sweep())
    assert "InProgress" not in scene.settled(healthy.execution).values()


def test_abort_itself_is_killed(scene: Scene) -> None:
    """Propeller asks again until it has an answer."""
    healthy, mortal = scene.task(odd_jobs.slow)
    meta = healthy.create(seconds=60.0)
    until_killed(lambda: mortal.delete(meta))
    needs_a_kill(scene)
    healthy.delete(meta)
    assert scene.settled(healthy.execution) == {meta.job_name: "Stopped"}


def test_abort_of_what_was_never_made_is_killed(scene: Scene) -> None:
    healthy, mortal = scene.task(odd_jobs.slow)
    meta = healthy.store(seconds=60.0)
    until_killed(lambda: mortal.delete(meta))
    needs_a_kill(scene)
    other = replace(healthy)
    other.delete(meta)
    assert other.get(meta).phase == FAILED
    assert scene.jobs(healthy.execution) == {}


def test_transform_leaves_no_model(scene: Scene) -> None:
    scene.boto("s3").put_object(Bucket="cdao-tests", Key="crashes/rows.csv", Body=b"1,2\n")
    healthy, mortal = scene.task(odd_jobs.predict)
    meta = healthy.store(
        model_path="s3://cdao-tests/none.tar.gz", data=FlyteFile("s3://cdao-tests/crashes/rows.csv")
    )
    until_killed(lambda: mortal.get(meta))
    needs_a_kill(scene)
    healthy.delete(meta)
    bridge.run(Reaper(lambda: healthy.connector.desks).sweep())
    assert "InProgress" not in scene.settled(healthy.execution).values()
    models = scene.boto("sagemaker").list_models(NameContains=healthy.execution)["Models"]
    assert models == []
