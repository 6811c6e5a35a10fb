"""A run in this process: each task's job goes through the connector, as Propeller would do it."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
import weakref
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.extend.backend.utils import is_terminal_phase
from flytekit.models.core.identifier import (
    Identifier,
    NodeExecutionIdentifier,
    ResourceType,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flytekit.models.task import TaskExecutionMetadata

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.storage import exists, put
from cdao_sdk.errors import JobFailed, JobInterrupted, JobStopped, ResourcesUnavailable
from cdao_sdk.flyte.bundle import bundle
from cdao_sdk.flyte.connector import SageMakerConnector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flytekit.extend.backend.base_connector import Resource
    from flytekit.models.literals import LiteralMap
    from flytekit.models.task import TaskTemplate

    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.task import SageMakerTask

__all__ = ["LocalRun", "current_node", "new_execution_id", "run_job", "set_backend"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.02
_PAUSE_GROWTH = 1.5
# How long an endpoint may not answer before a run gives up on it.
_PATIENCE_SECONDS = 30.0


class StopSignal:
    """Says that work is to stop; whoever stops, all that was begun below stops with it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: weakref.WeakSet[StopSignal] = weakref.WeakSet()

    def child(self) -> StopSignal:
        """A signal that can be set alone, and is set with this one."""
        child = StopSignal()
        with self._lock:
            self._children.add(child)
            if self._event.is_set():
                child.set()
        return child

    def set(self) -> None:
        """Stop this and everything below."""
        with self._lock:
            self._event.set()
            children = list(self._children)
        for child in children:
            child.set()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Pause for so long, or until it is set."""
        self._event.wait(seconds)


@dataclass
class LocalRun:
    """One execution in this process.

    Attributes:
        execution: Its id.
        services: Where its jobs go.
        project: Flyte project's name, for tags and prefixes.
        domain: Flyte domain's name.
        poll_seconds: Longest pause between two looks at a job.
        stop: Set to stop the run and its jobs.
    """

    execution: str
    services: Services
    project: str = ""
    domain: str = ""
    poll_seconds: float = 0.25
    stop: StopSignal = field(default_factory=StopSignal)
    _bundles: dict[tuple[object, ...], str] = field(
        default_factory=dict[tuple[object, ...], str], repr=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def code_uri(self, task: SageMakerTask) -> str | None:
        """Where the code of a task lies, None if it needs none.

        Packed once a run: all attempts and copies of a task run the same code.
        """
        functions = tuple(task.functions)
        if not functions:
            return None
        with self._lock:
            if functions not in self._bundles:
                packed = bundle(functions)
                # _run makes sure that there is a bucket wherever a run in this process writes.
                uri = f"s3://{self.services.bucket}/cdao/code/{packed.digest[:32]}/code.tar.gz"
                bridge.run(self._upload(uri, packed.content))
                self._bundles[functions] = uri
            return self._bundles[functions]

    async def _upload(self, uri: str, content: bytes) -> None:
        if not await exists(self.services.clients, uri):
            await put(self.services.clients, uri, content)


@dataclass(frozen=True)
class NodeRun:
    """The node that runs in this thread.

    Attributes:
        run: The execution it belongs to.
        node: Its id; a prefix, if it may call several tasks.
        retries: How often it may be tried again.
        serial: Numbers those tasks; None for a node that is one task itself.
    """

    run: LocalRun
    node: str
    retries: int = 0
    serial: Iterator[int] | None = None


current_node: ContextVar[NodeRun | None] = ContextVar("cdao_current_node", default=None)

_backend: Callable[[], LocalRun] | None = None
_loose_nodes = itertools.count()


def set_backend(make_run: Callable[[], LocalRun]) -> None:
    """Say what runs a task that is called outside of ``cdao_sdk.run``."""
    global _backend  # noqa: PLW0603 # the facade's entry point sets it once, on import
    _backend = make_run


def new_execution_id() -> str:
    """An id in Flyte's own form: ``a`` and 19 more of 0-9 and a-z."""
    return "a" + secrets.token_hex(10)[:19]


def _node_run() -> NodeRun:
    node = current_node.get()
    if node is not None:
        return (
            node if node.serial is None else replace(node, node=f"{node.node}{next(node.serial)}")
        )
    if _backend is None:
        msg = "import cdao_sdk before a SageMaker task is called"
        raise RuntimeError(msg)
    return NodeRun(_backend(), f"n{next(_loose_nodes)}")


def run_job(task: SageMakerTask, inputs: LiteralMap) -> LiteralMap:
    """Run a task's job to its end, with the retries that the task or the node asks for.

    Raises:
        JobFailed: The job failed.
        JobStopped: It was stopped.
        SubmissionError: SageMaker refused it.
    """
    node = _node_run()
    template = _template(task, node.run.code_uri(task))
    connector = SageMakerConnector(task.job_kind, node.run.services)
    retries = max(node.retries, cast("int", task.metadata.retries or 0))
    for attempt in itertools.count():
        try:
            return _run_attempt(connector, template, inputs, node, attempt)
        except JobInterrupted:
            if attempt >= retries:
                raise
            logger.warning("%s: attempt %d failed; trying again", node.node, attempt + 1)
    raise AssertionError  # unreachable: itertools.count() has no end


def _template(task: SageMakerTask, code_uri: str | None) -> TaskTemplate:
    from flytekit.tools.translator import get_serializable

    settings = SerializationSettings(
        image_config=ImageConfig.auto_default_image(),
        fast_serialization_settings=FastSerializationSettings(
            enabled=code_uri is not None, distribution_location=code_uri
        ),
    )
    return cast("TaskTemplate", get_serializable(OrderedDict(), settings, task).template)


def _metadata(task_name: str, node: NodeRun, attempt: int) -> TaskExecutionMetadata:
    run = node.run
    task_id = Identifier(ResourceType.TASK, run.project, run.domain, task_name, "local")
    execution_id = WorkflowExecutionIdentifier(run.project, run.domain, run.execution)
    return TaskExecutionMetadata(
        TaskExecutionIdentifier(task_id, NodeExecutionIdentifier(node.node, execution_id), attempt),
        namespace="",
        labels={},
        annotations={},
        k8s_service_account="",
        environment_variables={},
        identity=None,
    )


def _run_attempt(
    connector: SageMakerConnector,
    template: TaskTemplate,
    inputs: LiteralMap,
    node: NodeRun,
    attempt: int,
) -> LiteralMap:
    run = node.run
    if run.stop.is_set():
        msg = f"{node.node} was not started: the execution was stopped."
        raise JobStopped(msg)
    meta = bridge.run(
        connector.create(
            task_template=template,
            output_prefix="",
            inputs=inputs,
            task_execution_metadata=_metadata(template.id.name, node, attempt),
        )
    )
    try:
        resource = _wait(connector, meta, node.run)
    except BaseException:
        # An interrupt, or our own failure: no job goes on without a run that waits for it.
        bridge.run(connector.delete(meta))
        raise
    return _outputs(resource, meta)


def _wait(connector: SageMakerConnector, meta: JobMeta, run: LocalRun) -> Resource:
    pause, stopping, silent_since = _FIRST_PAUSE_SECONDS, False, 0.0
    while True:
        try:
            resource = bridge.run(connector.get(meta))
        except ResourcesUnavailable:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > _PATIENCE_SECONDS:
                raise
            time.sleep(pause)
            continue
        silent_since = 0.0
        if is_terminal_phase(resource.phase):
            return resource
        if run.stop.is_set() and not stopping:
            stopping = True
            bridge.run(connector.delete(meta))
            if meta.pending:
                return type(resource)(TaskExecution.ABORTED, message="stopped before it started")
        if stopping:
            time.sleep(pause)
        else:
            run.stop.wait(pause)
        pause = min(pause * _PAUSE_GROWTH, run.poll_seconds)


def _outputs(resource: Resource, meta: JobMeta) -> LiteralMap:
    message = resource.message or ""
    if resource.phase == TaskExecution.SUCCEEDED:
        return cast("LiteralMap", resource.outputs)
    if resource.phase == TaskExecution.ABORTED:
        msg = f"Job {meta.job_name} was stopped. {message}".rstrip()
        raise JobStopped(msg)
    kind = JobInterrupted if resource.phase == TaskExecution.RETRYABLE_FAILED else JobFailed
    facts = cast("Mapping[str, object]", resource.custom_info or {})
    reason = str(facts.get("failure_reason", message))
    frames = [line for line in reason.splitlines()[1:] if line.startswith("  ")]
    raise kind(
        message,
        job_name=meta.job_name,
        reason=reason,
        user_traceback="\n".join(frames),
        log_tail=cast("Sequence[str]", facts.get("log_tail", ())),
    )
