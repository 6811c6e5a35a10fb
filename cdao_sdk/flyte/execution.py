"""An execution: one run of a workflow, while it goes on and afterwards."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import abc
import contextvars
import logging
import os
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, cast

from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.log_query import LogQuery, moment_of, pattern_of, read_logs
from cdao_sdk.aws.watch import JobWatch
from cdao_sdk.errors import CdaoError, ExecutionTimeout, JobStopped, NotFound
from cdao_sdk.execution_record import ExecutionRecord, ExecutionStatus
from cdao_sdk.flyte.downloads import bind_downloads
from cdao_sdk.flyte.local_engine import execute, node_needs, node_order
from cdao_sdk.flyte.threads import own_context_stack
from cdao_sdk.kinds.naming import execution_slug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from flytekit import FlyteContext
    from flytekit.models.literals import Literal

    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.flyte.execution_report import Report
    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.node_tree import NodeExecution
    from cdao_sdk.flyte.run_inputs import Entity

__all__ = ["Execution", "ExecutionRecord", "ExecutionStatus", "LocalExecution"]


logger = logging.getLogger(__name__)

_ONLY_ON_A_CLUSTER = (
    "{}(): execution {} runs in this process; call run() again (tasks with cache=True keep their"
    " results), or set admin_endpoint to run on a cluster."
)


class Execution(abc.ABC):
    """One run of a workflow. ``run()`` makes it and returns at once."""

    @property
    @abc.abstractmethod
    def id(self) -> str:
        """The execution's id; every job's name begins with it."""

    @property
    @abc.abstractmethod
    def status(self) -> ExecutionStatus:
        """Where it stands now."""

    @property
    @abc.abstractmethod
    def error(self) -> Exception | None:
        """Why it failed or was stopped; None while it runs and when it succeeded."""

    @property
    @abc.abstractmethod
    def outputs(self) -> dict[str, object]:
        """What the workflow returned, by name; a single unnamed value is ``"o0"``.

        Raises:
            CdaoError: The execution is not done, or did not succeed.
        """

    @abc.abstractmethod
    def wait(self, timeout: float | None = None) -> Execution:
        """Wait for the end.

        Args:
            timeout: Seconds to wait at the most; None: for ever.

        Returns:
            The execution itself, succeeded.

        Raises:
            ExecutionTimeout: It goes on after ``timeout`` seconds.
            JobFailed: A job failed; other classes where something else did.
            JobStopped: It was stopped.
        """

    @abc.abstractmethod
    def jobs(self) -> list[Job]:
        """Its SageMaker jobs now, in the order of their creation."""

    def logs(
        self,
        job_name: str | None = None,
        lines: int = 100,
        *,
        since: str | datetime | timedelta | None = None,
        grep: str | None = None,
    ) -> list[LogLine]:
        """The last log lines of one job, or of all, job by job.

        Args:
            job_name: The job; None: every job of the execution.
            lines: How many lines a job at the most, of those that fit.
            since: From when on: ``"10m"`` (ago), ISO 8601, a time, or how long ago.
            grep: Regular expression that a line has to have in it.

        Raises:
            NotFound: There is no such job.
            ConfigurationError: ``since`` is no time, or ``grep`` no regular expression.
        """
        query = log_query(lines, since=since, grep=grep)
        return execution_logs(self._clients(), self.jobs(), job_name, query)

    @abc.abstractmethod
    def _clients(self) -> AwsClients:
        """The AWS that its jobs are on."""

    @property
    @abc.abstractmethod
    def cached_nodes(self) -> tuple[str, ...]:
        """Ids of the nodes, so far, whose result came from the cache: they made no job."""

    @property
    @abc.abstractmethod
    def decks(self) -> dict[str, str]:
        """Node's id → URI of the deck (HTML) that ``runtime="flytekit"`` made, so far."""

    @property
    def url(self) -> str:
        """Where Flyte's console shows it; empty for one in this process."""
        return ""

    @property
    def nodes(self) -> tuple[NodeExecution, ...]:
        """Its nodes on the cluster now, with their attempts; empty for one in this process."""
        return ()

    @abc.abstractmethod
    def cancel(self) -> None:
        """Stop its jobs and start no more; returns at once."""

    def recover(self) -> Execution:
        """Start it again, with the results of all nodes that have succeeded; on a cluster only."""
        raise CdaoError(_ONLY_ON_A_CLUSTER.format("recover", self.id))

    def relaunch(self, *, overwrite_cache: bool = False) -> Execution:
        """Start the same version again with the same inputs; on a cluster only.

        Args:
            overwrite_cache: Whether tasks compute anew what Flyte's cache has.
        """
        del overwrite_cache
        raise CdaoError(_ONLY_ON_A_CLUSTER.format("relaunch", self.id))

    @abc.abstractmethod
    def monitor(self) -> None:
        """Show its jobs: in a terminal until they are done, in a notebook at once."""

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """What its jobs did, took and cost, as one HTML page.

        While it runs it is a report so far. In a notebook, the last line of a cell shows it.

        Args:
            path: File, or folder, to write it to; None: it is not written.

        Raises:
            CdaoError: The file cannot be written.
            SubmissionError: AWS refused to say what became of the jobs.
        """
        report = self._report()
        if path is not None:
            report.save(path)
        return report

    @abc.abstractmethod
    def _report(self) -> Report: ...


def jobs_of(clients: AwsClients, execution_id: str) -> JobWatch:
    """A watch on the jobs of an execution, by its id alone."""
    return JobWatch(clients, execution_slug(execution_id))


class LocalExecution(Execution):
    """An execution in this process.

    Args:
        entity: What to run.
        inputs: Its inputs.
        run: Its surroundings.
        context: flytekit's context, which tells where offloaded data goes.
        records: Folder for its record.
        viewer: Shows an execution.
        reporter: Makes its report.
    """

    def __init__(
        self,
        entity: Entity,
        inputs: Mapping[str, Literal],
        run: LocalRun,
        *,
        context: FlyteContext,
        records: Path,
        viewer: Callable[[Execution], None],
        reporter: Callable[[Execution], Report],
    ) -> None:
        self._entity = entity
        self._inputs = inputs
        self._run = run
        self._context = context
        self._records = records
        self._viewer = viewer
        self._reporter = reporter
        self._error: Exception | None = None
        self._outputs: dict[str, object] = {}
        self._done = threading.Event()
        self._watch = jobs_of(run.services.clients, run.execution)
        self._record = ExecutionRecord(
            id=run.execution,
            workflow=str(entity.name),
            status=ExecutionStatus.RUNNING,
            created=_now(),
            pid=os.getpid(),
            nodes=tuple(node_order(entity)),
            needs=node_needs(entity),
        )
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._execute,),
            name=f"cdao-{self.id}",
            daemon=True,
        )

    def __repr__(self) -> str:
        return f"<Execution {self.id} of {self._record.workflow}: {self.status}>"

    def start(self) -> LocalExecution:
        """Begin; called once."""
        self._record.write(self._records)
        self._thread.start()
        return self

    def _execute(self) -> None:
        own_context_stack()
        try:
            with FlyteContextManager.with_context(self._context.new_builder()):
                literals = execute(self._entity, self._inputs, self._run)
                self._outputs = self._python_values(literals)
            status = ExecutionStatus.SUCCEEDED
        except JobStopped as error:
            status, self._error = ExecutionStatus.ABORTED, error
        except Exception as error:  # noqa: BLE001 # whatever the user's plain tasks raise: wait() raises it again
            status, self._error = ExecutionStatus.FAILED, error
        except BaseException as error:  # noqa: BLE001 # sys.exit() in a plain task must not leave wait() hanging
            msg = f"A task ended the thread that ran it: {error!r}. Raise an error, or return."
            status, self._error = ExecutionStatus.FAILED, CdaoError(msg)
            self._error.__cause__ = error
        error_text = str(self._error) if self._error else ""
        record = replace(self._record, status=status, ended=_now(), error=error_text)
        try:
            record.write(self._records)
        finally:
            # Only now: whoever sees the end here finds it on disk too.
            self._record = record
            self._done.set()

    def _python_values(self, literals: Mapping[str, Literal]) -> dict[str, object]:
        context = FlyteContextManager.current_context()
        types = cast("dict[str, type]", self._entity.python_interface.outputs)
        values: dict[str, object] = {
            name: TypeEngine.to_python_value(context, literals[name], python_type)
            for name, python_type in types.items()
        }
        bind_downloads(values, context.file_access)
        return values

    @property
    def id(self) -> str:
        return self._run.execution

    @property
    def status(self) -> ExecutionStatus:
        return self._record.status

    @property
    def error(self) -> Exception | None:
        return self._error

    @property
    def outputs(self) -> dict[str, object]:
        if not self._done.is_set():
            msg = f"Execution {self.id} is still running; wait() for it first."
            raise CdaoError(msg)
        if self._error is not None:
            raise self._error
        return dict(self._outputs)

    def wait(self, timeout: float | None = None) -> LocalExecution:
        if not self._done.wait(timeout):
            msg = f"Execution {self.id} is still running after {timeout} s; it goes on."
            raise ExecutionTimeout(msg)
        if self._error is not None:
            raise self._error
        return self

    def jobs(self) -> list[Job]:
        return bridge.run(self._watch.refresh())

    def _clients(self) -> AwsClients:
        return self._run.services.clients

    @property
    def cached_nodes(self) -> tuple[str, ...]:
        return tuple(self._run.cached_nodes)

    @property
    def decks(self) -> dict[str, str]:
        return dict(self._run.decks)

    def cancel(self) -> None:
        self._run.stop.set()

    def monitor(self) -> None:
        self._viewer(self)

    def _report(self) -> Report:
        return self._reporter(self)

    def finished(self, timeout: float) -> bool:
        """Wait for the end without raising what went wrong.

        Args:
            timeout: Seconds to wait at the most.
        """
        return self._done.wait(timeout)

    @property
    def node_order(self) -> Sequence[str]:
        """Ids of its nodes, in the order of their dependencies."""
        return self._record.nodes


def log_query(
    lines: int, *, since: str | datetime | timedelta | None, grep: str | None
) -> LogQuery:
    """Which lines ``Execution.logs`` wants.

    Raises:
        ConfigurationError: ``since`` is no time, or ``grep`` no regular expression.
    """
    now = datetime.now(timezone.utc)
    if isinstance(since, timedelta):
        since = now - since
    elif isinstance(since, str):
        since = moment_of(since, now)
    elif since is not None:
        since = since.astimezone(timezone.utc)
    return LogQuery(lines, since, pattern_of(grep) if grep else None)


def execution_logs(
    clients: AwsClients, jobs: Sequence[Job], job_name: str | None, query: LogQuery
) -> list[LogLine]:
    """The log lines of one of these jobs, or of all of them in their order.

    Raises:
        NotFound: There is no job of that name.
    """
    if job_name is not None:
        named = [job for job in jobs if job.name == job_name]
        if not named:
            names = ", ".join(job.name for job in jobs) or "none yet"
            msg = f"This execution has no job {job_name!r}; it has: {names}."
            raise NotFound(msg)
        jobs = named
    found = bridge.run(read_logs(clients, jobs, query))
    return [line for job in jobs for line in found[job.name]]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
