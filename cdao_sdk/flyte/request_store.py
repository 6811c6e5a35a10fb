"""Keeps requests in S3 until SageMaker has taken them, and marks of those that must not be sent."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any

from cdao_sdk.aws.storage import exists, put, read_object, split_s3_uri
from cdao_sdk.errors import (
    CdaoError,
    ConfigurationError,
    PlanError,
    ResourcesUnavailable,
    SpecError,
)
from cdao_sdk.flyte.deadline import remaining_seconds
from cdao_sdk.flyte.flytekit_runtime import uses_flytekit
from cdao_sdk.flyte.job_meta import JobMeta, Refusal, encode_interface
from cdao_sdk.flyte.submitter import payload_of, step_names
from cdao_sdk.flyte.task_request import TaskRequest

if TYPE_CHECKING:
    from cdao_sdk.flyte.payload import TaskPayload
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.submission import Attempt
    from cdao_sdk.kinds.job import JobKind

__all__ = ["MARKS", "RequestStore"]

MARKS = "cdao/stopped"
"""Where, in the requests' bucket, the marks of jobs lie that were stopped before they were seen."""

_REQUEST_LIMIT_BYTES = 32 * 1024 * 1024
_INTERFACE_LIMIT = 8 * 1024
_ANSWER_SECONDS = 2.5
"""How long it is tried where no deadline is known: Flyte's older charts give a call 3 s."""
_PAUSE_SECONDS = 0.3


class RequestStore:
    """The requests for jobs of one kind.

    Args:
        kind: The kind.
        services: Where they are kept.

    Attributes:
        buckets: Those that hold requests, as far as this process knows.
    """

    def __init__(self, kind: JobKind[Any], services: Services) -> None:
        self._kind = kind
        self._services = services
        self.buckets: set[str] = {services.bucket} if services.bucket else set()

    async def keep(self, request: TaskRequest) -> tuple[JobMeta, int]:
        """Keep a request.

        What is wrong with the request itself is no error here but in the meta: Propeller takes an
        error for one that another attempt may mend.

        Returns:
            What is to be remembered of it, the same for the same request but for the time; and its
            size in bytes.

        Raises:
            PlanError: It has no identity.
            ConfigurationError: There is no place for it.
            ResourcesUnavailable: S3 does not answer in time.
            SubmissionError: S3 refuses.
        """
        attempt = request.attempt
        try:
            payload = payload_of(request)
            if payload.kind != self._kind.name:
                msg = f"A task of type {self._kind.task_type} asks for a {payload.kind} job."
                raise SpecError(msg)
            names = step_names(payload, attempt)
        except CdaoError as error:
            return self._meta(attempt, refusal=Refusal.of(error)), 0
        content = request.to_bytes()
        if len(content) > _REQUEST_LIMIT_BYTES:
            text = f"The request has {len(content)} bytes; at most {_REQUEST_LIMIT_BYTES} are kept."
            return self._meta(attempt, refusal=Refusal("PlanError", text)), 0
        digest = hashlib.sha256(content).hexdigest()
        uri = f"{self._folder(request)}/{names[0]}-{digest[:16]}.pb"
        await self._put(uri, content)
        self.buckets.add(split_s3_uri(uri)[0])
        meta = self._meta(attempt, request_uri=uri, request_digest=digest)
        return _described(meta, payload, names, request), len(content)

    async def load(self, meta: JobMeta) -> TaskRequest:
        """The request of a job.

        Raises:
            PlanError: It is gone, or not what was stored.
        """
        clients = self._services.clients
        content = await read_object(clients, meta.request_uri, _REQUEST_LIMIT_BYTES + 1)
        if content is None:
            msg = f"The request {meta.request_uri} is gone; run the task again."
            raise PlanError(msg)
        if hashlib.sha256(content).hexdigest() != meta.request_digest:
            msg = f"{meta.request_uri} is not what was stored there; run the task again."
            raise PlanError(msg)
        return TaskRequest.from_bytes(content)

    async def mark(self, meta: JobMeta, name: str) -> None:
        """Let nobody make a job of that name, or stop it again who has made it."""
        await put(self._services.clients, self._mark_uri(meta, name), b"")

    async def is_marked(self, meta: JobMeta, name: str) -> bool:
        """Whether a job must not be made."""
        return await exists(self._services.clients, self._mark_uri(meta, name))

    def _mark_uri(self, meta: JobMeta, name: str) -> str:
        bucket, _ = split_s3_uri(meta.request_uri)
        self.buckets.add(bucket)
        return f"s3://{bucket}/{MARKS}/{self._kind.name}/{name}"

    def _folder(self, request: TaskRequest) -> str:
        """Where a node's requests are kept; no job reads or writes there."""
        attempt, root = request.attempt, self._services.root(request.output_prefix)
        if not root.startswith("s3://"):
            msg = (
                f"There is no place for the request: no default_bucket, and output_prefix={root!r}"
                " is not in S3. Set default_bucket (CDAO_DEFAULT_BUCKET)."
            )
            raise ConfigurationError(msg)
        parts = (attempt.project, attempt.domain, attempt.execution, attempt.node)
        return "/".join((root, "requests", *filter(None, parts)))

    async def _put(self, uri: str, content: bytes) -> None:
        began = time.monotonic()
        while True:
            try:
                await put(self._services.clients, uri, content)
            except ResourcesUnavailable:
                left = remaining_seconds()
                if left is None:
                    left = began + _ANSWER_SECONDS - time.monotonic()
                if left < 2 * _PAUSE_SECONDS:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    def _meta(
        self,
        attempt: Attempt,
        *,
        request_uri: str = "",
        request_digest: str = "",
        refusal: Refusal | None = None,
    ) -> JobMeta:
        return JobMeta(
            kind=self._kind.name,
            job_names=(),
            request_uri=request_uri,
            request_digest=request_digest,
            created=round(time.time(), 3),
            project=attempt.project,
            domain=attempt.domain,
            execution=attempt.execution,
            node=attempt.node,
            attempt=attempt.attempt,
            refusal=refusal,
        )


def _described(
    meta: JobMeta, payload: TaskPayload, names: tuple[str, ...], request: TaskRequest
) -> JobMeta:
    spec = payload.spec
    interface = encode_interface(request.template.interface)
    meta.job_names = names
    meta.runs_body = payload.runs_body
    meta.interface = interface if len(interface) <= _INTERFACE_LIMIT else ""
    meta.output_prefix = request.output_prefix
    meta.uses_flytekit = uses_flytekit(spec)
    meta.has_deck = (
        request.output_prefix.startswith("s3://")
        and not meta.uses_flytekit
        and bool(request.template.metadata.generates_deck)
    )
    meta.instance_types = tuple(choice.hosts[0][0] for choice in spec.choices)
    meta.instance_count = spec.host_count
    meta.spot = bool(getattr(spec, "use_spot_instances", False))
    return meta
