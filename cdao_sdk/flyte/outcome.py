"""What Flyte is told of a job: phase, words, links, facts, outputs and deck.

What Propeller 1.16.8 does with it (flyteplugins, ``plugins/webapi/agent/plugin.go``): the message
of a running task is dropped, and facts and links reach FlyteAdmin when the phase changes, so each
answer has all of them. Outputs that the answer holds are written by Propeller, and then it looks
for no deck; so where a deck is wanted, outputs and deck are written here, and Propeller finds them.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, cast

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit.extend.backend.base_connector import Resource
from flytekit.models.literals import LiteralMap

from cdao_sdk.aws import logs as job_logs
from cdao_sdk.aws.storage import read_result
from cdao_sdk.catalog.prices import list_cost
from cdao_sdk.errors import CdaoError, JobFailed, JobStopped, ResourcesUnavailable
from cdao_sdk.flyte import flytekit_runtime
from cdao_sdk.flyte.handover import Handover
from cdao_sdk.flyte.results import ResultPlaces, decode_outputs, uri_literal
from cdao_sdk.flyte.waiting_line import quota_name
from cdao_sdk.kinds.failures import translate
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.links import console_links
from cdao_sdk.kinds.observation import plain_reason, spot_savings_percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.interface import Variable
    from flytekit.models.types import LiteralType

    from cdao_sdk.aws.job_status import JobStatus
    from cdao_sdk.flyte.job_desk import JobDesk
    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.kinds.job import Observation

__all__ = ["Outcomes"]

logger = logging.getLogger(__name__)

_LOG_TAIL_LINES = 20
_MESSAGE_LIMIT = 8_000
_LIVE_DECK_SECONDS = 900.0
"""A job older than that had its first deck written before this process was there."""

# Job phase → Flyte's. A job that somebody stopped behind Flyte's back has failed: Propeller says of
# ABORTED nothing but that.
_FLYTE_PHASE = {
    Phase.QUEUED: TaskExecution.QUEUED,
    Phase.INITIALIZING: TaskExecution.INITIALIZING,
    Phase.RUNNING: TaskExecution.RUNNING,
    Phase.SUCCEEDED: TaskExecution.SUCCEEDED,
    Phase.FAILED: TaskExecution.FAILED,
    Phase.RETRYABLE: TaskExecution.RETRYABLE_FAILED,
    Phase.STOPPED: TaskExecution.FAILED,
}


class Outcomes:
    """What there is to say of one job.

    Args:
        desk: Who looks after it.
        meta: The job.
    """

    def __init__(self, desk: JobDesk, meta: JobMeta) -> None:
        self._desk = desk
        self._meta = meta
        self._region = desk.services.clients.target.region
        self._handover = Handover(desk, meta)

    # --- before the end ---

    def unanswered(self, error: ResourcesUnavailable) -> Resource:
        """AWS cannot be asked now, which says nothing about the job."""
        seen = any(self._desk.has_seen(name) for name in self._meta.job_names)
        phase = TaskExecution.RUNNING if seen else TaskExecution.QUEUED
        facts = {**self._facts(0), "unanswered": error.code}
        return Resource(phase, message=_bounded(str(error)), custom_info=facts)

    def waiting(self, step: int) -> Resource:
        """SageMaker has no room for it now."""
        name = self._meta.job_names[step]
        reason, code = self._desk.why_waiting(name)
        facts = {**self._facts(step), "waiting_for": code, "quota": quota_name(reason)}
        return Resource(
            TaskExecution.WAITING_FOR_RESOURCES,
            message=_bounded(reason),
            custom_info=_said(facts),
        )

    async def going_on(self, step: int, status: JobStatus) -> Resource:
        """The job is in SageMaker's hands."""
        seen, error = status.seen, self._desk.last_error
        message = seen.message
        if not status.status and error is not None:
            message = _bounded(str(error))
        facts = {
            **self._facts(step),
            "job_arn": status.arn,
            "status": status.status,
            "secondary_status": status.secondary_status,
            "message": message,
            # SageMaker does not answer now: what is told here was so a while ago.
            "unanswered": getattr(error, "code", ""),
        }
        if self._wants_live_deck(step, status):
            await self._live_deck(step)
        return Resource(
            _FLYTE_PHASE[seen.phase],
            message=message,
            log_links=self._links(step),
            custom_info=_said(facts),
        )

    def _wants_live_deck(self, step: int, status: JobStatus) -> bool:
        name, phase = self._meta.job_names[step], status.seen.phase
        if not self._meta.has_deck or phase is not Phase.RUNNING or name in self._desk.decked:
            return False
        self._desk.decked.add(name)
        if status.created is None:
            return False
        age = dt.datetime.now(dt.timezone.utc) - status.created
        return age.total_seconds() < _LIVE_DECK_SECONDS

    async def _live_deck(self, step: int) -> None:
        try:
            description = await self._desk.describe(self._meta.job_names[step])
            observation = self._desk.kind.observe(description)
            await self._handover.deck(description, observation, links=self._link_pairs(step))
        except CdaoError as error:
            logger.info("no live deck for %s: %s", self._meta.job_names[step], error)

    # --- the end ---

    def refused(self, error: CdaoError) -> Resource:
        """There is no job, and there will be none."""
        code = getattr(error, "code", "")
        diagnosis = translate(str(error), code=code, kind=self._meta.kind)
        name = self._meta.job_name or self._desk.kind.title
        message = f"{name}: {error}"
        if isinstance(error, JobStopped):
            message = str(error)
        facts = {
            **self._facts(0),
            "error": type(error).__name__,
            "error_code": code,
            "failure_class": diagnosis.failure_class,
        }
        return Resource(TaskExecution.FAILED, message=_bounded(message), custom_info=_said(facts))

    def lacked_capacity(self, description: Mapping[str, object]) -> bool:
        """Whether the job failed because there were no instances of its type."""
        seen = self._desk.kind.observe(description)
        if seen.phase not in (Phase.FAILED, Phase.RETRYABLE):
            return False
        return translate(seen.failure_reason, kind=self._meta.kind).failure_class == "capacity"

    async def ended(self, step: int, description: Mapping[str, object]) -> Resource:
        """The job is over.

        Raises:
            ResourcesUnavailable: What is left of it cannot be read or removed now.
        """
        meta, name = self._meta, self._meta.job_names[step]
        seen = self._desk.kind.observe(description)
        phase, reason = seen.phase, seen.failure_reason
        outputs: LiteralMap | None = None
        facts: dict[str, object] = {}
        if meta.uses_flytekit:
            phase, reason, facts = await self._flytekits_verdict(seen)
        elif phase is Phase.SUCCEEDED:
            try:
                outputs = await self._outputs(name, description)
            except JobFailed as error:
                phase, reason = Phase.FAILED, str(error)
        message, tail, diagnosis = seen.message, (), None
        if phase in (Phase.FAILED, Phase.RETRYABLE):
            tail, unreadable = await self._log_tail(name)
            diagnosis = translate(
                reason or message,
                log_tail=[line.text for line in tail],
                status=seen.status,
                secondary_status=seen.secondary_status,
                kind=meta.kind,
                instance_type=seen.instance_type,
            )
            message = self._told(name, reason or message, diagnosis, tail, unreadable)
            facts |= _failure_facts(reason or message, diagnosis, tail)
        elif phase is Phase.STOPPED:
            message = f"{self._desk.kind.title} job {name} was stopped, and not by Flyte."
        await self._desk.submitter.clean_up(name)
        if meta.has_deck:
            links = self._link_pairs(step)
            await self._handover.deck(description, seen, tail, diagnosis, links=links)
            # Of a task that failed at once the console shows none, but there is one.
            facts["deck"] = f"{meta.output_prefix.rstrip('/')}/deck.html"
            outputs = await self._handover.outputs(outputs)
        return Resource(
            phase=_FLYTE_PHASE[phase],
            message=_bounded(message),
            log_links=self._links(step),
            outputs=outputs,
            custom_info=_said({**self._final_facts(step, description, seen), **facts}),
        )

    async def _flytekits_verdict(self, seen: Observation) -> tuple[Phase, str, dict[str, object]]:
        verdict = await flytekit_runtime.judge(
            self._desk.services.clients,
            self._meta.output_prefix,
            seen,
            has_outputs=bool(await self._interface()),
        )
        facts: dict[str, object] = {"deck": verdict.deck_uri} if verdict.deck_uri else {}
        return verdict.phase, verdict.reason, facts

    async def _interface(self) -> Mapping[str, LiteralType]:
        if self._meta.interface:
            return self._meta.outputs
        request = await self._desk.requests.load(self._meta)
        variables = request.template.interface.outputs
        return {name: cast("Variable", item).type for name, item in variables.items()}

    async def _outputs(self, name: str, description: Mapping[str, object]) -> LiteralMap:
        kind, clients = self._desk.kind, self._desk.services.clients
        interface = await self._interface()
        artifact = kind.artifact(description)
        if not self._meta.runs_body:
            return LiteralMap(
                {key: uri_literal(artifact, type_) for key, type_ in interface.items()}
            )
        uri = kind.result_uri(description)
        document = await read_result(clients, uri) if uri else None
        if uri is None or document is None:
            msg = (
                f"Job {name} ended well, but left no result: the function ended the process"
                " (os._exit, exec, a crash of its interpreter) before it returned."
            )
            raise JobFailed(msg)
        places = ResultPlaces(
            result_uri=uri.removesuffix("/outputs.json"),
            model_uri=artifact,
            model_is_archive=artifact.endswith(".tar.gz"),
        )
        return decode_outputs(
            cast("Mapping[str, object]", document.get("outputs", {})), interface, places
        )

    async def _log_tail(self, name: str) -> tuple[Sequence[job_logs.LogLine], str]:
        group = self._desk.kind.api.log_group
        try:
            found = await job_logs.tail(self._desk.services.clients, group, name, _LOG_TAIL_LINES)
        except CdaoError as error:
            return (), f"(its log cannot be read: {error})"
        return found, ""

    def _told(
        self,
        name: str,
        reason: str,
        diagnosis: Diagnosis,
        tail: Sequence[job_logs.LogLine],
        unreadable: str,
    ) -> str:
        lines = [f"{self._desk.kind.title} job {name} failed: {plain_reason(reason)}"]
        if diagnosis.mend:
            lines.append(f"[{diagnosis.failure_class}] {diagnosis.cause} {diagnosis.mend}")
        if unreadable:
            lines.append(unreadable)
        if tail:
            lines.append(f"Last {len(tail)} log lines:")
            lines += [f"  {line.host}| {line.text}" for line in tail]
        return "\n".join(lines)

    # --- facts ---

    def _facts(self, step: int) -> dict[str, object]:
        meta = self._meta
        return {
            "job_name": meta.job_names[step] if meta.job_names else "",
            "kind": meta.kind,
            "region": self._region,
            "instance_type": meta.instance_types[step] if meta.instance_types else "",
            "instance_count": meta.instance_count,
            "spot": meta.spot or None,
        }

    def _final_facts(
        self, step: int, description: Mapping[str, object], seen: Observation
    ) -> dict[str, object]:
        kind = self._desk.kind
        return {
            **self._facts(step),
            "job_arn": description.get(kind.api.arn_field),
            "status": seen.status,
            "secondary_status": seen.secondary_status,
            "message": seen.message,
            "instance_type": seen.instance_type,
            "instance_count": seen.instance_count,
            "billable_seconds": seen.billable_seconds,
            "spot_savings_percent": spot_savings_percent(
                seen.training_seconds, seen.billable_seconds
            )
            if seen.spot
            else None,
            "cost_usd": list_cost(
                seen.instance_type,
                kind.spec.component,
                self._region,
                instances=seen.instance_count,
                seconds=seen.billable_seconds,
            ),
            "metrics": dict(seen.metrics) or None,
        }

    def _link_pairs(self, step: int) -> tuple[tuple[str, str], ...]:
        target = self._desk.services.clients.target
        if target.endpoint_url or not self._meta.job_names:
            return ()  # AWS's console knows nothing of what is not AWS
        return console_links(self._meta.kind, self._meta.job_names[step], target.region).titled

    def _links(self, step: int) -> list[TaskLog]:
        return [
            TaskLog(name=title, uri=url, message_format=TaskLog.UNKNOWN)
            for title, url in self._link_pairs(step)
        ]


def _failure_facts(
    reason: str, diagnosis: Diagnosis, tail: Sequence[job_logs.LogLine]
) -> dict[str, object]:
    return {
        "failure_reason": reason,
        "failure_class": diagnosis.failure_class,
        "cause": diagnosis.cause,
        "mend": diagnosis.mend,
        "log_tail": [line.text for line in tail],
    }


def _said(facts: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in facts.items() if value not in (None, "")}


def _bounded(message: str) -> str:
    if len(message) <= _MESSAGE_LIMIT:
        return message
    half = _MESSAGE_LIMIT // 2
    return f"{message[:half]}\n…\n{message[-half:]}"
