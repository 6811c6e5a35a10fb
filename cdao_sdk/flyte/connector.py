"""One connector for all kinds of SageMaker jobs: stateless, idempotent, its meta plain JSON.

``create`` keeps the request, ``get`` makes the job if it is not there and says where it stands,
``delete`` stops it. Why ``create`` makes nothing: Propeller 1.16.8 takes an error of ``create``, be
it an answer that came too late, for the attempt's failure, and does not come back to it. And why
``get`` raises nothing: after six errors in a task's life Propeller looks no more
(flyteplugins, ``pluginmachinery/internal/webapi``).
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any

from flytekit.extend.backend.base_connector import AsyncConnectorBase

from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable
from cdao_sdk.flyte.attempt_spec import keep_interruptible
from cdao_sdk.flyte.job_meta import JobMeta
from cdao_sdk.flyte.task_request import TaskRequest
from cdao_sdk.kinds.registry import kind as find_kind

if TYPE_CHECKING:
    from flyteidl.admin.agent_pb2 import CreateTaskRequest
    from flytekit.extend.backend.base_connector import Resource
    from flytekit.models.literals import LiteralMap
    from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

    from cdao_sdk.aws.job_status import JobStatus
    from cdao_sdk.flyte.job_desk import JobDesk
    from cdao_sdk.flyte.outcome import Outcomes
    from cdao_sdk.flyte.reaper import Reaper
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.kinds.job import JobKind
    from cdao_sdk.settings import Settings

__all__ = ["SageMakerConnector", "register_connectors"]

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 8.0
"""How long a look may take where no deadline is known: Flyte gives a call 10 s."""
_MARGIN_SECONDS = 0.5
_PROJECTS_AT_MOST = 10_000


_KEPT_SECONDS = 60.0
"""How long an answer that came too late is kept for the next call."""


class SageMakerConnector(AsyncConnectorBase):
    """Creates, watches and stops the jobs of one kind.

    Args:
        kind: The kind.
        services: Its surroundings; None: what the settings say for the job's project and domain.
        reaper: Stops jobs that nobody waits for; it is woken by the first call.
    """

    name = "CDAO SageMaker Connector"

    def __init__(
        self,
        kind: JobKind[Any],
        services: Services | None = None,
        reaper: Reaper | None = None,
    ) -> None:
        super().__init__(task_type_name=kind.task_type, metadata_type=JobMeta)
        self._kind = kind
        self._given = services
        self._reaper = reaper
        self._looks: dict[str, asyncio.Task[Resource]] = {}
        self._desks: dict[int, tuple[Services, JobDesk]] = {}
        self._desk_of: dict[tuple[str, str], JobDesk] = {}
        self._settings: Settings | None = None

    @property
    def reaper(self) -> Reaper | None:
        """Who stops the jobs that nobody waits for; connectors share it."""
        return self._reaper

    @property
    def desks(self) -> list[JobDesk]:
        """Those who have had something to do, one for each account."""
        return [desk for _, desk in self._desks.values()]

    def begin(self) -> None:
        """Look after what an earlier process has left, in all accounts, before anybody calls."""
        from cdao_sdk.settings import holder

        settings = self._settings = self._settings or holder.gather().settings
        self.desk(settings.project, settings.domain)
        for key in settings.accounts:  # '<project>/<domain>', '<project>' or '*/<domain>'
            project, _, domain = key.partition("/")
            self.desk("" if project == "*" else project, domain or settings.domain)

    def desk(self, project: str, domain: str) -> JobDesk:
        """Who makes and stops the jobs of a project."""
        from cdao_sdk.flyte.allow_list import AllowList
        from cdao_sdk.flyte.execution_end import execution_end
        from cdao_sdk.flyte.job_desk import JobDesk
        from cdao_sdk.flyte.services import services_for_attempt
        from cdao_sdk.settings import holder

        if self._reaper is not None:
            self._reaper.wake()
        if (desk := self._desk_of.get((project, domain))) is not None:
            return desk
        services, allowed = self._given, AllowList()
        if services is None:
            # Read once: files and environment are not looked at again for each call.
            if self._settings is None:
                self._settings = holder.gather().settings
                if self._reaper is not None:
                    self._reaper.is_over = execution_end(self._settings)
            services = services_for_attempt(self._settings, project, domain)
            allowed = AllowList.from_settings(self._settings)
        known = self._desks.get(id(services))
        if known is None:  # the services are kept beside it: an id is unique as long as they live
            known = self._desks[id(services)] = (services, JobDesk(self._kind, services, allowed))
        if len(self._desk_of) < _PROJECTS_AT_MOST:  # whoever calls names them
            self._desk_of[project, domain] = known[1]
        return known[1]

    async def close(self) -> None:
        """Send nothing any more by itself, and wait for what is under way."""
        if self._reaper is not None:
            await self._reaper.close()
        if self._looks:
            await asyncio.wait(list(self._looks.values()))
        for desk in self.desks:
            await desk.close()

    async def create(
        self,
        task_template: TaskTemplate,
        output_prefix: str,
        inputs: LiteralMap | None = None,
        task_execution_metadata: TaskExecutionMetadata | None = None,
        message: CreateTaskRequest | None = None,
        **_: object,
    ) -> JobMeta:
        """Keep the request of a job; the first ``get`` sends it.

        What is wrong with the request is told by ``get``, too: an error here would cost Flyte's
        user an attempt, which cannot mend it.

        Raises:
            PlanError: The request has no identity.
            ResourcesUnavailable: S3 does not answer in time.
            SubmissionError: S3 refuses.
        """
        request = TaskRequest(
            task_template, output_prefix, inputs, task_execution_metadata, message
        )
        attempt = request.attempt
        return await self.desk(attempt.project, attempt.domain).store(request)

    async def submit(self, meta: JobMeta) -> None:
        """See to it that there is a job, and raise what is wrong; ``get`` does it by itself.

        Raises:
            ResourcesUnavailable: SageMaker has no room for it now; it waits in line.
            JobStopped: It has been stopped before it was made.
            CdaoError: It is refused for good.
        """
        await self.desk(meta.project, meta.domain).ensure(meta)

    async def get(self, resource_meta: JobMeta, **_: object) -> Resource:
        """Where the job stands, with its outputs once it is done; made, if it is not there."""
        from cdao_sdk.flyte.outcome import Outcomes

        desk = self.desk(resource_meta.project, resource_meta.domain)
        outcomes = Outcomes(desk, resource_meta)
        key = resource_meta.request_uri or resource_meta.encode().decode()
        look = self._looks.get(key)
        if look is None:
            look = asyncio.ensure_future(self._look(desk, outcomes, resource_meta))
            self._looks[key] = look
            look.add_done_callback(functools.partial(self._looked, key))
        # A large result may take longer than the call: the next one gets what this has begun.
        await asyncio.wait({look}, timeout=_time_to_answer())
        if not look.done():
            slow = ResourcesUnavailable("AWS is being read; this takes a while.", code="Slow")
            return outcomes.unanswered(slow)
        self._looks.pop(key, None)
        try:
            return look.result()
        except ResourcesUnavailable as error:
            return outcomes.unanswered(error)
        except CdaoError as error:
            return outcomes.refused(error)

    def _looked(self, key: str, look: asyncio.Task[Resource]) -> None:
        """Nobody may come for the answer: Flyte asks another replica, or no more."""
        if not look.cancelled():
            look.exception()

        def forget() -> None:
            if self._looks.get(key) is look:
                del self._looks[key]

        look.get_loop().call_later(_KEPT_SECONDS, forget)

    async def _look(self, desk: JobDesk, outcomes: Outcomes, meta: JobMeta) -> Resource:
        if meta.refusal is not None:
            raise meta.refusal.raised()
        for step, name in enumerate(meta.job_names):
            status = await self._status(desk, meta, step)
            if status is None:
                return outcomes.waiting(step)
            if not status.is_over:
                return await outcomes.going_on(step, status)
            description = await desk.describe(name)
            is_last = step == len(meta.job_names) - 1
            if is_last or not outcomes.lacked_capacity(description):
                return await outcomes.ended(step, description)
            logger.info("%s found no capacity; trying %s", name, meta.instance_types[step + 1])
        raise AssertionError  # unreachable: the last name has returned

    async def _status(self, desk: JobDesk, meta: JobMeta, step: int) -> JobStatus | None:
        """Where the job of a step stands; None: it waits to be made."""
        name = meta.job_names[step]
        for _ in range(2):
            if not desk.is_waiting(meta, step):
                try:
                    return await desk.status(name)
                except NotFound:
                    pass
            try:
                await desk.ensure(meta, step)
            except ResourcesUnavailable as error:
                desk.waits(name, error)
                return None
        return await desk.status(name)

    async def delete(self, resource_meta: JobMeta, **_: object) -> None:
        """Stop the job and remove what was made beside it; a finished job is left alone.

        Raises:
            CdaoError: AWS does not take it now; Flyte asks again.
        """
        await self.desk(resource_meta.project, resource_meta.domain).stop(resource_meta)


def _time_to_answer() -> float:
    from cdao_sdk.flyte.deadline import remaining_seconds

    left = remaining_seconds()
    return _ANSWER_SECONDS if left is None else max(left - _MARGIN_SECONDS, left / 2)


def register_connectors() -> None:
    """Offer a connector for each kind to flytekit's connector service."""
    from flytekit.extend.backend.base_connector import ConnectorRegistry

    from cdao_sdk.flyte.reaper import Reaper
    from cdao_sdk.kinds.registry import KINDS

    keep_interruptible()
    connectors: list[SageMakerConnector] = []
    reaper = Reaper(lambda: [desk for connector in connectors for desk in connector.desks])
    for name in KINDS:
        connectors.append(SageMakerConnector(find_kind(name), reaper=reaper))
        ConnectorRegistry.register(connectors[-1], override=True)
