"""One connector for all kinds of SageMaker jobs: stateless, idempotent, its meta plain JSON.

The job's name is a function of execution, node and attempt, so a second ``create`` finds the job
that the first one made. A request that has to wait (quota, capacity, rate) travels in the meta,
and a later ``get`` sends it.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import functools
import hashlib
import logging
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit.extend.backend.base_connector import AsyncConnectorBase, Resource

from cdao_sdk.aws import logs as job_logs
from cdao_sdk.aws.calls import UNREACHABLE, AlreadyExists, call
from cdao_sdk.aws.storage import copy, exists, put, read_result
from cdao_sdk.catalog.images import inference_image
from cdao_sdk.errors import (
    CdaoError,
    ConfigurationError,
    JobFailed,
    NotFound,
    PlanError,
    ResourcesUnavailable,
    SubmissionError,
)
from cdao_sdk.flyte import flytekit_runtime
from cdao_sdk.flyte.attempt_spec import keep_interruptible, spec_for_attempt
from cdao_sdk.flyte.job_meta import JobMeta, encode_interface
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.flyte.results import ResultPlaces, decode_outputs, uri_literal
from cdao_sdk.flyte.secret_references import secret_references
from cdao_sdk.flyte.submission import Attempt, Place, model_uri, prepare
from cdao_sdk.kinds.job import ApiCall, ModelSource, Phase
from cdao_sdk.kinds.observation import plain_reason
from cdao_sdk.kinds.registry import kind as find_kind
from cdao_sdk.kinds.training import served_model
from cdao_sdk.kinds.transform import SCRIPT_MODEL_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.literals import LiteralMap
    from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.kinds.job import JobKind, Observation

__all__ = ["SageMakerConnector", "register_connectors"]

logger = logging.getLogger(__name__)

_LOG_TAIL_LINES = 20
_MODEL_OF_A_JOB = re.compile(
    r"s3://.+/([^/]+)/output/(?:(?:data/cdao/)?model\.tar\.gz$|model(?:/|$))"
)

# Job phase → Flyte's.
_FLYTE_PHASE = {
    Phase.QUEUED: TaskExecution.QUEUED,
    Phase.INITIALIZING: TaskExecution.INITIALIZING,
    Phase.RUNNING: TaskExecution.RUNNING,
    Phase.SUCCEEDED: TaskExecution.SUCCEEDED,
    Phase.FAILED: TaskExecution.FAILED,
    Phase.RETRYABLE: TaskExecution.RETRYABLE_FAILED,
    Phase.STOPPED: TaskExecution.ABORTED,
}


class SageMakerConnector(AsyncConnectorBase):
    """Creates, watches and stops the jobs of one kind.

    Args:
        kind: The kind.
        services: Its surroundings; None: from the settings, at the first call.
    """

    name = "CDAO SageMaker Connector"

    def __init__(self, kind: JobKind[Any], services: Services | None = None) -> None:
        super().__init__(task_type_name=kind.task_type, metadata_type=JobMeta)
        self._kind = kind
        self._given = services

    @property
    def _services(self) -> Services:
        if self._given is None:
            from cdao_sdk.flyte.services import services_from_settings

            self._given = services_from_settings()
        return self._given

    async def create(
        self,
        task_template: TaskTemplate,
        output_prefix: str,
        inputs: LiteralMap | None = None,
        task_execution_metadata: TaskExecutionMetadata | None = None,
        **_: object,
    ) -> JobMeta:
        """Create the job, or find the one that an earlier call made.

        Raises:
            SubmissionError: SageMaker refuses the request for good.
            PlanError: The inputs do not fit.
        """
        payload = TaskPayload.from_json(cast("Mapping[str, object]", task_template.custom))
        spec = spec_for_attempt(payload.spec, task_template, task_execution_metadata)
        payload = replace(payload, spec=spec)
        literals = inputs.literals if inputs is not None else {}
        attempt = _attempt(task_template, task_execution_metadata, output_prefix)
        uri = model_uri(payload, literals)
        model = await self._model(uri) if uri else None
        place = await self._place(attempt, output_prefix, payload)
        flytekit = None
        if flytekit_runtime.uses_flytekit(payload.spec):
            flytekit = flytekit_runtime.flytekit_call(
                task_template, task_execution_metadata, output_prefix
            )
        types = {name: item.type for name, item in task_template.interface.inputs.items()}
        submission = prepare(
            payload,
            literals,
            attempt,
            place,
            model,
            types=types,
            flytekit=flytekit,
            secrets=secret_references(task_template, place.region),
        )
        for source, target in submission.copies:
            await copy(self._services.clients, source, target)
        for target, content in submission.objects.items():
            await put(self._services.clients, target, content)
        meta = JobMeta(
            kind=self._kind.name,
            job_name=submission.job_name,
            runs_body=payload.runs_body,
            interface=encode_interface(task_template.interface),
            flytekit_prefix=output_prefix if flytekit else "",
        )
        await self._send(meta, submission.calls)
        return meta

    async def get(self, resource_meta: JobMeta, **_: object) -> Resource:
        """Where the job stands, with its outputs once it is done."""
        try:
            await self._send(resource_meta, resource_meta.pending_calls)
        except ResourcesUnavailable:
            raise  # the endpoint does not answer: that is no verdict on the request
        except SubmissionError as error:
            return Resource(TaskExecution.FAILED, message=str(error))
        if resource_meta.pending:
            return Resource(TaskExecution.WAITING_FOR_RESOURCES, message=resource_meta.waiting)
        try:
            description = await self.describe(resource_meta.job_name)
        except NotFound:
            msg = f"{self._kind.title} job {resource_meta.job_name} is not there any more."
            return Resource(TaskExecution.FAILED, message=msg)
        except ResourcesUnavailable as error:
            if error.code == UNREACHABLE:
                raise
            # A throttled look says nothing about the job: never a reason to fail it.
            return Resource(TaskExecution.RUNNING, message=str(error))
        observation = self._kind.observe(description)
        return await self._resource(resource_meta, description, observation)

    async def delete(self, resource_meta: JobMeta, **_: object) -> None:
        """Stop the job and remove what was made beside it; a finished job is left alone."""
        api = self._kind.api
        parameters = {api.name_field: resource_meta.job_name}
        try:
            await call(self._services.clients, "sagemaker", api.stop, parameters)
        except (NotFound, SubmissionError) as error:
            if isinstance(error, ResourcesUnavailable) or not await self._is_over(resource_meta):
                raise
        await self._clean_up(resource_meta.job_name)

    async def describe(self, job_name: str) -> dict[str, object]:
        """SageMaker's own description of a job of this kind."""
        api = self._kind.api
        return await call(
            self._services.clients, "sagemaker", api.describe, {api.name_field: job_name}
        )

    # --- creating ---

    async def _send(self, meta: JobMeta, calls: Sequence[ApiCall]) -> None:
        """Send requests in order; what has to wait stays in the meta."""
        meta.pending, meta.waiting = [], ""
        for index, request in enumerate(calls):
            try:
                await call(
                    self._services.clients, "sagemaker", request.operation, request.parameters
                )
            except AlreadyExists:
                continue  # an earlier call of ours made it: the name says so
            except ResourcesUnavailable as error:
                if error.code == UNREACHABLE:
                    raise
                meta.pending = [asdict(item) for item in calls[index:]]
                meta.waiting = str(error)
                return
            except CdaoError:
                await self._clean_up(meta.job_name)  # nothing of a refused job stays behind
                raise

    async def _place(self, attempt: Attempt, output_prefix: str, payload: TaskPayload) -> Place:
        services = self._services
        role = payload.spec.sagemaker_role or services.role_arn
        if role is None:
            msg = (
                "No role for SageMaker jobs: configure(sagemaker_role='arn:aws:iam::…:role/…'),"
                " CDAO_SAGEMAKER_ROLE, or sagemaker_role= on the task."
            )
            raise ConfigurationError(msg)
        root = f"s3://{services.bucket}/cdao" if services.bucket else output_prefix.rstrip("/")
        base = "/".join(
            part for part in (root, attempt.project, attempt.domain, attempt.execution) if part
        )
        if payload.spec.output_path:
            base = f"{payload.spec.output_path.rstrip('/')}/{attempt.execution}"
        return Place(
            base_uri=base,
            role_arn=role,
            region=services.clients.target.region,
            runtime_uri=await self._upload_runner(root) if payload.runs_body else "",
            tags=services.tags,
        )

    async def _upload_runner(self, root: str) -> str:
        """Put ``runner.py`` where jobs find it, unless it is there."""
        content, digest = _runner()
        prefix = f"{root}/runtime/{digest}"
        # Asked each time: a bucket's lifecycle rule, or a new embedded server, may have removed it.
        if not await exists(self._services.clients, f"{prefix}/runner.py"):
            await put(self._services.clients, f"{prefix}/runner.py", content)
        return prefix

    async def _model(self, uri: str) -> ModelSource:
        """The model at a URI; the training job that made it tells the image that serves it."""
        job_name = _training_job_of(uri)
        if job_name is None:
            return ModelSource(uri)
        try:
            description = await call(
                self._services.clients,
                "sagemaker",
                "DescribeTrainingJob",
                {"TrainingJobName": job_name},
            )
        except NotFound:
            return ModelSource(uri)
        algorithm = cast("dict[str, str]", description.get("AlgorithmSpecification", {}))
        channels = cast("list[dict[str, str]]", description.get("InputDataConfig", []))
        is_script = any(channel.get("ChannelName") == "cdao" for channel in channels)
        return ModelSource(
            served_model(description, uri),
            image_uri=inference_image(algorithm.get("TrainingImage", "")),
            environment=SCRIPT_MODEL_ENVIRONMENT if is_script else {},
        )

    # --- watching ---

    async def _resource(
        self, meta: JobMeta, description: Mapping[str, object], observation: Observation
    ) -> Resource:
        phase, message, outputs = observation.phase, observation.message, None
        reason = observation.failure_reason
        facts: dict[str, object] = {}
        if meta.flytekit_prefix:
            verdict = await flytekit_runtime.judge(
                self._services.clients,
                meta.flytekit_prefix,
                observation,
                has_outputs=bool(meta.outputs),
            )
            phase, reason = verdict.phase, verdict.reason
            facts = {"deck": verdict.deck_uri} if verdict.deck_uri else {}
        elif phase is Phase.SUCCEEDED:
            try:
                outputs = await self._outputs(meta, description)
            except JobFailed as error:
                phase, message = Phase.FAILED, str(error)
        if phase in (Phase.FAILED, Phase.RETRYABLE):
            message, failure = await self._failure(meta, reason or message)
            facts |= failure
        if phase.is_terminal:
            await self._clean_up(meta.job_name)
        return Resource(
            phase=_FLYTE_PHASE[phase],
            message=message,
            log_links=self._log_links(meta.job_name),
            outputs=outputs,
            custom_info=self._custom_info(meta, description, observation) | facts,
        )

    async def _outputs(self, meta: JobMeta, description: Mapping[str, object]) -> LiteralMap:
        from flytekit.models.literals import LiteralMap

        interface = meta.outputs
        artifact = self._kind.artifact(description)
        if not meta.runs_body:
            return LiteralMap(
                {name: uri_literal(artifact, kind) for name, kind in interface.items()}
            )
        uri = self._kind.result_uri(description)
        document = await read_result(self._services.clients, uri) if uri else None
        if uri is None or document is None:
            msg = (
                f"Job {meta.job_name} ended well, but left no result: the function ended the"
                " process (os._exit, exec, a crash of its interpreter) before it returned."
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

    async def _failure(self, meta: JobMeta, reason: str) -> tuple[str, dict[str, object]]:
        """A text for people, and its parts: SageMaker's reason and the last log lines."""
        lines = [f"{self._kind.title} job {meta.job_name} failed: {plain_reason(reason)}"]
        try:
            tail = await job_logs.tail(
                self._services.clients, self._kind.api.log_group, meta.job_name, _LOG_TAIL_LINES
            )
        except CdaoError as error:
            tail = []
            lines.append(f"(its log cannot be read: {error})")
        if tail:
            lines.append(f"Last {len(tail)} log lines:")
            lines += [f"  {line.host}| {line.text}" for line in tail]
        parts: dict[str, object] = {
            "failure_reason": reason,
            "log_tail": [line.text for line in tail],
        }
        return "\n".join(lines), parts

    async def _is_over(self, meta: JobMeta) -> bool:
        try:
            description = await self.describe(meta.job_name)
        except NotFound:
            return True
        return self._kind.observe(description).phase.is_terminal

    async def _clean_up(self, job_name: str) -> None:
        for request in self._kind.cleanup(job_name):
            try:
                await call(
                    self._services.clients, "sagemaker", request.operation, request.parameters
                )
            except NotFound:
                continue  # it was removed by an earlier call
            except CdaoError as error:
                logger.warning("%s of %s was refused: %s", request.operation, job_name, error)

    def _log_links(self, job_name: str) -> list[TaskLog]:
        target = self._services.clients.target
        if target.endpoint_url:
            return []
        region, api = target.region, self._kind.api
        console = f"https://{region}.console.aws.amazon.com"
        group = api.log_group.replace("/", "$252F")
        logs = (
            f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
            f"$3FlogStreamNameFilter$3D{job_name}"
        )
        page = f"{console}/sagemaker/home?region={region}#/{api.console_path}/{job_name}"
        return [
            TaskLog(name="CloudWatch Logs", uri=logs, message_format=TaskLog.UNKNOWN),
            TaskLog(name="SageMaker console", uri=page, message_format=TaskLog.UNKNOWN),
        ]

    def _custom_info(
        self, meta: JobMeta, description: Mapping[str, object], observation: Observation
    ) -> dict[str, object]:
        facts = {
            "job_name": meta.job_name,
            "job_arn": description.get(self._kind.api.arn_field),
            "kind": meta.kind,
            "status": observation.status,
            "secondary_status": observation.secondary_status,
            "instance_type": observation.instance_type,
            "instance_count": observation.instance_count,
            "billable_seconds": observation.billable_seconds,
        }
        return {key: value for key, value in facts.items() if value not in (None, "")}


@functools.cache
def _runner() -> tuple[bytes, str]:
    """``runner.py`` and the hash that names its place; read once, and not at each create."""
    content = (Path(__file__).parent.parent / "runtime" / "runner.py").read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]


def _training_job_of(uri: str) -> str | None:
    """The job's name in ``s3://…/<job>/output/model.tar.gz`` or ``…/<job>/output/model/…``."""
    found = _MODEL_OF_A_JOB.match(uri)
    return found[1] if found else None


def _attempt(
    template: TaskTemplate, metadata: TaskExecutionMetadata | None, output_prefix: str
) -> Attempt:
    task = template.id.name if template.id else ""
    identifier = metadata.task_execution_id if metadata else None
    # Without metadata flytekit's service hands on one that is there, but empty.
    if identifier is None or not identifier.node_execution_id.execution_id.name:
        if not output_prefix:
            msg = "The request names neither an execution nor an output prefix; it has no identity."
            raise PlanError(msg)
        digest = hashlib.sha256(output_prefix.encode()).hexdigest()[:20]
        return Attempt(execution=f"x{digest}", node="n0", attempt=0, task=task)
    node = identifier.node_execution_id
    execution = node.execution_id
    return Attempt(
        execution=execution.name,
        node=node.node_id,
        attempt=identifier.retry_attempt,
        project=execution.project,
        domain=execution.domain,
        task=task,
    )


def register_connectors() -> None:
    """Offer a connector for each kind to flytekit's connector service."""
    from flytekit.extend.backend.base_connector import ConnectorRegistry

    from cdao_sdk.kinds.registry import KINDS

    keep_interruptible()
    for name in KINDS:
        ConnectorRegistry.register(SageMakerConnector(find_kind(name)), override=True)
