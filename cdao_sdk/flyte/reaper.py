"""Stops jobs that nobody waits for any more: what only a process that was killed can leave behind.

Two kinds of them. A job that was made though it had been stopped before, or that SageMaker did not
stop when it should: its mark lies in S3 (``job_desk``). And a job whose execution is over in
FlyteAdmin: Flyte does not stop what it has no answer of. The same for the model of a transform job
that never came, or whose end nobody saw. Only FlyteAdmin's word counts for these, so without
``admin_endpoint`` they are left.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import call
from cdao_sdk.aws.storage import split_s3_uri
from cdao_sdk.aws.tags import tags_of
from cdao_sdk.errors import CdaoError, NotFound
from cdao_sdk.flyte.request_store import MARKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from cdao_sdk.flyte.job_desk import JobDesk
    from cdao_sdk.kinds.job import Observation

__all__ = ["Reaper"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9-]+-[a-z2-7]{8}(-\d+)?")  # as kinds.naming makes them
_MARK_SECONDS = 24 * 3600
_CHECKS_AT_MOST = 50
_MODELS_DAYS = 7
_PAGES_AT_MOST = 10
_FOREIGN_MODELS_AT_MOST = 10_000


@dataclass
class Reaper:
    """Looks for such jobs every now and then, as long as the process lives.

    Attributes:
        desks: Gives those who look after jobs.
        is_over: Whether FlyteAdmin says that an execution (project, domain, name) is over; None:
            it does not know it, or cannot say.
        pause_seconds: Time between two looks.
        unasked_seconds: A job is suspicious when Propeller has not asked after it for so long.
        mark_seconds: How long after a mark its job may still appear: far longer than any call is
            under way.
    """

    desks: Callable[[], Iterable[JobDesk]]
    is_over: Callable[[str, str, str], Awaitable[bool | None]] | None = None
    pause_seconds: float = 30.0
    unasked_seconds: float = 900.0
    mark_seconds: float = 600.0
    _task: asyncio.Task[None] | None = None
    _swept: dict[int, float] = field(default_factory=dict[int, float])
    _foreign: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _settled: dict[str, set[str]] = field(default_factory=dict[str, "set[str]"])
    _models_due: dict[int, float] = field(default_factory=dict[int, float])
    _other_models: set[str] = field(default_factory=set[str])

    def wake(self) -> None:
        """Begin, in the loop that is running, unless it has begun there."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._run(), name="cdao-reaper")

    async def close(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.pause_seconds)
            await self.sweep()

    async def sweep(self) -> list[str]:
        """Look once.

        Returns:
            Names of the jobs that were stopped.
        """
        stopped: list[str] = []
        for desk in list(self.desks()):
            for look in (self._marked, self._unasked, self._models):
                try:
                    stopped += await look(desk)
                except CdaoError as error:  # the next look may do better
                    logger.warning("looking for lost %s jobs: %s", desk.kind.name, error)
        return stopped

    # --- stopped before they were made ---

    async def _marked(self, desk: JobDesk) -> list[str]:
        stopped: list[str] = []
        for bucket in sorted(desk.requests.buckets):
            place = f"s3://{bucket}/{MARKS}/{desk.kind.name}/"
            ages = await self._ages(desk, place)
            old = [name for name, age in ages.items() if age > _MARK_SECONDS]
            for name in old[:_CHECKS_AT_MOST]:
                target = {"Bucket": bucket, "Key": f"{MARKS}/{desk.kind.name}/{name}"}
                await call(desk.services.clients, "s3", "DeleteObject", target)
            settled = self._settled.setdefault(place, set())
            settled &= ages.keys()
            waiting = ages.keys() - settled
            if not waiting:
                continue
            running = await self._list_running(desk)
            for name in running & ages.keys():
                stopped += await self._stop_marked(desk, name)
            # Lists need not have all; and of what is made beside a job they tell nothing. The
            # oldest first: of more marks than can be looked at, none is put off for ever.
            ripe = [name for name in waiting if ages[name] > self.mark_seconds]
            for name in sorted(ripe, key=ages.__getitem__, reverse=True)[:_CHECKS_AT_MOST]:
                stopped += await self._stop_marked(desk, name)
                # No call that would make it is under way any more, but one may have come half of
                # the way.
                await desk.submitter.clean_up(name)
                settled.add(name)
        return stopped

    async def _ages(self, desk: JobDesk, place: str) -> dict[str, float]:
        """The name of each job that has a mark there, and the mark's age in seconds."""
        bucket, prefix = split_s3_uri(place)
        ages: dict[str, float] = {}
        parameters: dict[str, object] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            answer = await call(desk.services.clients, "s3", "ListObjectsV2", parameters)
            now = dt.datetime.now(dt.timezone.utc)
            for mark in cast("Sequence[Mapping[str, object]]", answer.get("Contents", [])):
                modified = cast("dt.datetime", mark["LastModified"])
                ages[str(mark["Key"]).removeprefix(prefix)] = (now - modified).total_seconds()
            if not answer.get("IsTruncated"):
                return ages
            parameters["ContinuationToken"] = answer["NextContinuationToken"]

    async def _stop_marked(self, desk: JobDesk, name: str) -> list[str]:
        seen = await _observed(desk, name)
        if seen is None or seen.phase.is_terminal or seen.status == "Stopping":
            return []
        logger.warning("%s runs though it has been stopped; stopping it", name)
        await desk.stop_by_name(name)
        return [name]

    # --- of executions that are over ---

    async def _unasked(self, desk: JobDesk) -> list[str]:
        if self.is_over is None:
            return []
        await self._look_at_all(desk)
        stopped: list[str] = []
        since = time.monotonic() - self.unasked_seconds
        names = [name for name in desk.in_progress() if _NAME.fullmatch(name)]
        suspects = [
            name
            for name in names
            if (desk.kind.name, name) not in self._foreign
            and desk.asked.get(name, desk.began) < since
        ]
        for name in suspects[:_CHECKS_AT_MOST]:
            if await self._is_over(desk, name):
                logger.warning("%s belongs to an execution that is over; stopping it", name)
                await desk.stop_by_name(name)
                stopped.append(name)
            else:
                desk.asked[name] = time.monotonic()  # look again later
        gone = {key for key in self._foreign if key[0] == desk.kind.name and key[1] not in names}
        self._foreign -= gone
        return stopped

    async def _look_at_all(self, desk: JobDesk) -> None:
        """Have the watcher list all jobs: what nobody asks after it does not see by itself."""
        now = time.monotonic()
        if now - self._swept.get(id(desk), float("-inf")) > self.unasked_seconds / 3:
            await self._list_running(desk)

    async def _list_running(self, desk: JobDesk) -> frozenset[str]:
        self._swept[id(desk)] = time.monotonic()
        return await desk.services.watcher.sweep(desk.kind.name)

    async def _is_over(self, desk: JobDesk, name: str) -> bool:
        try:
            description = await desk.describe(name)
        except NotFound:
            return False
        identity = await _execution_of(desk, str(description.get(desk.kind.api.arn_field)))
        if identity is None or self.is_over is None:
            self._foreign.add((desk.kind.name, name))
            return False
        return bool(await self.is_over(*identity))

    async def _models(self, desk: JobDesk) -> list[str]:
        """Remove models of jobs that never came, or whose end nobody saw; none of them is a job."""
        now = time.monotonic()
        is_due = now >= self._models_due.get(id(desk), 0)
        if self.is_over is None or not desk.kind.cleanup("any") or not is_due:
            return []
        self._models_due[id(desk)] = now + self.unasked_seconds / 3
        if len(self._other_models) > _FOREIGN_MODELS_AT_MOST:
            self._other_models.clear()
        found = [each for each in await self._old_models(desk) if each[0] not in self._other_models]
        for name, arn in found[:_CHECKS_AT_MOST]:
            seen = await _observed(desk, name)
            if seen is not None and not seen.phase.is_terminal:
                continue
            identity = await _execution_of(desk, arn)
            if identity is None:
                self._other_models.add(name)
            elif await self.is_over(*identity):
                logger.warning("model %s was left by an execution that is over; removing it", name)
                await desk.submitter.clean_up(name)
        return []

    async def _old_models(self, desk: JobDesk) -> list[tuple[str, str]]:
        """Name and ARN of models that bear the name of one of our jobs; no call makes it now."""
        now = dt.datetime.now(dt.timezone.utc)
        parameters: dict[str, object] = {
            "CreationTimeBefore": now - dt.timedelta(seconds=self.mark_seconds),
            "CreationTimeAfter": now - dt.timedelta(days=_MODELS_DAYS),
            "MaxResults": 100,
        }
        found: list[tuple[str, str]] = []
        for _ in range(_PAGES_AT_MOST):
            answer = await call(desk.services.clients, "sagemaker", "ListModels", parameters)
            models = cast("Sequence[Mapping[str, str]]", answer.get("Models", []))
            found += [
                (model["ModelName"], model["ModelArn"])
                for model in models
                if _NAME.fullmatch(model["ModelName"])
            ]
            if not answer.get("NextToken"):
                break
            parameters["NextToken"] = answer["NextToken"]
        return found


async def _observed(desk: JobDesk, name: str) -> Observation | None:
    """Where a job stands; None: there is none of that name."""
    try:
        return desk.kind.observe(await desk.describe(name))
    except NotFound:
        return None


async def _execution_of(desk: JobDesk, arn: str) -> list[str] | None:
    """Project, domain and name of the execution that made something, by its tags."""
    tags = await tags_of(desk.services.clients, arn)
    identity = [tags.get(f"cdao:{part}", "") for part in ("project", "domain", "execution")]
    return identity if all(identity) else None
