"""Changes of jobs as EventBridge reports them, received from an SQS queue."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import call
from cdao_sdk.aws.metrics import aws_metrics
from cdao_sdk.errors import CdaoError
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients

__all__ = ["JobEvents", "changed_job"]

_logger = logging.getLogger(__name__)

_MOST = 10  # SQS's most messages a call
_LONG_POLL_SECONDS = 20  # SQS's longest wait
# So long after the last answer of the queue its silence means nothing any more.
_LIVE_SECONDS = 90.0
_LONGEST_REST_SECONDS = 60.0
_JOB_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # botocore's model, 2026-11

# Source: SageMaker's developer guide, "Events that Amazon SageMaker AI sends to EventBridge".
_KINDS: Mapping[str, tuple[str, str]] = {
    f"SageMaker {kind.api.name_field.removesuffix('JobName')} Job State Change": (
        kind.name,
        kind.api.name_field,
    )
    for kind in KINDS.values()
}


def changed_job(body: object, region: str) -> tuple[str, str] | None:
    """The kind and name of the job that an event of EventBridge is about.

    Args:
        body: The message, as it came.
        region: The region that the job has to be of.

    Returns:
        None for what is no such event: nothing else of it is believed.

    Example:
        >>> changed_job('{"source": "aws.sagemaker", "region": "eu-west-1", "detail-type":'
        ...             ' "SageMaker Training Job State Change",'
        ...             ' "detail": {"TrainingJobName": "job"}}', "eu-west-1")
        ('training', 'job')
    """
    try:
        event: object = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    told = cast("Mapping[str, object]", event)
    detail, kind = told.get("detail"), told.get("detail-type")
    if told.get("source") != "aws.sagemaker" or told.get("region") != region:
        return None
    if not isinstance(detail, dict) or not isinstance(kind, str) or kind not in _KINDS:
        return None
    name, field = _KINDS[kind]
    job = cast("Mapping[str, object]", detail).get(field)
    return (name, job) if isinstance(job, str) and _JOB_NAME.fullmatch(job) else None


class JobEvents:
    """Receives a queue's messages, for as long as its task runs.

    Args:
        clients: Of the account and region that the queue is in.
        queue_url: The queue; its messages are deleted, so it has to be this process's own.
        changed: Called with a job's kind and name; whether the job is known.
        wait_seconds: How long a call waits for a message.
        clock: Seconds, for tests.
    """

    def __init__(
        self,
        clients: AwsClients,
        queue_url: str,
        changed: Callable[[str, str], bool],
        *,
        wait_seconds: int = _LONG_POLL_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.queue_url = queue_url
        self._clients = clients
        self._changed = changed
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._answered_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def is_live(self) -> bool:
        """Whether the queue has answered of late."""
        return 0 <= self._clock() - self._answered_at < _LIVE_SECONDS

    def start(self) -> None:
        """Begin to receive on the running loop; nothing more if that has begun."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Receive no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def receive(self) -> int:
        """Take what is in the queue, once.

        Returns:
            How many messages there were.

        Raises:
            SubmissionError: SQS refused, or did not answer.
            NotFound: There is no such queue.
        """
        request = {
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": _MOST,
            "WaitTimeSeconds": self._wait_seconds,
        }
        answer = await call(self._clients, "sqs", "ReceiveMessage", request)
        self._answered_at = self._clock()
        messages = cast("Sequence[Mapping[str, object]]", answer.get("Messages") or ())
        for message in messages:
            self._take(message)
        if messages:
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ]
            request = {"QueueUrl": self.queue_url, "Entries": entries}
            await call(self._clients, "sqs", "DeleteMessageBatch", request)
        return len(messages)

    def _take(self, message: Mapping[str, object]) -> None:
        job = changed_job(message.get("Body"), self._clients.target.region)
        if job is None:
            outcome = "dropped"
            _logger.warning("a message of %s is no event of a job: dropped", self.queue_url)
        else:
            outcome = "known" if self._changed(*job) else "unknown"
        aws_metrics().events.labels(outcome).inc()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self.receive()
                failures = 0
            except CdaoError as error:
                failures += 1
                if failures == 1:
                    _logger.warning("the queue of events cannot be read: %s", error)
                await asyncio.sleep(min(_LONGEST_REST_SECONDS, 2.0**failures))
