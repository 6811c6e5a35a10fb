"""From a request to SageMaker's own calls, sent: uploads first, the job last.

Everything here can be done any number of times, by any number of processes, and broken off
anywhere: objects are written whole under names that follow from the request, and of all calls with
one job's name SageMaker takes the first.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.aws.calls import AlreadyExists, call
from cdao_sdk.aws.storage import copy, exists, put, split_s3_uri
from cdao_sdk.catalog.images import inference_image
from cdao_sdk.errors import (
    CdaoError,
    ConfigurationError,
    NotFound,
    PlanError,
    ResourcesUnavailable,
)
from cdao_sdk.flyte import flytekit_runtime
from cdao_sdk.flyte.allow_list import AllowList, check_requests
from cdao_sdk.flyte.attempt_spec import spec_for_attempt
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.flyte.secret_references import secret_references
from cdao_sdk.flyte.submission import Place, job_label, model_uri, prepare
from cdao_sdk.kinds.job import ModelSource
from cdao_sdk.kinds.naming import job_name
from cdao_sdk.kinds.training import served_model
from cdao_sdk.kinds.transform import SCRIPT_MODEL_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.submission import Attempt, Submission
    from cdao_sdk.flyte.task_request import TaskRequest
    from cdao_sdk.kinds.job import JobKind

__all__ = ["Made", "Submitter", "earlier_names", "payload_of", "step_names"]

logger = logging.getLogger(__name__)

_MODEL_OF_A_JOB = re.compile(
    r"s3://.+/([^/]+)/output/(?:(?:data/cdao/)?model\.tar\.gz$|model(?:/|$))"
)
_SMALL_PAYLOAD = 16 * 1024


_EARLIER_AT_MOST = 20
_RUNNER_SECONDS = 300.0
"""How long an upload of ``runner.py`` is taken to be there; a lifecycle rule may remove it."""


def payload_of(request: TaskRequest) -> TaskPayload:
    """What the template tells, with what this attempt changes.

    Raises:
        SpecError: It is no template of ours.
    """
    payload = _payload(cast("Mapping[str, object]", request.template.custom))
    return replace(payload, spec=spec_for_attempt(payload.spec, request.template, request.metadata))


def _payload(custom: Mapping[str, object]) -> TaskPayload:
    text = json.dumps(custom)
    # The elements of a map, or a task that runs each hour: the same payload again and again.
    return _read_payload(text) if len(text) <= _SMALL_PAYLOAD else TaskPayload.from_json(custom)


@functools.lru_cache(maxsize=256)
def _read_payload(text: str) -> TaskPayload:
    return TaskPayload.from_json(json.loads(text))


def step_names(payload: TaskPayload, attempt: Attempt) -> tuple[str, ...]:
    """The job's names, one for each instance type that may be tried.

    They are functions of the attempt alone: whoever comes to a step comes to the same name.
    """
    label = job_label(payload, attempt)
    first = job_name(attempt.execution, label, attempt.attempt)
    others = (
        job_name(attempt.execution, f"{label}-type{step}", attempt.attempt)
        for step in range(1, len(payload.spec.choices))
    )
    return (first, *others)


def earlier_names(request: TaskRequest) -> tuple[str, ...]:
    """The names of all jobs of earlier attempts, the last ones first; of 20 attempts at most."""
    payload, attempt = payload_of(request), request.attempt
    first = max(0, attempt.attempt - _EARLIER_AT_MOST)
    return tuple(
        name
        for number in reversed(range(first, attempt.attempt))
        for name in step_names(payload, replace(attempt, attempt=number))
    )


@dataclass(frozen=True)
class Made:
    """A job that SageMaker has taken.

    Attributes:
        job_name: Its name.
        arn: Its ARN; empty where an earlier call has made it.
    """

    job_name: str
    arn: str


@dataclass
class _Upload:
    prefix: str
    until: float


class Submitter:
    """Sends the requests of jobs of one kind.

    Args:
        kind: The kind.
        services: Where to.
        allowed: What its jobs may name; None: anything.
    """

    def __init__(
        self, kind: JobKind[Any], services: Services, allowed: AllowList | None = None
    ) -> None:
        self._kind = kind
        self._services = services
        self._allowed = allowed or AllowList()
        self._runner: _Upload | None = None

    async def send(self, request: TaskRequest, step: int = 0, choice: int | None = None) -> Made:
        """Make the job of a request, or find the one that is there.

        Args:
            request: The request.
            step: Which of its names the job has.
            choice: On which of its instance types it runs; None: that of the step.

        Returns:
            The job.

        Raises:
            PlanError: The inputs do not fit.
            ResourcesUnavailable: SageMaker has no room for it now.
            SubmissionError: SageMaker refuses it for good; nothing of it stays behind.
        """
        submission = await self.prepare(request, step, choice)
        clients, name = self._services.clients, submission.job_name
        # What is made beside a job is removed with it; who comes late must not make it again.
        has_company = bool(self._kind.cleanup(name))
        if has_company and await self._job(name) is not None:
            return Made(name, "")
        for source, target in submission.copies:
            await copy(clients, source, target)
        for target, content in submission.objects.items():
            await put(clients, target, content)
        arn = ""
        for each in submission.calls:
            try:
                answer = await call(clients, "sagemaker", each.operation, each.parameters)
            except AlreadyExists:
                arn = ""
                continue  # an earlier call of ours made it: the name says so
            except ResourcesUnavailable:
                raise
            except CdaoError:
                await self.clean_up(name)
                raise
            arn = str(answer.get(self._kind.api.arn_field, ""))
        if has_company and not arn:
            job = await self._job(name)
            if job is not None and self._kind.observe(job).phase.is_terminal:
                await self.clean_up(name)  # the other one has done so before this one came
        return Made(name, arn)

    async def _job(self, name: str) -> dict[str, object] | None:
        """SageMaker's description of a job; None: there is none."""
        api = self._kind.api
        parameters = {api.name_field: name}
        try:
            return await call(self._services.clients, "sagemaker", api.describe, parameters)
        except NotFound:
            return None

    async def prepare(
        self, request: TaskRequest, step: int = 0, choice: int | None = None
    ) -> Submission:
        """What would be sent.

        Raises:
            PlanError: The inputs do not fit, or what they ask for is not allowed here.
        """
        payload = payload_of(request)
        attempt = request.attempt
        name = step_names(payload, attempt)[step]
        spec = payload.spec.choices[step if choice is None else choice]
        payload = replace(payload, spec=spec)
        uri = model_uri(payload, request.literals)
        model = await self._model(uri) if uri else None
        place = await self._place(attempt, request.output_prefix, payload)
        flytekit = None
        if flytekit_runtime.uses_flytekit(payload.spec):
            flytekit = flytekit_runtime.flytekit_call(
                request.template, request.metadata, request.output_prefix
            )
        types = {name: item.type for name, item in request.template.interface.inputs.items()}
        submission = prepare(
            payload,
            request.literals,
            attempt,
            place,
            model,
            job_name=name,
            types=types,
            flytekit=flytekit,
            secrets=secret_references(request.template, place.region),
        )
        self._check(submission, place, request)
        return submission

    def _check(self, submission: Submission, place: Place, request: TaskRequest) -> None:
        """Refuse what the operator's lists do not allow."""
        prefixes = (self._services.root(""), place.runtime_uri, request.output_prefix)
        trusted = [split_s3_uri(uri)[0] for uri in prefixes if uri.startswith("s3://")]
        problems = check_requests(submission.calls, self._allowed, trusted_buckets=trusted)
        if problems:
            msg = f"This connector is not allowed to make job {submission.job_name}."
            raise PlanError(msg, problems=problems)

    async def clean_up(self, name: str) -> None:
        """Remove what was made beside a job.

        Raises:
            ResourcesUnavailable: AWS does not take the call now.
        """
        for each in self._kind.cleanup(name):
            try:
                await call(self._services.clients, "sagemaker", each.operation, each.parameters)
            except NotFound:
                continue  # it was removed by an earlier call
            except ResourcesUnavailable:
                raise
            except CdaoError as error:
                logger.warning("%s of %s was refused: %s", each.operation, name, error)

    async def _place(self, attempt: Attempt, output_prefix: str, payload: TaskPayload) -> Place:
        services = self._services
        role = payload.spec.sagemaker_role or services.role_arn
        if role is None:
            msg = (
                "No role for SageMaker jobs: configure(sagemaker_role='arn:aws:iam::…:role/…'),"
                " CDAO_SAGEMAKER_ROLE, or sagemaker_role= on the task."
            )
            raise ConfigurationError(msg)
        root = services.root(output_prefix)
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
        known = self._runner
        if known is not None and known.prefix == prefix and time.monotonic() < known.until:
            return prefix
        if not await exists(self._services.clients, f"{prefix}/runner.py"):
            await put(self._services.clients, f"{prefix}/runner.py", content)
        self._runner = _Upload(prefix, time.monotonic() + _RUNNER_SECONDS)
        return prefix

    async def _model(self, uri: str) -> ModelSource:
        """The model at a URI; the training job that made it tells the image that serves it."""
        found = _MODEL_OF_A_JOB.match(uri)
        if found is None:
            return ModelSource(uri)
        try:
            description = await call(
                self._services.clients,
                "sagemaker",
                "DescribeTrainingJob",
                {"TrainingJobName": found[1]},
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


@functools.cache
def _runner() -> tuple[bytes, str]:
    """``runner.py`` and the hash that names its place; read once, and not at each create."""
    content = (Path(__file__).parent.parent / "runtime" / "runner.py").read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]
