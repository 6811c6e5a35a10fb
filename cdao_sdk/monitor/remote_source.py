"""An execution on a cluster, as a feed sees it: FlyteAdmin is asked seldom, and with patience."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from cdao_sdk.errors import CdaoError, ResourcesUnavailable
from cdao_sdk.monitor.pace import Pace
from cdao_sdk.monitor.snapshot import ExecutionFacts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.execution_record import ExecutionStatus
    from cdao_sdk.flyte.workflow_graph import WorkflowGraph

__all__ = ["RemoteFacts", "RemoteJobs", "RemoteSource"]

_SOON_SECONDS = 1.0
_SILENT = "FlyteAdmin does not answer; the jobs are as AWS tells"
# Flyte's nodes are read with a call for each: not more often than this times as long as it takes.
_REST = 10


class RemoteSource(Protocol):
    """An execution on a cluster, as far as its jobs are watched."""

    @property
    def id(self) -> str: ...

    @property
    def project(self) -> str: ...

    @property
    def domain(self) -> str: ...

    @property
    def workflow(self) -> str: ...

    @property
    def status(self) -> ExecutionStatus: ...

    @property
    def error(self) -> Exception | None: ...

    @property
    def created(self) -> datetime | None: ...

    @property
    def ended(self) -> datetime | None: ...

    @property
    def graph(self) -> WorkflowGraph: ...

    @property
    def silent_seconds(self) -> float: ...

    def jobs(self) -> list[Job]: ...

    def cancel(self) -> None: ...


class RemoteFacts:
    """What FlyteAdmin says of an execution: soon after its jobs change, seldom otherwise.

    Args:
        remote: The execution.
        pause_seconds: Between two questions while nothing changes.

    Attributes:
        note: What hinders; empty normally.
    """

    def __init__(self, remote: RemoteSource, pause_seconds: float) -> None:
        self._remote = remote
        self._pace = Pace(min(_SOON_SECONDS, pause_seconds), pause_seconds)
        self._known: ExecutionFacts | None = None
        self._graph: WorkflowGraph | None = None
        self._is_graph_told = False
        self.note = ""

    def hurry(self) -> None:
        """A job has changed: the execution may have, too."""
        self._pace.hurry()

    def read(self) -> ExecutionFacts:
        """The execution as it was told last; a silence of FlyteAdmin is a note.

        Raises:
            ResourcesUnavailable: It has been silent for longer than the execution's patience.
        """
        known = self._known
        if known is not None and (known.is_over or self._pace.seconds_left > 0):
            return known
        remote = self._remote
        status = remote.status
        if remote.silent_seconds:
            # A question may wait for some seconds, and the jobs with it: ever more seldom.
            self._pace.give_way()
            self.note = _SILENT
            if known is not None:
                return known
        else:
            self._pace.slow_down()
            self.note = ""
        graph = self._graph_once()
        self._known = ExecutionFacts(
            remote.id,
            remote.workflow,
            status.value,
            nodes=tuple(graph.tasks) if graph else (),
            error=str(remote.error or "") if status.is_over else "",
            created=remote.created,
            tasks={node: task for node, task in graph.tasks.items() if task} if graph else {},
        )
        return self._known

    def _graph_once(self) -> WorkflowGraph | None:
        """The graph, if FlyteAdmin tells it; else jobs stand in the order of their creation."""
        if not self._is_graph_told:
            try:
                self._graph = self._remote.graph
            except ResourcesUnavailable:
                return None  # asked again with the next question
            except CdaoError:  # not for us
                self._graph = None
            self._is_graph_told = True
        return self._graph


class RemoteJobs:
    """The jobs of an execution as Flyte was told of them, for whom AWS refuses.

    Args:
        remote: The execution.
    """

    def __init__(self, remote: RemoteSource) -> None:
        self._remote = remote
        self._jobs: Sequence[Job] = ()
        self._due = float("-inf")

    def read(self) -> Sequence[Job]:
        """The jobs; Flyte is asked if that was long enough ago, and they may have changed."""
        began = time.monotonic()
        if began >= self._due:
            is_last = self._remote.status.is_over
            self._jobs = self._remote.jobs()
            now = time.monotonic()
            self._due = float("inf") if is_last else now + _REST * (now - began)
        return self._jobs
