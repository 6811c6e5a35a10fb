"""An execution on a cluster: asked of FlyteAdmin whenever somebody wants to know."""

# flytekit and flyteidl ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution
from flyteidl.core import identifier_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import (
    CdaoError,
    ExecutionTimeout,
    JobStopped,
    NotFound,
    ResourcesUnavailable,
    SubmissionError,
)
from cdao_sdk.execution_record import ExecutionStatus
from cdao_sdk.flyte.admin_errors import EntityExists
from cdao_sdk.flyte.execution import Execution, jobs_of
from cdao_sdk.flyte.local_run import new_execution_id
from cdao_sdk.flyte.node_tree import read_nodes, walk
from cdao_sdk.flyte.remote_failure import failure_of
from cdao_sdk.flyte.remote_jobs import jobs_flyte_knows
from cdao_sdk.flyte.remote_outputs import read_outputs
from cdao_sdk.flyte.workflow_graph import WorkflowGraph, read_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flytekit.remote import FlyteRemote

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.flyte.execution_report import Report
    from cdao_sdk.flyte.node_tree import NodeExecution
    from cdao_sdk.flyte.remote import Cluster

__all__ = ["RemoteExecution", "Surroundings"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_PAUSE_GROWTH = 1.5
_FRESH_SECONDS = 0.5
# How long FlyteAdmin may be away (an upgrade, a lost network) before whoever waits is told.
_PATIENCE_SECONDS = 300.0
_AWS_PAUSE_SECONDS = 60.0

_STATUS: Mapping[str, ExecutionStatus] = {
    "SUCCEEDED": ExecutionStatus.SUCCEEDED,
    "FAILED": ExecutionStatus.FAILED,
    "TIMED_OUT": ExecutionStatus.FAILED,
    "ABORTED": ExecutionStatus.ABORTED,
}


@dataclass(frozen=True)
class Surroundings:
    """What an execution needs beside FlyteAdmin.

    Attributes:
        poll_seconds: Longest pause between two looks.
        clients: Gives the AWS that its jobs are on.
        viewer: Shows an execution.
        reporter: Makes the report of an execution.
    """

    poll_seconds: float
    clients: Callable[[], AwsClients]
    viewer: Callable[[RemoteExecution], None]
    reporter: Callable[[RemoteExecution], Report]


class RemoteExecution(Execution):
    """An execution on a cluster; it goes on without this process.

    Args:
        cluster: Where it runs.
        name: Its id.
        surroundings: What it needs beside FlyteAdmin.
        output_types: Python's types of its outputs; None: guessed from Flyte's.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        surroundings: Surroundings,
        *,
        output_types: Mapping[str, type] | None = None,
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._surroundings = surroundings
        self._output_types = output_types
        self._lock = threading.RLock()
        self._message: Any = None
        self._asked = float("-inf")
        self._silent_since: float | None = None
        self._failure: CdaoError | None = None
        self._graph: WorkflowGraph | None = None
        self._aws_due = float("-inf")

    def __repr__(self) -> str:
        phase = self._phase(self._message) if self._message is not None else "…"
        return f"<Execution {self.id} on {self._cluster.target.endpoint}: {phase}>"

    @property
    def id(self) -> str:
        return self._name

    @property
    def project(self) -> str:
        """Flyte's project."""
        return self._cluster.target.project

    @property
    def domain(self) -> str:
        """Flyte's domain."""
        return self._cluster.target.domain

    @property
    def url(self) -> str:
        place = f"projects/{self.project}/domains/{self.domain}/executions/{self.id}"
        return f"{self._cluster.console}/console/{place}"

    @property
    def flyte_remote(self) -> FlyteRemote:
        """flytekit's FlyteRemote for this cluster, for all that is not here."""
        return self._cluster.remote

    @property
    def workflow(self) -> str:
        """Name of what runs."""
        return str(self._current().spec.launch_plan.name)

    @property
    def version(self) -> str:
        """Version of what runs."""
        return str(self._current().spec.launch_plan.version)

    @property
    def created(self) -> datetime | None:
        """When FlyteAdmin took it, in UTC."""
        return _moment(self._current().closure, "created_at")

    @property
    def ended(self) -> datetime | None:
        """When it ended, in UTC; None before."""
        message = self._current()
        if not self._status_of(message).is_over:
            return None
        started = _moment(message.closure, "started_at")
        if started is None or not message.closure.HasField("duration"):
            return _moment(message.closure, "updated_at")
        return started + message.closure.duration.ToTimedelta()

    @property
    def graph(self) -> WorkflowGraph:
        """The nodes of what runs, as it was registered; FlyteAdmin is asked once."""
        with self._lock:
            if self._graph is None:
                self._graph = read_graph(self._cluster, self._current().closure.workflow_id)
            return self._graph

    # --- its state ---

    @property
    def phase(self) -> str:
        """Flyte's own word for where it stands, such as ``"QUEUED"`` or ``"ABORTING"``."""
        return self._phase(self._current())

    @property
    def status(self) -> ExecutionStatus:
        return self._status_of(self._current())

    @property
    def silent_seconds(self) -> float:
        """For how long FlyteAdmin has not answered, so that all here is older; 0 if it has."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def error(self) -> CdaoError | None:
        message = self._current()
        status = self._status_of(message)
        if status is ExecutionStatus.ABORTED:
            return JobStopped(self._abort_text(message))
        if status is not ExecutionStatus.FAILED:
            return None
        with self._lock:
            if self._failure is None:
                self._failure = failure_of(self._cluster, message, self.url)
            return self._failure

    @property
    def outputs(self) -> dict[str, object]:
        status = self.status
        if not status.is_over:
            msg = f"Execution {self.id} is still running; wait() for it first."
            raise CdaoError(msg)
        if self.error is not None:
            raise self.error
        return read_outputs(self._cluster, self._current(), self._output_types)

    def wait(self, timeout: float | None = None) -> RemoteExecution:
        give_up = None if timeout is None else time.monotonic() + timeout
        pause = min(_FIRST_PAUSE_SECONDS, self._surroundings.poll_seconds)
        try:
            while not self._status_of(self._current(fresh=True)).is_over:
                left = float("inf") if give_up is None else give_up - time.monotonic()
                if left <= 0:
                    msg = (
                        f"Execution {self.id} is still running after {timeout} s; it goes on:"
                        f" {self.url}"
                    )
                    raise ExecutionTimeout(msg)
                time.sleep(min(pause, left))
                pause = min(pause * _PAUSE_GROWTH, self._surroundings.poll_seconds)
        except KeyboardInterrupt:
            logger.warning(
                "execution %s goes on: %s; to stop it: cdao stop %s", self.id, self.url, self.id
            )
            raise
        if (error := self.error) is not None:
            raise error
        return self

    def _current(self, *, fresh: bool = False) -> Any:
        """FlyteAdmin's message of it; a short silence gives the last one."""
        with self._lock:
            known = self._message
            if known is not None:
                since = time.monotonic() - self._asked
                if self._status_of(known).is_over or (not fresh and since < _FRESH_SECONDS):
                    return known
            request = execution_pb2.WorkflowExecutionGetRequest(id=self._identifier)
            try:
                self._message = self._cluster.call(Admin.get_execution, request)
                self._silent_since = None
            except ResourcesUnavailable:
                now = time.monotonic()
                self._silent_since = self._silent_since or now
                if known is None or now - self._silent_since > _PATIENCE_SECONDS:
                    raise
                logger.info("waiting for FlyteAdmin to answer again about %s", self.id)
            self._asked = time.monotonic()
            return self._message

    @property
    def _identifier(self) -> Any:
        return identifier_pb2.WorkflowExecutionIdentifier(
            project=self.project, domain=self.domain, name=self.id
        )

    @staticmethod
    def _phase(message: Any) -> str:
        return str(core_execution.WorkflowExecution.Phase.Name(message.closure.phase))

    @classmethod
    def _status_of(cls, message: Any) -> ExecutionStatus:
        return _STATUS.get(cls._phase(message), ExecutionStatus.RUNNING)

    def _abort_text(self, message: Any) -> str:
        abort = message.closure.abort_metadata
        cause = abort.cause or message.closure.abort_cause or "no cause given"
        by = f" by {abort.principal}" if abort.principal else ""
        return f"Execution {self.id} was stopped{by}: {cause}. {self.url}"

    # --- what is in it ---

    @property
    def nodes(self) -> tuple[NodeExecution, ...]:
        return tuple(read_nodes(self._cluster, self._identifier))

    @property
    def cached_nodes(self) -> tuple[str, ...]:
        nodes = read_nodes(self._cluster, self._identifier, attempts=False)
        return tuple(node.id for node in walk(nodes) if node.is_cached)

    @property
    def decks(self) -> dict[str, str]:
        nodes = read_nodes(self._cluster, self._identifier, attempts=False)
        return {node.id: node.deck_uri for node in walk(nodes) if node.deck_uri}

    def jobs(self) -> list[Job]:
        """Its SageMaker jobs: as AWS shows them, or as far as Flyte knows of them."""
        found: list[Job] = []
        if time.monotonic() >= self._aws_due:
            try:
                found = bridge.run(jobs_of(self._clients(), self.id).refresh())
            except CdaoError as error:
                self._aws_due = time.monotonic() + _AWS_PAUSE_SECONDS
                logger.info("jobs of %s as Flyte knows them; AWS: %s", self.id, error)
        return found or jobs_flyte_knows(self.nodes)

    def _clients(self) -> AwsClients:
        return self._surroundings.clients()

    # --- what can be done with it ---

    def cancel(self) -> None:
        """Terminate it; returns at once. One that is over is left alone."""
        request = execution_pb2.ExecutionTerminateRequest(
            id=self._identifier, cause="stopped with cdao-sdk"
        )
        try:
            self._cluster.call(Admin.terminate_execution, request)
        except SubmissionError:
            if not self._status_of(self._current(fresh=True)).is_over:
                raise

    def recover(self) -> RemoteExecution:
        """Start it again, with the results of all nodes that have succeeded.

        Raises:
            CdaoError: It still runs, or succeeded.
        """
        if self.status in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED):
            msg = f"Execution {self.id} is {self.status}: only one that has failed is recovered."
            raise CdaoError(msg)
        name = new_execution_id()
        request = execution_pb2.ExecutionRecoverRequest(id=self._identifier, name=name)
        return self._started(Admin.recover_execution, request, name)

    def relaunch(self, *, overwrite_cache: bool = False) -> RemoteExecution:
        """Start the same version with the same inputs, from the beginning.

        Args:
            overwrite_cache: Whether tasks compute anew what Flyte's cache has.
        """
        name = new_execution_id()
        request = execution_pb2.ExecutionRelaunchRequest(
            id=self._identifier, name=name, overwrite_cache=overwrite_cache
        )
        return self._started(Admin.relaunch_execution, request, name)

    def _started(self, method: Callable[..., Any], request: Any, name: str) -> RemoteExecution:
        try:
            self._cluster.call(method, request)
        except EntityExists:
            pass  # the answer to an earlier try was lost; the name is ours alone
        except NotFound as error:
            msg = f"Execution {self.id} is not at {self._cluster.target.endpoint} any more."
            raise NotFound(msg) from error
        return RemoteExecution(
            self._cluster, name, self._surroundings, output_types=self._output_types
        )

    def monitor(self) -> None:
        self._surroundings.viewer(self)

    def _report(self) -> Report:
        return self._surroundings.reporter(self)

    def finished(self, timeout: float) -> bool:
        """Wait for the end without raising what went wrong.

        Args:
            timeout: Seconds to wait at the most.
        """
        try:
            self.wait(timeout)
        except ExecutionTimeout:
            return False
        except CdaoError:
            return self.status.is_over
        return True


def _moment(closure: Any, name: str) -> datetime | None:
    if not closure.HasField(name):
        return None
    return cast("datetime", getattr(closure, name).ToDatetime()).replace(tzinfo=timezone.utc)
