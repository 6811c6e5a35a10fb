"""One attempt of a node's job: made by the connector, and waited for, as Propeller would."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, cast

from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.extend.backend.utils import is_terminal_phase

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import UNREACHABLE
from cdao_sdk.errors import (
    CdaoError,
    JobFailed,
    JobInterrupted,
    JobStopped,
    ResourcesUnavailable,
    SubmissionError,
)
from cdao_sdk.flyte.create_request import execution_metadata
from cdao_sdk.flyte.flytekit_runtime import read_outputs, staged
from cdao_sdk.flyte.job_meta import Refusal
from cdao_sdk.flyte.local_attempts import TimedOut, timeout_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.extend.backend.base_connector import Resource
    from flytekit.models.literals import LiteralMap
    from flytekit.models.task import TaskTemplate

    from cdao_sdk.flyte.connector import SageMakerConnector
    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.flyte.local_run import NodeRun
    from cdao_sdk.flyte.node_policy import NodePolicy

__all__ = ["run_attempt"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.02
_PAUSE_GROWTH = 1.5
# How long an endpoint may not answer before a run gives up on it.
_PATIENCE_SECONDS = 30.0


def run_attempt(
    connector: SageMakerConnector,
    template: TaskTemplate,
    inputs: LiteralMap,
    *,
    node: NodeRun,
    policy: NodePolicy,
    attempt: int,
) -> LiteralMap:
    """Have the connector make a job, wait for its end, and give what it put out.

    Args:
        connector: The job kind's connector.
        template: The task's template.
        inputs: The task's inputs.
        node: The node that it is.
        policy: What holds for the node.
        attempt: The attempt's number, from 0.

    Raises:
        JobFailed: The job failed.
        JobInterrupted: It failed in a way that another attempt may mend.
        TimedOut: It took longer than the node's timeout; it was stopped.
        JobStopped: It was stopped, or the execution was before it began.
        SubmissionError: SageMaker refused it.
    """
    run = node.run
    if run.stop.is_set():
        msg = f"{node.node} was not started: the execution was stopped."
        raise JobStopped(msg)
    metadata = execution_metadata(
        run,
        template.id.name,
        node=node.node,
        attempt=attempt,
        interruptible=policy.interruptible,
    )
    template, output_prefix = bridge.run(staged(run.services, template, inputs, metadata))
    meta = bridge.run(
        connector.create(
            task_template=template,
            output_prefix=output_prefix,
            inputs=inputs,
            task_execution_metadata=metadata,
        )
    )
    try:
        refused = _refused(connector, meta)
        resource = None if refused else _wait(connector, meta, node, policy.timeout_seconds)
    except BaseException:
        # An interrupt, or our own failure: no job goes on without a run that waits for it.
        bridge.run(connector.delete(meta))
        raise
    if refused or resource is None:
        raise refused or AssertionError
    if meta.flytekit_prefix:
        _tell_deck(resource, node)
        if resource.phase == TaskExecution.SUCCEEDED:
            return bridge.run(read_outputs(run.services.clients, meta.flytekit_prefix))
    return _outputs(resource, meta)


def _refused(connector: SageMakerConnector, meta: JobMeta) -> CdaoError | None:
    """Why there is no job and never will be; ``get`` would say it as Flyte hears it."""
    try:
        bridge.run(connector.submit(meta))
    except ResourcesUnavailable:
        return None  # it waits in line
    except CdaoError as error:
        return error
    return None


def _tell_deck(resource: Resource, node: NodeRun) -> None:
    deck = cast("Mapping[str, object]", resource.custom_info or {}).get("deck")
    if isinstance(deck, str):
        node.run.decks[node.node] = deck
        logger.info("%s: its deck is %s", node.node, deck)


def _wait(
    connector: SageMakerConnector, meta: JobMeta, node: NodeRun, timeout_seconds: float
) -> Resource:
    run, began = node.run, time.monotonic()
    pause, stopping, silent_since = _FIRST_PAUSE_SECONDS, False, 0.0
    while True:
        if timeout_seconds and not stopping and time.monotonic() - began > timeout_seconds:
            raise TimedOut(timeout_message(node.node, timeout_seconds), job_name=meta.job_name)
        resource = bridge.run(connector.get(meta))
        if _is_unreachable(resource):
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > _PATIENCE_SECONDS:
                raise ResourcesUnavailable(resource.message or "", code=UNREACHABLE)
        else:
            silent_since = 0.0
        if is_terminal_phase(resource.phase):
            return resource
        if run.stop.is_set() and not stopping:
            stopping = True
            bridge.run(connector.delete(meta))
        if stopping:
            time.sleep(pause)
        else:
            run.stop.wait(pause)
        pause = min(pause * _PAUSE_GROWTH, run.poll_seconds)


def _is_unreachable(resource: Resource) -> bool:
    facts = cast("Mapping[str, object]", resource.custom_info or {})
    return UNREACHABLE in (facts.get("unanswered"), facts.get("waiting_for"))


def _outputs(resource: Resource, meta: JobMeta) -> LiteralMap:
    message = resource.message or ""
    if resource.phase == TaskExecution.SUCCEEDED:
        return cast("LiteralMap", resource.outputs)
    facts = cast("Mapping[str, object]", resource.custom_info or {})
    if facts.get("status") == "Stopped" and "failure_reason" not in facts:
        msg = f"Job {facts['job_name']} was stopped."
        raise JobStopped(msg)
    if error := facts.get("error"):  # refused after it had waited
        code = str(facts.get("error_code", ""))
        if error == "SubmissionError":
            raise SubmissionError(message, code=code)
        raise Refusal(str(error), message).raised()
    kind = JobInterrupted if resource.phase == TaskExecution.RETRYABLE_FAILED else JobFailed
    reason = str(facts.get("failure_reason", message))
    frames = [line for line in reason.splitlines()[1:] if line.startswith("  ")]
    raise kind(
        message,
        job_name=str(facts.get("job_name", meta.job_name)),
        reason=reason,
        user_traceback="\n".join(frames),
        log_tail=cast("Sequence[str]", facts.get("log_tail", ())),
    )
